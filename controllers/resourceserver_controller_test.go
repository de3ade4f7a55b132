package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
)

var policy = consent.Policy{DefaultAudience: issuerAudience, Reserved: []string{issuerAudience + "/oauth2/token"}}

const writeServerStatus = "PATCH resourceservers/status"

// What an API's owner allows and takes back is seen in the status of the client and of the ResourceServer, and writes no Secret.
func TestConsentGivenAndTakenBack(t *testing.T) {
	shop, billing := newNamespace(t), newNamespace(t)
	_, events := start(t, policy, shop, billing)
	orders, stock := newServer(shop, "orders", "https://orders.example"), newServer(shop, "stock", "https://stock.example")
	c := asking(newClient(billing, "worker"), orders, "read", "write")
	c.Spec.Resources = append(c.Spec.Resources, request(stock, "read"))
	create(t, orders, c)

	ready := awaitClient(t, c, v1alpha1.ConditionReady, v1alpha1.ReasonNoScopeGranted)
	for _, remedy := range []string{"read at " + shop + "/orders: the owners of namespace " + shop + " can allow it", "there is no ResourceServer " + shop + "/stock"} {
		if !strings.Contains(ready.Message, remedy) {
			t.Errorf("it says %q; want %q", ready.Message, remedy)
		}
	}
	before := versions(t, billing)
	if len(before) != 1 {
		t.Errorf("Secrets %v", before)
	}
	awaitServer(t, orders, v1alpha1.ReasonAudienceOwned)

	changeServer(t, orders, func(s *v1alpha1.ResourceServer) { allowing(s, billing, "read") })
	awaitClient(t, c, v1alpha1.ConditionReady, v1alpha1.ReasonIssued)
	if denied := awaitClient(t, c, v1alpha1.ConditionScopesGranted, v1alpha1.ReasonSomeDenied); strings.Contains(denied.Message, "read at "+shop+"/orders") {
		t.Errorf("what is granted is told as denied: %q", denied.Message)
	}
	if status := c.Status.Resources[0]; status.Audience != orders.Spec.Audience || status.Scopes[0].State != v1alpha1.ScopeGranted || status.Scopes[1].Reason != v1alpha1.ReasonClientNotAllowed {
		t.Errorf("status %+v", status)
	}
	awaitClients(t, orders, billing+"/worker: [read]")

	changeServer(t, orders, func(s *v1alpha1.ResourceServer) { allowing(s, billing) })
	awaitClient(t, c, v1alpha1.ConditionScopesGranted, v1alpha1.ReasonSomePending)
	stock.Finalizers = []string{"example.com/held"} // On its way out, it grants nothing.
	create(t, allowing(stock, billing))
	awaitClient(t, c, v1alpha1.ConditionScopesGranted, v1alpha1.ReasonAllGranted)
	awaitClients(t, orders, billing+"/worker: [read write]")
	awaitClients(t, stock, billing+"/worker: [read]")

	must(t, suite.admin.Delete(t.Context(), stock))
	awaitClient(t, c, v1alpha1.ConditionScopesGranted, v1alpha1.ReasonSomePending)
	changeServer(t, stock, func(s *v1alpha1.ResourceServer) { s.Finalizers = nil })
	changeServer(t, orders, func(s *v1alpha1.ResourceServer) { s.Spec.AllowedClients = []v1alpha1.AllowedClient{} })
	awaitClient(t, c, v1alpha1.ConditionReady, v1alpha1.ReasonNoScopeGranted)
	awaitClients(t, orders)
	mustBeUntouched(t, billing, before)

	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Suspend = true })
	awaitClient(t, c, v1alpha1.ConditionReady, v1alpha1.ReasonSuspended)
	if told := strings.Count(events.all(), "Normal "+v1alpha1.ReasonAudienceOwned); told != 2 {
		t.Errorf("events %s", events.all())
	}
}

