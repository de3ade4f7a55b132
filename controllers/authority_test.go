package controllers

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// bundleIn returns the CAs that clients are given.
func bundleIn(t *testing.T, namespace string) (bundle []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode([]byte(caOf(t, namespace))); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		must(t, err)
		bundle = append(bundle, cert)
	}
	return bundle
}

// trust is what clients were given over time, and what that says of the certificate that the server serves.
type trust struct {
	namespace string
	given     []givenBundle
}

type givenBundle struct {
	from   time.Time
	bundle []*x509.Certificate
}

// mustHold checks that the serving certificate verifies with what clients were given lead ago, and at any time since.
func (h *trust) mustHold(t *testing.T, lead time.Duration, now time.Time) {
	t.Helper()
	h.given = append(h.given, givenBundle{now, bundleIn(t, h.namespace)})
	cert := pairIn(t, h.namespace, servingName).cert
	for i, given := range h.given {
		last := i == len(h.given)-1
		if !last && !h.given[i+1].from.After(now.Add(-lead)) {
			continue // Nobody has it any more.
		}
		if err := verifyWith(cert, given.bundle, "kubemint.svc", now, x509.ExtKeyUsageServerAuth); err != nil {
			t.Errorf("at %v, with the %d CAs of %v: %v", now, len(given.bundle), given.from, err)
		}
	}
}

// authorityStory is a rotation of the CA that was asked for.
func authorityStory(t *testing.T, namespace string) rotationStory {
	lead := defaultLifetimes.Lead
	seen := map[string]bool{}
	history := &trust{namespace: namespace}
	var first *keyPair
	return rotationStory{
		moments: []time.Duration{0, lead, 2 * lead},
		keep:    (*process).keepCertificates,
		begin: func(p *process) {
			mustKeep(t, p)
			first = pairIn(t, namespace, caName)
			ask(t, namespace, caName, v1alpha1.AnnotationRotate, "1")
		},
		observe: func(now time.Time) {
			history.mustHold(t, lead, now)
			for _, ca := range bundleIn(t, namespace) {
				seen[string(ca.Raw)] = true
			}
		},
		end: func() {
			last := pairIn(t, namespace, caName)
			if publicKey(last) == publicKey(first) || len(bundleIn(t, namespace)) != 1 || len(seen) != 2 {
				t.Errorf("%d CAs were seen, and %d are left", len(seen), len(bundleIn(t, namespace)))
			}
			data := getSecret(t, namespace, caName).Data
			for _, key := range []string{"next.crt", "next.key", "previous.crt"} {
				if _, there := data[key]; there {
					t.Errorf("%s is left", key)
				}
			}
		},
	}
}

// servingStory is a rotation of the serving certificate that was asked for.
func servingStory(t *testing.T, namespace string) rotationStory {
	seen := map[string]bool{}
	return rotationStory{
		moments: []time.Duration{0},
		keep:    (*process).keepCertificates,
		begin: func(p *process) {
			mustKeep(t, p)
			seen[publicKey(pairIn(t, namespace, servingName))] = true
			ask(t, namespace, servingName, v1alpha1.AnnotationRotate, "1")
		},
		observe: func(time.Time) { seen[publicKey(pairIn(t, namespace, servingName))] = true },
		end: func() {
			if len(seen) != 2 {
				t.Errorf("%d keys were seen", len(seen))
			}
		},
	}
}

// For thirty years, whenever it is looked at: the certificate that is served verifies with what a client was given 30 days ago.
func TestAuthorityLife(t *testing.T) {
	namespace := newNamespace(t)
	p := newProcess(t, namespace)
	history := &trust{namespace: namespace}
	authorities := map[string]bool{}
	for looks := 0; p.now.Before(noon.Add(30 * 365 * 24 * time.Hour)); looks++ {
		next := mustKeep(t, p)
		history.mustHold(t, defaultLifetimes.Lead, p.now)
		authorities[publicKey(pairIn(t, namespace, caName))] = true
		if looks%7 == 0 { // The controllers were down.
			next = min(2*next, 80*24*time.Hour)
		}
		p.now = p.now.Add(next)
	}
	if len(authorities) < 5 || len(authorities) > 7 {
		t.Errorf("%d CAs signed", len(authorities))
	}
	for _, reason := range []string{v1alpha1.EventAuthorityPrepared, v1alpha1.EventAuthorityActivated, v1alpha1.EventAuthorityRemoved, v1alpha1.EventServingCertificateIssued} {
		if !strings.Contains(p.events.all(), "Normal "+reason) {
			t.Errorf("there is no event %s", reason)
		}
	}
	if strings.Contains(p.events.all(), v1alpha1.EventAuthorityRepaired) {
		t.Error("a rotation is told as a repair")
	}
}

