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

// K07: bad keys neither make a registry ready nor replace good ones; good ones do both.
func TestK07BadSigningKeys(t *testing.T) {
	ring, err := signing.NewRingWithKey(signing.ES256, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good, err := ring.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	// It has no views, and so nothing else to wait for.
	r := &Registry{namespace: "kubemint-system", log: slog.New(slog.DiscardHandler), now: time.Now, clients: newClients(consent.Policy{}, newResourceServers())}
	set := func(keys []byte) {
		r.setSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: v1alpha1.SigningKeysSecretName},
			Data: map[string][]byte{v1alpha1.SigningKeysKey: keys}})
	}
	for _, bad := range [][]byte{nil, []byte("garbage"), []byte(`{"keys":[]}`), good[:len(good)-10]} {
		if set(bad); r.Ring() != nil || r.Ready() {
			t.Fatalf("%.20q made a ring", bad)
		}
	}
	if set(good); !r.Ready() || r.Ring().Active().ID != ring.Active().ID {
		t.Fatal("good keys were not taken over")
	}
	for _, bad := range [][]byte{nil, []byte("garbage"), []byte(`{"keys":[]}`), good[:len(good)-10]} {
		if set(bad); !r.Ready() || r.Ring().Active().ID != ring.Active().ID {
			t.Errorf("%.20q replaced a good ring", bad)
		}
	}
}
