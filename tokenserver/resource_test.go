package tokenserver_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
	"github.com/kubemint/kubemint/tokenserver/scope"
)

const (
	orders   = "https://orders.shop.svc"
	accounts = "urn:example:accounts"
)

// accessAt returns what a client has at an API's audience.
func accessAt(audience string, granted ...string) scope.Access {
	grant := scope.Granted(granted, nil)
	return scope.Access{Audience: audience, Listed: grant.Granted, Grant: grant, ByDefault: true, Lifetime: 15 * time.Minute,
		Claims: map[string]string{"environment": "production"}}
}

// addCaller adds a client that has scopes at the issuer's default audience and at two APIs.
func (c *cluster) addCaller() {
	caller := c.add("billing.caller", secret)
	caller.Accesses[0].Listed = caller.Accesses[0].Granted
	caller.Accesses[0].Claims = map[string]string{"team": "billing"}
	caller.Accesses = append(caller.Accesses, accessAt(orders, "orders:read", "orders:write"), accessAt(accounts, "accounts:read"))
}

// asks returns a request of that client, for scopes at resources.
func asks(scopes string, resources ...string) request {
	parameters := url.Values{"grant_type": {"client_credentials"}, "resource": resources}
	if scopes != "" {
		parameters.Set("scope", scopes)
	}
	return post(parameters.Encode()).as("billing.caller", secret)
}

func TestResources(t *testing.T) {
	c := newCluster(t, nil)
	c.addCaller()
	s := start(t, c)
	s.run(t, []row{
		{"G15 relative", asks("", "orders.shop.svc"), invalidTarget},
		{"G15 a path", asks("", "/orders"), invalidTarget},
		{"G15 with fragment", asks("", orders+"#a"), invalidTarget},
		{"G15 unknown", asks("", "https://unknown.test"), invalidTarget},
		{"G15 not granted", post(grantType + "&resource=" + url.QueryEscape(orders)), invalidTarget},
		{"G15 two audiences", asks("", orders, accounts), invalidTarget},
		{"G15 in the URL", asks("").asking("resource=" + url.QueryEscape(orders)), invalidRequest},
		{"G15 64 KiB", asks("", "https://orders.shop.svc/"+strings.Repeat("a", 60<<10)), invalidTarget},
		// Who cannot prove to be the client does not learn which audiences it has.
		{"G15 wrong secret", asks("", "https://unknown.test").as("billing.caller", "wrong-secret"), uniform401},
		{"G16 scope of another audience", asks("accounts:read", orders), invalidScope},
		{"G16 scopes of both", asks("accounts:read orders:read", orders), invalidScope},
		{"G16 scope of the issuer's default audience", asks("read", orders), invalidScope},
		{"G17 scopes of two audiences", asks("accounts:read orders:read"), invalidTarget},
		{"G17 scopes of an API and of the issuer's default audience", asks("read orders:read"), invalidTarget},
	})
	atIssuer, atOrders := map[string]any{"team": "billing"}, map[string]any{"environment": "production"}
	for _, test := range []struct {
		name            string
		request         request
		audience, scope string
		extra           map[string]any
		expiresIn       int64
	}{
		{"G14 resource", asks("", orders), orders, "orders:read orders:write", atOrders, 900},
		{"G14 resource and scope", asks("orders:read", orders), orders, "orders:read", atOrders, 900},
		{"G14 another resource", asks("", accounts), accounts, "accounts:read", atOrders, 900},
		{"G14 the issuer's default audience", asks("", audience), audience, "read", atIssuer, 3600},
		{"G14 resource twice", asks("", orders, orders), orders, "orders:read orders:write", atOrders, 900},
		{"G14 no resource, scopes of one audience", asks("orders:write orders:read"), orders, "orders:read orders:write", atOrders, 900},
		{"G14 neither", asks(""), audience, "read", atIssuer, 3600},
	} {
		t.Run(test.name, func(t *testing.T) {
			granted := s.token(t, test.request)
			_, claims := s.verifyAt(t, test.audience, granted.AccessToken)
			attest(t, "aud "+test.audience, fmt.Sprint("aud ", claims["aud"]))
			if claims["aud"] != test.audience || claims["scope"] != test.scope || granted.Scope != test.scope {
				t.Errorf("aud %v, scope %v; want %s, %s", claims["aud"], claims["scope"], test.audience, test.scope)
			}
			if fmt.Sprint(granted.ExpiresIn) != fmt.Sprint(test.expiresIn) {
				t.Errorf("expires_in %v, want %d", granted.ExpiresIn, test.expiresIn)
			}
			for _, name := range []string{"team", "environment"} {
				if claims[name] != test.extra[name] {
					t.Errorf("%s = %v, want %v", name, claims[name], test.extra[name])
				}
			}
		})
	}
	t.Run("G17 the description says what to do", func(t *testing.T) {
		a := s.ask(t, s.callers[0], asks("accounts:read orders:read"))
		if description := object(t, a.body)["error_description"]; !strings.Contains(fmt.Sprint(description), "with the parameter resource") {
			t.Errorf("description %v", description)
		}
	})
	t.Run("G19 taken back while serving", func(t *testing.T) {
		for _, back := range []bool{false, true, false} {
			want := map[bool]string{false: issued, true: invalidScope}[back]
			s.change(func() {
				s.addCaller()
				if back {
					s.clients["billing.caller"].Accesses[1].Grant = scope.Grant{}
				}
			})
			for _, r := range []request{asks("orders:read"), asks("orders:read", orders), asks("", orders)} {
				got := s.ask(t, s.callers[0], r).outcome()
				if attest(t, want, got); got != want {
					t.Errorf("taken back %t: answer %s", back, got)
				}
			}
		}
	})
}

// RFC 9728, section 3: the document of an API that its owner publishes.
func TestProtectedResourceMetadata(t *testing.T) {
	c := newCluster(t, nil)
	c.resources = map[string]*oauth2.ProtectedResource{
		"shop/orders": {Resource: orders, Scopes: []string{"orders:read"}, Name: "Orders", Documentation: "https://docs.test/orders"},
		"shop/plain":  {Resource: accounts, Scopes: []string{}},
	}
	s := start(t, c)
	path := func(rest string) string { return tokenserver.ProtectedResourcePath + rest }
	for rest, want := range map[string]map[string]any{
		"/shop/orders": {"resource": orders, "scopes_supported": []any{"orders:read"}, "resource_name": "Orders", "resource_documentation": "https://docs.test/orders"},
		"/shop/plain":  {"resource": accounts, "scopes_supported": []any{}},
	} {
		want["authorization_servers"], want["bearer_methods_supported"] = []any{issuerURL}, []any{"header"}
		a := s.send(t, s.callers[0], get(path(rest)))
		if got := object(t, a.body); a.status != http.StatusOK || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d, %v, want %v", rest, a.status, got, want)
		}
		if got := a.header.Get("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type %s", got)
		}
	}
	for _, rest := range []string{"", "/", "/shop", "/shop/", "/shop/unknown", "/shop/orders/", "/shop/orders/x", "/shop%2Forders", "/../orders"} {
		if a := s.send(t, s.callers[0], get(path(rest))); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", rest, a.status)
		}
	}
	s.change(func() { s.notReady = true })
	if a := s.send(t, s.callers[0], get(path("/shop/orders"))); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("not ready: %d, %v", a.status, slices.Sorted(maps.Keys(a.header)))
	}
}
