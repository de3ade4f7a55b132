package v1alpha1_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// repeat returns a YAML list of n items, each made of its number.
func repeat(n int, format string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = strings.ReplaceAll(format, "#", fmt.Sprint(i))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

func TestResourceServerRefused(t *testing.T) {
	audience := func(a string) string { return fmt.Sprintf(`{audience: %q, scopes: [{name: a}]}`, a) }
	with := func(fields string) string { return `{audience: "https://a", scopes: [{name: a}], ` + fields + `}` }
	allowed := func(fields string) string { return with(`allowedClients: [` + fields + `]`) }
	const uri, patterns = "absolute URI without fragment", "there are no patterns"
	for _, row := range []struct{ name, spec, field, remedy string }{
		{"no audience", `{scopes: [{name: a}]}`, "spec.audience", "Required value"},
		{"empty audience", audience(""), "spec.audience", "should be at least 3 chars long"},
		{"audience with a fragment", audience("https://a#b"), "spec.audience", uri},
		{"audience with an empty fragment", audience("https://a#"), "spec.audience", uri},
		{"relative audience", audience("orders.shop.svc"), "spec.audience", uri},
		{"audience of a path", audience("/orders"), "spec.audience", uri},
		{"audience of a scheme", audience("https:"), "spec.audience", uri},
		{"audience with a space", audience("https://a b"), "spec.audience", uri},
		{"audience that ends with a space", audience("https://a "), "spec.audience", uri},
		{"audience with a line break", audience("https://a\n"), "spec.audience", uri},
		{"audience with a double quote", audience(`https://a"`), "spec.audience", uri},
		{"audience beyond ASCII", audience("https://é"), "spec.audience", uri},
		{"audience that begins with a digit", audience("1a:b"), "spec.audience", uri},
		{"audience too long", audience("https://" + strings.Repeat("a", 249)), "spec.audience", "may not be more than 256 bytes"},

		{"no scopes", `{audience: "https://a"}`, "spec.scopes", "Required value"},
		{"empty scopes", `{audience: "https://a", scopes: []}`, "spec.scopes", "should have at least 1 items"},
		{"too many scopes", `{audience: "https://a", scopes: ` + repeat(65, "{name: s#}") + `}`, "spec.scopes", "must have at most 64 items"},
		{"scope twice", `{audience: "https://a", scopes: [{name: a}, {name: a}]}`, "spec.scopes[1]", "Duplicate value"},
		{"scope with a space", `{audience: "https://a", scopes: [{name: "a b"}]}`, "spec.scopes[0].name", "a scope is printable ASCII"},
		{"scope without name", `{audience: "https://a", scopes: [{description: a}]}`, "spec.scopes[0].name", "Required value"},
		{"scope as text", `{audience: "https://a", scopes: [a]}`, "spec.scopes[0]", "must be of type object"},
		{"description too long", `{audience: "https://a", scopes: [{name: a, description: ` + strings.Repeat("a", 257) + `}]}`, "spec.scopes[0].description", "may not be more than 256 bytes"},

		{"pattern of namespaces", allowed(`{namespace: "shop-*"}`), "spec.allowedClients[0].namespace", patterns},
		{"any namespace", allowed(`{namespace: "*"}`), "spec.allowedClients[0].namespace", patterns},
		{"empty namespace", allowed(`{namespace: ""}`), "spec.allowedClients[0].namespace", "should be at least 1 chars long"},
		{"namespace with a dot", allowed(`{namespace: a.b}`), "spec.allowedClients[0].namespace", patterns},
		{"no namespace", allowed(`{name: worker}`), "spec.allowedClients[0].namespace", "Required value"},
		{"pattern of names", allowed(`{namespace: shop, name: "worker-*"}`), "spec.allowedClients[0].name", patterns},
		{"name in capitals", allowed(`{namespace: shop, name: Worker}`), "spec.allowedClients[0].name", patterns},
		{"empty name", allowed(`{namespace: shop, name: ""}`), "spec.allowedClients[0].name", "should be at least 1 chars long"},
		{"label selector", allowed(`{namespaceSelector: {}}`), "spec.allowedClients[0].namespaceSelector", "unknown field"},
		{"allowed scopes, none", allowed(`{namespace: shop, scopes: []}`), "spec.allowedClients[0].scopes", "should have at least 1 items"},
		{"allowed scope twice", allowed(`{namespace: shop, scopes: [a, a]}`), "spec.allowedClients[0].scopes[1]", "Duplicate value"},
		{"pattern of scopes with a space", allowed(`{namespace: shop, scopes: ["* *"]}`), "spec.allowedClients[0].scopes[0]", "a scope is printable ASCII"},
		{"too many allowed clients", with(`allowedClients: ` + repeat(257, "{namespace: n#}")), "spec.allowedClients", "must have at most 256 items"},

		{"lifetime too short", with(`maxTokenLifetime: 59s`), "spec.maxTokenLifetime", "from 60s to 24h"},
		{"lifetime too long", with(`maxTokenLifetime: 24h1s`), "spec.maxTokenLifetime", "from 60s to 24h"},
		{"lifetime in days", with(`maxTokenLifetime: 1d`), "spec.maxTokenLifetime", "for example 15m"},
		{"lifetime as a number", with(`maxTokenLifetime: 900`), "spec.maxTokenLifetime", "must be of type string"},
		{"endless lifetime", with(`maxTokenLifetime: 99999999999999999h`), "spec.maxTokenLifetime", "may not be more than 16 bytes"},

		{"reserved claim", with(`claims: {add: {sub: admin}}`), "spec.claims.add", "choose another name"},
		{"reserved claim in capitals", with(`claims: {add: {Client_ID: a}}`), "spec.claims.add", "choose another name"},
		{"reserved claim below kubernetes.io", with(`claims: {add: {kubernetes.io/pod: a}}`), "spec.claims.add", "choose another name"},
		{"claim with a space", with(`claims: {add: {"my team": a}}`), "spec.claims.add", "the name of a claim is letters"},
		{"claim accepted with a space", with(`claims: {acceptFromClients: ["my team"]}`), "spec.claims.acceptFromClients[0]", "the name of a claim is letters"},
		{"claim accepted twice", with(`claims: {acceptFromClients: [team, team]}`), "spec.claims.acceptFromClients[1]", "Duplicate value"},
		{"too many claims accepted", with(`claims: {acceptFromClients: ` + repeat(17, "c#") + `}`), "spec.claims.acceptFromClients", "must have at most 16 items"},

		{"documentation without host", with(`metadata: {documentation: "orders.html"}`), "spec.metadata.documentation", "URL of a page"},
		{"documentation that is a script", with(`metadata: {documentation: "javascript:alert(1)"}`), "spec.metadata.documentation", "URL of a page"},
		{"name for people too long", with(`metadata: {resourceName: ` + strings.Repeat("a", 257) + `}`), "spec.metadata.resourceName", "may not be more than 256 bytes"},
		{"misspelt field", with(`allowedClient: []`), "spec.allowedClient", "unknown field"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := createServer(t, row.spec)
			mustBeRefused(t, err, row.field, row.remedy)
		})
	}
}

