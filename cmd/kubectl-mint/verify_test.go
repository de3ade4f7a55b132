package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// finding is what a check found.
type finding struct{ Name, Result, Detail string }

// verify verifies a token, and returns the results by the names of the checks, and the exit code.
func verify(t *testing.T, token string, args ...string) (results map[string]string, code int) {
	t.Helper()
	got := mintReading(t, token, append([]string{"verify", "-", "-o", "json"}, args...)...)
	results = map[string]string{}
	for _, f := range parsed[[]finding](t, got.stdout) {
		results[f.Name] = f.Result
	}
	return results, got.code
}

// newToken gets a token of a new client.
func newToken(t *testing.T) (namespace, token string) {
	t.Helper()
	namespace = newNamespace(t)
	settled(t, newClient(namespace, "worker"), v1alpha1.ReasonIssued)
	return namespace, strings.TrimSpace(succeeds(t, "token", "worker", "-n", namespace))
}

func TestVerifyAcceptsATokenAsItIs(t *testing.T) {
	namespace, token := newToken(t)
	results, code := verify(t, token, "-n", namespace, "--audience", suite.kubemint.Issuer)
	for _, name := range []string{"signature", "iss", "typ", "aud", "exp", "cnf", "claims"} {
		if results[name] != "ok" {
			t.Errorf("%s is %q", name, results[name])
		}
	}
	if code != 0 {
		t.Errorf("the exit code is %d", code)
	}
	contains(t, succeeds(t, "verify", token, "-n", namespace), "ok        signature   by key", "warning   aud")
}

func TestVerifyRefusesWhatIsNotTheIssuers(t *testing.T) {
	namespace, token := newToken(t)
	for name, c := range map[string]struct {
		token string
		args  []string
		fails []string
	}{
		"changed claims":         {token: altered(t, token), fails: []string{"signature"}},
		"another audience":       {token: token, args: []string{"--audience", "https://orders.shop.svc"}, fails: []string{"aud"}},
		"another issuer":         {token: token, args: []string{"--issuer", "https://localhost:1", "--via", "direct"}, fails: []string{"signature", "iss"}},
		"a key of somebody else": {token: forged(t, suite.kubemint.Issuer), fails: []string{"signature"}},
	} {
		t.Run(name, func(t *testing.T) {
			results, code := verify(t, c.token, append(c.args, "-n", namespace)...)
			for check, result := range results {
				expected := false
				for _, failing := range c.fails {
					expected = expected || failing == check
				}
				if expected != (result == "failed") {
					t.Errorf("%s is %s", check, result)
				}
			}
			if code != 1 {
				t.Errorf("the exit code is %d", code)
			}
		})
	}
	fails(t, "no signed JWT", "verify", "nonsense")
}

// An issuer and its CA are enough: no cluster is needed.
func TestVerifyWithoutACluster(t *testing.T) {
	namespace, token := newToken(t)
	ca := filepath.Join(t.TempDir(), "ca.crt")
	worker := newClient(namespace, "worker")
	awaitReason(t, worker, v1alpha1.ReasonIssued)
	if err := os.WriteFile(ca, secretOf(t, worker).Data["ca.crt"], 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere := []string{"--kubeconfig", "/nonexistent", "--ca-file", ca}
	if results, code := verify(t, token, append(nowhere, "--issuer", suite.kubemint.Issuer)...); code != 0 || results["iss"] != "ok" {
		t.Errorf("with the issuer: %v", results)
	}
	// Of an issuer that only the token names, one is warned.
	if results, code := verify(t, token, nowhere...); code != 0 || results["iss"] != "warning" || results["signature"] != "ok" {
		t.Errorf("without: %v", results)
	}
	contains(t, succeeds(t, append(nowhere, "keys", "--issuer", suite.kubemint.Issuer)...), "ES256")
}

// altered returns a token with another scope, and the signature as it was.
func altered(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(claims), "invoices:write", "invoices:admin", 1)))
	return strings.Join(parts, ".")
}

// forged returns a token as an issuer's, but by another key.
func forged(t *testing.T, issuer string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": issuer, "sub": "a.b", "client_id": "a.b", "aud": issuer, "jti": "1", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "scope": "admin",
	})
	token.Header["typ"], token.Header["kid"] = "at+jwt", "not-published"
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// otherCA returns a file with a CA certificate that has nothing to do with Kubemint.
func otherCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "another"}, IsCA: true,
		BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "other.crt")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
