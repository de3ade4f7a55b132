package controllers

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

func mustHaveKeys(t *testing.T, c *v1alpha1.OAuthClient, want string) map[string][]byte {
	t.Helper()
	data := getSecret(t, c.Namespace, c.SecretName()).Data
	if got := strings.Join(slices.Sorted(maps.Keys(data)), " "); got != want {
		t.Errorf("the keys are %s, want %s", got, want)
	}
	return data
}

// An OAuthClient is a Provisioned Service, and its Secret a binding, as servicebinding.io has it.
func TestServiceBinding(t *testing.T) {
	c, p := created(t), newProcess(t, "kubemint")
	p.awaitSight(t, c)
	settle(t, p, c)
	mustBeIssued(t, c)
	data := mustHaveKeys(t, c, "client_id client_secret issuer provider scope token_url type")
	if string(data["type"]) != "oauth2" || string(data["provider"]) != "kubemint" {
		t.Errorf("type %q, provider %q", data["type"], data["provider"])
	}
	if c.Status.Binding == nil || c.Status.Binding.Name != c.Name {
		t.Errorf("the binding is %v", c.Status.Binding)
	}

	change(t, c, renameSecret)
	p.awaitSight(t, c)
	settle(t, p, c)
	if mustBeIssued(t, c); c.Status.Binding == nil || c.Status.Binding.Name != c.SecretName() {
		t.Errorf("after renaming, the binding is %v", c.Status.Binding)
	}

	// Where there is no Secret, there is none to bind to.
	other := newClient(newNamespace(t), "worker")
	foreignSecret(t, other.Namespace, other.Name)
	must(t, suite.admin.Create(t.Context(), other))
	p.awaitSight(t, other)
	if _, err := p.reconcile(other); err != nil {
		t.Fatal(err)
	}
	if readyOf(t, other); other.Status.Binding != nil {
		t.Errorf("without a Secret, the binding is %v", other.Status.Binding)
	}
}

// Each key can be renamed and named back. The credential stays, and so does what others keep in the Secret.
func TestKeysRenamedThereAndBack(t *testing.T) {
	c, p := created(t), newProcess(t, "kubemint")
	p.awaitSight(t, c)
	settle(t, p, c)
	was := mustBeIssued(t, c)
	changeSecret(t, c.Namespace, c.Name, func(s *corev1.Secret) { s.Data["theirs"] = []byte("kept") })
	original := c.Spec.Secret.Keys
	follow := func(keys v1alpha1.SecretKeys) {
		t.Helper()
		change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Secret.Keys = keys })
		p.awaitSight(t, c)
		settle(t, p, c)
		if mustBeIssued(t, c) != was {
			t.Error("the credential is another")
		}
	}

	follow(v1alpha1.SecretKeys{ClientID: "CLIENT_ID", ClientSecret: "client-secret", Issuer: "iss", TokenURL: "url", Scope: "scopes",
		CACert: "ca.pem", Type: "kind", Provider: "by", EnvFile: "oauth.env"})
	mustHaveKeys(t, c, "CLIENT_ID by client-secret iss kind oauth.env scopes theirs url")
	follow(original)
	mustHaveKeys(t, c, "client_id client_secret issuer provider scope theirs token_url type")

	// What somebody else has written over is theirs: it is not removed with the rename that put it there.
	follow(v1alpha1.SecretKeys{Issuer: "iss"})
	changeSecret(t, c.Namespace, c.Name, func(s *corev1.Secret) { s.Data["iss"] = []byte("theirs by now") })
	follow(original)
	if data := mustHaveKeys(t, c, "client_id client_secret iss issuer provider scope theirs token_url type"); string(data["iss"]) != "theirs by now" {
		t.Errorf("what somebody else has written came out as %q", data["iss"])
	}
}

// The env file follows every value, is made good, and goes when it is no longer asked for. Once it is there, nothing is written
// or read for it (L8).
func TestEnvFileIsFollowed(t *testing.T) {
	p := newProcess(t, "kubemint")
	c := newClient(newNamespace(t), "worker")
	c.Spec.Secret.Keys.EnvFile = "oauth.env"
	must(t, suite.admin.Create(t.Context(), c))
	lines := func(clientSecret, scope string) string {
		return "CLIENT_ID=" + c.ClientID() + "\nCLIENT_SECRET=" + clientSecret + "\nISSUER=https://kubemint.svc\nPROVIDER=kubemint\nSCOPE=" + scope +
			"\nTOKEN_URL=https://kubemint.svc/oauth2/token\nTYPE=oauth2\n"
	}
	mustFollow := func(scope string) string {
		t.Helper()
		p.awaitSight(t, c)
		settle(t, p, c)
		clientSecret := mustBeIssued(t, c)
		if got, want := string(getSecret(t, c.Namespace, c.SecretName()).Data["oauth.env"]), lines(clientSecret, scope); got != want {
			t.Errorf("the env file is\n%swant\n%s", got, want)
		}
		return clientSecret
	}
	was := mustFollow("invoices:read")

	p.awaitSight(t, c)
	before, live := versions(t, c.Namespace), p.clients.Live
	p.clients.Live = nil // A read would end the test.
	settle(t, p, c)
	p.clients.Live = live
	mustBeUntouched(t, c.Namespace, before)

	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Scopes = append(c.Spec.Scopes, "invoices:write") })
	mustFollow("'invoices:read invoices:write'")
	spoil(func(data map[string][]byte) { data["oauth.env"] = append(data["oauth.env"], "PATH=/tmp\n"...) })(t, c)
	mustFollow("'invoices:read invoices:write'")
	spoil(func(data map[string][]byte) { delete(data, "oauth.env") })(t, c)
	if mustFollow("'invoices:read invoices:write'") != was {
		t.Error("the credential is another")
	}
	// The copy in the env file is none of the values that may be the client secret.
	spoil(func(data map[string][]byte) { delete(data, "client_secret") })(t, c)
	if mustFollow("'invoices:read invoices:write'") == was {
		t.Error("the lost credential was taken from the env file")
	}
	if strings.Contains(p.events.all(), was) {
		t.Error("a credential stands in an event")
	}

	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Secret.Keys.EnvFile = "" })
	p.awaitSight(t, c)
	settle(t, p, c)
	mustHaveKeys(t, c, "client_id client_secret issuer provider scope token_url type")
}
