package consent

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

const issuerAudience = "https://issuer.example"

var (
	policy = Policy{DefaultAudience: issuerAudience, Reserved: []string{"https://issuer.example/oauth2/token"}}
	noon   = metav1.NewTime(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))
)

// servers are the ResourceServers of a test.
type servers []*v1alpha1.ResourceServer

func (s servers) Get(key types.NamespacedName) *v1alpha1.ResourceServer {
	for _, server := range s {
		if keyOf(server) == key {
			return server
		}
	}
	return nil
}

func (s servers) Naming(audience v1alpha1.Audience) []*v1alpha1.ResourceServer {
	return slices.DeleteFunc(slices.Clone(s), func(server *v1alpha1.ResourceServer) bool { return server.Spec.Audience != audience })
}

// orders returns the ResourceServer shop/orders, which lets billing/invoice-worker read.
func orders() *v1alpha1.ResourceServer {
	return &v1alpha1.ResourceServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "uid-of-orders", CreationTimestamp: noon},
		Spec: v1alpha1.ResourceServerSpec{
			Audience:       "https://orders.shop.svc",
			Scopes:         []v1alpha1.ScopeDefinition{{Name: "orders:read"}, {Name: "orders:write"}},
			AllowedClients: []v1alpha1.AllowedClient{{Namespace: "billing", Name: "invoice-worker", Scopes: []v1alpha1.Scope{"orders:read"}}},
		},
	}
}

// worker returns the OAuthClient billing/invoice-worker, which asks for scopes at shop/orders.
func worker(scopes ...v1alpha1.Scope) *v1alpha1.OAuthClient {
	return &v1alpha1.OAuthClient{
		ObjectMeta: metav1.ObjectMeta{Namespace: "billing", Name: "invoice-worker"},
		Spec: v1alpha1.OAuthClientSpec{
			Resources: []v1alpha1.ResourceRequest{{
				ResourceServer: v1alpha1.ResourceServerReference{Namespace: "shop", Name: "orders"}, Scopes: scopes,
			}},
			Token: v1alpha1.TokenSpec{Lifetime: metav1.Duration{Duration: time.Hour}},
		},
	}
}

