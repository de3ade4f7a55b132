package controllers

import (
	"bytes"
	"context"
	"crypto/x509"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

const (
	caName      = v1alpha1.CertificateAuthoritySecretName
	servingName = v1alpha1.ServingCertificateSecretName
)

func (p *process) keepCertificates() (ctrl.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), reconcileTimeout)
	defer cancel()
	return p.certificates.Reconcile(ctx, ctrl.Request{})
}

// mustKeep has the certificates seen to, and returns when to look again.
func mustKeep(t *testing.T, p *process) time.Duration {
	t.Helper()
	result, err := p.keepCertificates()
	must(t, err)
	return result.RequeueAfter
}

func caOf(t *testing.T, namespace string) string {
	t.Helper()
	return string(getSecret(t, namespace, caName).Data["ca.crt"])
}

// pairIn returns the key pair in one of Kubemint's own Secrets.
func pairIn(t *testing.T, namespace, name string) *keyPair {
	t.Helper()
	data := getSecret(t, namespace, name).Data
	pair, err := parseKeyPair(data["tls.crt"], data["tls.key"])
	must(t, err)
	return pair
}

// mustServe checks that the serving certificate verifies, now, with what clients trust.
func mustServe(t *testing.T, p *process, trusted *x509.Certificate) {
	t.Helper()
	for _, host := range []string{"kubemint.svc", "192.0.2.1"} {
		if err := verify(pairIn(t, p.certificates.Namespace, servingName).cert, trusted, host, p.now, x509.ExtKeyUsageServerAuth); err != nil {
			t.Errorf("at %v: %v", p.now, err)
		}
	}
}

func TestCertificatesLife(t *testing.T) {
	namespace := newNamespace(t)
	p := newProcess(t, namespace)
	next := mustKeep(t, p)
	ca, caSecret := pairIn(t, namespace, caName), getSecret(t, namespace, caName)
	mustServe(t, p, ca.cert)
	for _, name := range []string{caName, servingName} {
		secret := getSecret(t, namespace, name)
		if secret.Type != corev1.SecretTypeTLS || !bytes.Equal(secret.Data["ca.crt"], ca.certPEM()) || secret.Labels[v1alpha1.LabelComponent] == "" {
			t.Errorf("%s has type %s and labels %v", name, secret.Type, secret.Labels)
		}
	}

	t.Run("nothing to do until the serving certificate is due", func(t *testing.T) {
		before := versions(t, namespace)
		if again := mustKeep(t, p); again != next {
			t.Errorf("next in %v, then in %v", next, again)
		}
		p.now = p.now.Add(next - time.Second)
		if again := mustKeep(t, p); again != time.Second {
			t.Errorf("a second before, next in %v", again)
		}
		mustBeUntouched(t, namespace, before)
	})
	t.Run("the serving certificate is renewed at 60 days", func(t *testing.T) {
		before := pairIn(t, namespace, servingName)
		p.now = noon.Add(60 * 24 * time.Hour)
		mustKeep(t, p)
		after := pairIn(t, namespace, servingName)
		if !after.cert.NotAfter.Equal(p.now.Add(defaultLifetimes.Serving)) || publicKey(after) == publicKey(before) {
			t.Errorf("it expires %v, of %v before", after.cert.NotAfter, before.cert.NotAfter)
		}
		if getSecret(t, namespace, caName).ResourceVersion != caSecret.ResourceVersion {
			t.Error("the CA was written")
		}
		mustServe(t, p, ca.cert)
	})
	t.Run("a restart finds nothing to do", func(t *testing.T) {
		before := versions(t, namespace)
		restarted := newProcess(t, namespace)
		restarted.now = p.now
		mustKeep(t, restarted)
		mustBeUntouched(t, namespace, before)
	})
}

