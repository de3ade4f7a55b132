package main_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/localcluster"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// One write makes a Secret, one sets a status, and a restart with everything in sync makes none (L8).
func TestWrites(t *testing.T) {
	const clients = 20
	namespace := newNamespace(t)
	awaitNoTerminatingNamespaces(t)
	before := writes(t)
	for i := range clients {
		create(t, newClient(namespace, fmt.Sprintf("worker-%d", i)))
	}
	for i := range clients {
		awaitReason(t, newClient(namespace, fmt.Sprintf("worker-%d", i)), v1alpha1.ReasonIssued)
	}
	awaitIdle(t, clients)
	want := map[string]int{"POST oauthclients": clients, "POST secrets": clients, "PATCH oauthclients/status": clients}
	if got := difference(writes(t), before); !maps.Equal(got, want) {
		t.Errorf("%d new clients cost the writes %v, want %v", clients, got, want)
	}

	before = writes(t)
	restart(t, suite.kubemint.Stop, nil)
	awaitIdle(t, clients)
	if got := difference(writes(t), before); len(got) != 0 {
		t.Errorf("a restart wrote %v", got)
	}
}

// awaitNoTerminatingNamespaces waits until other tests' namespaces are gone, whose deletion writes too.
func awaitNoTerminatingNamespaces(t *testing.T) {
	t.Helper()
	await(t, "other tests' namespaces to go", func() error {
		var namespaces corev1.NamespaceList
		if err := suite.admin.List(t.Context(), &namespaces); err != nil {
			return err
		}
		for i := range namespaces.Items {
			if !namespaces.Items[i].DeletionTimestamp.IsZero() {
				return fmt.Errorf("%s is still there", namespaces.Items[i].Name)
			}
		}
		return nil
	})
}

// writes counts the write requests for OAuthClients and Secrets that the API server has answered.
func writes(t *testing.T) map[string]int {
	t.Helper()
	return requests(t, func(verb string) bool { return verb != "GET" && verb != "LIST" && verb != "WATCH" })
}

// reads counts the requests that read them.
func reads(t *testing.T) map[string]int {
	t.Helper()
	return requests(t, func(verb string) bool { return verb == "GET" || verb == "LIST" })
}

// requests counts requests for OAuthClients and Secrets by the API server's own metrics.
func requests(t *testing.T, counts func(verb string) bool) map[string]int {
	t.Helper()
	transport, err := rest.TransportFor(suite.cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for labels, value := range scrape(t, &http.Client{Transport: transport}, strings.TrimSuffix(suite.cluster.Config().Host, "/")+"/metrics", "apiserver_request_total") {
		resource := label(labels, "resource")
		if verb := label(labels, "verb"); (resource == "secrets" || resource == "oauthclients") && counts(verb) {
			if sub := label(labels, "subresource"); sub != "" {
				resource += "/" + sub
			}
			// The API server calls a server-side apply APPLY.
			found[strings.Replace(verb, "APPLY", "PATCH", 1)+" "+resource] += value
		}
	}
	return found
}

func difference(after, before map[string]int) map[string]int {
	grown := map[string]int{}
	for key, count := range after {
		if count != before[key] {
			grown[key] = count - before[key]
		}
	}
	return grown
}

// awaitIdle waits until kubemint has reconciled as often as there are clients at least, and has nothing left to do.
func awaitIdle(t *testing.T, clients int) {
	t.Helper()
	await(t, "kubemint to be idle", func() error {
		sum := func(metric string) (total int) {
			for labels, value := range scrape(t, http.DefaultClient, suite.kubemint.Metrics, metric) {
				if strings.Contains(labels, `"oauthclient"`) {
					total += value
				}
			}
			return total
		}
		done, active, queued := sum("controller_runtime_reconcile_total"), sum("controller_runtime_active_workers"), sum("workqueue_depth")
		if done < clients || active != 0 || queued != 0 {
			return fmt.Errorf("reconciled %d, active %d, queued %d", done, active, queued)
		}
		return nil
	})
}

// scrape returns a metric's values by their labels.
func scrape(t *testing.T, client *http.Client, url, metric string) map[string]int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	values := map[string]int{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		labels, found := strings.CutPrefix(lines.Text(), metric+"{")
		if labels, value, ok := strings.Cut(labels, "} "); found && ok {
			var number float64
			if _, err := fmt.Sscan(value, &number); err == nil {
				values[labels] += int(number)
			}
		}
	}
	return values
}