func TestDecide(t *testing.T) {
	rival := func(change func(*v1alpha1.ResourceServer)) *v1alpha1.ResourceServer {
		s := orders()
		s.Namespace, s.Name, s.UID = "evil", "orders", "uid-of-rival"
		change(s)
		return s
	}
	for _, test := range []struct {
		name    string
		scope   v1alpha1.Scope
		change  func(*v1alpha1.ResourceServer)
		beside  []*v1alpha1.ResourceServer
		state   v1alpha1.ScopeState
		reason  string
		message string // A part of it.
	}{
		{"allowed by name", "orders:read", nil, nil, v1alpha1.ScopeGranted, v1alpha1.ReasonAllowed, ""},
		{"allowed by namespace", "orders:read", func(s *v1alpha1.ResourceServer) { s.Spec.AllowedClients[0].Name = "" }, nil,
			v1alpha1.ScopeGranted, v1alpha1.ReasonAllowed, ""},
		{"allowed all scopes", "orders:write", func(s *v1alpha1.ResourceServer) { s.Spec.AllowedClients[0].Scopes = nil }, nil,
			v1alpha1.ScopeGranted, v1alpha1.ReasonAllowed, ""},
		{"another scope allowed", "orders:write", nil, nil, v1alpha1.ScopeDenied, v1alpha1.ReasonClientNotAllowed,
			`the owners of namespace shop can allow it, in spec.allowedClients of ResourceServer orders: {namespace: billing, name: invoice-worker, scopes: ["orders:write"]}`},
		{"another name allowed", "orders:read", func(s *v1alpha1.ResourceServer) { s.Spec.AllowedClients[0].Name = "invoice-worker2" }, nil,
			v1alpha1.ScopeDenied, v1alpha1.ReasonClientNotAllowed, "owners of namespace shop"},
		{"another namespace allowed", "orders:read", func(s *v1alpha1.ResourceServer) { s.Spec.AllowedClients[0].Namespace = "billing2" }, nil,
			v1alpha1.ScopeDenied, v1alpha1.ReasonClientNotAllowed, ""},
		{"nobody allowed", "orders:read", func(s *v1alpha1.ResourceServer) { s.Spec.AllowedClients = []v1alpha1.AllowedClient{} }, nil,
			v1alpha1.ScopeDenied, v1alpha1.ReasonClientNotAllowed, ""},
		{"own namespace allowed by default", "orders:read", func(s *v1alpha1.ResourceServer) { s.Spec.AllowedClients = nil }, nil,
			v1alpha1.ScopeDenied, v1alpha1.ReasonClientNotAllowed, ""},
		{"scope not declared, though allowed", "orders:delete", func(s *v1alpha1.ResourceServer) { s.Spec.AllowedClients[0].Scopes = nil }, nil,
			v1alpha1.ScopePending, v1alpha1.ReasonScopeNotDeclared, "ResourceServer shop/orders has no such scope"},
		{"scopes are case-sensitive", "Orders:read", nil, nil, v1alpha1.ScopePending, v1alpha1.ReasonScopeNotDeclared, ""},
		{"no ResourceServer", "orders:read", func(s *v1alpha1.ResourceServer) { s.Name = "order" }, nil,
			v1alpha1.ScopePending, v1alpha1.ReasonResourceServerNotFound, "there is no ResourceServer shop/orders"},
		{"ResourceServer being deleted", "orders:read", func(s *v1alpha1.ResourceServer) { s.DeletionTimestamp = &noon }, nil,
			v1alpha1.ScopePending, v1alpha1.ReasonResourceServerNotFound, ""},
		{"an older one has the audience", "orders:read", nil,
			[]*v1alpha1.ResourceServer{rival(func(s *v1alpha1.ResourceServer) { s.CreationTimestamp = metav1.NewTime(noon.Add(-time.Second)) })},
			v1alpha1.ScopeDenied, v1alpha1.ReasonAudienceConflict, "ResourceServer evil/orders had before"},
		{"one as old with a lesser UID has the audience", "orders:read", nil,
			[]*v1alpha1.ResourceServer{rival(func(s *v1alpha1.ResourceServer) { s.UID = "uid-of-a" })},
			v1alpha1.ScopeDenied, v1alpha1.ReasonAudienceConflict, ""},
		{"an older one that is being deleted has the audience yet", "orders:read", nil,
			[]*v1alpha1.ResourceServer{rival(func(s *v1alpha1.ResourceServer) {
				s.CreationTimestamp, s.DeletionTimestamp = metav1.NewTime(noon.Add(-time.Second)), &noon
			})},
			v1alpha1.ScopeDenied, v1alpha1.ReasonAudienceConflict, ""},
		{"a later one names the audience too", "orders:read", nil,
			[]*v1alpha1.ResourceServer{rival(func(s *v1alpha1.ResourceServer) { s.CreationTimestamp = metav1.NewTime(noon.Add(time.Second)) })},
			v1alpha1.ScopeGranted, v1alpha1.ReasonAllowed, ""},
		{"the issuer's default audience", "orders:read", func(s *v1alpha1.ResourceServer) { s.Spec.Audience = issuerAudience }, nil,
			v1alpha1.ScopeDenied, v1alpha1.ReasonAudienceReserved, "must choose another"},
		{"an endpoint of the issuer", "orders:read", func(s *v1alpha1.ResourceServer) { s.Spec.Audience = "https://issuer.example/oauth2/token" }, nil,
			v1alpha1.ScopeDenied, v1alpha1.ReasonAudienceReserved, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := orders()
			if test.change != nil {
				test.change(server)
			}
			all := append(servers{server}, test.beside...)
			slices.Reverse(all)
			d := policy.Decide(worker(test.scope), all)
			got := d.Resources()[0]
			verdict := got.Scopes[0]
			if verdict.State != test.state || verdict.Reason != test.reason || !strings.Contains(verdict.Message, test.message) || (verdict.Message == "") != (test.state == v1alpha1.ScopeGranted) {
				t.Errorf("%s, %s: %q; want %s, %s: %q", verdict.State, verdict.Reason, verdict.Message, test.state, test.reason, test.message)
			}
			access := d.Accesses()[0]
			if granted := test.state == v1alpha1.ScopeGranted; access.Granted.Empty() == granted || d.GrantsNothing() == granted {
				t.Errorf("accesses %+v, GrantsNothing %t", access, d.GrantsNothing())
			}
			if access.Audience != string(got.Audience) {
				t.Errorf("audience %q, in status %q", access.Audience, got.Audience)
			}
		})
	}
}

