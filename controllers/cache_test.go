package controllers

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers/rotation"
)

// BenchmarkCacheMemory tells what the cache keeps of each OAuthClient and its Secret, and in how many pieces.
func BenchmarkCacheMemory(b *testing.B) {
	const count = 10_000
	options := CacheOptions("kubemint-system")
	transforms := map[string]func(any) (any, error){}
	for object, by := range options.ByObject {
		transforms[fmt.Sprintf("%T", object)] = by.Transform
	}
	var kept []any
	keep := func(object any, into any) {
		raw, err := json.Marshal(object)
		if err != nil {
			b.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			b.Fatal(err)
		}
		into, _ = transforms[fmt.Sprintf("%T", into)](into)
		kept = append(kept, into)
	}
	for b.Loop() {
		kept = nil
		bytes, pieces := heap()
		for i := range count {
			c := newClient("billing", fmt.Sprintf("client-%06d", i))
			c.UID = types.UID(fmt.Sprintf("01234567-89ab-cdef-0123-%012d", i))
			c.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "OAuthClient"}
			keys := &c.Spec.Secret.Keys
			for j, key := range []*v1alpha1.SecretKey{&keys.ClientID, &keys.ClientSecret, &keys.Issuer, &keys.TokenURL, &keys.Scope, &keys.CACert, &keys.Type, &keys.Provider} {
				*key = v1alpha1.SecretKey(fmt.Sprintf("key_%d", j))
			}
			r := &OAuthClientReconciler{Now: func() time.Time { return noon }, Issuer: Issuer{URL: "https://kubemint.svc", TokenURL: "https://kubemint.svc/oauth2/token", CACert: []byte{}}}
			desired, err := r.desiredSecret(b.Context(), c)
			if err != nil {
				b.Fatal(err)
			}
			decision := rotation.ClientSecret("", nil, 1, rotationPolicy(c), rotation.SecretUse{}, noon)
			c.Status = r.statusFor(c, r.Policy.Decide(c, nil), nil, outcome{secretName: c.Name, record: &decision.Record}, nil)
			keep(c, &v1alpha1.OAuthClient{})
			keep(desired.build(decision), &corev1.Secret{})
		}
		after, morePieces := heap()
		b.ReportMetric(float64(after-bytes)/count, "B/client")
		b.ReportMetric(float64(morePieces-pieces)/count, "objects/client")
		runtime.KeepAlive(kept)
	}
}

// heap is the bytes of all that lives, and in how many pieces.
func heap() (bytes, pieces uint64) {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc, stats.HeapObjects
}
