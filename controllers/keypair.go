package controllers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Lifetimes of certificates, and how far their beginning is dated back for clients whose clocks are behind.
const (
	authorityLifetime = 10 * 365 * 24 * time.Hour
	servingLifetime   = 90 * 24 * time.Hour
	backdate          = time.Hour
)

// keyPair is a certificate with its private key, ECDSA P-256 where it was made here: a handshake costs a third of RSA's.
type keyPair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newAuthority makes a self-signed CA.
func newAuthority(now time.Time) (*keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of a certificate authority: %w", err)
	}
	return (&keyPair{key: key}).renewAuthority(now)
}

// renewAuthority returns the CA with a new certificate for the same key. What it signed verifies with the old certificate and
// with the new one, so that clients may learn of it at any time before the old one expires.
func (p *keyPair) renewAuthority(now time.Time) (*keyPair, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Kubemint CA"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	if p.cert != nil { // A CA that somebody provided keeps its name, and the identifier of its key, by which OpenSSL goes.
		template.Subject, template.RawSubject = p.cert.Subject, p.cert.RawSubject
		template.SubjectKeyId = p.cert.SubjectKeyId
	}
	return sign(template, template, p.key, p.key, now, authorityLifetime)
}

// issueServing makes a serving certificate for hosts, signed by the CA.
func (p *keyPair) issueServing(hosts []string, now time.Time) (*keyPair, error) {
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
	return sign(template, p.cert, key, p.key, now, servingLifetime)
}

// sign completes a template into a certificate for key, signed by parent.
func sign(template, parent *x509.Certificate, key, parentKey crypto.Signer, now time.Time, lifetime time.Duration) (*keyPair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template.SerialNumber = serial
	template.NotBefore = now.Add(-backdate)
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

func (p *keyPair) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
}

func (p *keyPair) keyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
