package main_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/clustertest"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// The suite runs the real program, as its own service account with exactly the RBAC that config/rbac ships, against a real
// control plane. It looks at it from outside: through the Kubernetes API and the token endpoint.
var suite struct {
	cluster  *localcluster.Cluster
	admin    client.Client // reads from the API server, never from a cache
	binary   string
	kubemint *localcluster.Kubemint
	log      clustertest.Buffer
}

// patience bounds every wait. None of the awaited conditions takes long, but for watches after an outage of the API server,
// which client-go takes up again with a backoff of up to a minute; and a busy machine takes its time.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	code, err := runSuite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (int, error) {
	log.SetLogger(logr.Discard()) // envtest's, which would complain of having none.
	ctx := context.Background()
	directory, err := os.MkdirTemp("", "kubemint-suite-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(directory) //nolint:errcheck // It is a temporary directory.
	suite.binary = filepath.Join(directory, "kubemint")
	if output, err := exec.Command("go", "build", "-pgo=off", "-o", suite.binary, ".").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build kubemint: %w\n%s", err, output)
	}
	suite.cluster, err = localcluster.Start(ctx, localcluster.Options{
		ControllerManager: true, AuthenticationConfig: true, CRDs: []string{"../../config/crd/bases"},
	})
	if err != nil {
		return 1, err
	}
	defer suite.cluster.Stop() //nolint:errcheck // Nothing is left to do.
	if err := suite.cluster.InstallKubemint(ctx); err != nil {
		return 1, err
	}
	if suite.admin, err = clustertest.Client(suite.cluster.Config()); err != nil {
		return 1, err
	}
	if err := start(ctx); err != nil {
		return 1, fmt.Errorf("%w\n%s", err, suite.log.String())
	}
	code := m.Run()
	if code != 0 {
		fmt.Fprintf(os.Stderr, "The log of kubemint ends with:\n%s\n", lastLines(suite.log.String(), 60))
	}
	return code, suite.kubemint.Stop()
}

// start starts kubemint with further flags, on the same port as before if it ran before.
func start(ctx context.Context, args ...string) (err error) {
	options := localcluster.KubemintOptions{Binary: suite.binary, Log: &suite.log, Args: args}
	if suite.kubemint != nil {
		options.Port = suite.kubemint.Port
	}
	suite.kubemint, err = suite.cluster.StartKubemint(ctx, options)
	return err
}

// restart ends kubemint, does something while it is down, and starts it again.
func restart(t *testing.T, end func() error, meanwhile func(), args ...string) {
	t.Helper()
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if meanwhile != nil {
		meanwhile()
	}
	if err := start(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

// newNamespace makes a namespace for one test.
func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := clustertest.NewNamespace(t, suite.admin)
	t.Cleanup(func() {
		if err := suite.admin.Delete(context.Background(), namespace); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			t.Error(err)
		}
	})
	return namespace.Name
}

// newClient returns an OAuthClient with scopes, to be created.
func newClient(namespace, name string, scopes ...v1alpha1.Scope) *v1alpha1.OAuthClient {
	if scopes == nil {
		scopes = []v1alpha1.Scope{"invoices:read", "invoices:write"}
	}
	return &v1alpha1.OAuthClient{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.OAuthClientSpec{Scopes: scopes},
	}
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	clustertest.Create(t, suite.admin, object)
}

func change[T client.Object](t *testing.T, object T, how func(T)) {
	t.Helper()
	clustertest.Change(t, suite.admin, patience, object, how)
}

func await(t *testing.T, what string, condition func() error) {
	t.Helper()
	clustertest.Await(t, patience, what, condition)
}

func awaitReason(t *testing.T, c *v1alpha1.OAuthClient, reason string) *metav1.Condition {
	t.Helper()
	return clustertest.AwaitReady(t, suite.admin, patience, c, reason)
}

// issued creates an OAuthClient and waits for its credentials.
func issued(t *testing.T, c *v1alpha1.OAuthClient) *corev1.Secret {
	t.Helper()
	create(t, c)
	awaitReason(t, c, v1alpha1.ReasonIssued)
	return secretOf(t, c)
}