// Lifetimes can be short, as in a simulation.
func TestShortLifetimes(t *testing.T) {
	namespace := newNamespace(t)
	p := newProcess(t, namespace)
	p.certificates.Lifetimes = CertificateLifetimes{Authority: 20 * time.Minute, Serving: 3 * time.Minute, Lead: 2 * time.Minute}
	history := &trust{namespace: namespace}
	for range 100 {
		next := mustKeep(t, p)
		history.mustHold(t, 2*time.Minute, p.now)
		p.now = p.now.Add(next)
	}
	if age := p.now.Sub(noon); age < 30*time.Minute {
		t.Errorf("100 looks took %v", age)
	}
}

// Whatever is spoilt beside the CA that signs is made good, and nothing that clients trust is lost by it.
func TestAuthorityIsMadeGood(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(data map[string][]byte)
		event string
	}{
		"ca.crt":            {func(data map[string][]byte) { data["ca.crt"] = []byte("theirs") }, v1alpha1.EventAuthorityRepaired},
		"ca.crt gone":       {func(data map[string][]byte) { delete(data, "ca.crt") }, v1alpha1.EventAuthorityRepaired},
		"next.crt":          {func(data map[string][]byte) { data["next.crt"] = []byte("spoilt") }, v1alpha1.EventAuthorityPrepared},
		"next.key":          {func(data map[string][]byte) { delete(data, "next.key") }, v1alpha1.EventAuthorityPrepared},
		"record":            {func(data map[string][]byte) { data["rotation.json"] = []byte("spoilt") }, ""},
		"former CA invalid": {func(data map[string][]byte) { data["previous.crt"] = []byte("spoilt") }, v1alpha1.EventAuthorityRepaired},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t)
			p := newProcess(t, namespace)
			mustKeep(t, p)
			ask(t, namespace, caName, v1alpha1.AnnotationRotate, "1")
			mustKeep(t, p)
			signs := pairIn(t, namespace, caName)
			changeSecret(t, namespace, caName, func(s *corev1.Secret) { test.spoil(s.Data) })
			told := len(p.events.all())
			mustKeep(t, p)
			if bundle := bundleIn(t, namespace); len(bundle) != 2 || !bytes.Equal(bundle[0].Raw, signs.cert.Raw) {
				t.Errorf("%d CAs are trusted", len(bundle))
			}
			mustServe(t, p, signs.cert)
			if events := p.events.all()[told:]; !strings.Contains(events, test.event) {
				t.Errorf("events: %q", events)
			}
			before := versions(t, namespace)
			mustKeep(t, p)
			mustBeUntouched(t, namespace, before)
		})
	}
}

// A CA that somebody provided is theirs to replace: it is used, never changed, and its end is told in time.
func TestProvidedAuthority(t *testing.T) {
	namespace := newNamespace(t)
	provided, root := providedAuthority(t), mustAuthority(t, noon)
	secret := ownedSecret(types.NamespacedName{Namespace: namespace, Name: caName}, v1alpha1.ComponentCertificateAuthority, corev1.SecretTypeTLS)
	bundle := append(root.certPEM(), provided.certPEM()...)
	secret.Data = map[string][]byte{"tls.crt": provided.certPEM(), "tls.key": mustKeyPEM(t, provided), "ca.crt": bundle}
	must(t, suite.admin.Create(t.Context(), secret))
	p := newProcess(t, namespace)
	mustKeep(t, p)
	ask(t, namespace, caName, v1alpha1.AnnotationRotate, "1")
	for p.now.Before(noon.Add(120 * 24 * time.Hour)) {
		next := mustKeep(t, p)
		data := getSecret(t, namespace, caName).Data
		if len(data) != 3 || !bytes.Equal(data["tls.crt"], provided.certPEM()) || !bytes.Equal(data["ca.crt"], bundle) {
			t.Fatalf("at %v it was changed", p.now)
		}
		if told, due := strings.Contains(p.events.all(), "Warning "+v1alpha1.EventAuthorityEnding), !p.now.Before(noon.Add(40*24*time.Hour)); told != due {
			t.Fatalf("at %v, its end was told: %t", p.now, told)
		}
		p.now = p.now.Add(next)
	}
	if status := statusOf(t, namespace, caName); !strings.Contains(status, "provided") || !strings.Contains(status, "expires 2030-04-11T12:00:00Z") {
		t.Errorf("status %q", status)
	}
	// With a certificate that cannot outlive its CA, there is nothing to write.
	before := versions(t, namespace)
	mustKeep(t, p)
	mustBeUntouched(t, namespace, before)

	changeSecret(t, namespace, caName, func(s *corev1.Secret) { s.Data["ca.crt"] = root.certPEM() })
	mustKeep(t, p)
	if got := caOf(t, namespace); got != string(provided.certPEM()) {
		t.Errorf("a ca.crt with which nothing verifies stays: %s", got)
	}
}
