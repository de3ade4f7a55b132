package registry

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// A client secret that somebody else makes proves its client by the record in Kubemint's own Secret alone: the Secret that holds it
// is none of the registry's.
func TestProvidedSecretProvesByTheRecord(t *testing.T) {
	const present, former, gone = "3f9a1c0e7b62d85490ab4de1f6c7283b", "90ab4de1f6c7283b3f9a1c0e7b62d854", "d85490ab4de1f6c7283b3f9a1c0e7b62"
	worker := oauthClient("worker", "uid-1", "read")
	record := credential.Record{
		Present: credential.Version{Number: 3, Digest: credential.DigestOf(present), Created: noon},
		Previous: []credential.Version{
			{Number: 2, Digest: credential.DigestOf(former), Created: noon, Replaced: noon, Expires: noon.Add(time.Hour)},
			{Number: 1, Digest: credential.DigestOf(gone), Created: noon, Replaced: noon, Expires: noon},
		},
	}
	companion := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "billing", Name: "worker-kubemint", Annotations: map[string]string{v1alpha1.AnnotationCredentials: record.String()},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(worker, v1alpha1.GroupVersion.WithKind("OAuthClient"))},
		},
		Data: credential.SealSecrets(map[string][]byte{"client_id": []byte("billing.worker"), "not_ours": []byte(gone)}),
	}
	c := newClients(consent.Policy{}, newResourceServers())
	c.set(worker)
	c.setSecret(secret("billing", "worker", nil, gone))
	c.setSecret(companion)
	for value, want := range map[string]bool{present: true, former: true, gone: false} {
		if got := c.proves("billing.worker", value); got != want {
			t.Errorf("%s proves the client: %t, want %t", value, got, want)
		}
	}
	c.deleteSecret(companion)
	if c.proves("billing.worker", present) {
		t.Error("without the record it still proves the client")
	}
}
