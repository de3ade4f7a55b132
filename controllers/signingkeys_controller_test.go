package controllers

import (
	"context"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

func (p *process) keepSigningKeys() (ctrl.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), reconcileTimeout)
	defer cancel()
	return p.signingKeys.Reconcile(ctx, ctrl.Request{})
}

func ringIn(t *testing.T, namespace string) *signing.Ring {
	t.Helper()
	ring, err := signing.ParseRing(getSecret(t, namespace, v1alpha1.SigningKeysSecretName).Data[v1alpha1.SigningKeysKey])
	must(t, err)
	return ring
}

func TestSigningKeys(t *testing.T) {
	namespace := newNamespace(t)
	leaders := []*process{newProcess(t, namespace), newProcess(t, namespace)}
	nobody := newClient(namespace, "none")
	collide(t, leaders, func(p *process) error { _, err := p.keepSigningKeys(); return err })
	ring, before := ringIn(t, namespace), versions(t, namespace)
	if len(ring.Keys) != 1 || ring.Active().Algorithm != signing.ES256 || !ring.Active().Activated.Equal(noon) {
		t.Errorf("the ring is %v", ring.Keys)
	}

	keep := func(t *testing.T, p *process) ctrl.Result {
		t.Helper()
		p.awaitSight(t, nobody)
		result, err := p.keepSigningKeys()
		must(t, err)
		return result
	}
	t.Run("made once", func(t *testing.T) {
		for _, p := range leaders {
			keep(t, p)
		}
		mustBeUntouched(t, namespace, before)
	})
	t.Run("left alone when spoilt", func(t *testing.T) {
		p := leaders[1]
		changeSecret(t, namespace, v1alpha1.SigningKeysSecretName, func(s *corev1.Secret) {
			ring := s.Data[v1alpha1.SigningKeysKey]
			s.Data[v1alpha1.SigningKeysKey] = ring[:len(ring)-20]
		})
		spoilt := getSecret(t, namespace, v1alpha1.SigningKeysSecretName)
		if result := keep(t, p); result.RequeueAfter != maxRetry {
			t.Errorf("it looks again in %v", result.RequeueAfter)
		}
		described := getSecret(t, namespace, v1alpha1.SigningKeysSecretName)
		if !reflect.DeepEqual(described.Data, spoilt.Data) {
			t.Error("it was written")
		}
		if status := described.Annotations[v1alpha1.AnnotationStatus]; !strings.Contains(status, "cannot be read") || strings.Contains(status, "PRIVATE KEY") {
			t.Errorf("status %q", status)
		}
		left := versions(t, namespace)
		keep(t, p)
		mustBeUntouched(t, namespace, left)
		events := p.events.all()
		if !strings.Contains(events, "Warning SigningKeysInvalid") || !strings.Contains(events, "restore the Secret from a backup, or delete it") {
			t.Errorf("events: %s", events)
		}
		if strings.Contains(events, "PRIVATE KEY") {
			t.Error("the event quotes the ring")
		}
	})
	t.Run("made anew when deleted", func(t *testing.T) {
		must(t, suite.admin.Delete(t.Context(), getSecret(t, namespace, v1alpha1.SigningKeysSecretName)))
		keep(t, leaders[1])
		if anew := ringIn(t, namespace); anew.Active().ID == ring.Active().ID {
			t.Error("it is the same key")
		}
	})
}

// The name may be held by a Secret that the cache does not show for want of a label. It is never overwritten, and the error
// says what to do.
func TestUnlabelledSigningKeys(t *testing.T) {
	namespace := newNamespace(t)
	foreignSecret(t, namespace, v1alpha1.SigningKeysSecretName)
	before := versions(t, namespace)
	_, err := newProcess(t, namespace).keepSigningKeys()
	if err == nil || !strings.Contains(err.Error(), v1alpha1.LabelComponent+"="+v1alpha1.ComponentSigningKeys) {
		t.Errorf("error %v", err)
	}
	mustBeUntouched(t, namespace, before)
}