// The oldest ResourceServer has the audience. When it goes, the next one has it at once, and so have its clients.
func TestSuccession(t *testing.T) {
	namespaces := []string{newNamespace(t), newNamespace(t), newNamespace(t)}
	_, events := start(t, policy, namespaces...)
	const audience = "https://succession.example"
	var line []*v1alpha1.ResourceServer
	for _, namespace := range namespaces {
		s := newServer(namespace, "orders", audience)
		create(t, s)
		line = append(line, s)
	}
	for i := range line { // Of one second, the UID decides.
		next := consent.Owner(line[i:])
		at := slices.Index(line, next)
		line[i], line[at] = line[at], line[i]
	}
	c := asking(newClient(line[1].Namespace, "worker"), line[1], "read")
	create(t, c)

	awaitServer(t, line[0], v1alpha1.ReasonAudienceOwned)
	mustLose := func(loser, owner *v1alpha1.ResourceServer) {
		t.Helper()
		if conflict := awaitServer(t, loser, v1alpha1.ReasonAudienceConflict); !strings.Contains(conflict.Message, client.ObjectKeyFromObject(owner).String()) {
			t.Errorf("it says %q", conflict.Message)
		}
	}
	mustLose(line[1], line[0])
	mustLose(line[2], line[0])
	awaitClient(t, c, v1alpha1.ConditionReady, v1alpha1.ReasonNoScopeGranted)
	if reason := c.Status.Resources[0].Scopes[0].Reason; reason != v1alpha1.ReasonAudienceConflict {
		t.Errorf("the client's scope is %s", reason)
	}

	must(t, suite.admin.Delete(t.Context(), line[0]))
	awaitServer(t, line[1], v1alpha1.ReasonAudienceOwned)
	awaitClient(t, c, v1alpha1.ConditionReady, v1alpha1.ReasonIssued)
	awaitClients(t, line[1], c.Namespace+"/worker: [read]")
	await(t, "the last in line to name the new owner", func() error {
		if conflict := awaitServer(t, line[2], v1alpha1.ReasonAudienceConflict); !strings.Contains(conflict.Message, client.ObjectKeyFromObject(line[1]).String()) {
			return fmt.Errorf("it says %q", conflict.Message)
		}
		return nil
	})
	if !strings.Contains(events.all(), "Warning "+v1alpha1.ReasonAudienceConflict) {
		t.Errorf("events %s", events.all())
	}
}

// Nobody is the owner of the issuer's own audiences.
func TestReservedAudience(t *testing.T) {
	namespace := newNamespace(t)
	_, events := start(t, policy, namespace)
	for i, audience := range []v1alpha1.Audience{issuerAudience, issuerAudience + "/oauth2/token"} {
		s := newServer(namespace, fmt.Sprintf("issuer-%d", i), audience)
		c := asking(newClient(namespace, s.Name), s, "read")
		create(t, s, c)
		awaitServer(t, s, v1alpha1.ReasonAudienceReserved)
		awaitClient(t, c, v1alpha1.ConditionReady, v1alpha1.ReasonNoScopeGranted)
		awaitClients(t, s)
	}
	if told := strings.Count(events.all(), "Warning "+v1alpha1.ReasonAudienceReserved); told != 2 {
		t.Errorf("events %s", events.all())
	}
}

