package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// requestBy asks for a token with a client assertion.
func requestBy(t *testing.T, secret *corev1.Secret, assertion string, parameters ...string) (*tokenAnswer, error) {
	t.Helper()
	return requestTokenAs(t, secret, "", "", append(parameters, "client_assertion="+assertion, "client_assertion_type="+jwtBearer)...)
}

// awaitBy waits until a request with an assertion is answered as a test wants it. Each try has an assertion of its own.
func awaitBy(t *testing.T, secret *corev1.Secret, status int, assertion func() string, parameters ...string) *tokenAnswer {
	t.Helper()
	var answer *tokenAnswer
	await(t, fmt.Sprintf("answer %d", status), func() (err error) {
		if answer, err = requestBy(t, secret, assertion(), parameters...); err != nil {
			return err
		}
		if answer.Status != status {
			return fmt.Errorf("answer %+v", answer)
		}
		return nil
	})
	return answer
}

// signedBy returns a JWT that is signed with a private key.
func signedBy(t *testing.T, key any, keyID string, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	if keyID != "" {
		token.Header["kid"] = keyID
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func assertionClaims(issuer, subject, audience string) jwt.MapClaims {
	return jwt.MapClaims{"iss": issuer, "sub": subject, "aud": audience, "jti": rand.Text(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
}

// assertionIn returns an assertion of the private key that a Secret holds.
func assertionIn(t *testing.T, secret *corev1.Secret) string {
	t.Helper()
	key, err := jwt.ParseECPrivateKeyFromPEM(secret.Data["private_key_pem"])
	if err != nil {
		t.Fatal(err)
	}
	id := string(secret.Data["client_id"])
	return signedBy(t, key, string(secret.Data["private_key_id"]), assertionClaims(id, id, string(secret.Data["issuer"])))
}

// A team moves from the secret to a generated key, and then ends the secret; the key is rotated on demand, and the one before gets tokens
// through the overlap.
func TestGeneratedPrivateKey(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	before := issued(t, c)
	mustGetToken(t, before)
	change(t, c, func(c *v1alpha1.OAuthClient) {
		c.Spec.Authentication.PrivateKeyJWT = &v1alpha1.PrivateKeyJWTSpec{Generated: &v1alpha1.GeneratedKeySpec{}}
	})
	awaitReason(t, c, v1alpha1.ReasonIssued)
	both := secretOf(t, c)
	awaitBy(t, both, http.StatusOK, func() string { return assertionIn(t, both) })
	mustGetToken(t, both)
	checkJWK(t, both)

	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Secret.Source = v1alpha1.SecretNone })
	awaitReason(t, c, v1alpha1.ReasonIssued)
	awaitRefusal(t, both, http.StatusUnauthorized, "invalid_client")
	keyed := secretOf(t, c)
	if _, there := keyed.Data["client_secret"]; there || len(c.Status.Credentials) != 0 || keyed.Annotations[v1alpha1.AnnotationCredentials] != "" {
		t.Errorf("the client secret is still there: %v, %v", keysOf(keyed), c.Status.Credentials)
	}
	if string(keyed.Data["private_key_pem"]) != string(both.Data["private_key_pem"]) {
		t.Error("the key changed with the end of the secret")
	}
	awaitBy(t, keyed, http.StatusOK, func() string { return assertionIn(t, keyed) })

	mustKubectl(t, "annotate", "-n", c.Namespace, "oac", c.Name, v1alpha1.AnnotationRotate+"=now")
	rotated := awaitSecret(t, c.Namespace, c.Name, "a new key", func(s *corev1.Secret) bool {
		return string(s.Data["private_key_id"]) != string(keyed.Data["private_key_id"])
	})
	awaitEvent(t, c, v1alpha1.EventSecretRotated)
	awaitBy(t, rotated, http.StatusOK, func() string { return assertionIn(t, rotated) })
	awaitBy(t, keyed, http.StatusOK, func() string { return assertionIn(t, keyed) })
	await(t, "both keys in the status, and how the client proves itself", func() error {
		if err := suite.admin.Get(t.Context(), client.ObjectKeyFromObject(c), c); err != nil {
			return err
		}
		keys, methods := c.Status.PrivateKeys, c.Status.Authentication
		if len(keys) != 2 || keys[0].KeyID != string(rotated.Data["private_key_id"]) || keys[1].Expires == nil || keys[0].LastUsed == nil ||
			len(methods) == 0 || methods[0].Method != v1alpha1.MethodPrivateKeyJWT {
			return fmt.Errorf("keys %+v, methods %+v", keys, methods)
		}
		return nil
	})
	if rotating := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionRotating); rotating == nil || !strings.Contains(rotating.Message, "version 1 of the private key") {
		t.Errorf("condition Rotating is %+v", rotating)
	}

	// Spoilt, it is made anew; gone with its Secret, the ones before are void.
	change(t, rotated, func(s *corev1.Secret) { s.Data["private_key_jwk"] = []byte("{}") })
	awaitSecret(t, c.Namespace, c.Name, "the JWK made good", func(s *corev1.Secret) bool { return string(s.Data["private_key_jwk"]) != "{}" })
	if err := suite.admin.Delete(t.Context(), rotated); err != nil {
		t.Fatal(err)
	}
	awaitBy(t, rotated, http.StatusUnauthorized, func() string { return assertionIn(t, rotated) })
	again := awaitSecret(t, c.Namespace, c.Name, "made again", func(s *corev1.Secret) bool { return s.UID != rotated.UID })
	awaitBy(t, again, http.StatusOK, func() string { return assertionIn(t, again) })
	for _, secret := range []*corev1.Secret{both, rotated, again} {
		for _, form := range []string{"private_key_pem", "private_key_jwk"} {
			if value := string(secret.Data[form]); len(value) > 100 && strings.Contains(suite.log.String(), value[len(value)/2:]) {
				t.Errorf("%s stands in the log", form)
			}
		}
	}
}

// checkJWK checks that a Secret's JWK is the key of its PEM.
func checkJWK(t *testing.T, secret *corev1.Secret) {
	t.Helper()
	key, err := jwt.ParseECPrivateKeyFromPEM(secret.Data["private_key_pem"])
	if err != nil {
		t.Fatal(err)
	}
	d, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var jwk struct{ Kty, Crv, Alg, Kid, D string }
	if err := json.Unmarshal(secret.Data["private_key_jwk"], &jwk); err != nil {
		t.Fatal(err)
	}
	if jwk.Kty != "EC" || jwk.Crv != "P-256" || jwk.Alg != "ES256" || jwk.Kid != string(secret.Data["private_key_id"]) || jwk.D != base64.RawURLEncoding.EncodeToString(d) {
		t.Error("the JWK is not the key of the PEM")
	}
}

// mustToken returns a token of a service account, by the API server's TokenRequest.
func mustToken(t *testing.T, namespace, account, audience string, args ...string) string {
	t.Helper()
	return strings.TrimSpace(mustKubectl(t, append([]string{"create", "token", account, "-n", namespace, "--audience=" + audience, "--duration=10m"}, args...)...))
}

// A pod's projected token, as the API server makes it, is exchanged for an access token, without any secret.
func TestServiceAccountToken(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	c.Spec.Secret.Source = v1alpha1.SecretNone
	c.Spec.Authentication.ServiceAccounts = []v1alpha1.ServiceAccountReference{{Name: "worker"}}
	secret := issued(t, c)
	issuer := string(secret.Data["issuer"])
	if _, there := secret.Data["client_secret"]; there {
		t.Errorf("the Secret has the keys %v", keysOf(secret))
	}
	other := newNamespace(t)
	for _, namespace := range []string{c.Namespace, other} {
		for _, name := range []string{"worker", "stranger"} {
			create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
		}
	}
	right := mustToken(t, c.Namespace, "worker", issuer)
	answer := awaitBy(t, secret, http.StatusOK, func() string { return right })
	if claims := claimsOf(t, answer.AccessToken); claims["sub"] != c.ClientID() || claims["aud"] != issuer {
		t.Errorf("claims %v", claims)
	}
	for what, token := range map[string]string{
		"C21 of another namespace":        mustToken(t, other, "worker", issuer),
		"of another service account":      mustToken(t, c.Namespace, "stranger", issuer),
		"of another audience":             mustToken(t, c.Namespace, "worker", "https://other.example"),
		"of the API server's audience":    mustToken(t, c.Namespace, "worker", "https://kubernetes.default.svc"),
		"C03 of two audiences":            mustToken(t, c.Namespace, "worker", issuer, "--audience=https://other.example"),
		"J14 an access token of our own":  answer.AccessToken,
		"of which the signature is wrong": right[:len(right)-8] + "AAAAAAAA",
	} {
		for _, parameters := range [][]string{nil, {"client_id=" + c.ClientID()}} {
			answer, err := requestBy(t, secret, token, parameters...)
			if err != nil || answer.Status != http.StatusUnauthorized || answer.Error != "invalid_client" {
				t.Errorf("a token %s: %+v, %v", what, answer, err)
			}
		}
	}
	await(t, "the way in the status", func() error {
		if err := suite.admin.Get(t.Context(), client.ObjectKeyFromObject(c), c); err != nil {
			return err
		}
		if used := c.Status.Authentication; len(used) != 1 || used[0].Method != v1alpha1.MethodServiceAccount {
			return fmt.Errorf("it is %+v", used)
		}
		return nil
	})
	// Taken back, it is refused at once.
	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Authentication.ServiceAccounts[0].Name = "somebody" })
	awaitBy(t, secret, http.StatusUnauthorized, func() string { return right })
	if strings.Contains(suite.log.String(), right[len(right)-40:]) {
		t.Error("a service account token stands in the log")
	}
}

