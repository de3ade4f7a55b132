package main_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// X03: with a CA for clients, an OAuthClient's certificate gets tokens that are bound to it, and its secret others as before. The CA file
// is reloaded while it runs: first both CAs count, then the new one alone.
func TestX03MutualTLS(t *testing.T) {
	const id = "spiffe://example.test/ns/billing/sa/worker"
	ca, next := newTestCA(t), newTestCA(t)
	file := filepath.Join(t.TempDir(), "ca.crt")
	write(t, file, string(ca.pem))
	restart(t, suite.kubemint.Stop, nil, "--client-ca-file="+file)
	defer restart(t, func() error { return suite.kubemint.Stop() }, nil)

	c := newClient(newNamespace(t), "worker")
	c.Spec.Authentication.TLS = &v1alpha1.TLSAuthenticationSpec{SANURI: id}
	secret := issued(t, c)
	old, renewed := ca.issueClient(t, id), next.issueClient(t, id)
	mustBeBound(t, requestTokenBy(t, secret, old), old)
	mustRefuse(t, requestTokenBy(t, secret, renewed))
	mustRefuse(t, requestTokenBy(t, secret, ca.issueClient(t, id+"/other")))
	if claims := claimsOf(t, mustGetToken(t, secret).AccessToken); claims["cnf"] != nil {
		t.Errorf("a token by secret is bound to %v", claims["cnf"])
	}

	write(t, file, string(ca.pem)+string(next.pem))
	await(t, "the next CA to count", func() error { return mustBecome(requestTokenBy(t, secret, renewed), http.StatusOK) })
	mustBeBound(t, requestTokenBy(t, secret, renewed), renewed)
	mustBeBound(t, requestTokenBy(t, secret, old), old)
	write(t, file, "garbage")
	await(t, "a line in the log", func() error {
		if !strings.Contains(suite.log.String(), "client CAs not reloaded, those from before go on counting") {
			return errNotYet
		}
		return nil
	})
	mustBeBound(t, requestTokenBy(t, secret, old), old)
	write(t, file, string(next.pem))
	await(t, "the former CA to count no longer", func() error {
		return mustBecome(requestTokenBy(t, secret, old), http.StatusUnauthorized)
	})
	mustBeBound(t, requestTokenBy(t, secret, renewed), renewed)

	await(t, "the status to tell of it", func() error {
		if err := suite.admin.Get(t.Context(), client.ObjectKeyFromObject(c), c); err != nil {
			return err
		}
		if !slices.ContainsFunc(c.Status.Authentication, func(s v1alpha1.AuthenticationStatus) bool { return s.Method == v1alpha1.MethodTLS }) {
			return fmt.Errorf("it tells of %v", c.Status.Authentication)
		}
		return nil
	})

	// A client that is known by its certificate no longer is refused, as if it had never been.
	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Authentication.TLS = nil })
	await(t, "the certificate to count no longer", func() error {
		return mustBecome(requestTokenBy(t, secret, renewed), http.StatusUnauthorized)
	})
}

// issueClient returns a client's certificate with a URI.
func (ca *testCA) issueClient(t *testing.T, uri string) *tls.Certificate {
	t.Helper()
	parsed, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "worker"}, URIs: []*url.URL{parsed},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ca.key}
}

// requestTokenBy asks for a token with a certificate, whichever CAs are asked for, and no other credentials.
func requestTokenBy(t *testing.T, secret *corev1.Secret, certificate *tls.Certificate) *tokenAnswer {
	t.Helper()
	https := httpsClient(t, secret.Data["ca.crt"])
	https.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return certificate, nil
	}
	response, err := https.PostForm(string(secret.Data["token_url"]), url.Values{"grant_type": {"client_credentials"}, "client_id": {string(secret.Data["client_id"])}})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := &tokenAnswer{Status: response.StatusCode}
	if err := json.Unmarshal(body, answer); err != nil {
		t.Fatalf("%d %s", response.StatusCode, body)
	}
	return answer
}

func mustBecome(answer *tokenAnswer, status int) error {
	if answer.Status != status {
		return fmt.Errorf("answer %d %s", answer.Status, answer.Error)
	}
	return nil
}

func mustRefuse(t *testing.T, answer *tokenAnswer) {
	t.Helper()
	if answer.Status != http.StatusUnauthorized || answer.Error != "invalid_client" {
		t.Errorf("answer %d %s", answer.Status, answer.Error)
	}
}

// mustBeBound checks that there is a token, and that it is bound to the certificate that it was got with.
func mustBeBound(t *testing.T, answer *tokenAnswer, certificate *tls.Certificate) {
	t.Helper()
	if answer.Status != http.StatusOK {
		t.Fatalf("answer %d %s", answer.Status, answer.Error)
	}
	digest := sha256.Sum256(certificate.Certificate[0])
	want := map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(digest[:])}
	if got := claimsOf(t, answer.AccessToken)["cnf"]; !reflect.DeepEqual(got, want) {
		t.Errorf("cnf %v, want %v", got, want)
	}
}