// Scopes that nobody owns are granted only where the administrators allow them; the Secret is written all the same.
func TestUnownedForbidden(t *testing.T) {
	forbidden, allowed := newNamespace(t), newNamespace(t)
	forbidding := policy
	forbidding.ForbidUnowned, forbidding.UnownedIn = true, []string{allowed}
	start(t, forbidding, forbidden, allowed)
	refused, granted, mixed := newClient(forbidden, "worker"), newClient(allowed, "worker"), newClient(forbidden, "mixed")
	orders := newServer(forbidden, "orders", "https://unowned.example")
	mixed.Spec.Resources = []v1alpha1.ResourceRequest{request(orders, "read")}
	create(t, orders, refused, granted, mixed)

	awaitClient(t, refused, v1alpha1.ConditionReady, v1alpha1.ReasonNoScopeGranted)
	if condition := awaitClient(t, refused, v1alpha1.ConditionScopesGranted, v1alpha1.ReasonUnownedScopesForbidden); !strings.Contains(condition.Message, "invoices:read") || !strings.Contains(condition.Message, "administrators") {
		t.Errorf("it says %q", condition.Message)
	}
	if secret := getSecret(t, forbidden, "worker"); len(refused.Status.GrantedScopes) != 0 || string(secret.Data["scope"]) != "invoices:read" {
		t.Errorf("granted %v, in the Secret %q", refused.Status.GrantedScopes, secret.Data["scope"])
	}
	awaitClient(t, granted, v1alpha1.ConditionReady, v1alpha1.ReasonIssued)
	if mustBeIssued(t, granted); !slices.Equal(granted.Status.GrantedScopes, granted.Spec.Scopes) { // Without another condition.
		t.Errorf("granted %v", granted.Status.GrantedScopes)
	}
	awaitClient(t, mixed, v1alpha1.ConditionReady, v1alpha1.ReasonIssued)
	awaitClient(t, mixed, v1alpha1.ConditionScopesGranted, v1alpha1.ReasonUnownedScopesForbidden)
}

// A ResourceServer that an OAuthClient referred to before a change, or until it was deleted, lists it no more.
func TestReferenceDropped(t *testing.T) {
	namespace := newNamespace(t)
	start(t, policy, namespace)
	orders, stock := newServer(namespace, "orders", "https://dropped-orders.example"), newServer(namespace, "stock", "https://dropped-stock.example")
	a, b := asking(newClient(namespace, "a"), orders, "read"), asking(newClient(namespace, "b"), orders, "write")
	b.Finalizers = []string{"example.com/held"} // On its way out, it holds nothing.
	create(t, orders, stock, a, b)
	awaitClients(t, orders, namespace+"/a: [read]", namespace+"/b: [write]")

	change(t, a, func(c *v1alpha1.OAuthClient) { asking(c, stock, "write", "read") })
	awaitClients(t, orders, namespace+"/b: [write]")
	awaitClients(t, stock, namespace+"/a: [read write]")
	must(t, suite.admin.Delete(t.Context(), b))
	awaitClients(t, orders)
	change(t, b, func(c *v1alpha1.OAuthClient) { c.Finalizers = nil })
	change(t, a, func(c *v1alpha1.OAuthClient) {
		c.Spec.Scopes, c.Spec.Resources = []v1alpha1.Scope{"invoices:read"}, nil
	})
	awaitClients(t, stock)
	awaitClient(t, a, v1alpha1.ConditionReady, v1alpha1.ReasonIssued)
	if len(a.Status.Conditions) != 1 || len(a.Status.Resources) != 0 {
		t.Errorf("status %+v", a.Status)
	}
}

// Many OAuthClients that change one after the other are few looks at all of them, and few writes.
func TestStormOfClients(t *testing.T) {
	namespace := newNamespace(t)
	lines, _ := start(t, policy, namespace)
	orders := newServer(namespace, "orders", "https://storm.example")
	create(t, orders)
	awaitServer(t, orders, v1alpha1.ReasonAudienceOwned)

	began, from := time.Now(), len(lines.written())
	const clients = 70
	for i := range clients {
		create(t, asking(newClient(namespace, fmt.Sprintf("worker-%02d", clients-i)), orders, "read"))
	}
	await(t, "all clients to be counted", func() error {
		must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(orders), orders))
		if orders.Status.ClientCount != clients {
			return fmt.Errorf("they are %d", orders.Status.ClientCount)
		}
		return nil
	})
	writes := 0
	for _, written := range lines.written()[from:] {
		if written == writeServerStatus {
			writes++
		}
	}
	if most := 2 + int(time.Since(began)/clientsDelay); writes > most {
		t.Errorf("%d writes for %d clients in %s", writes, clients, time.Since(began))
	}
	if listed := orders.Status.Clients; len(listed) != maxClientsTold || listed[0].Name != "worker-01" || listed[63].Name != "worker-64" {
		t.Errorf("%d are listed, from %s to %s", len(listed), listed[0].Name, listed[len(listed)-1].Name)
	}
}

