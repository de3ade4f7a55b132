package rotation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func TestServingCertificate(t *testing.T) {
	ca, caKey := authority(t, "CA")
	namesake, namesakeKey := authority(t, "CA")
	other, otherKey := authority(t, "other CA")
	hosts := []string{"kubemint.svc", "localhost", "192.0.2.1", "2001:db8::1"}
	cert := issue(t, ca, caKey, hosts...)
	due := start.Add(60 * day)

	for _, test := range []struct {
		name  string
		cert  *x509.Certificate
		hosts []string
		now   time.Time
		why   string // empty: kept
	}{
		{"missing", nil, hosts, start, "there is none"},
		{"new", cert, hosts, start, ""},
		{"hosts in another order", cert, []string{"2001:db8::1", "192.0.2.1", "localhost", "kubemint.svc"}, start, ""},
		{"a host twice", cert, append([]string{"localhost"}, hosts...), start, ""},
		{"an IP spelt otherwise", cert, []string{"kubemint.svc", "localhost", "::ffff:192.0.2.1", "2001:DB8:0:0::1"}, start, ""},
		{"a host more", cert, append([]string{"more.example"}, hosts...), start, "it is for other hosts"},
		{"a host less", cert, hosts[1:], start, "it is for other hosts"},
		{"another host", cert, append([]string{"kubemint.other.svc"}, hosts[1:]...), start, "it is for other hosts"},
		{"another IP", cert, []string{"kubemint.svc", "localhost", "192.0.2.2", "2001:db8::1"}, start, "it is for other hosts"},
		{"no hosts wanted, none there", issue(t, ca, caKey), nil, start, ""},
		{"another CA", issue(t, other, otherKey, hosts...), hosts, start, "another CA signed it"},
		{"another CA of the same name", issue(t, namesake, namesakeKey, hosts...), hosts, start, "another CA signed it"},
		// Path building goes by the name.
		{"the CA's key under another name", issue(t, other, caKey, hosts...), hosts, start, "another CA signed it"},
		{"just before it is due", cert, hosts, due.Add(-time.Nanosecond), ""},
		{"due", cert, hosts, due, "its renewal is due"},
		{"expired", cert, hosts, start.Add(91 * day), "its renewal is due"},
	} {
		t.Run(test.name, func(t *testing.T) {
			check(t, ServingCertificate(test.cert, ca, test.hosts, test.now), test.why, due)
		})
	}
}

func TestCertificateAuthority(t *testing.T) {
	ca, _ := authority(t, "CA")
	due := start.Add(50 * day)
	for _, test := range []struct {
		name string
		now  time.Time
		why  string
	}{
		{"new", start, ""},
		{"just before it is due", due.Add(-time.Nanosecond), ""},
		{"due", due, "its renewal is due"},
		{"expired", start.Add(101 * day), "its renewal is due"},
	} {
		t.Run(test.name, func(t *testing.T) { check(t, CertificateAuthority(ca, test.now), test.why, due) })
	}
}

func check(t *testing.T, got Certificate, why string, due time.Time) {
	t.Helper()
	want := Certificate{Renew: why != "", Why: why}
	if why == "" {
		want.Next = due
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// authority makes a CA that lives for 100 days. These tests sign for themselves, so as not to rest on the code that decides.
func authority(t *testing.T, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: start, NotAfter: start.Add(100 * day),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return sign(t, template, template, key, key), key
}

func issue(t *testing.T, ca *x509.Certificate, caKey *ecdsa.PrivateKey, hosts ...string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: start, NotAfter: start.Add(90 * day)}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	// The CA's own key is not among what CreateCertificate checks: the name and the key may be of two CAs.
	parent := *ca
	parent.PublicKey = nil
	return sign(t, template, &parent, newKey(t), caKey)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
