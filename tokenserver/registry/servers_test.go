package registry

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

const audience = "https://orders.shop.svc"

// resourceServer returns one with the scope read, which allows it to some namespaces.
func resourceServer(namespace string, uid types.UID, generation int64, allowed ...v1alpha1.NamespaceName) *v1alpha1.ResourceServer {
	s := &v1alpha1.ResourceServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders", UID: uid, Generation: generation, CreationTimestamp: metav1.NewTime(noon)},
		Spec: v1alpha1.ResourceServerSpec{Audience: audience, Scopes: []v1alpha1.ScopeDefinition{{Name: "read"}},
			AllowedClients: []v1alpha1.AllowedClient{}},
	}
	for _, namespace := range allowed {
		s.Spec.AllowedClients = append(s.Spec.AllowedClients, v1alpha1.AllowedClient{Namespace: namespace})
	}
	return s
}

// asking returns an OAuthClient that asks for the scope read at shop/orders.
func asking(name string, uid types.UID) *v1alpha1.OAuthClient {
	c := oauthClient(name, uid)
	c.Spec.Resources = []v1alpha1.ResourceRequest{{
		ResourceServer: v1alpha1.ResourceServerReference{Namespace: "shop", Name: "orders"}, Scopes: []v1alpha1.Scope{"read"}}}
	return c
}

// granted returns what a client has now, as AUDIENCE SCOPES.
func (c *clients) granted(id string) string {
	var all []string
	for _, access := range c.get(id).Accesses {
		all = append(all, strings.TrimSpace(access.Audience+" "+access.Granted.String()))
	}
	return strings.Join(all, ", ")
}

func TestConsentIsReevaluated(t *testing.T) {
	servers := newResourceServers()
	c := newClients(consent.Policy{}, servers)
	const has, hasNot, nothing = audience + " read", audience, ""
	want := func(step, want string) {
		t.Helper()
		if got := c.granted("billing.worker"); got != want {
			t.Errorf("%s: has %q, want %q", step, got, want)
		}
	}
	c.set(asking("worker", "uid-1"))
	want("no ResourceServer", nothing)
	servers.set(resourceServer("shop", "uid-2", 1, "billing"))
	want("allowed", has)
	servers.set(resourceServer("shop", "uid-2", 2))
	want("taken back", hasNot)
	servers.set(resourceServer("shop", "uid-2", 3, "billing"))
	want("allowed again", has)
	c.set(asking("worker", "uid-1"))
	want("the OAuthClient changed", has)
	value := credential.Generate()
	c.setSecret(secret("billing", "s", asking("worker", "uid-1"), value))
	want("its Secret changed", has)

	older := resourceServer("evil", "uid-0", 1)
	older.CreationTimestamp = metav1.NewTime(noon.Add(-time.Hour))
	servers.set(older)
	want("an older one has the audience", nothing)
	servers.delete(older)
	want("the older one is gone", has)
	if !c.proves("billing.worker", value) {
		t.Error("its secret proves it no longer")
	}

	servers.replace("", nil)
	want("gone while nobody watched", nothing)
	servers.replace("", []*v1alpha1.ResourceServer{resourceServer("shop", "uid-2", 4, "billing")})
	want("there again", has)
	deleted := resourceServer("shop", "uid-2", 4, "billing")
	deleted.DeletionTimestamp = &deleted.CreationTimestamp
	servers.set(deleted)
	want("being deleted", nothing)
	servers.set(resourceServer("shop", "uid-3", 4, "billing"))
	want("made anew", has)
	servers.delete(resourceServer("shop", "uid-3", 4))
	want("deleted", nothing)

	c.set(oauthClient("worker", "uid-1", "read"))
	servers.set(resourceServer("shop", "uid-4", 1, "billing"))
	want("asks for it no more", "read")
	c.set(asking("worker", "uid-1"))
	c.replace("", nil)
	if c.get("billing.worker") != nil || len(c.askers) > 0 {
		t.Error("it is there yet")
	}
}