// With --review-service-account-tokens, a token dies with its pod; without the right to review, nobody gets one by such a token.
func TestReviewedServiceAccountToken(t *testing.T) {
	component := []string{"-f", "../../config/components/review-tokens/role.yaml", "-f", "../../config/components/review-tokens/role_binding.yaml"}
	defer func() {
		mustKubectl(t, append([]string{"delete", "--ignore-not-found"}, component...)...)
		restart(t, suite.kubemint.Stop, nil)
	}()
	restart(t, suite.kubemint.Stop, nil, "--review-service-account-tokens")
	c := newClient(newNamespace(t), "worker")
	c.Spec.Authentication.ServiceAccounts = []v1alpha1.ServiceAccountReference{{Name: "worker"}}
	secret := issued(t, c)
	create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: "worker"}})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: "worker-0"},
		Spec: corev1.PodSpec{ServiceAccountName: "worker", Containers: []corev1.Container{{Name: "worker", Image: "none"}}}}
	create(t, pod)
	token := mustToken(t, c.Namespace, "worker", string(secret.Data["issuer"]), "--bound-object-kind=Pod", "--bound-object-name="+pod.Name)
	awaitBy(t, secret, http.StatusServiceUnavailable, func() string { return token }) // For the right is missing.
	mustKubectl(t, append([]string{"apply"}, component...)...)
	awaitBy(t, secret, http.StatusOK, func() string { return token })
	if err := suite.admin.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	awaitBy(t, secret, http.StatusUnauthorized, func() string { return token })
	mustGetToken(t, secret) // The secret beside it goes on.
}

