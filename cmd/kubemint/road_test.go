package main_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// The main road, with the words of a user: kubectl apply, kubectl wait, a standard client, standard verifiers.
func TestFromApplyToVerifiedToken(t *testing.T) {
	namespace := newNamespace(t)
	if _, err := suite.cluster.ApplyYAML(t.Context(), `
apiVersion: oauth.kubemint.dev/v1alpha1
kind: OAuthClient
metadata: {name: invoice-worker, namespace: `+namespace+`}
spec:
  scopes: [invoices:read, invoices:write]
  defaultScopes: [invoices:read]
  token: {lifetime: 15m, claims: {team: billing}}
`); err != nil {
		t.Fatal(err)
	}
	if output, err := suite.cluster.Kubectl(t.Context(), "wait", "-n", namespace, "--for=condition=Ready", "--timeout=60s", "oac/invoice-worker"); err != nil {
		t.Fatal(output)
	}
	c := newClient(namespace, "invoice-worker")
	awaitReason(t, c, "Issued")
	secret := secretOf(t, c)

	t.Run("the Secret holds all that a pod needs", func(t *testing.T) {
		want := map[string]string{
			"client_id": namespace + ".invoice-worker",
			"issuer":    suite.kubemint.Issuer,
			"token_url": suite.kubemint.Issuer + "/oauth2/token",
			"scope":     "invoices:read invoices:write",
			"type":      "oauth2",
			"provider":  "kubemint",
		}
		for key, value := range want {
			if got := string(secret.Data[key]); got != value {
				t.Errorf("%s is %q, want %q", key, got, value)
			}
		}
		if len(secret.Data) != len(want)+2 || secret.Type != "oauth.kubemint.dev/client-credentials" {
			t.Errorf("type %s, keys %v", secret.Type, keysOf(secret))
		}
		if !metav1.IsControlledBy(secret, c) {
			t.Errorf("owner references are %v", secret.OwnerReferences)
		}
	})

	t.Run("kubectl get answers the first questions", func(t *testing.T) {
		output, err := suite.cluster.Kubectl(t.Context(), "get", "-n", namespace, "kubemint")
		if err != nil {
			t.Fatal(output)
		}
		for _, word := range []string{"READY", "True", "Issued", "invoice-worker", `["invoices:read","invoices:write"]`, "AGE"} {
			if !strings.Contains(output, word) {
				t.Errorf("%q is missing in\n%s", word, output)
			}
		}
	})

	token := tokenByOAuth2(t, secret, oauth2.AuthStyleInHeader)
	t.Run("x/oauth2 by client_secret_post", func(t *testing.T) { tokenByOAuth2(t, secret, oauth2.AuthStyleInParams) })
	t.Run("x/oauth2 finding out the method", func(t *testing.T) { tokenByOAuth2(t, secret, oauth2.AuthStyleAutoDetect) })
	t.Run("the claims are those of RFC 9068", func(t *testing.T) {
		claims := claimsOf(t, token)
		want := map[string]any{
			"iss": suite.kubemint.Issuer, "aud": suite.kubemint.Issuer, "scope": "invoices:read", "team": "billing",
			"sub": namespace + ".invoice-worker", "client_id": namespace + ".invoice-worker",
		}
		for name, value := range want {
			if claims[name] != value {
				t.Errorf("%s is %v, want %v", name, claims[name], value)
			}
		}
		if lifetime := claims["exp"].(float64) - claims["iat"].(float64); lifetime != 900 {
			t.Errorf("the token lives for %v s, want 900", lifetime)
		}
		kubernetes := claims["kubernetes.io"].(map[string]any)
		if kubernetes["namespace"] != namespace || kubernetes["name"] != "invoice-worker" || kubernetes["uid"] != string(c.UID) {
			t.Errorf("kubernetes.io is %v", kubernetes)
		}
	})
	t.Run("go-oidc verifies it", func(t *testing.T) {
		if err := verify(t, suite.kubemint.Issuer, suite.kubemint.Issuer, secret.Data["ca.crt"], token); err != nil {
			t.Error(err)
		}
		if err := verify(t, suite.kubemint.Issuer, suite.kubemint.Issuer, secret.Data["ca.crt"], tampered(token)); err == nil {
			t.Error("a tampered token verifies")
		}
	})
	t.Run("jwx verifies it", func(t *testing.T) {
		keys, err := jwk.Fetch(t.Context(), suite.kubemint.Issuer+"/oauth2/jwks", jwk.WithHTTPClient(httpsClient(t, secret.Data["ca.crt"])))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jwt.Parse([]byte(token), jwt.WithKeySet(keys), jwt.WithIssuer(suite.kubemint.Issuer), jwt.WithAudience(suite.kubemint.Issuer)); err != nil {
			t.Error(err)
		}
		if _, err := jwt.Parse([]byte(tampered(token)), jwt.WithKeySet(keys)); err == nil {
			t.Error("a tampered token verifies")
		}
	})
	t.Run("kube-apiserver accepts it as a resource server", func(t *testing.T) { whoAmI(t, secret, token, namespace) })
}

