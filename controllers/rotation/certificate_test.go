package rotation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"strings"
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
			check(t, ServingCertificate(test.cert, ca, test.hosts, false, test.now), test.why, due)
		})
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
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(cryptorand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

const lead = 10 * day

// caFrom makes a CA that lives for 100 days from some time after start.
func caFrom(t *testing.T, after time.Duration) *x509.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA " + after.String()}, NotBefore: start.Add(after), NotAfter: start.Add(after + 100*day),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return sign(t, template, template, key, key)
}

func TestServingCertificateAskedFor(t *testing.T) {
	ca, caKey := authority(t, "CA")
	cert := issue(t, ca, caKey)
	check(t, ServingCertificate(cert, ca, nil, true, start), "a rotation was asked for", time.Time{})
}

// A certificate that its CA does not outlive is not replaced by another such, again and again.
func TestServingCertificateEndsWithItsCA(t *testing.T) {
	ca, caKey := authority(t, "CA")
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: start.Add(99 * day), NotAfter: ca.NotAfter}
	cert := sign(t, template, ca, newKey(t), caKey)
	for _, now := range []time.Time{start.Add(99 * day), ca.NotAfter.Add(-time.Second), ca.NotAfter.Add(time.Hour)} {
		if got := ServingCertificate(cert, ca, nil, false, now); got != (Certificate{}) {
			t.Errorf("at %v: %+v", now, got)
		}
	}
}

func TestCertificateAuthority(t *testing.T) {
	first, second, third := caFrom(t, 0), caFrom(t, 50*day), caFrom(t, 90*day)
	at := start.Add
	prepared := Authority{Signing: first, Next: second, Prepared: at(50 * day)}
	switched := Authority{Signing: second, Previous: first, Switched: at(60 * day)}
	with := func(ca Authority, how func(*Authority)) Authority { how(&ca); return ca }
	for name, test := range map[string]struct {
		ca    Authority
		asked string
		at    time.Duration
		want  AuthorityDecision
		next  time.Duration
	}{
		"new":                      {ca: Authority{Signing: first}, next: 50 * day},
		"before half of its life":  {ca: Authority{Signing: first}, at: 50*day - time.Second, next: 50 * day},
		"half of its life":         {ca: Authority{Signing: first}, at: 50 * day, want: AuthorityDecision{Prepare: true, Why: "half of the life of the one that signs has passed"}},
		"prepared":                 {ca: prepared, at: 60*day - time.Second, next: 60 * day},
		"prepared for long enough": {ca: prepared, at: 60 * day, want: AuthorityDecision{Switch: true}},
		"switched":                 {ca: switched, at: 70*day - time.Second, next: 70 * day},
		"switched for long enough": {ca: switched, at: 70 * day, want: AuthorityDecision{Drop: true}},
		"the former one expires":   {ca: with(switched, func(ca *Authority) { ca.Switched = at(95 * day) }), at: 100 * day, want: AuthorityDecision{Drop: true, Prepare: true, Why: "half of the life of the one that signs has passed"}},
		"the next one lost":        {ca: with(prepared, func(ca *Authority) { ca.Next = nil }), at: 51 * day, want: AuthorityDecision{Prepare: true, Why: "the one that was prepared cannot be read"}},
		"prepared too late":        {ca: Authority{Signing: first, Next: third, Prepared: at(95 * day)}, at: 96 * day, next: 100*day - 144*time.Minute},
		"prepared far too late":    {ca: Authority{Signing: first, Next: third, Prepared: at(101 * day)}, at: 101 * day, want: AuthorityDecision{Switch: true}},
		"both at once": {ca: Authority{Signing: second, Next: third, Previous: first, Prepared: at(60 * day), Switched: at(60 * day)}, at: 70 * day,
			want: AuthorityDecision{Drop: true, Switch: true}},

		"asked for":                 {ca: Authority{Signing: first}, asked: "1", want: AuthorityDecision{Prepare: true, Why: "a rotation was asked for", Follow: true}},
		"asked for, followed":       {ca: Authority{Signing: first, Followed: "1"}, asked: "1", next: 50 * day},
		"asked for, on its way":     {ca: prepared, asked: "1", at: 51 * day, want: AuthorityDecision{Follow: true}},
		"asked for after a switch":  {ca: switched, asked: "1", at: 61 * day, want: AuthorityDecision{Prepare: true, Why: "a rotation was asked for", Follow: true}},
		"provided":                  {ca: Authority{Signing: first, Provided: true}, asked: "1", at: 51 * day, next: 80 * day},
		"provided, before it ends":  {ca: Authority{Signing: first, Provided: true}, at: 80 * day, want: AuthorityDecision{Ending: true}, next: 81 * day},
		"provided, after its end":   {ca: Authority{Signing: first, Provided: true}, at: 200 * day, want: AuthorityDecision{Ending: true}, next: 201 * day},
		"provided, of whatever age": {ca: Authority{Signing: first, Provided: true}, at: -9 * day, next: 80 * day},
	} {
		t.Run(name, func(t *testing.T) {
			if test.next != 0 {
				test.want.Next = at(test.next)
			}
			if got := CertificateAuthority(test.ca, lead, test.asked, at(test.at)); got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
			if status := AuthorityStatus(test.ca, lead); !strings.Contains(status, test.ca.Signing.Subject.String()) {
				t.Errorf("status: %q", status)
			}
		})
	}
}

