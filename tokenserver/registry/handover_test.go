package registry

import (
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// K05: a replica that sees a key for the first time when it is active already publishes it at once, and signs with it once verifiers
// have had the time to fetch it here. What it remembers of that outlasts keys that cannot be read.
func TestK05ReplicaThatSeesAKeyLate(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	r := &Registry{namespace: "kubemint-system", log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }, clients: newClients(consent.Policy{}, newResourceServers())}
	set := func(stored []byte) {
		r.setSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: v1alpha1.SigningKeysSecretName},
			Data: map[string][]byte{v1alpha1.SigningKeysKey: stored}})
	}
	see := func(keys ...signing.Key) {
		t.Helper()
		ring, err := signing.NewRing(keys...)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := ring.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		set(stored)
	}
	mustSign := func(key signing.Key) {
		t.Helper()
		if got := r.Ring().Signer(now).ID; got != key.ID {
			t.Errorf("at %v key %s signs, want %s", now, got, key.ID)
		}
	}
	newKey := func() signing.Key {
		t.Helper()
		key, err := signing.NewKey(signing.ES256, now.Add(-48*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}

	a, b := newKey(), newKey()
	a.Activate(now.Add(-24 * time.Hour))
	if r.RingValid() {
		t.Error("keys are valid before they are seen")
	}
	see(a)
	mustSign(a)
	a.Retire(now)
	b.Activate(now)
	see(a, b)
	if len(r.Ring().Keys) != 2 {
		t.Error("the new key is not published at once")
	}
	mustSign(a)
	now = now.Add(signing.PublishedMaxAge - time.Second)
	mustSign(a)
	set([]byte("garbage"))
	if r.RingValid() {
		t.Error("garbage is valid")
	}
	mustSign(a)
	now = now.Add(time.Second)
	mustSign(b)
	see(a, b)
	mustSign(b)
	if !r.RingValid() {
		t.Error("good keys are not valid")
	}
	see(b)
	mustSign(b)
}