func TestDecideInOwnNamespace(t *testing.T) {
	server, c := orders(), worker("orders:write")
	c.Namespace, c.Spec.Resources[0].ResourceServer.Namespace = "shop", ""
	server.Spec.AllowedClients = nil
	c.Spec.Resources = append(c.Spec.Resources, *c.Spec.Resources[0].DeepCopy())
	c.Spec.Resources[1].ResourceServer.Namespace, c.Spec.Resources[1].Scopes = "shop", []v1alpha1.Scope{"orders:read"}
	d := policy.Decide(c, servers{server})
	for _, status := range d.Resources() {
		if status.ResourceServer.Namespace != "shop" || status.Scopes[0].State != v1alpha1.ScopeGranted {
			t.Errorf("status %+v", status)
		}
	}
	if accesses := d.Accesses(); len(accesses) != 1 || accesses[0].Granted.String() != "orders:read orders:write" {
		t.Errorf("accesses %+v; want one with both scopes", accesses)
	}
	if got := d.GrantedAt(keyOf(server)); !slices.Equal(got, []v1alpha1.Scope{"orders:read", "orders:write"}) {
		t.Errorf("granted %v", got)
	}
	if got := d.GrantedAt(types.NamespacedName{Namespace: "billing", Name: "orders"}); len(got) != 0 {
		t.Errorf("granted elsewhere %v", got)
	}
}

func TestUnownedScopes(t *testing.T) {
	c := worker("orders:read")
	c.Spec.Scopes = []v1alpha1.Scope{"invoices:read"}
	for name, test := range map[string]struct {
		forbid  bool
		in      []string
		granted bool
	}{
		"allowed":                            {false, nil, true},
		"forbidden":                          {true, nil, false},
		"forbidden but here":                 {true, []string{"other", "billing"}, true},
		"forbidden but elsewhere":            {true, []string{"billing2"}, false},
		"allowed in a list that is not used": {false, []string{"other"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy
			p.ForbidUnowned, p.UnownedIn = test.forbid, test.in
			d := p.Decide(c, servers{orders()})
			accesses := d.Accesses()
			if granted := accesses[0].AtIssuer && accesses[0].Granted.String() == "invoices:read"; granted != test.granted {
				t.Errorf("accesses %+v", accesses)
			}
			if got := slices.Equal(d.GrantedScopes(), c.Spec.Scopes); got != test.granted || d.UnownedForbidden == test.granted {
				t.Errorf("granted %v, forbidden %t", d.GrantedScopes(), d.UnownedForbidden)
			}
			if last := accesses[len(accesses)-1]; last.Granted.String() != "orders:read" {
				t.Errorf("at the ResourceServer: %+v", last)
			}
		})
	}
}

