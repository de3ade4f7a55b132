package main_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// answer is what kubectl mint why -o json writes of a scope at one place.
type answer struct {
	ResourceServer, Audience, State, Reason, Message, DecidedFrom string
	AddToResources                                                string
	AddToAllowedClients                                           []string
}

// why asks about a scope of a client, and returns the one answer.
func why(t *testing.T, namespace, client, scope string, args ...string) answer {
	t.Helper()
	answers := parsed[[]answer](t, succeeds(t, append([]string{"why", client, scope, "-n", namespace, "-o", "json"}, args...)...))
	if len(answers) != 1 {
		t.Fatalf("%d answers: %+v", len(answers), answers)
	}
	return answers[0]
}

// lines reads lines for spec.allowedClients as YAML.
func lines(t *testing.T, text []string) []v1alpha1.AllowedClient {
	t.Helper()
	var allowed []v1alpha1.AllowedClient
	if err := yaml.UnmarshalStrict([]byte(strings.Join(text, "\n")), &allowed); err != nil {
		t.Fatal(err)
	}
	return allowed
}

// What the owner adds is what the answer says, and it works at once: it is decided from the ResourceServer as it is now.
func TestWhyHasTheLineThatTheOwnerMustAdd(t *testing.T) {
	shop, billing := newNamespace(t), newNamespace(t)
	server := newServer(shop, "orders", []v1alpha1.AllowedClient{})
	create(t, server)
	settled(t, asking(billing, "export", server, "orders:read"), v1alpha1.ReasonNoScopeGranted)

	denied := why(t, billing, "export", "orders:read")
	if denied.State != "Denied" || denied.Reason != v1alpha1.ReasonClientNotAllowed || denied.ResourceServer != shop+"/orders" || denied.DecidedFrom != "ResourceServers" {
		t.Errorf("the answer is %+v", denied)
	}
	contains(t, succeeds(t, "why", "export", "orders:read", "-n", billing), "Denied (ClientNotAllowed)",
		"  The owners of ResourceServer "+shop+"/orders can allow it. To add to its spec.allowedClients:\n    - {namespace: "+billing+`, name: export, scopes: ["orders:read"]}`)
	added := lines(t, denied.AddToAllowedClients)
	change(t, server, func(s *v1alpha1.ResourceServer) { s.Spec.AllowedClients = append(s.Spec.AllowedClients, added...) })

	if granted := why(t, billing, "export", "orders:read"); granted.State != "Granted" || granted.Audience != string(server.Spec.Audience) {
		t.Errorf("with the line, the answer is %+v", granted)
	}
}

// A first list would take from the API's own namespace what it has without one.
func TestWhyKeepsWhatTheOwnersNamespaceHas(t *testing.T) {
	shop, billing := newNamespace(t), newNamespace(t)
	server := newServer(shop, "orders", nil)
	create(t, server)
	settled(t, asking(billing, "export", server, "orders:read"), v1alpha1.ReasonNoScopeGranted)

	allowed := lines(t, why(t, billing, "export", "orders:read").AddToAllowedClients)
	if len(allowed) != 2 || string(allowed[0].Namespace) != shop || string(allowed[1].Namespace) != billing {
		t.Errorf("the lines are %+v", allowed)
	}
}

// Who may not list all ResourceServers is told what Kubemint last reported.
func TestWhyGoesByTheStatusWhereOneMaySeeNoMore(t *testing.T) {
	shop, billing := newNamespace(t), newNamespace(t)
	server := newServer(shop, "orders", []v1alpha1.AllowedClient{})
	create(t, server)
	settled(t, asking(billing, "export", server, "orders:read"), v1alpha1.ReasonNoScopeGranted)
	allow(t, "teller", "view", billing)

	got := why(t, billing, "export", "orders:read", "--as", "teller")
	if got.State != "Denied" || got.DecidedFrom != "Status" || len(got.AddToAllowedClients) != 1 {
		t.Errorf("the answer is %+v", got)
	}
	contains(t, succeeds(t, "why", "export", "orders:read", "-n", billing, "--as", "teller"), "as you may not list ResourceServers")
}