func TestResourceServerAccepted(t *testing.T) {
	for name, spec := range map[string]string{
		"the least":            `{audience: "https://orders.shop.svc", scopes: [{name: "orders:read"}]}`,
		"a URN":                `{audience: "urn:example:orders", scopes: [{name: a}]}`,
		"a URL with a query":   `{audience: "https://[::1]:8443/orders/v1?a=%20'b'", scopes: [{name: a}]}`,
		"allowed to nobody":    `{audience: "https://a", scopes: [{name: a}], allowedClients: []}`,
		"the shortest tokens":  `{audience: "https://a", scopes: [{name: a}], maxTokenLifetime: 60s}`,
		"the longest tokens":   `{audience: "https://a", scopes: [{name: a}], maxTokenLifetime: 24h}`,
		"published":            `{audience: "https://a", scopes: [{name: a}], metadata: {}}`,
		"published, described": `{audience: "https://a", scopes: [{name: a}], metadata: {resourceName: Orders é, documentation: "https://docs.example.com/orders#api"}}`,
		"the longest audience": `{audience: "https://` + strings.Repeat("a", 248) + `", scopes: [{name: a}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := createServer(t, spec); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whoever may change a ResourceServer must not become the owner of another's audience by it.
func TestAudienceIsImmutable(t *testing.T) {
	created, err := createServer(t, `{audience: "https://mine", scopes: [{name: a}]}`)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(unstructured.SetNestedField(created.Object, "15m", "spec", "maxTokenLifetime"))
	changed, err := resourceServers.Update(t.Context(), created, metav1.UpdateOptions{})
	must(err)
	must(unstructured.SetNestedField(changed.Object, "https://theirs", "spec", "audience"))
	_, err = resourceServers.Update(t.Context(), changed, metav1.UpdateOptions{})
	mustBeRefused(t, err, "spec.audience", "audience cannot be changed")
}

func TestResourcesRefused(t *testing.T) {
	with := func(resources string) string { return `{resources: [` + resources + `]}` }
	for _, row := range []struct{ name, spec, field, remedy string }{
		{"no ResourceServer", `{resources: []}`, "spec.resources", "should have at least 1 items"},
		{"too many ResourceServers", `{resources: ` + repeat(17, "{resourceServer: {name: a#}, scopes: [a]}") + `}`, "spec.resources", "must have at most 16 items"},
		{"ResourceServer twice", with(`{resourceServer: {name: a, namespace: b}, scopes: [a]}, {resourceServer: {name: a, namespace: b}, scopes: [b]}`), "spec.resources", "a ResourceServer is listed twice"},
		{"own ResourceServer twice", with(`{resourceServer: {name: a}, scopes: [a]}, {resourceServer: {name: a}, scopes: [b]}`), "spec.resources", "a ResourceServer is listed twice"},
		{"without name", with(`{resourceServer: {namespace: a}, scopes: [a]}`), "spec.resources[0].resourceServer.name", "Required value"},
		{"pattern of names", with(`{resourceServer: {name: "a*"}, scopes: [a]}`), "spec.resources[0].resourceServer.name", "there are no patterns"},
		{"pattern of namespaces", with(`{resourceServer: {name: a, namespace: "*"}, scopes: [a]}`), "spec.resources[0].resourceServer.namespace", "there are no patterns"},
		{"without scopes", with(`{resourceServer: {name: a}}`), "spec.resources[0].scopes", "Required value"},
		{"no scope", with(`{resourceServer: {name: a}, scopes: []}`), "spec.resources[0].scopes", "should have at least 1 items"},
		{"scope twice", with(`{resourceServer: {name: a}, scopes: [a, a]}`), "spec.resources[0].scopes[1]", "Duplicate value"},
		{"scope with a space", with(`{resourceServer: {name: a}, scopes: ["a b"]}`), "spec.resources[0].scopes[0]", "a scope is printable ASCII"},
		{"too many scopes", with(`{resourceServer: {name: a}, scopes: ` + repeat(33, "s#") + `}`), "spec.resources[0].scopes", "must have at most 32 items"},
		{"default scope of no ResourceServer", `{defaultScopes: [b], resources: [{resourceServer: {name: a}, scopes: [a]}]}`, "spec.defaultScopes", "spec.scopes or spec.resources lists"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := create(t, row.spec)
			mustBeRefused(t, err, row.field, row.remedy)
		})
	}
}

func TestResourcesAccepted(t *testing.T) {
	for name, spec := range map[string]string{
		"resources only":                     `{resources: [{resourceServer: {name: a}, scopes: [a]}]}`,
		"both, with a default of each":       `{scopes: [a], resources: [{resourceServer: {name: a, namespace: b}, scopes: [b]}], defaultScopes: [a, b]}`,
		"one name in several namespaces":     `{resources: [{resourceServer: {name: a}, scopes: [a]}, {resourceServer: {name: a, namespace: b}, scopes: [a]}]}`,
		"own ResourceServer written in both": `{resources: [{resourceServer: {name: a}, scopes: [a]}, {resourceServer: {name: a, namespace: default}, scopes: [b]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := create(t, spec); err != nil {
				t.Error(err)
			}
		})
	}
}

// The largest objects that the bounds allow are within what the API server lets validation cost.
func TestMaximalObjects(t *testing.T) {
	label := func(i, length int) string { return fmt.Sprintf("%0*d", length, i) }
	scope := func(i int) v1alpha1.Scope { return v1alpha1.Scope(label(i, 128)) }
	scopes := func(from, n int) []v1alpha1.Scope {
		all := make([]v1alpha1.Scope, n)
		for i := range all {
			all[i] = scope(from + i)
		}
		return all
	}
	name := func(i int) v1alpha1.ObjectName { return v1alpha1.ObjectName(label(i, 253)) }
	namespace := func(i int) v1alpha1.NamespaceName { return v1alpha1.NamespaceName(label(i, 63)) }
	claims := v1alpha1.ExtraClaims{}
	for i := range 16 {
		claims["c"+label(i, 127)] = v1alpha1.ClaimValue(label(i, 256))
	}

	t.Run("ResourceServer", func(t *testing.T) {
		spec := v1alpha1.ResourceServerSpec{
			Audience: v1alpha1.Audience("https://" + strings.Repeat("a", 248)),
			Claims:   v1alpha1.ResourceServerClaims{Add: claims},
			Metadata: &v1alpha1.ResourceMetadata{ResourceName: label(0, 256), Documentation: "https://" + strings.Repeat("a", 1016)},
		}
		for i := range 64 {
			spec.Scopes = append(spec.Scopes, v1alpha1.ScopeDefinition{Name: scope(i), Description: label(i, 256)})
		}
		for i := range 256 {
			spec.AllowedClients = append(spec.AllowedClients, v1alpha1.AllowedClient{Namespace: namespace(i), Name: name(i), Scopes: scopes(0, 16)}) // With 64 each, it is too large for etcd.
		}
		for i := range 16 {
			spec.Claims.AcceptFromClients = append(spec.Claims.AcceptFromClients, v1alpha1.ClaimName("c"+label(i, 127)))
		}
		created, err := createServer(t, asJSON(t, spec))
		if err != nil {
			t.Fatal(err)
		}
		var status v1alpha1.ResourceServerStatus
		for i := range 64 {
			status.Clients = append(status.Clients, v1alpha1.GrantedClient{Namespace: namespace(i), Name: name(i), Scopes: scopes(0, 64)})
		}
		s := v1alpha1.ResourceServer{ObjectMeta: metav1.ObjectMeta{Name: created.GetName(), Namespace: created.GetNamespace(), ResourceVersion: created.GetResourceVersion()}}
		patch, err := s.StatusPatch(status)
		mustApplyStatus(t, resourceServers, created.GetName(), patch, err)
	})
	t.Run("OAuthClient", func(t *testing.T) {
		spec := v1alpha1.OAuthClientSpec{Scopes: scopes(0, 64), DefaultScopes: scopes(15*32, 32)}
		spec.DefaultScopes = append(spec.DefaultScopes, scopes(0, 32)...)
		spec.Token.Claims = claims
		var status v1alpha1.OAuthClientStatus
		for i := range 16 {
			reference := v1alpha1.ResourceServerReference{Namespace: namespace(i), Name: name(i)}
			spec.Resources = append(spec.Resources, v1alpha1.ResourceRequest{ResourceServer: reference, Scopes: scopes(i*32, 32)})
			told := v1alpha1.ResourceStatus{ResourceServer: reference, Audience: v1alpha1.Audience("https://" + strings.Repeat("a", 248))}
			for _, s := range scopes(i*32, 32) {
				told.Scopes = append(told.Scopes, v1alpha1.ScopeStatus{Name: s, State: v1alpha1.ScopeDenied, Reason: v1alpha1.ReasonClientNotAllowed, Message: label(i, 1024)})
			}
			status.Resources = append(status.Resources, told)
		}
		created, err := create(t, asJSON(t, spec))
		if err != nil {
			t.Fatal(err)
		}
		c := v1alpha1.OAuthClient{ObjectMeta: metav1.ObjectMeta{Name: created.GetName(), Namespace: created.GetNamespace(), ResourceVersion: created.GetResourceVersion()}}
		patch, err := c.StatusPatch(status)
		mustApplyStatus(t, api, created.GetName(), patch, err)
	})
}

func mustApplyStatus(t *testing.T, in dynamic.ResourceInterface, name string, patch []byte, err error) {
	t.Helper()
	if err == nil {
		_, err = in.Patch(t.Context(), name, types.ApplyPatchType, patch, metav1.PatchOptions{FieldManager: v1alpha1.ManagedBy}, "status")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}
