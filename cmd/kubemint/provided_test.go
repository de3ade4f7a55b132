package main_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// Client secrets as users make them.
const (
	theirs      = "3f9a1c0e7b62d85490ab4de1f6c7283b"
	theirsLater = "pV3-kQ9xY_b1Zt7.Lm4~sWd2RfHc8GjNe0UaTqXo6Ei"
)

// A client secret that the user makes gets tokens, with what the companion holds. It is changed, and both get tokens; it is refused
// for being weak, and then corrected. Kubemint never writes to its Secret, nor does its end: the OAuthClient's takes the companion alone.
func TestProvidedSecret(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	c.Spec.Secret.Source = v1alpha1.SecretProvided
	create(t, c)
	if ready := awaitReason(t, c, v1alpha1.ReasonWaitingForSecret); !strings.Contains(ready.Message, "oauth.kubemint.dev/client=worker") {
		t.Errorf("the message has no remedy: %s", ready.Message)
	}
	given := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name, Labels: map[string]string{v1alpha1.LabelClient: c.Name}},
		StringData: map[string]string{"client_secret": theirs},
	}
	create(t, given)
	awaitReason(t, c, v1alpha1.ReasonIssued)
	companion := getSecret(t, c.Namespace, "worker-kubemint")
	if _, there := companion.Data["client_secret"]; there || c.Status.SecretName != "worker" {
		t.Errorf("the companion has the keys %v, the status names %q", keysOf(companion), c.Status.SecretName)
	}
	with := func(value string) *corev1.Secret {
		secret := companion.DeepCopy()
		secret.Data["client_secret"] = []byte(value)
		return secret
	}
	mustGetToken(t, with(theirs)) // Ready means that it gets one (L1).

	put := func(value string) {
		change(t, given, func(s *corev1.Secret) { s.Data["client_secret"] = []byte(value) })
	}
	put(theirsLater)
	awaitEvent(t, c, v1alpha1.EventSecretRotated)
	awaitToken(t, with(theirsLater))
	mustGetToken(t, with(theirs))
	awaitCredentials(t, c, "versions 2 and 1", func(versions []v1alpha1.CredentialStatus) bool {
		return len(versions) == 2 && versions[0].Version == 2 && versions[1].Expires != nil
	})

	put("hunter2hunter2hunter2hunter2hunter2")
	if ready := awaitReason(t, c, v1alpha1.ReasonWeakSecret); !strings.Contains(ready.Message, "it repeats itself") || strings.Contains(ready.Message, "hunter2") {
		t.Errorf("the reason is: %s", ready.Message)
	}
	awaitRefusal(t, with("hunter2hunter2hunter2hunter2hunter2"), 401, "invalid_client")
	mustGetToken(t, with(theirsLater))
	put(theirsLater)
	awaitReason(t, c, v1alpha1.ReasonIssued)
	mustGetToken(t, with(theirsLater))

	now := getSecret(t, c.Namespace, c.Name)
	if now.ResourceVersion != given.ResourceVersion || !reflect.DeepEqual(now.ManagedFields, given.ManagedFields) || len(now.OwnerReferences) > 0 {
		t.Errorf("the user's Secret was written: %+v", now.ObjectMeta)
	}
	for _, value := range []string{theirs, theirsLater, "hunter2"} {
		if strings.Contains(suite.log.String(), value) {
			t.Error("a client secret stands in the log")
		}
	}
	if err := suite.admin.Delete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	await(t, "the companion to go", func() error { return gone(t, companion.DeepCopy()) })
	awaitRefusal(t, with(theirsLater), 401, "invalid_client")
	time.Sleep(time.Second) // What should not happen has its chance to.
	if now := getSecret(t, c.Namespace, c.Name); now.UID != given.UID || now.ResourceVersion != given.ResourceVersion {
		t.Error("the user's Secret went with the OAuthClient, or was written")
	}
}

// A restart, and so a new leader, finds provided Secrets as it left them, and writes nothing (L8).
func TestProvidedSecretAfterRestart(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	c.Spec.Secret.Source = v1alpha1.SecretProvided
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name, Labels: map[string]string{v1alpha1.LabelClient: c.Name}},
		StringData: map[string]string{"client_secret": theirs},
	})
	create(t, c)
	awaitReason(t, c, v1alpha1.ReasonIssued)
	companion := getSecret(t, c.Namespace, "worker-kubemint")
	restart(t, suite.kubemint.Stop, nil)
	// By the time that another one is issued, this one has been looked at.
	awaitReason(t, func() *v1alpha1.OAuthClient { later := newClient(c.Namespace, "later"); create(t, later); return later }(), v1alpha1.ReasonIssued)
	if now := getSecret(t, c.Namespace, "worker-kubemint"); now.ResourceVersion != companion.ResourceVersion {
		t.Error("the companion was written")
	}
	before := c.ResourceVersion
	if awaitReason(t, c, v1alpha1.ReasonIssued); c.ResourceVersion != before {
		t.Error("the status was written")
	}
	secret := companion.DeepCopy()
	secret.Data["client_secret"] = []byte(theirs)
	mustGetToken(t, secret)
}
