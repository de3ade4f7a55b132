package main_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// A rotation on demand: the Secret has another client secret, and the one before gets tokens too; of both, the status says when they
// were last used. The same request does not rotate again; another one does.
func TestRotationOnDemand(t *testing.T) {
	c := newClient(newNamespace(t), "worker")
	first := issued(t, c)
	mustGetToken(t, first)
	awaitCredentials(t, c, "version 1 used", func(versions []v1alpha1.CredentialStatus) bool {
		return len(versions) == 1 && versions[0].LastUsed != nil
	})

	ask := func(value string) *corev1.Secret {
		before := secretOf(t, c)
		change(t, c, func(c *v1alpha1.OAuthClient) { c.Annotations = map[string]string{v1alpha1.AnnotationRotate: value} })
		return awaitSecret(t, c.Namespace, c.Name, "rotated", func(s *corev1.Secret) bool {
			return string(s.Data["client_secret"]) != string(before.Data["client_secret"])
		})
	}
	second := ask("once")
	awaitEvent(t, c, v1alpha1.EventSecretRotated)
	awaitToken(t, second)
	mustGetToken(t, first)
	awaitCredentials(t, c, "versions 2 and 1", func(versions []v1alpha1.CredentialStatus) bool {
		return len(versions) == 2 && versions[0].Version == 2 && versions[0].Expires == nil && versions[1].Version == 1 &&
			versions[1].LastUsed != nil && versions[1].Expires.Sub(versions[0].Created.Time) == 7*24*time.Hour
	})

	// A change of something else is no request.
	change(t, c, func(c *v1alpha1.OAuthClient) {
		c.Spec.Secret.Template.Labels = map[string]v1alpha1.LabelValue{"team": "billing"}
	})
	labelled := awaitSecret(t, c.Namespace, c.Name, "labelled", func(s *corev1.Secret) bool { return s.Labels["team"] == "billing" })
	if !slices.Equal(labelled.Data["client_secret"], second.Data["client_secret"]) {
		t.Error("the same request rotated twice")
	}
	third := ask("twice")
	for _, secret := range []*corev1.Secret{third, second, first} {
		awaitToken(t, secret)
	}
	// Deleting the Secret is how to make all of them void at once.
	if err := suite.admin.Delete(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	fourth := awaitSecret(t, c.Namespace, c.Name, "made again", func(s *corev1.Secret) bool { return s.UID != third.UID })
	awaitToken(t, fourth)
	for _, secret := range []*corev1.Secret{third, second, first} {
		awaitRefusal(t, secret, 401, "invalid_client")
	}
	awaitCredentials(t, c, "version 4 alone", func(versions []v1alpha1.CredentialStatus) bool {
		return len(versions) == 1 && versions[0].Version == 4
	})
}

func awaitCredentials(t *testing.T, c *v1alpha1.OAuthClient, what string, holds func([]v1alpha1.CredentialStatus) bool) {
	t.Helper()
	await(t, "the status to show "+what, func() error {
		if err := suite.admin.Get(t.Context(), client.ObjectKeyFromObject(c), c); err != nil {
			return err
		}
		if !holds(c.Status.Credentials) {
			return fmt.Errorf("it shows %+v", c.Status.Credentials)
		}
		return nil
	})
}