func TestLifetime(t *testing.T) {
	for name, test := range map[string]struct{ client, server, issuer, atIssuer, atServer time.Duration }{
		"the client's":          {time.Minute, time.Hour, time.Hour, time.Minute, time.Minute},
		"the ResourceServer's":  {time.Hour, time.Minute, time.Hour, time.Hour, time.Minute},
		"the issuer's":          {time.Hour, time.Hour, time.Minute, time.Minute, time.Minute},
		"no other bound":        {time.Hour, 0, 0, time.Hour, time.Hour},
		"each a little shorter": {3 * time.Minute, time.Minute, 2 * time.Minute, 2 * time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			server, c, p := orders(), worker("orders:read"), policy
			c.Spec.Scopes = []v1alpha1.Scope{"a"}
			c.Spec.Token.Lifetime.Duration, p.MaxLifetime = test.client, test.issuer
			if test.server > 0 {
				server.Spec.MaxTokenLifetime = &metav1.Duration{Duration: test.server}
			}
			accesses := p.Decide(c, servers{server}).Accesses()
			if accesses[0].Lifetime != test.atIssuer || accesses[1].Lifetime != test.atServer {
				t.Errorf("lifetimes %s and %s; want %s and %s", accesses[0].Lifetime, accesses[1].Lifetime, test.atIssuer, test.atServer)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	server, c := orders(), worker("orders:read")
	c.Spec.Scopes = []v1alpha1.Scope{"a"}
	c.Spec.Token.Claims = v1alpha1.ExtraClaims{"team": "billing", "environment": "mine", "cost_centre": "4711", "sub": "admin"}
	server.Spec.Claims = v1alpha1.ResourceServerClaims{
		AcceptFromClients: []v1alpha1.ClaimName{"team", "environment", "absent", "sub"},
		Add:               v1alpha1.ExtraClaims{"environment": "production", "roles": "admin"},
	}
	accesses := policy.Decide(c, servers{server}).Accesses()
	if want := map[string]string{"team": "billing", "environment": "mine", "cost_centre": "4711"}; !maps.Equal(accesses[0].Claims, want) {
		t.Errorf("at the issuer: %v, want %v", accesses[0].Claims, want)
	}
	if want := map[string]string{"team": "billing", "environment": "production"}; !maps.Equal(accesses[1].Claims, want) {
		t.Errorf("at the ResourceServer: %v, want %v", accesses[1].Claims, want)
	}
	server.Spec.Claims = v1alpha1.ResourceServerClaims{}
	if got := policy.Decide(c, servers{server}).Accesses()[1].Claims; len(got) != 0 {
		t.Errorf("of a ResourceServer that accepts none: %v", got)
	}
}

func TestDefaultScopes(t *testing.T) {
	c := worker("orders:read", "orders:write")
	c.Spec.Scopes, c.Spec.DefaultScopes = []v1alpha1.Scope{"a", "b"}, []v1alpha1.Scope{"b", "orders:write"}
	accesses := policy.Decide(c, servers{orders()}).Accesses()
	if got := accesses[0].Default.String(); got != "b" {
		t.Errorf("default at the issuer %q", got)
	}
	// A default that is listed, but not granted, is none; a request without scope means this audience all the same.
	if at := accesses[1]; !at.Default.Empty() || !at.ByDefault || at.Listed.String() != "orders:read orders:write" {
		t.Errorf("at the ResourceServer: %+v", at)
	}
	c.Spec.DefaultScopes = []v1alpha1.Scope{"orders:read"}
	if accesses = policy.Decide(c, servers{orders()}).Accesses(); accesses[0].ByDefault || !accesses[1].ByDefault {
		t.Errorf("accesses %+v", accesses)
	}
}

// TestRandomObjects compares with a model that knows nothing of the code: what is granted is a set of quadruples, which follow from
// each ResourceServer on its own.
func TestRandomObjects(t *testing.T) {
	const seeds = 2_000
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 1))
		clients, all := randomObjects(random)
		p := policy
		p.ForbidUnowned, p.UnownedIn = random.IntN(2) == 0, []string{pick(random, namespaces)}
		want := model(clients, all, p)
		got := map[string]bool{}
		for _, c := range clients {
			d := p.Decide(c, all)
			for _, access := range d.Accesses() {
				for _, token := range access.Granted.Tokens() {
					got[fmt.Sprintf("%s %s %s", c.ClientID(), access.Audience, token)] = true
				}
			}
			wantStatus(t, d)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: granted %v\nwant %v", seed, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
}

// wantStatus checks that status tells of all that is granted, and of nothing else.
func wantStatus(t *testing.T, d *Decision) {
	t.Helper()
	told, granted := map[string]bool{}, map[string]bool{}
	for _, s := range d.GrantedScopes() {
		told[issuerAudience+" "+string(s)] = true
	}
	for _, r := range d.Resources() {
		for _, s := range r.Scopes {
			if s.State == v1alpha1.ScopeGranted {
				told[string(r.Audience)+" "+string(s.Name)] = true
			}
		}
	}
	for _, access := range d.Accesses() {
		for _, token := range access.Granted.Tokens() {
			granted[access.Audience+" "+token] = true
		}
	}
	if !maps.Equal(told, granted) || d.GrantsNothing() != (len(granted) == 0) {
		t.Fatalf("status %v, granted %v", told, granted)
	}
}

var (
	namespaces = []string{"billing", "shop", "shop-2"}
	names      = []string{"a", "b"}
	scopes     = []v1alpha1.Scope{"read", "write", "Read"}
	audiences  = []v1alpha1.Audience{"https://a.example", "https://b.example", "https://a.example/", issuerAudience}
)

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

// some returns a few of the values, at least one, none of them twice.
func some[T any](random *rand.Rand, from []T) []T {
	shuffled := slices.Clone(from)
	random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	return shuffled[:1+random.IntN(len(shuffled))]
}

func randomObjects(random *rand.Rand) (clients []*v1alpha1.OAuthClient, all servers) {
	for i := range 1 + random.IntN(5) {
		s := &v1alpha1.ResourceServer{ObjectMeta: metav1.ObjectMeta{Namespace: pick(random, namespaces), Name: pick(random, names),
			UID:               types.UID(fmt.Sprintf("%d-%d", random.IntN(3), i)),
			CreationTimestamp: metav1.NewTime(noon.Add(time.Duration(random.IntN(3)) * time.Second))}}
		if all.Get(keyOf(s)) != nil {
			continue
		}
		if random.IntN(8) == 0 {
			s.DeletionTimestamp = &noon
		}
		s.Spec.Audience = pick(random, audiences)
		for _, scope := range some(random, scopes) {
			s.Spec.Scopes = append(s.Spec.Scopes, v1alpha1.ScopeDefinition{Name: scope})
		}
		if random.IntN(3) > 0 {
			s.Spec.AllowedClients = []v1alpha1.AllowedClient{}
			for range random.IntN(4) {
				allowed := v1alpha1.AllowedClient{Namespace: v1alpha1.NamespaceName(pick(random, namespaces))}
				if random.IntN(2) == 0 {
					allowed.Name = v1alpha1.ObjectName(pick(random, names))
				}
				if random.IntN(2) == 0 {
					allowed.Scopes = some(random, scopes)
				}
				s.Spec.AllowedClients = append(s.Spec.AllowedClients, allowed)
			}
		}
		all = append(all, s)
	}
	for range 3 {
		c := &v1alpha1.OAuthClient{ObjectMeta: metav1.ObjectMeta{Namespace: pick(random, namespaces), Name: pick(random, names)}}
		if random.IntN(2) == 0 {
			c.Spec.Scopes = some(random, scopes)
		}
		for range random.IntN(4) {
			reference := v1alpha1.ResourceServerReference{Name: v1alpha1.ObjectName(pick(random, names))}
			if random.IntN(4) > 0 {
				reference.Namespace = v1alpha1.NamespaceName(pick(random, namespaces))
			}
			c.Spec.Resources = append(c.Spec.Resources, v1alpha1.ResourceRequest{ResourceServer: reference, Scopes: some(random, scopes)})
		}
		clients = append(clients, c)
	}
	return clients, all
}

// model returns what is granted: for each audience its owner is found, and for each owner whom it lets have what.
func model(clients []*v1alpha1.OAuthClient, all servers, p Policy) map[string]bool {
	owners := map[v1alpha1.Audience]*v1alpha1.ResourceServer{}
	for _, s := range all {
		age := func(s *v1alpha1.ResourceServer) string { return fmt.Sprint(s.CreationTimestamp.Unix(), s.UID) }
		if rival := owners[s.Spec.Audience]; s.Spec.Audience != issuerAudience && (rival == nil || age(s) < age(rival)) {
			owners[s.Spec.Audience] = s
		}
	}
	granted := map[string]bool{}
	for _, c := range clients {
		asked := map[string]bool{}
		for _, r := range c.Spec.Resources {
			namespace := string(r.ResourceServer.Namespace)
			if namespace == "" {
				namespace = c.Namespace
			}
			for _, scope := range r.Scopes {
				asked[fmt.Sprint(namespace, "/", r.ResourceServer.Name, " ", scope)] = true
			}
		}
		for audience, s := range owners {
			if s.DeletionTimestamp != nil {
				continue
			}
			lists := s.Spec.AllowedClients
			if lists == nil {
				lists = []v1alpha1.AllowedClient{{Namespace: v1alpha1.NamespaceName(s.Namespace)}}
			}
			for _, list := range lists {
				here := string(list.Namespace) == c.Namespace && (list.Name == "" || string(list.Name) == c.Name)
				for _, scope := range s.Spec.Scopes {
					listed := list.Scopes == nil || slices.Contains(list.Scopes, scope.Name)
					if here && listed && asked[fmt.Sprint(s.Namespace, "/", s.Name, " ", scope.Name)] {
						granted[fmt.Sprintf("%s %s %s", c.ClientID(), audience, scope.Name)] = true
					}
				}
			}
		}
		if !p.ForbidUnowned || slices.Contains(p.UnownedIn, c.Namespace) {
			for _, scope := range c.Spec.Scopes {
				granted[fmt.Sprintf("%s %s %s", c.ClientID(), issuerAudience, scope)] = true
			}
		}
	}
	return granted
}
