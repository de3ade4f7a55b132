package controllers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
)

// authorityName begins the common name of every CA that is made here; it is all of it where an earlier version made it.
const authorityName = "Kubemint CA"

// backdate is how far the beginning of a certificate is dated back for clients whose clocks are behind, unless it lives but briefly.
const backdate = time.Hour

// keyPair is a certificate with its private key, ECDSA P-256 where it was made here: a handshake costs a third of RSA's.
type keyPair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newAuthority makes a self-signed CA. No two have one name, so that who trusts several of them finds the right one by it.
func newAuthority(now time.Time, lifetime time.Duration) (*keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of a certificate authority: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the key of a certificate authority: %w", err)
	}
	digest := sha256.Sum256(public)
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: fmt.Sprintf("%s %s %x", authorityName, now.UTC().Format(time.DateOnly), digest[:4])},
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	return sign(template, template, key, key, now, lifetime)
}

// selfMade reports whether a CA is one of Kubemint's own, and not one that somebody provided.
func selfMade(cert *x509.Certificate) bool {
	name := cert.Subject.CommonName
	return (name == authorityName || strings.HasPrefix(name, authorityName+" ")) &&
		len(cert.Subject.Names) == 1 && cert.CheckSignatureFrom(cert) == nil
}

// issueServing makes a serving certificate for hosts, signed by the CA.
func (p *keyPair) issueServing(hosts []string, now time.Time, lifetime time.Duration) (*keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of a serving certificate: %w", err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Kubemint"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return sign(template, p.cert, key, p.key, now, lifetime)
}

// sign completes a template into a certificate for key, signed by parent.
func sign(template, parent *x509.Certificate, key, parentKey crypto.Signer, now time.Time, lifetime time.Duration) (*keyPair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template.SerialNumber = serial
	template.NotBefore = now.Add(-min(backdate, lifetime/10))
	template.NotAfter = now.Add(lifetime)
	if template != parent && template.NotAfter.After(parent.NotAfter) {
		template.NotAfter = parent.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse the signed certificate: %w", err)
	}
	return &keyPair{cert: cert, key: key}, nil
}

// parseKeyPair parses a certificate and its private key, both PEM. The error holds nothing of the key.
func parseKeyPair(certPEM, keyPEM []byte) (*keyPair, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key cannot sign")
	}
	return &keyPair{cert: pair.Leaf, key: signer}, nil
}

// parseAuthority parses a key pair that can sign certificates.
func parseAuthority(certPEM, keyPEM []byte) (*keyPair, error) {
	pair, err := parseKeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	if !pair.cert.IsCA || pair.cert.KeyUsage != 0 && pair.cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, errors.New("its certificate is not one of a certificate authority")
	}
	return pair, nil
}

// parseCertificate parses the first certificate of a PEM; nil where there is none.
func parseCertificate(certPEM []byte) *x509.Certificate {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func (p *keyPair) certPEM() []byte { return certPEM(p.cert) }

func (p *keyPair) keyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
