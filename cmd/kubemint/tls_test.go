package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// A serving certificate that is made anew is served without a restart, and the CA that clients have still verifies it.
func TestT21ServingCertificateIsReloaded(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	secret := issued(t, c)
	before := servedSerial(t, secret)
	served := getSecret(t, localcluster.Namespace, v1alpha1.ServingCertificateSecretName)
	if err := suite.admin.Delete(t.Context(), served); err != nil {
		t.Fatal(err)
	}
	await(t, "another certificate to be served", func() error {
		if servedSerial(t, secret) == before {
			return errNotYet
		}
		return nil
	})
	mustGetToken(t, secret)
}

// servedSerial returns the serial number of the certificate that the token endpoint shows, having verified it.
func servedSerial(t *testing.T, secret *corev1.Secret) string {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(secret.Data["ca.crt"])
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: pool}}
	connection, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(suite.kubemint.Issuer, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close() //nolint:errcheck // Nothing was sent.
	return connection.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// With a certificate from files, clients are given its CA, and a renewed one is served without a restart.
func TestTLSFromFiles(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	before := issued(t, c)
	directory := t.TempDir()
	ca := newTestCA(t)
	certFile, keyFile, caFile := filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key"), filepath.Join(directory, "ca.crt")
	ca.issue(t, certFile, keyFile, 1)
	write(t, caFile, string(ca.pem))

	restart(t, suite.kubemint.Stop, nil, "--tls-mode=files", "--tls-cert-file="+certFile, "--tls-key-file="+keyFile, "--ca-file="+caFile)
	defer restart(t, func() error { return suite.kubemint.Stop() }, nil)
	secret := awaitSecret(t, c.Namespace, "worker", "the other CA", func(s *corev1.Secret) bool { return string(s.Data["ca.crt"]) == string(ca.pem) })
	awaitEvent(t, c, v1alpha1.EventSecretUpdated) // Nobody spoilt it: the configuration changed.
	if string(secret.Data["client_secret"]) != string(before.Data["client_secret"]) {
		t.Error("the credential changed")
	}
	mustGetToken(t, secret)
	if serial := servedSerial(t, secret); serial != "1" {
		t.Errorf("certificate %s is served", serial)
	}
	ca.issue(t, certFile, keyFile, 2)
	await(t, "the renewed certificate", func() error {
		if servedSerial(t, secret) != "2" {
			return errNotYet
		}
		return nil
	})
}

// Behind a proxy that ends TLS, issuer and URLs are the proxy's, whatever the proxy's requests say.
func TestTLSEndedByAProxy(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	issuer := fmt.Sprintf("https://%s/tenants/acme", listener.Addr())
	c := newClient(newNamespace(t), "worker")
	issued(t, c)
	backend := &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", suite.kubemint.Port)}
	proxy := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(backend))
	proxy.Listener = listener
	proxy.StartTLS()
	defer proxy.Close()
	proxyCA := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw})
	caFile := filepath.Join(t.TempDir(), "ca.crt")
	write(t, caFile, string(proxyCA))

	restart(t, suite.kubemint.Stop, nil, "--tls-mode=disabled", "--issuer="+issuer, "--ca-file="+caFile, "--default-audience=internal")
	defer restart(t, func() error { return suite.kubemint.Stop() }, nil)
	secret := awaitSecret(t, c.Namespace, "worker", "the proxy's URLs", func(s *corev1.Secret) bool {
		return string(s.Data["issuer"]) == issuer && string(s.Data["token_url"]) == issuer+"/oauth2/token"
	})
	token := mustGetToken(t, secret).AccessToken
	if err := verify(t, issuer, "internal", proxyCA, token); err != nil {
		t.Error(err)
	}
}

// RS256 by flag, for a ring that is made.
func TestJ02RS256(t *testing.T) {
	keys := getSecret(t, localcluster.Namespace, v1alpha1.SigningKeysSecretName)
	forget := func() {
		if err := suite.admin.Delete(context.Background(), keys); err != nil {
			t.Fatal(err)
		}
	}
	restart(t, suite.kubemint.Stop, forget, "--signing-algorithm=RS256")
	defer restart(t, func() error { return suite.kubemint.Stop() }, forget)
	secret := issued(t, newClient(newNamespace(t), "worker"))
	token := mustGetToken(t, secret).AccessToken
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil || !strings.Contains(string(header), `"alg":"RS256"`) {
		t.Errorf("the header is %s (%v)", header, err)
	}
	if err := verify(t, suite.kubemint.Issuer, suite.kubemint.Issuer, secret.Data["ca.crt"], token); err != nil {
		t.Error(err)
	}
}

// testCA is a CA of somebody else's.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newTestCA(t *testing.T) *testCA {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &testCA{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue writes a certificate for localhost and its key.
func (ca *testCA) issue(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	// The same key, so that the two files fit each other at every moment between the writes.
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}