func TestWhySaysThatNobodyOwnsAScope(t *testing.T) {
	namespace := newNamespace(t)
	settled(t, newClient(namespace, "worker"), v1alpha1.ReasonIssued)

	got := why(t, namespace, "worker", "invoices:read")
	if got.State != "Granted" || got.Reason != "Unowned" || !strings.Contains(got.Message, "nobody owns it") {
		t.Errorf("the answer is %+v", got)
	}
}

func TestWhySaysWhoseTurnItIsWhereAScopeIsPending(t *testing.T) {
	namespace := newNamespace(t)
	missing := newServer(namespace, "orders", nil)
	settled(t, asking(namespace, "export", missing, "orders:read"), v1alpha1.ReasonNoScopeGranted)

	if got := why(t, namespace, "export", "orders:read"); got.State != "Pending" || got.Reason != v1alpha1.ReasonResourceServerNotFound {
		t.Errorf("the answer is %+v", got)
	}
}

// The oldest ResourceServer has an audience, and others that name it grant nothing.
func TestWhyNamesWhoHasTheAudience(t *testing.T) {
	shop, billing := newNamespace(t), newNamespace(t)
	owner := newServer(shop, "orders", nil)
	create(t, owner)
	settled(t, asking(shop, "first", owner, "orders:read"), v1alpha1.ReasonIssued)
	second := newServer(billing, "orders", nil)
	second.Spec.Audience = owner.Spec.Audience
	create(t, second)
	settled(t, asking(billing, "export", second, "orders:read"), map[bool]string{true: v1alpha1.ReasonIssued, false: v1alpha1.ReasonNoScopeGranted}[owns(owner, second)])

	got := why(t, billing, "export", "orders:read")
	if owns(owner, second) { // Made in one second, the UID decides.
		got = why(t, shop, "first", "orders:read")
	}
	if got.Reason != v1alpha1.ReasonAudienceConflict || !strings.Contains(got.Message, "had before it") {
		t.Errorf("the answer is %+v", got)
	}
}

func owns(first, second *v1alpha1.ResourceServer) bool {
	return first.CreationTimestamp.Equal(&second.CreationTimestamp) && second.UID < first.UID
}

// For a scope that the client does not ask for, the answer has both lines: the client's and the owner's.
func TestWhySaysHowToAskForAScope(t *testing.T) {
	shop, billing := newNamespace(t), newNamespace(t)
	server := newServer(shop, "orders", []v1alpha1.AllowedClient{})
	create(t, server)
	worker := newClient(billing, "worker")
	settled(t, worker, v1alpha1.ReasonIssued)

	got := why(t, billing, "worker", "orders:write", "--resource-server", shop+"/orders")
	if got.State != "NotAsked" || len(got.AddToAllowedClients) != 1 {
		t.Errorf("the answer is %+v", got)
	}
	var ask []v1alpha1.ResourceRequest
	if err := yaml.UnmarshalStrict([]byte(got.AddToResources), &ask); err != nil {
		t.Fatal(err)
	}
	change(t, worker, func(c *v1alpha1.OAuthClient) { c.Spec.Resources = ask })
	change(t, server, func(s *v1alpha1.ResourceServer) { s.Spec.AllowedClients = lines(t, got.AddToAllowedClients) })
	if after := why(t, billing, "worker", "orders:write"); after.State != "Granted" {
		t.Errorf("with both lines, the answer is %+v", after)
	}

	if nowhere := why(t, billing, "worker", "no:such"); nowhere.State != "NotAsked" || nowhere.ResourceServer != "" {
		t.Errorf("of a scope that nobody has, the answer is %+v", nowhere)
	}
}
