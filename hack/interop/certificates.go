package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
)

// spiffeID is by what the workload's certificate is known.
const spiffeID = "spiffe://example.org/ns/interop/sa/worker"

// makeCertificates makes a CA and a certificate of the workload, as a pod has it mounted, and one that a stranger's CA signed.
func (t *trial) makeCertificates() error {
	t.clientCA = filepath.Join(t.directory, "client-ca.crt")
	t.certificate, t.wrongCertificate = filepath.Join(t.directory, "certificate"), filepath.Join(t.directory, "wrong-certificate")
	return errors.Join(makeCertificate(t.clientCA, t.certificate), makeCertificate(filepath.Join(t.directory, "stranger-ca.crt"), t.wrongCertificate))
}

// makeCertificate writes a new CA's certificate to a file, and tls.crt and tls.key that it signed to a directory.
func makeCertificate(caFile, directory string) error {
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Clients' CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour)}
	id, err := url.Parse(spiffeID)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), URIs: []*url.URL{id}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter}
	caKey, caErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, keyErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(caErr, keyErr); err != nil {
		return err
	}
	caDER, caErr := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	keyDER, keyErr := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(caErr, err, keyErr); err != nil {
		return err
	}
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600); err != nil {
		return err
	}
	return mount(map[string][]byte{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, directory)
}

// tryCertificate gets a token by mutual TLS, with no secret, and checks that it is bound to the certificate.
func tryCertificate(ctx context.Context, t *trial) error {
	token, certificate, err := t.tokenBy(ctx, t.certificate)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(certificate.Certificate[0])
	if err := mustBeBound(token, base64.RawURLEncoding.EncodeToString(digest[:])); err != nil {
		return err
	}
	_, _, err = t.tokenBy(ctx, t.wrongCertificate)
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" {
		return fmt.Errorf("with a stranger's certificate: %w, not invalid_client", err)
	}
	return nil
}

// tokenBy gets a token with the certificate in a directory, which it returns too.
func (t *trial) tokenBy(ctx context.Context, directory string) (*oauth2.Token, *tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key"))
	if err != nil {
		return nil, nil, err
	}
	client := t.httpClient()
	// GetClientCertificate, as Certificates are shown only to servers that ask for the CA of one, and a stranger's is to be refused.
	client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &certificate, nil
	}
	config := t.clientCredentials(oauth2.AuthStyleInParams)
	config.ClientSecret = ""
	token, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	return token, &certificate, err
}

func mustBeBound(token *oauth2.Token, thumbprint string) error {
	var claims struct {
		jwt.RegisteredClaims
		Confirmation map[string]string `json:"cnf"`
	}
	if _, _, err := jwt.NewParser().ParseUnverified(token.AccessToken, &claims); err != nil {
		return err
	}
	if token.Type() != "Bearer" || len(claims.Confirmation) != 1 || claims.Confirmation["x5t#S256"] != thumbprint {
		return fmt.Errorf("the token is of type %s and bound to %v, not to %s", token.Type(), claims.Confirmation, thumbprint)
	}
	return nil
}