func label(labels, name string) string {
	_, rest, _ := strings.Cut(","+labels, ","+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// Killed at any moment and started again, it loses nothing and makes nothing twice (L2).
func TestKilledAtAnyMoment(t *testing.T) {
	const rounds, clients = 5, 12
	namespace := newNamespace(t)
	credentials := map[string]string{}
	for round := range rounds {
		restart(t, suite.kubemint.Kill, nil, "--leader-elect=false") // A lease would only make each round wait for it.
		for i := range clients {
			create(t, newClient(namespace, fmt.Sprintf("worker-%d-%d", round, i)))
		}
		// Kill it when part of the work is done: a different part in each round.
		await(t, "some Secrets", func() error {
			if found := len(clientSecrets(t, namespace)); found < round*clients+1+2*round {
				return fmt.Errorf("%d so far", found)
			}
			return nil
		})
		if err := suite.kubemint.Kill(); err != nil {
			t.Fatal(err)
		}
		for name, value := range clientSecrets(t, namespace) {
			if credentials[name] != "" && credentials[name] != value {
				t.Errorf("round %d: the credential of %s changed", round, name)
			}
			credentials[name] = value
		}
	}
	restart(t, suite.kubemint.Kill, nil)
	for round := range rounds {
		for i := range clients {
			c := newClient(namespace, fmt.Sprintf("worker-%d-%d", round, i))
			awaitReason(t, c, v1alpha1.ReasonIssued)
			secret := secretOf(t, c)
			if known := credentials[c.Name]; known != "" && known != string(secret.Data["client_secret"]) {
				t.Errorf("the credential of %s changed", c.Name)
			}
			awaitToken(t, secret)
		}
	}
	if found := len(clientSecrets(t, namespace)); found != rounds*clients {
		t.Errorf("%d Secrets for %d clients", found, rounds*clients)
	}
}

// clientSecrets returns the client secrets in a namespace by their Secret's name.
func clientSecrets(t *testing.T, namespace string) map[string]string {
	t.Helper()
	var list corev1.SecretList
	if err := suite.admin.List(t.Context(), &list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for i := range list.Items {
		found[list.Items[i].Name] = string(list.Items[i].Data["client_secret"])
	}
	return found
}

// The token endpoint outlives the API server, and the controllers' lease with it; when the API server is back, everything goes
// on and no credential has changed (L10).
func TestAPIServerStops(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	secret := issued(t, c)
	process := suite.kubemint.PID()
	if err := suite.cluster.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	awaitTokensWithoutLease(t, secret)
	if err := suite.cluster.StartAPIServer(); err != nil {
		t.Fatal(err)
	}

	later := newClient(c.Namespace, "later")
	create(t, later)
	awaitReason(t, later, v1alpha1.ReasonIssued)
	awaitToken(t, secretOf(t, later))
	if now := secretOf(t, c); string(now.Data["client_secret"]) != string(secret.Data["client_secret"]) {
		t.Error("the credential changed")
	}
	if suite.kubemint.PID() != process {
		t.Error("the process was another")
	}
}

// Losing the lease ends the controllers and not the token endpoint; they come back when the lease is free (L10).
func TestLeaseLost(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	secret := issued(t, c)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: localcluster.Namespace, Name: "kubemint-controller"}}
	change(t, lease, func(l *coordinationv1.Lease) {
		l.Spec.HolderIdentity = ptr.To("somebody-else")
		l.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
		l.Spec.LeaseDurationSeconds = ptr.To[int32](13) // Longer than the holder tries to renew it.
	})
	awaitTokensWithoutLease(t, secret)
	awaitToken(t, issued(t, newClient(c.Namespace, "later")))
}

// awaitTokensWithoutLease waits until the lease is lost; all the while every token request must succeed.
func awaitTokensWithoutLease(t *testing.T, secret *corev1.Secret) {
	t.Helper()
	mark := len(suite.log.String())
	await(t, "the lease to be lost", func() error {
		mustGetToken(t, secret)
		if !strings.Contains(suite.log.String()[mark:], "controllers ended") {
			return errNotYet
		}
		return nil
	})
	mustGetToken(t, secret)
}

// What happens to the signing keys' Secret does not reach the tokens: bad key material never replaces good.
func TestK07SpoiltSigningKeys(t *testing.T) {
	secret := issued(t, newClient(newNamespace(t), "worker"))
	keys, kid := getSecret(t, localcluster.Namespace, v1alpha1.SigningKeysSecretName), signingKeyID(t)
	good := keys.Data[v1alpha1.SigningKeysKey]
	defer change(t, keys, func(s *corev1.Secret) { s.Data[v1alpha1.SigningKeysKey] = good })
	for name, row := range map[string]struct{ stored, cause string }{
		"K07 malformed":      {"garbage", "not valid JSON"},
		"K07 wrong curve":    {storedRing(t, "ES256", newECKey(t, elliptic.P384())), "on the curve P-256 only"},
		"K07 1024-bit RSA":   {storedRing(t, "RS256", newRSAKey(t, 1024)), "at least 2048 bits only"},
		"K07 passphrase PEM": {strings.ReplaceAll(string(good), "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "must be an unencrypted PKCS #8 key"},
	} {
		t.Run(name, func(t *testing.T) {
			mark := len(suite.log.String())
			change(t, keys, func(s *corev1.Secret) { s.Data[v1alpha1.SigningKeysKey] = []byte(row.stored) })
			await(t, "the token server to see it", func() error {
				if said := suite.log.String()[mark:]; !strings.Contains(said, "keeping the last good ones") || !strings.Contains(said, row.cause) {
					return errNotYet
				}
				return nil
			})
			header, err := base64.RawURLEncoding.DecodeString(strings.Split(mustGetToken(t, secret).AccessToken, ".")[0])
			if err != nil || !strings.Contains(string(header), kid) {
				t.Errorf("a token has the header %s (%v), want kid %s", header, err, kid)
			}
		})
	}
	awaitEvent(t, keys, "SigningKeysInvalid")
}

// storedRing returns a ring of one private key, as its Secret would hold it.
func storedRing(t *testing.T, algorithm string, private any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := json.Marshal(map[string]any{"keys": []map[string]any{{"kid": "x", "alg": algorithm, "state": "active", "created": time.Now(),
		"privateKey": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(ring)
}

func newECKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSAKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Until the first view of the cluster is complete, and without a signing key, it is not ready: never a 401 (L11).
func TestHealth(t *testing.T) {
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/other": 404} {
		if status, body := get(t, suite.kubemint.Health+path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// The metrics tell what is so.
func TestMetrics(t *testing.T) {
	mustGetToken(t, issued(t, newClient(newNamespace(t), "worker")))
	_, body := get(t, suite.kubemint.Metrics)
	kid := signingKeyID(t)
	for _, line := range []string{
		`kubemint_signing_key_info{algorithm="ES256",kid="` + kid + `",state="active"} 1`,
		`kubemint_signing_keys_valid 1`,
		`kubemint_panics_total 0`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
	var last float64
	if _, value, ok := strings.Cut(body, "\nkubemint_registry_last_event_timestamp_seconds "); ok {
		_, _ = fmt.Sscan(value, &last) // What is no number leaves 0.
	}
	if age := time.Since(time.UnixMilli(int64(last * 1000))); age < 0 || age > patience {
		t.Errorf("the last event was %s ago", age)
	}
}

// signingKeyID returns the kid of the one key in the key set's Secret.
func signingKeyID(t *testing.T) string {
	t.Helper()
	ring, err := signing.ParseRing(getSecret(t, localcluster.Namespace, v1alpha1.SigningKeysSecretName).Data[v1alpha1.SigningKeysKey])
	if err != nil {
		t.Fatal(err)
	}
	return ring.Active().ID
}

// Told to stop, it says at once that it is not ready, and goes on issuing tokens until the delay is over; a second signal cuts that
// short.
func TestShutdownDelay(t *testing.T) {
	secret := issued(t, newClient(newNamespace(t), "worker"))
	restart(t, suite.kubemint.Stop, nil, "--shutdown-delay=1h")
	mustGetToken(t, secret)
	if err := syscall.Kill(suite.kubemint.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, "/readyz to say that it stops", func() error {
		if status, body := get(t, suite.kubemint.Health+"/readyz"); status != http.StatusServiceUnavailable {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	mustGetToken(t, secret)
	for _, url := range []string{suite.kubemint.Health + "/healthz", suite.kubemint.Metrics} {
		if status, _ := get(t, url); status != http.StatusOK {
			t.Errorf("%s: %d", url, status)
		}
	}
	restart(t, func() error {
		var exit *exec.ExitError
		if err := suite.kubemint.Stop(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
			return fmt.Errorf("it ended with %w", err)
		}
		return nil
	}, nil)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// Each half runs without the other: the controllers make the Secret and serve no token endpoint; a token server beside them issues
// tokens, and goes on alone.
func TestModes(t *testing.T) {
	restart(t, suite.kubemint.Stop, nil, "--mode=controller")
	c := newClient(newNamespace(t), "worker")
	secret := issued(t, c)
	if _, err := requestToken(t, secret); err == nil {
		t.Error("the controllers answer token requests")
	}

	server, err := suite.cluster.StartKubemint(t.Context(), localcluster.KubemintOptions{
		Binary: suite.binary, Log: &suite.log, Port: suite.kubemint.Port, Args: []string{"--mode=tokenserver"}})
	if err != nil {
		t.Fatal(err)
	}
	mustGetToken(t, secret)
	if err := suite.kubemint.Stop(); err != nil {
		t.Fatal(err)
	}
	unfollowed := newClient(newNamespace(t), "worker")
	create(t, unfollowed)
	mustGetToken(t, secret)
	if err := suite.admin.Get(t.Context(), client.ObjectKeyFromObject(unfollowed), unfollowed); err != nil || len(unfollowed.Status.Conditions) > 0 {
		t.Errorf("a token server alone reconciles: %v, %+v", err, unfollowed.Status)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := start(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitReason(t, unfollowed, v1alpha1.ReasonIssued)
}

// To be told to stop is no error, whatever the libraries make of it: with the lease held, and the controllers at work.
func TestStopLogsNoErrors(t *testing.T) {
	issued(t, newClient(newNamespace(t), "worker"))
	before := len(suite.log.String())
	restart(t, suite.kubemint.Stop, func() {
		for line := range strings.Lines(suite.log.String()[before:]) {
			if strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, `"level":"WARN"`) {
				t.Errorf("it logs %s", line)
			}
		}
	})
}

func TestVersion(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), suite.binary, "version", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var build struct{ Version, GoVersion, Platform string }
	if err := json.Unmarshal(output, &build); err != nil || build.Version == "" || build.GoVersion != runtime.Version() || build.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("it prints %s: %v", output, err)
	}
}
