package tokenserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// expiry is when certificates of these tests expire: by the clock of the machine too, at which TLS looks.
var expiry = time.Now().Add(24 * time.Hour).Truncate(time.Second)

// authority is a CA that signs certificates of clients.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// above are the CAs between it and the one that is trusted, itself first.
	above []*x509.Certificate
}

var serial atomic.Int64

// newAuthority returns a CA that signed itself.
func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	return (&authority{}).sign(t, caTemplate(name))
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: noon.Add(-time.Hour), NotAfter: expiry,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
}

// intermediate returns a CA that this one signed, whose certificates come with its own.
func (a *authority) intermediate(t testing.TB, template *x509.Certificate) *authority {
	t.Helper()
	below := a.sign(t, template)
	below.above = append([]*x509.Certificate{below.certificate}, a.above...)
	return below
}

// sign signs a certificate; without a key of its own it lets that one sign itself.
func (a *authority) sign(t testing.TB, template *x509.Certificate) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	with := *template
	with.SerialNumber = big.NewInt(serial.Add(1))
	parent, signer := a.certificate, a.key
	if signer == nil {
		parent, signer = &with, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &with, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate: certificate, key: key}
}

// pool is what a server trusts that trusts this CA.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// issue returns a certificate with its key, and with the CAs between it and the one that is trusted. It is worker's, but for what is
// changed in it.
func (a *authority) issue(t testing.TB, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	template := workersCertificate(t)
	if change != nil {
		change(template)
	}
	issued := a.sign(t, template)
	shown := &tls.Certificate{PrivateKey: issued.key, Leaf: issued.certificate}
	return beside(shown, append([]*x509.Certificate{issued.certificate}, a.above...)...)
}

// beside returns a certificate that is shown with others: the first is its own.
func beside(own *tls.Certificate, all ...*x509.Certificate) *tls.Certificate {
	shown := &tls.Certificate{PrivateKey: own.PrivateKey, Leaf: own.Leaf}
	for _, certificate := range all {
		shown.Certificate = append(shown.Certificate, certificate.Raw)
	}
	return shown
}

// workersCertificate has each of the names that a client can be known by.
func workersCertificate(t testing.TB) *x509.Certificate {
	t.Helper()
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: "worker", OrganizationalUnit: []string{"billing"}, Organization: []string{"Example, Inc."}},
		NotBefore: noon.Add(-time.Minute), NotAfter: expiry,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames:       []string{"other.billing.test", "worker.billing.test"},
		URIs:           uris(t, "spiffe://example.test/ns/billing/sa/worker"),
		IPAddresses:    []net.IP{net.ParseIP("10.0.0.7").To4(), net.ParseIP("2001:db8::7")},
		EmailAddresses: []string{"Worker@example.test"},
	}
}

func uris(t testing.TB, texts ...string) (uris []*url.URL) {
	t.Helper()
	for _, text := range texts {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		uris = append(uris, uri)
	}
	return uris
}

// Clients that are known by their certificate, each by another name in it.
var knownBy = map[string]grant.CertificateBinding{
	"billing.dn":    {Kind: grant.SubjectDN, Value: `CN=worker,OU=billing,O=Example\, Inc.`},
	"billing.dns":   {Kind: grant.SANDNS, Value: "worker.billing.test"},
	"billing.uri":   {Kind: grant.SANURI, Value: "spiffe://example.test/ns/billing/sa/worker"},
	"billing.ip":    {Kind: grant.SANIP, Value: "10.0.0.7"},
	"billing.ip6":   {Kind: grant.SANIP, Value: "2001:db8::7"},
	"billing.email": {Kind: grant.SANEmail, Value: "Worker@example.test"},
}

// mutual is a server that takes certificates of clients, at a time and by CAs that a test changes.
type mutual struct {
	*server
	authorities atomic.Pointer[x509.CertPool]
	now         atomic.Pointer[time.Time]
	log         capture
}

// startMutual serves worker, and the clients that are known by their certificate, with a CA.
func startMutual(t *testing.T, ca *authority, options ...func(*tokenserver.Config)) *mutual {
	t.Helper()
	c := newCluster(t, nil)
	for id, binding := range knownBy {
		c.add(id).Asymmetric = &grant.Asymmetric{Certificate: &binding, Uses: new(grant.Uses)}
	}
	m := &mutual{}
	m.authorities.Store(ca.pool())
	m.now.Store(&noon)
	m.server = start(t, c, append([]func(*tokenserver.Config){tee(&m.log, inJSON), func(config *tokenserver.Config) {
		config.ClientCAs = m.authorities.Load
		config.Issuer.Now = func() time.Time { return *m.now.Load() }
	}}, options...)...)
	return m
}

// showing returns the server to callers that show a certificate, whether or not a CA of it is asked for.
func (s *server) showing(t *testing.T, certificate *tls.Certificate, configure ...func(*tls.Config)) *server {
	t.Helper()
	with := *s
	with.callers = nil
	for _, version := range []func(*http.Protocols, bool){(*http.Protocols).SetHTTP1, (*http.Protocols).SetHTTP2} {
		caller := s.caller(version)
		config := caller.Transport.(*http.Transport).TLSClientConfig
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
		for _, change := range configure {
			change(config)
		}
		t.Cleanup(caller.CloseIdleConnections)
		with.callers = append(with.callers, caller)
	}
	return &with
}

// asClient returns a token request that names a client, and has no other credentials than a certificate.
func asClient(id string) request { return post(grantType + "&client_id=" + id).anonymous() }