// What is as it should be is not written, not even after a restart (L8).
func TestSteadyStateWritesNothing(t *testing.T) {
	shop, billing := newNamespace(t), newNamespace(t)
	audience := v1alpha1.Audience("https://" + shop + ".example")
	orders, rival := pairOf(t, allowing(newServer(shop, "orders", audience), billing, "read"), allowing(newServer(shop, "rival", audience), billing, "read"))
	reserved := newServer(shop, "reserved", issuerAudience)
	granted, denied, unowned := asking(newClient(billing, "granted"), orders, "read"), asking(newClient(billing, "denied"), orders, "write"), newClient(billing, "unowned")
	blocked := newClient(billing, "blocked")
	foreignSecret(t, billing, "blocked")
	all := []client.Object{orders, rival, reserved, granted, denied, unowned, blocked}
	create(t, all[2:]...)
	look := func(p *process) []string {
		p.servers.Policy, p.clients.Policy = policy, policy
		p.awaitSightOf(t, all...)
		from := len(p.wire.written())
		p.reconcileAll(t, all...)
		p.awaitSightOf(t, all...)
		for namespace := range map[string]bool{shop: true, billing: true} {
			p.awaitSight(t, newClient(namespace, "none"))
		}
		return p.wire.written()[from:]
	}

	p := newProcess(t, "kubemint")
	first := look(p)
	if statuses := len(slices.DeleteFunc(slices.Clone(first), func(w string) bool { return w == makeSecret })); statuses != len(all) {
		t.Errorf("it first wrote %v", first)
	}
	change(t, blocked, func(c *v1alpha1.OAuthClient) { c.Spec.Resources = []v1alpha1.ResourceRequest{request(orders, "read")} })
	if written := look(p); !slices.Equal(written, []string{writeServerStatus, writeStatus}) {
		t.Errorf("after a change it wrote %v", written)
	}
	changeServer(t, orders, func(s *v1alpha1.ResourceServer) { allowing(s, billing, "read", "write") })
	look(p)
	look(p)
	for name, again := range map[string]*process{"again": p, "after a restart": newProcess(t, "kubemint")} {
		again.now = noon.Add(time.Hour)
		if written := look(again); len(written) > 0 {
			t.Errorf("%s it wrote %v", name, written)
		}
	}
	must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(blocked), blocked))
	if !meta.IsStatusConditionTrue(blocked.Status.Conditions, v1alpha1.ConditionStalled) || !meta.IsStatusConditionTrue(blocked.Status.Conditions, v1alpha1.ConditionScopesGranted) {
		t.Errorf("conditions %+v", blocked.Status.Conditions)
	}
}

// Who names an audience that another one has makes no work for others.
func TestServersConcerned(t *testing.T) {
	p, namespace := newProcess(t, "kubemint"), newNamespace(t)
	audience := v1alpha1.Audience("https://" + namespace + ".example")
	create(t, newServer(namespace, "c", audience+"/"))
	elder, younger := pairOf(t, newServer(namespace, "a", audience), newServer(namespace, "b", audience))
	owner, claimant := client.ObjectKeyFromObject(elder), client.ObjectKeyFromObject(younger)
	mustConcern := func(changed *v1alpha1.ResourceServer, want ...types.NamespacedName) {
		t.Helper()
		if got := serversConcerned(t.Context(), p.clients.Client, changed); !slices.Equal(got, want) {
			t.Errorf("%s concerns %v, want %v", changed.Name, got, want)
		}
	}
	p.awaitSightOf(t, elder, younger)
	mustConcern(elder, owner, claimant)
	mustConcern(younger, claimant)
	must(t, suite.admin.Delete(t.Context(), elder))
	p.awaitSightOf(t, elder)
	mustConcern(elder, owner, claimant)
}
