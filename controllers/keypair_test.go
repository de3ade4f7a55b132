package controllers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

// noon is when most tests begin: a whole second, as API times are.
var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

var hosts = []string{"kubemint.svc", "localhost", "192.0.2.1", "2001:db8::1"}

func mustAuthority(t *testing.T, now time.Time) *keyPair {
	t.Helper()
	ca, err := newAuthority(now, defaultLifetimes.Authority)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func mustServing(t *testing.T, ca *keyPair, now time.Time, hosts ...string) *keyPair {
	t.Helper()
	pair, err := ca.issueServing(hosts, now, defaultLifetimes.Serving)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// verify verifies a serving certificate as a client that trusts one CA does.
func verify(cert, ca *x509.Certificate, host string, now time.Time, usage x509.ExtKeyUsage) error {
	return verifyWith(cert, []*x509.Certificate{ca}, host, now, usage)
}

// verifyWith verifies a serving certificate as a client that trusts several CAs does.
func verifyWith(cert *x509.Certificate, bundle []*x509.Certificate, host string, now time.Time, usage x509.ExtKeyUsage) error {
	roots := x509.NewCertPool()
	for _, ca := range bundle {
		roots.AddCert(ca)
	}
	_, err := cert.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

func TestServingCertificateVerifies(t *testing.T) {
	ca := mustAuthority(t, noon)
	pair := mustServing(t, ca, noon, hosts...)
	for _, host := range []string{"kubemint.svc", "localhost", "192.0.2.1", "[2001:db8::1]"} {
		if err := verify(pair.cert, ca.cert, host, noon, x509.ExtKeyUsageServerAuth); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"other.svc", "x.localhost", "192.0.2.2"} {
		if verify(pair.cert, ca.cert, host, noon, x509.ExtKeyUsageServerAuth) == nil {
			t.Errorf("it verifies for %s", host)
		}
	}
	if verify(pair.cert, ca.cert, "localhost", noon, x509.ExtKeyUsageClientAuth) == nil {
		t.Error("it is good for a client")
	}
	if err := verify(pair.cert, ca.cert, "localhost", noon.Add(-59*time.Minute), x509.ExtKeyUsageServerAuth); err != nil {
		t.Errorf("for a clock that is behind: %v", err)
	}
	if verify(pair.cert, mustAuthority(t, noon).cert, "localhost", noon, x509.ExtKeyUsageServerAuth) == nil {
		t.Error("it verifies with another CA")
	}
	if pair.cert.IsCA || pair.cert.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("CA %t, key usage %b", pair.cert.IsCA, pair.cert.KeyUsage)
	}
	if want := noon.Add(defaultLifetimes.Serving); !pair.cert.NotAfter.Equal(want) {
		t.Errorf("it expires %v, want %v", pair.cert.NotAfter, want)
	}
	if again := mustServing(t, ca, noon, hosts...); again.cert.SerialNumber.Cmp(pair.cert.SerialNumber) == 0 || publicKey(again) == publicKey(pair) {
		t.Error("two certificates share their serial number or key")
	}
}

func TestAuthority(t *testing.T) {
	ca := mustAuthority(t, noon)
	for name, pair := range map[string]*keyPair{"CA": ca, "serving": mustServing(t, ca, noon, hosts...)} {
		if key, ok := pair.cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			t.Errorf("the key of the %s certificate is a %T", name, pair.cert.PublicKey)
		}
	}
	if !ca.cert.IsCA || !ca.cert.BasicConstraintsValid || ca.cert.MaxPathLen != 0 || !ca.cert.MaxPathLenZero {
		t.Errorf("CA %t, path length %d", ca.cert.IsCA, ca.cert.MaxPathLen)
	}
	if want := noon.Add(defaultLifetimes.Authority); !ca.cert.NotAfter.Equal(want) {
		t.Errorf("it expires %v, want %v", ca.cert.NotAfter, want)
	}
	// Nobody verifies a serving certificate that outlives its CA.
	late := ca.cert.NotAfter.Add(-24 * time.Hour)
	if pair := mustServing(t, ca, late, hosts...); !pair.cert.NotAfter.Equal(ca.cert.NotAfter) {
		t.Errorf("the serving certificate expires %v, its CA %v", pair.cert.NotAfter, ca.cert.NotAfter)
	}
}

// While a CA changes, clients trust two: they are told apart by name and key identifier, by which verifiers of other kinds go, and what
// either signed verifies with both.
func TestTwoAuthorities(t *testing.T) {
	first, second := mustAuthority(t, noon), mustAuthority(t, noon)
	if bytes.Equal(first.cert.RawSubject, second.cert.RawSubject) || bytes.Equal(first.cert.SubjectKeyId, second.cert.SubjectKeyId) {
		t.Errorf("both are %s with the key identifier %x", first.cert.Subject, first.cert.SubjectKeyId)
	}
	for _, ca := range []*keyPair{first, second} {
		pair := mustServing(t, ca, noon, hosts...)
		if len(ca.cert.SubjectKeyId) == 0 || !bytes.Equal(pair.cert.AuthorityKeyId, ca.cert.SubjectKeyId) {
			t.Errorf("it names the key %x, its CA's is %x", pair.cert.AuthorityKeyId, ca.cert.SubjectKeyId)
		}
		for _, bundle := range [][]*x509.Certificate{{first.cert, second.cert}, {second.cert, first.cert}} {
			if err := verifyWith(pair.cert, bundle, "localhost", noon, x509.ExtKeyUsageServerAuth); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestSelfMade(t *testing.T) {
	own := mustAuthority(t, noon)
	named := func(subject pkix.Name) *keyPair {
		key := own.key
		template := &x509.Certificate{Subject: subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		pair, err := sign(template, template, key, key, noon, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	intermediate := func() *keyPair {
		template := &x509.Certificate{Subject: pkix.Name{CommonName: "Kubemint CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		provided := providedAuthority(t)
		pair, err := sign(template, provided.cert, own.key, provided.key, noon, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	for name, test := range map[string]struct {
		ca   *keyPair
		want bool
	}{
		"made here":                 {own, true},
		"by an earlier version":     {named(pkix.Name{CommonName: "Kubemint CA"}), true},
		"of another name":           {providedAuthority(t), false},
		"of a longer name":          {named(pkix.Name{CommonName: "Kubemint CAs"}), false},
		"of an organization":        {named(pkix.Name{CommonName: "Kubemint CA", Organization: []string{"Example"}}), false},
		"an intermediate, its name": {intermediate(), false},
	} {
		if got := selfMade(test.ca.cert); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// providedAuthority makes a CA such as somebody else may put into the Secret.
func providedAuthority(t *testing.T) *keyPair {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"Example"}, CommonName: "Example CA"}, SubjectKeyId: []byte("chosen by its maker"),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca, err := sign(template, template, key, key, noon, 100*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func publicKey(p *keyPair) string { return string(p.cert.RawSubjectPublicKeyInfo) }

func mustKeyPEM(t *testing.T, p *keyPair) []byte {
	t.Helper()
	key, err := p.keyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestParseKeyPair(t *testing.T) {
	ca := mustAuthority(t, noon)
	key := mustKeyPEM(t, ca)
	parsed, err := parseKeyPair(ca.certPEM(), key)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(parsed.cert.Raw, ca.cert.Raw) || !ca.key.(*ecdsa.PrivateKey).Equal(parsed.key) {
		t.Error("it came back different")
	}

	block, _ := pem.Decode(key)
	spoilt := bytes.Clone(block.Bytes)
	spoilt[4] ^= 0xff
	for name, c := range map[string]struct{ cert, key []byte }{
		"nothing":               {nil, nil},
		"no key":                {ca.certPEM(), nil},
		"no certificate":        {nil, key},
		"swapped":               {key, ca.certPEM()},
		"truncated":             {ca.certPEM(), key[:len(key)/2]},
		"DER for PEM":           {ca.certPEM(), block.Bytes},
		"base64 for PEM":        {ca.certPEM(), []byte(base64.StdEncoding.EncodeToString(block.Bytes))},
		"another PEM type":      {ca.certPEM(), pem.EncodeToMemory(&pem.Block{Type: "SECRET", Bytes: block.Bytes})},
		"spoilt":                {ca.certPEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: spoilt})},
		"the key of another":    {mustAuthority(t, noon).certPEM(), key},
		"garbage before spoilt": {ca.certPEM(), append([]byte("garbage\n"), key[30:]...)},
	} {
		_, err := parseKeyPair(c.cert, c.key)
		if err == nil {
			t.Errorf("%s: parsed", name)
			continue
		}
		if leak := leaked(err.Error(), key, block.Bytes); leak != "" {
			t.Errorf("%s: the error holds %q of the key: %v", name, leak, err)
		}
	}
}

// leaked returns a piece of key material, PEM or DER, that stands in a text, or "".
func leaked(text string, keyPEM, keyDER []byte) string {
	_, body, _ := strings.Cut(string(keyPEM), "\n") // Header and footer are no secret.
	body, _, _ = strings.Cut(body, "\n-----")
	for _, material := range []string{body, string(keyDER[len(keyDER)-100:])} {
		for i := 0; i+8 <= len(material); i++ {
			if piece := material[i : i+8]; strings.Contains(text, piece) {
				return piece
			}
		}
	}
	return ""
}