// publisher is a host that publishes keys: an issuer of its own, and a client's key set.
type publisher struct {
	*httptest.Server
	key    *ecdsa.PrivateKey
	caFile string
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{key: key}
	coordinate := base64.RawURLEncoding.EncodeToString
	mux := http.NewServeMux()
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"one","x":%q,"y":%q}]}`, coordinate(point[1:33]), coordinate(point[33:]))
	})
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.URL, p.URL+"/jwks")
	})
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	p.caFile = filepath.Join(t.TempDir(), "ca.crt")
	encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	if err := os.WriteFile(p.caFile, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// Keys that a client publishes, and tokens of an issuer that an administrator trusts.
func TestPublishedKeys(t *testing.T) {
	host := newPublisher(t)
	trusted := filepath.Join(t.TempDir(), "trusted-issuers.yaml")
	if err := os.WriteFile(trusted, fmt.Appendf(nil, "trustedIssuers:\n- issuer: %s\n  caFile: %s\n", host.URL, host.caFile), 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() { restart(t, suite.kubemint.Stop, nil) }() // Of the one that runs then.
	restart(t, suite.kubemint.Stop, nil, "--key-set-networks=127.0.0.0/8", "--key-set-ca-file="+host.caFile, "--trusted-issuers-file="+trusted)

	c := newClient(newNamespace(t), "worker")
	c.Spec.Authentication.PrivateKeyJWT = &v1alpha1.PrivateKeyJWTSpec{JWKSURI: host.URL + "/jwks"}
	c.Spec.Authentication.TrustedTokens = []v1alpha1.TrustedTokenReference{{Issuer: host.URL, Subject: "repo:example/app"}}
	secret := issued(t, c)
	issuer := string(secret.Data["issuer"])
	await(t, "the keys to be fetched", func() error { return hasKeys(t, c, v1alpha1.ReasonKeysValid, "") })
	awaitBy(t, secret, http.StatusOK, func() string {
		return signedBy(t, host.key, "one", assertionClaims(c.ClientID(), c.ClientID(), issuer))
	})
	ci := func(subject string) func() string {
		return func() string { return signedBy(t, host.key, "one", assertionClaims(host.URL, subject, issuer)) }
	}
	awaitBy(t, secret, http.StatusOK, ci("repo:example/app"), "client_id="+c.ClientID())
	awaitBy(t, secret, http.StatusUnauthorized, ci("repo:example/other"), "client_id="+c.ClientID())

	// Of keys that cannot be had the status says why; where they are all that the client has, it is not ready.
	change(t, c, func(c *v1alpha1.OAuthClient) {
		c.Spec.Authentication.PrivateKeyJWT.JWKSURI, c.Spec.Authentication.TrustedTokens = host.URL+"/none", nil
	})
	await(t, "the keys to be missed", func() error { return hasKeys(t, c, v1alpha1.ReasonKeySetNotFetched, "answers 404") })
	awaitReason(t, c, v1alpha1.ReasonIssued)
	mustGetToken(t, secret)
	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Secret.Source = v1alpha1.SecretNone })
	awaitReason(t, c, v1alpha1.ReasonKeySetNotFetched)
}

// Inline keys that are well-formed for the API server and no keys all the same are told of.
func TestInvalidKeys(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	coordinate := v1alpha1.Base64URL(base64.RawURLEncoding.EncodeToString(make([]byte, 32)))
	c.Spec.Authentication.PrivateKeyJWT = &v1alpha1.PrivateKeyJWTSpec{JWKS: &v1alpha1.JWKSet{Keys: []v1alpha1.JWK{{KeyType: "EC", Curve: "P-256", X: coordinate, Y: coordinate}}}}
	mustGetToken(t, issued(t, c))
	await(t, "the key to be refused", func() error { return hasKeys(t, c, v1alpha1.ReasonInvalidKeys, "no point of the curve") })
}

// hasKeys reports whether the condition KeysAvailable has a reason, and says something.
func hasKeys(t *testing.T, c *v1alpha1.OAuthClient, reason, message string) error {
	t.Helper()
	if err := suite.admin.Get(context.WithoutCancel(t.Context()), client.ObjectKeyFromObject(c), c); err != nil {
		return err
	}
	condition := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionKeysAvailable)
	if condition == nil || condition.Reason != reason || !strings.Contains(condition.Message, message) {
		return fmt.Errorf("it is %+v", condition)
	}
	return nil
}

// What the program refuses of the flags for assertions, and how it says so.
func TestAssertionFlags(t *testing.T) {
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "file.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"age":              {[]string{"--assertion-max-age=1h"}, "write a duration from 10s to 5m0s"},
		"token age":        {[]string{"--service-account-token-max-age=1m"}, "write a duration from 10m0s to 24h0m0s"},
		"network":          {[]string{"--key-set-networks=10.0.0.1"}, "is no network"},
		"CA":               {[]string{"--key-set-ca-file=" + file("none")}, "holds no certificate"},
		"no file":          {[]string{"--trusted-issuers-file=/none"}, "no such file"},
		"typo":             {[]string{"--trusted-issuers-file=" + file("trustedIssuers: [{issur: https://ci.example}]")}, `unknown field "issur"`},
		"plain HTTP":       {[]string{"--trusted-issuers-file=" + file("trustedIssuers: [{issuer: http://ci.example}]")}, "must be an https URL"},
		"twice":            {[]string{"--trusted-issuers-file=" + file("trustedIssuers: [{issuer: https://ci.example}, {issuer: https://ci.example}]")}, "twice: leave one out"},
		"itself":           {[]string{"--trusted-issuers-file=" + file("trustedIssuers: [{issuer: https://issuer.example}]")}, "it is this issuer itself"},
		"key set's URL":    {[]string{"--trusted-issuers-file=" + file("trustedIssuers: [{issuer: https://ci.example, jwksURI: ci.example/jwks}]")}, "must begin with https://"},
		"token age of one": {[]string{"--trusted-issuers-file=" + file("trustedIssuers: [{issuer: https://ci.example, maxTokenAge: 48h}]")}, "maxTokenAge is 48h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			output := failToStart(t, append([]string{"--issuer=https://issuer.example", "--namespace=x"}, test.args...)...)
			if lines := strings.Split(strings.TrimSpace(output), "\n"); len(lines) != 1 || !strings.Contains(output, test.want) {
				t.Errorf("it says %q, want %q", output, test.want)
			}
		})
	}
}

// failToStart returns what the program says of wrong flags.
func failToStart(t *testing.T, args ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), suite.binary, args...).CombinedOutput()
	if err == nil {
		t.Fatalf("it ran: %s", output)
	}
	return string(output)
}