// A ResourceServer's status is written with each of its clients. No decision changes by it, so that none is made anew.
func TestStatusChangesNoDecision(t *testing.T) {
	servers := newResourceServers()
	c := newClients(consent.Policy{}, servers)
	c.set(asking("worker", "uid-1"))
	servers.set(resourceServer("shop", "uid-2", 1, "billing"))
	before := c.get("billing.worker").Revision
	servers.set(resourceServer("shop", "uid-2", 1, "billing"))
	if c.get("billing.worker").Revision != before {
		t.Error("decided anew")
	}
	servers.set(resourceServer("shop", "uid-2", 2, "billing"))
	if c.get("billing.worker").Revision == before {
		t.Error("not decided anew")
	}
}

// Requests come while ResourceServers and OAuthClients change: run with -race.
func TestConsentConcurrently(t *testing.T) {
	servers := newResourceServers()
	c := newClients(consent.Policy{}, servers)
	var all sync.WaitGroup
	for i := range int64(4) {
		all.Go(func() {
			for n := range int64(500) {
				switch i {
				case 0:
					servers.set(resourceServer("shop", "uid-2", n, []v1alpha1.NamespaceName{"billing", "other"}[n%2]))
				case 1:
					c.set(asking("worker", types.UID(fmt.Sprint(n%3))))
				case 2:
					c.delete(asking("worker", "0"))
				default:
					c.get("billing.worker")
				}
			}
		})
	}
	all.Wait()
	servers.set(resourceServer("shop", "uid-2", 1_000, "billing"))
	c.set(asking("worker", "1"))
	if got := c.granted("billing.worker"); got != audience+" read" {
		t.Errorf("in the end it has %q", got)
	}
}

func TestPublishedResourceServer(t *testing.T) {
	servers := newResourceServers()
	c := newClients(consent.Policy{Reserved: []string{"https://issuer.example"}}, servers)
	published := func(namespace string) bool {
		return c.published(types.NamespacedName{Namespace: namespace, Name: "orders"}) != nil
	}
	s := resourceServer("shop", "uid-2", 1)
	servers.set(s)
	if published("shop") {
		t.Error("published, though its owner does not ask for it")
	}
	s = s.DeepCopy()
	s.Generation, s.Spec.Metadata = 2, &v1alpha1.ResourceMetadata{ResourceName: "Orders"}
	servers.set(s)
	if got := c.published(types.NamespacedName{Namespace: "shop", Name: "orders"}); got == nil || got.Resource != audience || got.Name != "Orders" || !slices.Equal(got.Scopes, []string{"read"}) {
		t.Errorf("published %+v", got)
	}
	later := resourceServer("evil", "uid-3", 1)
	later.Spec.Metadata = &v1alpha1.ResourceMetadata{}
	servers.set(later)
	if !published("shop") || published("evil") || published("unknown") {
		t.Error("only the audience's owner is to be published")
	}
	reserved := later.DeepCopy()
	reserved.Generation, reserved.Spec.Audience = 2, "https://issuer.example"
	servers.set(reserved)
	if published("evil") {
		t.Error("the issuer's own URL is published as an API's")
	}
}

// BenchmarkFind tells what a request of a client with and without ResourceServers costs, and one after each change.
func BenchmarkFind(b *testing.B) {
	servers := newResourceServers()
	c := newClients(consent.Policy{}, servers)
	servers.set(resourceServer("shop", "uid-2", 1, "billing"))
	c.set(oauthClient("plain", "uid-1", "read"))
	c.set(asking("asker", "uid-3"))
	for _, row := range []struct {
		name, id string
		change   func()
	}{
		{"of the issuer's scopes", "billing.plain", func() {}},
		{"of a ResourceServer's", "billing.asker", func() {}},
		{"of a ResourceServer's, after a change", "billing.asker", func() { servers.generation.Add(1) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				row.change()
				c.get(row.id)
			}
		})
	}
}
