package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// decoded is what --decode -o json writes.
type decoded struct {
	Header map[string]any `json:"header"`
	Claims map[string]any `json:"claims"`
}

func TestTokenIsGotAsTheClient(t *testing.T) {
	namespace := newNamespace(t)
	worker := newClient(namespace, "worker")
	settled(t, worker, v1alpha1.ReasonIssued)

	token := strings.TrimSpace(succeeds(t, "token", "worker", "-n", namespace))
	if strings.Count(token, ".") != 2 {
		t.Fatalf("no token: %s", token)
	}
	narrow := parsed[decoded](t, succeeds(t, "token", "worker", "-n", namespace, "--scope", "invoices:read", "--decode", "-o", "json"))
	if narrow.Claims["sub"] != namespace+".worker" || narrow.Claims["scope"] != "invoices:read" || narrow.Header["typ"] != "at+jwt" {
		t.Errorf("the token is %v", narrow)
	}
	contains(t, succeeds(t, "token", "worker", "-n", namespace, "--decode"), "header\n  alg", "claims\n  iss", "(in 59m)", namespace+".worker")
	answer := parsed[map[string]any](t, succeeds(t, "token", "worker", "-n", namespace, "-o", "json"))
	if answer["token_type"] != "Bearer" || answer["expires_in"] != 3600.0 {
		t.Errorf("the answer is %v", answer)
	}
}

func TestTokenIsGotForAnotherTeamsAPI(t *testing.T) {
	namespace := newNamespace(t)
	server := newServer(namespace, "orders", nil)
	create(t, server)
	settled(t, asking(namespace, "export", server, "orders:read"), v1alpha1.ReasonIssued)

	got := parsed[decoded](t, succeeds(t, "token", "export", "-n", namespace, "--resource", string(server.Spec.Audience), "--decode", "-o", "json"))
	if got.Claims["aud"] != string(server.Spec.Audience) {
		t.Errorf("the token is for %v", got.Claims["aud"])
	}
	fails(t, "kubectl mint status export", "token", "export", "-n", namespace, "--resource", "https://nobody.example.com")
	fails(t, "kubectl mint why export SCOPE", "token", "export", "-n", namespace, "--scope", "orders:write")
}

// The status tells by which of the client's ways the token came.
func TestTokenIsGotByTheGeneratedKeyWhereThereIsOne(t *testing.T) {
	namespace := newNamespace(t)
	worker := newClient(namespace, "worker")
	worker.Spec.Secret.Source = v1alpha1.SecretNone
	worker.Spec.Authentication.PrivateKeyJWT = &v1alpha1.PrivateKeyJWTSpec{Generated: &v1alpha1.GeneratedKeySpec{}}
	settled(t, worker, v1alpha1.ReasonIssued)

	for range 2 { // Each assertion is accepted once.
		contains(t, succeeds(t, "token", "worker", "-n", namespace, "--decode"), namespace+".worker")
	}
}

func TestTokenIsGotByAServiceAccount(t *testing.T) {
	namespace := newNamespace(t)
	create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "worker"}})
	worker := newClient(namespace, "worker")
	worker.Spec.Secret.Source = v1alpha1.SecretNone
	worker.Spec.Authentication.ServiceAccounts = []v1alpha1.ServiceAccountReference{{Name: "worker"}}
	settled(t, worker, v1alpha1.ReasonIssued)

	contains(t, succeeds(t, "token", "worker", "-n", namespace, "--service-account", "worker", "--decode"), namespace+".worker")
	fails(t, "--service-account", "token", "worker", "-n", namespace)
}

func TestTokenIsGotWithAProvidedSecret(t *testing.T) {
	namespace := newNamespace(t)
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sealed", Labels: map[string]string{v1alpha1.LabelClient: "worker"}},
		StringData: map[string]string{"client_secret": "q8ZkV3nTfW6xJ2mLrB9sYd4HcP7gAeU1"},
	})
	worker := newClient(namespace, "worker")
	worker.Spec.Secret = v1alpha1.SecretSpec{Source: v1alpha1.SecretProvided, Name: "sealed"}
	settled(t, worker, v1alpha1.ReasonIssued)

	contains(t, succeeds(t, "token", "worker", "-n", namespace, "--decode"), namespace+".worker")
	fails(t, "provided by somebody else", "rotate", "worker", "-n", namespace)
}

func TestTokenSaysWhatToDoWhereThereIsNone(t *testing.T) {
	namespace := newNamespace(t)
	settled(t, newClient(namespace, "worker"), v1alpha1.ReasonIssued)

	fails(t, "kubectl mint status -A", "token", "nobody", "-n", namespace)
	fails(t, "write kubectl mint token CLIENT", "token")
	fails(t, "--help lists the flags", "token", "worker", "--nonsense")
	fails(t, "write auto, direct or port-forward", "token", "worker", "-n", namespace, "--via", "pigeon")
	fails(t, "no https URL", "token", "worker", "-n", namespace, "--token-url", "http://localhost/oauth2/token")
	fails(t, "--kubeconfig", "token", "worker", "--kubeconfig", "/nonexistent")
	// The CA is what the user says, and nothing else.
	fails(t, "certificate", "token", "worker", "-n", namespace, "--via", "direct", "--ca-file", otherCA(t))
}

// It acts with the rights of whoever runs it: who may see OAuthClients, but no Secrets, gets no token.
func TestTokenTakesTheRightToReadTheSecret(t *testing.T) {
	namespace := newNamespace(t)
	settled(t, newClient(namespace, "worker"), v1alpha1.ReasonIssued)
	allow(t, "viewer", "view", namespace)
	allow(t, "editor", "edit", namespace)

	fails(t, "forbidden", "token", "worker", "-n", namespace, "--as", "viewer")
	succeeds(t, "token", "worker", "-n", namespace, "--as", "editor")
}

// No command prints what the Secrets hold, whatever the form of the output.
func TestSecretsAreNeverPrinted(t *testing.T) {
	namespace := newNamespace(t)
	worker := newClient(namespace, "worker")
	worker.Spec.Authentication.PrivateKeyJWT = &v1alpha1.PrivateKeyJWTSpec{Generated: &v1alpha1.GeneratedKeySpec{}}
	settled(t, worker, v1alpha1.ReasonIssued)
	secret := secretOf(t, worker)
	var key struct{ D string }
	if err := json.Unmarshal(secret.Data["private_key_jwk"], &key); err != nil {
		t.Fatal(err)
	}

	for _, command := range [][]string{
		{"token", "worker"}, {"token", "worker", "--decode"}, {"status", "worker"}, {"status"}, {"why", "worker", "invoices:read"}, {"keys"}, {"doctor"},
	} {
		for _, form := range []string{"table", "yaml", "json"} {
			got := mint(t, append(command, "-n", namespace, "-o", form)...)
			for _, hidden := range []string{string(secret.Data["client_secret"]), key.D, "PRIVATE KEY"} {
				if strings.Contains(got.stdout+got.stderr, hidden) {
					t.Errorf("kubectl mint %s -o %s prints a secret", strings.Join(command, " "), form)
				}
			}
		}
	}
}
