package clientauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver/grant"
)

// benchAuthority is a CA with its key.
type benchAuthority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// signed returns a certificate for a key, by a CA; without one, it signs itself.
func signed(b testing.TB, by *benchAuthority, key *ecdsa.PrivateKey, serial int64, change func(*x509.Certificate)) *benchAuthority {
	b.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	change(template)
	if by == nil {
		by = &benchAuthority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key)
	if err != nil {
		b.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	return &benchAuthority{certificate, key}
}

func newKey(b testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	b.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func asCA(c *x509.Certificate) {
	c.Subject, c.IsCA, c.BasicConstraintsValid = pkix.Name{CommonName: "CA"}, true, true
}

func asWorker(c *x509.Certificate) {
	c.DNSNames, c.ExtKeyUsage = []string{"worker.billing.svc"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

// BenchmarkCertificate is what it costs to authenticate a client by its certificate, beside what the handshake cost; and what the most
// costs that a caller can make of those that it shows: as many CAs as may be, with slow keys, none of which is trusted.
func BenchmarkCertificate(b *testing.B) {
	p256 := elliptic.P256()
	ca := signed(b, nil, newKey(b, p256), 1, asCA)
	sub := signed(b, ca, newKey(b, p256), 2, func(c *x509.Certificate) { asCA(c); c.Subject.CommonName = "CA below" })
	byCA, bySub := signed(b, ca, newKey(b, p256), 3, asWorker), signed(b, sub, newKey(b, p256), 4, asWorker)
	var slow *benchAuthority
	var long []*x509.Certificate
	for i := range maxCertificates - 1 {
		slow = signed(b, slow, newKey(b, elliptic.P521()), int64(5+i), func(c *x509.Certificate) {
			asCA(c)
			c.Subject.CommonName = fmt.Sprint("CA ", i)
		})
		long = slices.Insert(long, 0, slow.certificate)
	}
	long = slices.Insert(long, 0, signed(b, slow, newKey(b, p256), 10, asWorker).certificate)
	authorities := x509.NewCertPool()
	authorities.AddCert(ca.certificate)
	client := &grant.Client{ID: "billing.worker", Asymmetric: &grant.Asymmetric{Uses: new(grant.Uses),
		Certificate: &grant.CertificateBinding{Kind: grant.SANDNS, Value: "worker.billing.svc"}}}
	authenticator := &Authenticator{Registry: oneClient{client: client}, Now: time.Now, ClientCAs: func() *x509.CertPool { return authorities }}
	for _, row := range []struct {
		name  string
		shown []*x509.Certificate
		right bool
	}{
		{"signed by the CA", []*x509.Certificate{byCA.certificate}, true},
		{"by way of another CA", []*x509.Certificate{bySub.certificate, sub.certificate}, true},
		{"worst, refused", long, false},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			credentials := Credentials{Method: TLSClientAuth, ClientID: client.ID, connection: &tls.ConnectionState{PeerCertificates: row.shown}}
			for b.Loop() {
				if _, _, refusal := authenticator.Authenticate(context.Background(), credentials, nil); (refusal == nil) != row.right {
					b.Fatal(refusal)
				}
			}
		})
	}
}

// oneClient is a registry of one client.
type oneClient struct {
	Registry
	client *grant.Client
}

func (o oneClient) Client(string) *grant.Client { return o.client }
