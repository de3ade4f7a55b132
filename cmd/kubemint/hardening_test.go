package main_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// What is secret stands in no log, be it as chatty as can be, in no event, no status and no metric.
func TestL01NothingSecretIsShown(t *testing.T) {
	restart(t, suite.kubemint.Stop, nil, "--log-level=DEBUG")
	defer restart(t, func() error { return suite.kubemint.Stop() }, nil)
	c := newClient(newNamespace(t), "worker")
	before := issued(t, c)
	id, first := string(before.Data["client_id"]), string(before.Data["client_secret"])
	token := mustGetToken(t, before).AccessToken
	for _, wrong := range [][2]string{{id, first + "x"}, {first, id}, {id + ":" + first, "x"}} {
		if answer, err := requestTokenAs(t, before, wrong[0], wrong[1]); err != nil || answer.Status != http.StatusUnauthorized {
			t.Errorf("wrong credentials: %+v, %v", answer, err)
		}
	}
	change(t, before.DeepCopy(), func(s *corev1.Secret) { s.Data["client_secret"] = []byte("hunter2-typed-by-hand") })
	awaitEvent(t, c, v1alpha1.EventSecretRepaired)
	keys := getSecret(t, localcluster.Namespace, v1alpha1.SigningKeysSecretName).Data[v1alpha1.SigningKeysKey]
	ca := getSecret(t, localcluster.Namespace, v1alpha1.CertificateAuthoritySecretName).Data[corev1.TLSPrivateKeyKey]

	_, metrics := get(t, suite.kubemint.Metrics)
	shown := map[string]string{
		"log":     suite.log.String(),
		"metrics": metrics,
		"events":  mustKubectl(t, "get", "events", "-A", "-o", "yaml"),
		"status":  mustKubectl(t, "get", "oac", "-A", "-o", "yaml"),
	}
	for what, secret := range map[string]string{
		"the first client secret": first, "the new client secret": string(secretOf(t, c).Data["client_secret"]),
		"a typed secret": "hunter2-typed-by-hand", "an Authorization header": base64.StdEncoding.EncodeToString([]byte(id + ":" + first)),
		"a token": token, "a token's signature": token[strings.LastIndex(token, ".")+1:],
		"the signing key": middleLine(t, strings.ReplaceAll(string(keys), `\n`, "\n")), "the CA's key": middleLine(t, string(ca)),
	} {
		for where, text := range shown {
			if strings.Contains(text, secret) {
				t.Errorf("the %s shows %s", where, what)
			}
		}
	}
}

// middleLine returns a line of a private key in PEM, which is as good as the key.
func middleLine(t *testing.T, text string) string {
	t.Helper()
	_, key, found := strings.Cut(text, "PRIVATE KEY-----\n")
	line, _, _ := strings.Cut(key, "\n")
	if !found || len(line) < 40 {
		t.Fatal("there is no private key to look for")
	}
	return line
}

// Each port answers what it is for, and none tells how the program runs inside.
func TestL03Ports(t *testing.T) {
	https := httpsClient(t, issued(t, newClient(newNamespace(t), "worker")).Data["ca.crt"])
	inside := []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/debug/flags", "/"}
	probes, metrics, public := []string{"/healthz", "/readyz"}, []string{"/metrics"}, []string{"/oauth2/token", "/oauth2/jwks"}
	for name, port := range map[string]struct {
		client   *http.Client
		url      string
		answered []string
		others   [][]string
	}{
		"token endpoint": {https, suite.kubemint.Issuer, public, [][]string{inside, probes, metrics}},
		"health":         {http.DefaultClient, suite.kubemint.Health, probes, [][]string{inside, metrics, public}},
		"metrics":        {http.DefaultClient, strings.TrimSuffix(suite.kubemint.Metrics, "/metrics"), metrics, [][]string{inside, probes, public}},
	} {
		t.Run("L03 "+name, func(t *testing.T) {
			status := func(path string) int {
				response, err := port.client.Get(port.url + path)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close() //nolint:errcheck // Nothing of it is read.
				return response.StatusCode
			}
			for _, path := range port.answered {
				if got := status(path); got == http.StatusNotFound {
					t.Errorf("%s is not there", path)
				}
			}
			for _, paths := range port.others {
				for _, path := range paths {
					got := status(path)
					if attest(t, "404", fmt.Sprint(got)); got != http.StatusNotFound {
						t.Errorf("%s: %d", path, got)
					}
				}
			}
		})
	}
}

// Resource servers that ask for the key set again and again, for a kid that is not there say, cost the API server nothing.
func TestK09KeySetIsServedFromMemory(t *testing.T) {
	https := httpsClient(t, issued(t, newClient(newNamespace(t), "worker")).Data["ca.crt"])
	awaitNoTerminatingNamespaces(t)
	awaitIdle(t, 0)
	before := reads(t)
	for range 1_000 {
		response, err := https.Get(suite.kubemint.Issuer + "/oauth2/jwks")
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", response.Status, err)
		}
	}
	got := difference(reads(t), before)
	if attest(t, "0 reads", fmt.Sprint(len(got), " reads")); len(got) != 0 {
		t.Errorf("1 000 requests for the key set cost the API server the reads %v", got)
	}
}

// Under five times the requests that it may have in work at once, each is answered, and so are the probes and the metrics. How many
// get a token, and how many a 503 because no place came free in time, is the machine's to say.
func TestL09OverloadIsShed(t *testing.T) {
	secret := issued(t, newClient(newNamespace(t), "worker"))
	https := httpsClient(t, secret.Data["ca.crt"])
	https.Timeout = patience
	callers, each := 5*16*runtime.NumCPU(), 20
	var issuedTokens, shed atomic.Int64
	var load sync.WaitGroup
	for range callers {
		load.Go(func() {
			for range each {
				switch status, retryAfter, err := askOnce(t, https, secret); {
				case err != nil:
					t.Error(err)
				case status == http.StatusOK:
					issuedTokens.Add(1)
				case status == http.StatusServiceUnavailable && retryAfter != "":
					shed.Add(1)
				default:
					t.Errorf("answer %d, Retry-After %q", status, retryAfter)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { load.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-time.After(10 * time.Millisecond): // A prober takes its time too.
		}
		for _, url := range []string{suite.kubemint.Health + "/healthz", suite.kubemint.Health + "/readyz", suite.kubemint.Metrics} {
			if status, body := get(t, url); status != http.StatusOK {
				t.Errorf("%s: %d %s", url, status, body)
			}
		}
	}
	attest(t, "each 200 or 503", fmt.Sprintf("%d times 200, %d times 503", issuedTokens.Load(), shed.Load()))
	if issuedTokens.Load() == 0 {
		t.Error("nobody got a token")
	}
	awaitToken(t, secret)
}

// askOnce asks for a token, from any goroutine.
func askOnce(t *testing.T, client *http.Client, secret *corev1.Secret) (status int, retryAfter string, err error) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, string(secret.Data["token_url"]), strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(string(secret.Data["client_id"]), string(secret.Data["client_secret"]))
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header.Get("Retry-After"), err
}

// attest records what a row of the conformance table expects, and what it got, for make conformance.
func attest(t *testing.T, expected, got string) {
	t.Helper()
	t.Attr("expected", expected)
	t.Attr("got", got)
}

// attestPropagation fails the test if a change took too long to reach the tokens.
func attestPropagation(t *testing.T, changed time.Time) {
	t.Helper()
	took := time.Since(changed)
	if attest(t, "within 5 s", fmt.Sprintf("after %d ms", took.Milliseconds())); took > propagation {
		t.Errorf("it took %s", took)
	}
}