// secretOf returns the Secret that an OAuthClient's status names.
func secretOf(t *testing.T, c *v1alpha1.OAuthClient) *corev1.Secret {
	t.Helper()
	return getSecret(t, c.Namespace, c.Status.SecretName)
}

func getSecret(t *testing.T, namespace, name string) *corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	if err := suite.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &secret); err != nil {
		t.Fatal(err)
	}
	return &secret
}

// awaitSecret waits until a Secret is as a test wants it.
func awaitSecret(t *testing.T, namespace, name, what string, holds func(*corev1.Secret) bool) *corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	await(t, fmt.Sprintf("Secret %s: %s", name, what), func() error {
		if err := suite.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &secret); err != nil {
			return err
		}
		if !holds(&secret) {
			return fmt.Errorf("it has labels %v, annotations %v and the keys %v", secret.Labels, secret.Annotations, keysOf(&secret))
		}
		return nil
	})
	return &secret
}

func keysOf(secret *corev1.Secret) []string {
	var keys []string
	for key := range secret.Data {
		keys = append(keys, key)
	}
	return keys
}

// awaitEvent waits for an event on an object.
func awaitEvent(t *testing.T, object client.Object, reason string) {
	t.Helper()
	await(t, "event "+reason, func() error {
		output, err := suite.cluster.Kubectl(t.Context(), "get", "events", "-n", object.GetNamespace(),
			"--field-selector", "involvedObject.uid="+string(object.GetUID()), "-o", "jsonpath={.items[*].reason}")
		if err != nil {
			return err
		}
		for got := range strings.FieldsSeq(output) {
			if got == reason {
				return nil
			}
		}
		return fmt.Errorf("events are: %s", output)
	})
}

// httpsClient trusts the CA that clients are given.
func httpsClient(t *testing.T, caPEM []byte) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(caPEM) {
		t.Fatal("ca.crt holds no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// tokenAnswer is what the token endpoint said.
type tokenAnswer struct {
	Status      int
	AccessToken string `json:"access_token"`
	Scope       string `json:"scope"`
	ExpiresIn   int64  `json:"expires_in"`
	Error       string `json:"error"`
}

// requestToken asks for a token with the credentials in a Secret of the default shape.
func requestToken(t *testing.T, secret *corev1.Secret, parameters ...string) (*tokenAnswer, error) {
	t.Helper()
	return requestTokenAs(t, secret, string(secret.Data["client_id"]), string(secret.Data["client_secret"]), parameters...)
}

func requestTokenAs(t *testing.T, secret *corev1.Secret, id, clientSecret string, parameters ...string) (*tokenAnswer, error) {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}}
	for _, parameter := range parameters {
		name, value, _ := strings.Cut(parameter, "=")
		form.Set(name, value)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, string(secret.Data["token_url"]), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		request.SetBasicAuth(id, clientSecret)
	}
	response, err := httpsClient(t, secret.Data["ca.crt"]).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	answer := &tokenAnswer{Status: response.StatusCode}
	if err := json.Unmarshal(body, answer); err != nil {
		return nil, fmt.Errorf("%d %s", response.StatusCode, body)
	}
	return answer, nil
}

// mustGetToken asks for a token, which must come.
func mustGetToken(t *testing.T, secret *corev1.Secret, parameters ...string) *tokenAnswer {
	t.Helper()
	answer, err := requestToken(t, secret, parameters...)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != http.StatusOK {
		t.Fatalf("no token: %+v", answer)
	}
	return answer
}

// awaitRefusal waits until the token endpoint refuses a client, within the delay of its watch.
func awaitRefusal(t *testing.T, secret *corev1.Secret, status int, code string) {
	t.Helper()
	await(t, "refusal with "+code, func() error {
		answer, err := requestToken(t, secret)
		if err != nil {
			return err
		}
		if answer.Status != status || answer.Error != code {
			return fmt.Errorf("got %d %s", answer.Status, answer.Error)
		}
		return nil
	})
}

// claimsOf decodes a token's claims without verifying it.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