// verify verifies a token by go-oidc with its defaults: discovery, keys, signature, issuer, audience and expiry.
func verify(t *testing.T, issuer, audience string, caPEM []byte, token string) error {
	t.Helper()
	ctx := oidc.ClientContext(t.Context(), httpsClient(t, caPEM))
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return err
	}
	_, err = provider.Verifier(&oidc.Config{ClientID: audience}).Verify(ctx, token)
	return err
}

// tokenByOAuth2 gets a token by golang.org/x/oauth2, with nothing but the Secret.
func tokenByOAuth2(t *testing.T, secret *corev1.Secret, style oauth2.AuthStyle) string {
	t.Helper()
	config := clientcredentials.Config{
		ClientID:     string(secret.Data["client_id"]),
		ClientSecret: string(secret.Data["client_secret"]),
		TokenURL:     string(secret.Data["token_url"]),
		AuthStyle:    style,
	}
	token, err := config.Token(context.WithValue(t.Context(), oauth2.HTTPClient, httpsClient(t, secret.Data["ca.crt"])))
	if err != nil {
		t.Fatal(err)
	}
	if token.Type() != "Bearer" || token.RefreshToken != "" {
		t.Errorf("token_type %q, refresh_token %q", token.Type(), token.RefreshToken)
	}
	return token.AccessToken
}

// tampered returns a token with its subject changed under the same signature.
func tampered(token string) string {
	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.ReplaceAll(string(payload), "invoice-worker", "invoice-master")))
	return strings.Join(parts, ".")
}

// whoAmI makes kube-apiserver trust the issuer, and asks it who a token's bearer is.
func whoAmI(t *testing.T, secret *corev1.Secret, token, namespace string) {
	t.Helper()
	if err := suite.cluster.SetAuthenticationConfig(authenticationConfig(suite.kubemint.Issuer, secret.Data["ca.crt"])); err != nil {
		t.Fatal(err)
	}
	var output string
	await(t, "kube-apiserver to take the token", func() (err error) {
		output, err = suite.cluster.KubectlWithToken(t.Context(), token, "auth", "whoami", "-o", "yaml")
		return err
	})
	for _, want := range []string{"username: kubemint:" + namespace + ".invoice-worker", "kubemint:scope:invoices:read"} {
		if !strings.Contains(output, want) {
			t.Errorf("%q is missing in\n%s", want, output)
		}
	}
	if output, err := suite.cluster.KubectlWithToken(t.Context(), tampered(token), "auth", "whoami"); err == nil {
		t.Errorf("a tampered token is accepted:\n%s", output)
	}
}

// authenticationConfig makes kube-apiserver a resource server of an issuer (structured authentication): the client is the
// user, each scope a group.
func authenticationConfig(issuer string, caPEM []byte) []byte {
	return fmt.Appendf(nil, `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: %s
    audiences: [%s]
    certificateAuthority: |
      %s
  claimMappings:
    username: {claim: sub, prefix: "kubemint:"}
    groups: {expression: 'claims.scope.split(" ").map(s, "kubemint:scope:" + s)'}
    uid: {expression: 'claims["kubernetes.io"].uid'}
`, issuer, issuer, strings.ReplaceAll(strings.TrimSpace(string(caPEM)), "\n", "\n      "))
}

func TestG04Suspend(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	secret := issued(t, c)
	mustGetToken(t, secret)

	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Suspend = true })
	awaitRefusal(t, secret, http.StatusBadRequest, "unauthorized_client")
	awaitReason(t, c, "Suspended")

	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Suspend = false })
	awaitReason(t, c, "Issued")
	await(t, "the same credentials to work again", func() error {
		answer, err := requestToken(t, secret)
		if err == nil && answer.Status != http.StatusOK {
			err = fmt.Errorf("%+v", answer)
		}
		return err
	})
}
