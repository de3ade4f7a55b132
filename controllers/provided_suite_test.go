package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// Client secrets as users make them.
const (
	theirs      = "3f9a1c0e7b62d85490ab4de1f6c7283b"
	theirsLater = "pV3-kQ9xY_b1Zt7.Lm4~sWd2RfHc8GjNe0UaTqXo6Ei"
)

// newProvidedCache returns the cache of provided Secrets as SetupWithManager makes it, to be started.
func newProvidedCache(ctx context.Context, t *testing.T, config *rest.Config) cache.Cache {
	t.Helper()
	secrets, err := cache.New(config, providedCacheOptions(suite.scheme))
	must(t, err)
	_, err = secrets.GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false))
	must(t, err)
	return secrets
}

// seesProvided returns an error while a process does not see the provided Secrets of a namespace as they are now.
func (p *process) seesProvided(t *testing.T, namespace string) error {
	t.Helper()
	resourceVersions := func(reader client.Reader) map[string]string {
		var list corev1.SecretList
		must(t, reader.List(t.Context(), &list, client.InNamespace(namespace), client.HasLabels{v1alpha1.LabelClient}))
		found := map[string]string{}
		for i := range list.Items {
			found[list.Items[i].Name] = list.Items[i].ResourceVersion
		}
		return found
	}
	if seen, want := resourceVersions(p.clients.Provided), resourceVersions(suite.admin); !maps.Equal(seen, want) {
		return fmt.Errorf("of provided Secrets it shows %v", seen)
	}
	return nil
}

// newProvidedSecret returns a Secret as its user makes it for an OAuthClient.
func newProvidedSecret(c *v1alpha1.OAuthClient, value string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.SecretName(), Labels: map[string]string{v1alpha1.LabelClient: c.Name}},
		StringData: map[string]string{"client_secret": value},
	}
}

func provide(t *testing.T, c *v1alpha1.OAuthClient, value string) {
	t.Helper()
	must(t, suite.admin.Create(t.Context(), newProvidedSecret(c, value)))
}

func provideAnother(t *testing.T, c *v1alpha1.OAuthClient, value string) {
	t.Helper()
	changeSecret(t, c.Namespace, c.SecretName(), func(s *corev1.Secret) { s.Data["client_secret"] = []byte(value) })
}

func takeAway(t *testing.T, c *v1alpha1.OAuthClient) {
	t.Helper()
	must(t, suite.admin.Delete(t.Context(), getSecret(t, c.Namespace, c.SecretName())))
}

// toProvided creates an OAuthClient for a new namespace whose client secret somebody else makes.
func toProvided(t *testing.T) *v1alpha1.OAuthClient {
	t.Helper()
	c := newClient(newNamespace(t), "worker")
	c.Spec.Secret.Source = v1alpha1.SecretProvided
	must(t, suite.admin.Create(t.Context(), c))
	return c
}

// follow has a process reconcile an OAuthClient once, when it sees all that there is, and returns what it wrote.
func (p *process) follow(t *testing.T, c *v1alpha1.OAuthClient) (written []string) {
	t.Helper()
	p.awaitSight(t, c)
	from := len(p.wire.written())
	_, err := p.reconcile(c)
	must(t, err)
	return p.wire.written()[from:]
}

// mustRest checks that there is nothing left to write (L8).
func (p *process) mustRest(t *testing.T, c *v1alpha1.OAuthClient) {
	t.Helper()
	if written := p.follow(t, c); len(written) > 0 {
		t.Errorf("with nothing to do, it wrote %v", written)
	}
}

// mustBeValid checks which client secrets the Secrets of an OAuthClient prove.
func mustBeValid(t *testing.T, p *process, c *v1alpha1.OAuthClient, want map[string]bool) {
	t.Helper()
	var accepted []credential.Accepted
	for _, secret := range secretsIn(t, c.Namespace) {
		if record := recordIn(*secret); record != nil && metav1.IsControlledBy(secret, c) {
			accepted = append(accepted, record.Accepted()...)
		}
	}
	for value, valid := range want {
		if got := credential.Match(value, accepted, p.now) != nil; got != valid {
			t.Errorf("%s... is valid: %t, want %t", value[:8], got, valid)
		}
	}
}

// mustBeProvided checks that an OAuthClient is ready with a client secret that somebody else made, and that all Kubemint has is the
// companion without it.
func mustBeProvided(t *testing.T, c *v1alpha1.OAuthClient, value string) *corev1.Secret {
	t.Helper()
	ready := readyOf(t, c)
	if ready.Reason != v1alpha1.ReasonIssued || c.Status.ObservedGeneration != c.Generation || c.Status.SecretName != c.SecretName() {
		t.Errorf("%s has generation %d and the status %+v", c.Name, c.Generation, c.Status)
	}
	owned := slices.DeleteFunc(slices.Collect(maps.Values(secretsIn(t, c.Namespace))), func(s *corev1.Secret) bool { return !metav1.IsControlledBy(s, c) })
	if len(owned) != 1 || owned[0].Name != c.Name+"-kubemint" {
		t.Fatalf("%s has %d Secrets, the first is %q", c.Name, len(owned), append(owned, &corev1.Secret{})[0].Name)
	}
	record := recordIn(*owned[0])
	if record == nil || record.Present.Digest != credential.DigestOf(value) || !record.Present.Expires.IsZero() {
		t.Fatalf("the record is %v", record)
	}
	for key, held := range owned[0].Data {
		if string(held) == value || key == "client_secret" {
			t.Errorf("the companion holds the client secret under %q", key)
		}
	}
	if string(owned[0].Data["client_id"]) != c.ClientID() || len(owned[0].Data["token_url"]) == 0 {
		t.Errorf("the companion has the keys %v", slices.Sorted(maps.Keys(owned[0].Data)))
	}
	return owned[0]
}