func TestServingCertificateIsMadeGood(t *testing.T) {
	for name, happens := range map[string]func(t *testing.T, p *process, namespace string){
		"deleted": func(t *testing.T, _ *process, namespace string) {
			must(t, suite.admin.Delete(t.Context(), getSecret(t, namespace, servingName)))
		},
		"spoilt": func(t *testing.T, _ *process, namespace string) {
			changeSecret(t, namespace, servingName, func(s *corev1.Secret) { s.Data["tls.key"] = []byte("spoilt") })
		},
		"other hosts configured": func(_ *testing.T, p *process, _ string) {
			p.certificates.Hosts = append([]string{"new.svc"}, p.certificates.Hosts...)
		},
		"another CA provided": func(t *testing.T, _ *process, namespace string) {
			provided := mustAuthority(t, noon)
			changeSecret(t, namespace, caName, func(s *corev1.Secret) {
				s.Data = map[string][]byte{"tls.crt": provided.certPEM(), "tls.key": mustKeyPEM(t, provided)}
			})
		},
		"CA deleted": func(t *testing.T, _ *process, namespace string) {
			must(t, suite.admin.Delete(t.Context(), getSecret(t, namespace, caName)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t)
			p := newProcess(t, namespace)
			mustKeep(t, p)
			before := pairIn(t, namespace, servingName)
			happens(t, p, namespace)
			p.awaitSight(t, newClient(namespace, "none"))
			mustKeep(t, p)
			mustServe(t, p, pairIn(t, namespace, caName).cert)
			if after := pairIn(t, namespace, servingName); bytes.Equal(after.cert.Raw, before.cert.Raw) {
				t.Error("it is the same as before")
			}
			// What clients are given is what it verifies with.
			if data := getSecret(t, namespace, caName).Data; !bytes.Equal(data["ca.crt"], data["tls.crt"]) {
				t.Error("ca.crt is another than the CA's certificate")
			}
			written := versions(t, namespace)
			mustKeep(t, p)
			mustBeUntouched(t, namespace, written)
		})
	}
}

// Every client trusts the CA: one that cannot serve is for somebody to decide about, and is left alone.
func TestSpoiltAuthority(t *testing.T) {
	other := mustAuthority(t, noon)
	for name, spoilt := range map[string]func(data map[string][]byte){
		"certificate spoilt": func(data map[string][]byte) { data["tls.crt"] = []byte("spoilt") },
		"key of another CA":  func(data map[string][]byte) { data["tls.key"] = mustKeyPEM(t, other) },
		"key in certificate": func(data map[string][]byte) { data["tls.crt"] = data["tls.key"] },
		"emptied":            func(data map[string][]byte) { maps.Copy(data, map[string][]byte{"tls.crt": nil, "tls.key": nil}) },
		"not a CA's certificate": func(data map[string][]byte) {
			serving := mustServing(t, other, noon, hosts...)
			maps.Copy(data, map[string][]byte{"tls.crt": serving.certPEM(), "tls.key": mustKeyPEM(t, serving), "ca.crt": serving.certPEM()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t)
			p := newProcess(t, namespace)
			mustKeep(t, p)
			key := getSecret(t, namespace, caName).Data["tls.key"]
			changeSecret(t, namespace, caName, func(s *corev1.Secret) { spoilt(s.Data) })
			p.awaitSight(t, newClient(namespace, "none"))
			before := getSecret(t, namespace, caName)
			serving := getSecret(t, namespace, servingName)
			_, err := p.keepCertificates()
			after := getSecret(t, namespace, caName)
			if !reflect.DeepEqual(after.Data, before.Data) || getSecret(t, namespace, servingName).ResourceVersion != serving.ResourceVersion {
				t.Error("it was written")
			}
			if status := after.Annotations[v1alpha1.AnnotationStatus]; !strings.Contains(status, "cannot be read") {
				t.Errorf("status %q", status)
			}
			described := versions(t, namespace)
			if _, err := p.keepCertificates(); err == nil {
				t.Error("the next time, all is well")
			}
			mustBeUntouched(t, namespace, described)
			if err == nil || !strings.Contains(err.Error(), "restore it, or delete it") {
				t.Fatalf("error %v", err)
			}
			if events := p.events.all(); !strings.Contains(events, "Warning CertificateAuthorityInvalid") || !strings.Contains(events, "restore the Secret from a backup") {
				t.Errorf("events: %s", events)
			}
			for _, material := range [][]byte{key, mustKeyPEM(t, other)} {
				if leak := leaked(err.Error()+p.events.all()+after.Annotations[v1alpha1.AnnotationStatus], material, material); leak != "" {
					t.Errorf("%q of a key is told: %v", leak, err)
				}
			}
		})
	}
}

// Two leaders that find no certificates end with one CA.
func TestTwoLeadersMakeOneAuthority(t *testing.T) {
	namespace := newNamespace(t)
	leaders := []*process{newProcess(t, namespace), newProcess(t, namespace)}
	// The winner goes on to the serving certificate; the loser fails, and so never signs with the CA that it threw away.
	collide(t, leaders, func(p *process) error { _, err := p.keepCertificates(); return err })
	ca := caOf(t, namespace)
	for _, p := range leaders {
		p.awaitSight(t, newClient(namespace, "none"))
		mustKeep(t, p)
		mustServe(t, p, pairIn(t, namespace, caName).cert)
	}
	if caOf(t, namespace) != ca {
		t.Error("the CA was replaced")
	}
}