// Whenever it is called, and whichever of its decisions gets lost: what signs was given to clients for lead before, and what signed is
// for lead afterwards; each request makes one CA.
func TestCertificateAuthorityAtAnyTime(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { walkAuthority(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func walkAuthority(t *testing.T, random *rand.Rand) {
	ca := Authority{Signing: caFrom(t, 0)}
	given := map[*x509.Certificate]time.Time{ca.Signing: start.Add(-lead)} // The first one: clients have no other.
	signed := map[*x509.Certificate]time.Time{}
	now, asked, requests, made := start, "", 0, 0
	for range 300 {
		signed[ca.Signing] = now
		decision := CertificateAuthority(ca, lead, asked, now)
		if random.IntN(4) > 0 { // Else the write failed.
			before := ca
			ca = apply(t, ca, decision, asked, now)
			if decision.Prepare {
				given[ca.Next] = now
			}
			if decision.Prepare && decision.Why == "a rotation was asked for" {
				made++
			}
			if ca.Signing != before.Signing && now.Sub(given[ca.Signing]) < lead {
				t.Fatalf("a CA signs %v after clients were given it", now.Sub(given[ca.Signing]))
			}
			for _, gone := range []*x509.Certificate{before.Signing, before.Previous} {
				if gone != nil && gone != ca.Signing && gone != ca.Previous && now.Sub(signed[gone]) < lead {
					t.Fatalf("clients lose a CA %v after it signed", now.Sub(signed[gone]))
				}
			}
		}
		if random.IntN(20) == 0 {
			requests++
			asked = fmt.Sprint(requests)
		}
		// A CA is not left alone for the half of its life: then there is nothing left to go by.
		now = now.Add(time.Duration(random.IntN(5*24)) * time.Hour)
		if next := CertificateAuthority(ca, lead, asked, now).Next; random.IntN(3) == 0 && next.Sub(now) > 0 && next.Sub(now) < 30*day {
			now = next
		}
	}
	if made > requests {
		t.Errorf("%d requests made %d CAs", requests, made)
	}
}

// apply takes the steps of a decision in their order.
func apply(t *testing.T, ca Authority, decision AuthorityDecision, asked string, now time.Time) Authority {
	t.Helper()
	if decision.Drop {
		ca.Previous = nil
	}
	if decision.Switch {
		ca.Signing, ca.Next, ca.Previous, ca.Prepared, ca.Switched = ca.Next, nil, ca.Signing, time.Time{}, now
	}
	if decision.Prepare {
		ca.Next, ca.Prepared = caFrom(t, now.Sub(start)), now
	}
	if decision.Follow {
		ca.Followed = asked
	}
	return ca
}
