package v1alpha1_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// api and resourceServers create OAuthClients and ResourceServers on a real API server, as `kubectl apply` would: from YAML, checked by the CRD.
var api, resourceServers dynamic.ResourceInterface

func TestMain(m *testing.M) {
	os.Exit(withCluster(m))
}

func withCluster(m *testing.M) int {
	cluster, err := localcluster.Start(context.Background(), localcluster.Options{CRDs: []string{"../../config/crd/bases"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer cluster.Stop() //nolint:errcheck // Nothing is left to do.
	client, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	resource := func(name string) dynamic.ResourceInterface {
		return client.Resource(v1alpha1.GroupVersion.WithResource(name)).Namespace("default")
	}
	api, resourceServers = resource("oauthclients"), resource("resourceservers")
	return m.Run()
}

// create creates an OAuthClient with a spec in YAML.
func create(t *testing.T, spec string) (*unstructured.Unstructured, error) {
	t.Helper()
	return createKind(t, api, "OAuthClient", spec)
}

// createServer creates a ResourceServer with a spec in YAML.
func createServer(t *testing.T, spec string) (*unstructured.Unstructured, error) {
	t.Helper()
	return createKind(t, resourceServers, "ResourceServer", spec)
}

func createKind(t *testing.T, in dynamic.ResourceInterface, kind, spec string) (*unstructured.Unstructured, error) {
	t.Helper()
	var parsed map[string]any
	if err := yaml.Unmarshal([]byte(spec), &parsed); err != nil {
		t.Fatalf("the test's own YAML: %v", err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "oauth.kubemint.dev/v1alpha1",
		"kind":       kind,
		"metadata":   map[string]any{"generateName": "test-"},
		"spec":       parsed,
	}}
	// Unknown fields are errors, as kubectl has it.
	return in.Create(t.Context(), object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
}

func TestRefused(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	list := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "s%d,", i)
		}
		return b.String()
	}
	object := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "k%d: v,", i)
		}
		return b.String()
	}
	rotation := func(fields string) string {
		return `{scopes: [a], authentication: {clientSecret: {rotation: {` + fields + `}}}}`
	}
	restart := func(items string) string { return `{scopes: [a], rollout: {restart: [` + items + `]}}` }
	deployments := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "{kind: Deployment, name: d%d},", i)
		}
		return b.String()
	}
	const (
		intervalField = "spec.authentication.clientSecret.rotation.interval"
		overlapField  = "spec.authentication.clientSecret.rotation.overlap"
		retireField   = "spec.authentication.clientSecret.rotation.retireUnusedAfter"
	)
	const scopeGrammar = "a scope is printable ASCII without spaces"
	for _, row := range []struct{ name, spec, field, remedy string }{
		{"neither scopes nor resources", `{}`, "spec", "the client asks for nothing"},
		{"empty scopes", `{scopes: []}`, "spec.scopes", "should have at least 1 items"},
		{"too many scopes", `{scopes: [` + list(65) + `]}`, "spec.scopes", "must have at most 64 items"},
		{"scope with a space", `{scopes: ["a b"]}`, "spec.scopes[0]", scopeGrammar},
		{"scope with a double quote", `{scopes: ['a"b']}`, "spec.scopes[0]", scopeGrammar},
		{"scope with a backslash", `{scopes: ['a\b']}`, "spec.scopes[0]", scopeGrammar},
		{"scope with a control character", `{scopes: ["a\tb"]}`, "spec.scopes[0]", scopeGrammar},
		{"scope with DEL", `{scopes: ["a\x7f"]}`, "spec.scopes[0]", scopeGrammar},
		{"scope beyond ASCII", `{scopes: [lé]}`, "spec.scopes[0]", scopeGrammar},
		{"empty scope", `{scopes: [""]}`, "spec.scopes[0]", "should be at least 1 chars long"},
		{"scope too long", `{scopes: [` + long(129) + `]}`, "spec.scopes[0]", "may not be more than 128 bytes"},
		{"scope twice", `{scopes: [a, a]}`, "spec.scopes[1]", "Duplicate value"},

		{"default scope that is not a scope", `{scopes: [a], defaultScopes: [b]}`, "spec.defaultScopes", "may only name scopes that spec.scopes or spec.resources lists"},
		{"empty default scopes", `{scopes: [a], defaultScopes: []}`, "spec.defaultScopes", "should have at least 1 items"},
		{"default scope twice", `{scopes: [a], defaultScopes: [a, a]}`, "spec.defaultScopes[1]", "Duplicate value"},
		{"too many default scopes", `{scopes: [a], defaultScopes: [` + list(65) + `]}`, "spec.defaultScopes", "must have at most 64 items"},

		{"lifetime too short", `{scopes: [a], token: {lifetime: 59s}}`, "spec.token.lifetime", "from 60s to 24h"},
		{"lifetime too long", `{scopes: [a], token: {lifetime: 24h1s}}`, "spec.token.lifetime", "from 60s to 24h"},
		{"lifetime without unit", `{scopes: [a], token: {lifetime: "3600"}}`, "spec.token.lifetime", "for example 15m"},
		{"lifetime in days", `{scopes: [a], token: {lifetime: 1d}}`, "spec.token.lifetime", "for example 15m"},
		{"negative lifetime", `{scopes: [a], token: {lifetime: -1h}}`, "spec.token.lifetime", "from 60s to 24h"},
		{"lifetime as a number", `{scopes: [a], token: {lifetime: 3600}}`, "spec.token.lifetime", "must be of type string"},
		{"endless lifetime", `{scopes: [a], token: {lifetime: 99999999999999999h}}`, "spec.token.lifetime", "may not be more than 16 bytes"},

		{"claim name with a space", `{scopes: [a], token: {claims: {"my team": x}}}`, "spec.token.claims", "the name of a claim is letters"},
		{"claim name too long", `{scopes: [a], token: {claims: {` + long(129) + `: x}}}`, "spec.token.claims", "at most 128 characters"},
		{"claim value too long", `{scopes: [a], token: {claims: {team: ` + long(257) + `}}}`, "spec.token.claims.team", "may not be more than 256 bytes"},
		{"claim value not a string", `{scopes: [a], token: {claims: {team: 1}}}`, "spec.token.claims.team", "must be of type string"},
		{"too many claims", `{scopes: [a], token: {claims: {` + object(17) + `}}}`, "spec.token.claims", "must have at most 16 items"},
		{"reserved claim in capitals", `{scopes: [a], token: {claims: {SUB: x}}}`, "spec.token.claims", "choose another name"},
		{"reserved claim below kubernetes.io", `{scopes: [a], token: {claims: {kubernetes.io/pod: x}}}`, "spec.token.claims", "choose another name"},

		{"Secret name in capitals", `{scopes: [a], secret: {name: Worker}}`, "spec.secret.name", "lower case letters"},
		{"Secret name with underscore", `{scopes: [a], secret: {name: a_b}}`, "spec.secret.name", "lower case letters"},
		{"Secret name too long", `{scopes: [a], secret: {name: ` + long(254) + `}}`, "spec.secret.name", "may not be more than 253 bytes"},
		{"key with a slash", `{scopes: [a], secret: {keys: {clientID: a/b}}}`, "spec.secret.keys.clientID", "a key of a Secret is letters"},
		{"key of two dots", `{scopes: [a], secret: {keys: {clientSecret: ..}}}`, "spec.secret.keys.clientSecret", "a key of a Secret is letters"},
		{"empty key", `{scopes: [a], secret: {keys: {issuer: ""}}}`, "spec.secret.keys.issuer", "should be at least 1 chars long"},
		{"key too long", `{scopes: [a], secret: {keys: {tokenURL: ` + long(254) + `}}}`, "spec.secret.keys.tokenURL", "may not be more than 253 bytes"},
		{"two values under one key", `{scopes: [a], secret: {keys: {scope: X, caCert: X}}}`, "spec.secret.keys", "give each its own"},
		{"value under another's default key", `{scopes: [a], secret: {keys: {clientID: client_secret}}}`, "spec.secret.keys", "give each its own"},
		{"type under another's key", `{scopes: [a], secret: {keys: {type: scope}}}`, "spec.secret.keys", "give each its own"},
		{"value under the provider's default key", `{scopes: [a], secret: {keys: {issuer: provider}}}`, "spec.secret.keys", "give each its own"},
		{"env file under another's key", `{scopes: [a], secret: {keys: {envFile: client_id}}}`, "spec.secret.keys", "give each its own"},
		{"env file with a slash", `{scopes: [a], secret: {keys: {envFile: a/b}}}`, "spec.secret.keys.envFile", "a key of a Secret is letters"},
		{"empty env file", `{scopes: [a], secret: {keys: {envFile: ""}}}`, "spec.secret.keys.envFile", "should be at least 1 chars long"},
		{"two keys of one name in the env file", `{scopes: [a], secret: {keys: {issuer: client-id, envFile: e}}}`, "spec.secret.keys.envFile", "share one name in the env file"},
		{"two keys that differ in case", `{scopes: [a], secret: {keys: {scope: Issuer, envFile: e}}}`, "spec.secret.keys.envFile", "share one name in the env file"},
		{"two keys, one with a digit", `{scopes: [a], secret: {keys: {scope: 1a, issuer: .1A, envFile: e}}}`, "spec.secret.keys.envFile", "share one name in the env file"},
		{"unknown source", `{scopes: [a], secret: {source: Vault}}`, "spec.secret.source", "supported values"},

		{"interval too short", rotation(`interval: 59m, overlap: 0s`), intervalField, "from 1h to 87600h"},
		{"interval too long", rotation(`interval: 87601h`), intervalField, "from 1h to 87600h"},
		{"interval in days", rotation(`interval: 90d`), intervalField, "for example 2160h"},
		{"interval as a number", rotation(`interval: 3600`), intervalField, "must be of type string"},
		{"interval shorter than the overlap", rotation(`interval: 2h, overlap: 3h`), "spec.authentication.clientSecret.rotation", "interval must be at least overlap"},
		{"interval shorter than the default overlap", rotation(`interval: 167h`), "spec.authentication.clientSecret.rotation", "168h if unset"},
		{"overlap too long", rotation(`overlap: 8760h1s`), overlapField, "from 0s to 8760h"},
		{"negative overlap", rotation(`overlap: -1h`), overlapField, "from 0s to 8760h"},
		{"overlap without unit", rotation(`overlap: "0"`), overlapField, "for example 24h"},
		{"retired too early", rotation(`retireUnusedAfter: 1h59m`), retireField, "from 2h to 8760h"},
		{"retired too late", rotation(`retireUnusedAfter: 8761h`), retireField, "from 2h to 8760h"},

		{"restart of another kind", restart(`{kind: CronJob, name: a}`), "spec.rollout.restart[0].kind", "supported values"},
		{"restart without kind", restart(`{name: a}`), "spec.rollout.restart[0].kind", "Required value"},
		{"restart without name", restart(`{kind: Deployment}`), "spec.rollout.restart[0].name", "Required value"},
		{"restart of an empty name", restart(`{kind: Deployment, name: ""}`), "spec.rollout.restart[0].name", "should be at least 1 chars long"},
		{"restart of a name in capitals", restart(`{kind: Deployment, name: Worker}`), "spec.rollout.restart[0].name", "the name of a workload is lower case"},
		{"restart elsewhere", restart(`{kind: Deployment, name: a, namespace: other}`), "spec.rollout.restart[0].namespace", "unknown field"},
		{"restart twice", restart(`{kind: Deployment, name: a}, {kind: Deployment, name: a}`), "spec.rollout.restart[1]", "Duplicate value"},
		{"too many restarts", restart(deployments(17)), "spec.rollout.restart", "must have at most 16 items"},

		{"label key with a space", `{scopes: [a], secret: {template: {labels: {"a b": c}}}}`, "spec.secret.template.labels", "the key of a label is letters"},
		{"label value with a space", `{scopes: [a], secret: {template: {labels: {a: "b c"}}}}`, "spec.secret.template.labels[a]", "a label value is letters"},
		{"label value too long", `{scopes: [a], secret: {template: {labels: {a: ` + long(64) + `}}}}`, "spec.secret.template.labels.a", "may not be more than 63 bytes"},
		{"too many labels", `{scopes: [a], secret: {template: {labels: {` + object(33) + `}}}}`, "spec.secret.template.labels", "must have at most 32 items"},
		{"Kubemint's own label", `{scopes: [a], secret: {template: {labels: {oauth.kubemint.dev/component: x}}}}`, "spec.secret.template.labels", "choose another key"},
		{"the managed-by label", `{scopes: [a], secret: {template: {labels: {app.kubernetes.io/managed-by: me}}}}`, "spec.secret.template.labels", "choose another key"},
		{"annotation key with a space", `{scopes: [a], secret: {template: {annotations: {"a b": c}}}}`, "spec.secret.template.annotations", "the key of an annotation is letters"},
		{"annotation value too long", `{scopes: [a], secret: {template: {annotations: {a: ` + long(1025) + `}}}}`, "spec.secret.template.annotations.a", "may not be more than 1024 bytes"},
		{"too many annotations", `{scopes: [a], secret: {template: {annotations: {` + object(33) + `}}}}`, "spec.secret.template.annotations", "must have at most 32 items"},
		{"Kubemint's own annotation", `{scopes: [a], secret: {template: {annotations: {oauth.kubemint.dev/rotate: x}}}}`, "spec.secret.template.annotations", "choose another key"},

		{"suspend as a word", `{scopes: [a], suspend: "yes"}`, "spec.suspend", "must be of type boolean"},
		{"misspelt field", `{scopes: [a], defaultScope: [a]}`, "spec.defaultScope", "unknown field"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := create(t, row.spec)
			mustBeRefused(t, err, row.field, row.remedy)
		})
	}
}

// mustBeRefused checks that the API server refused an object, and said where and why.
func mustBeRefused(t *testing.T, err error, field, remedy string) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatal("was accepted")
	case !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err):
		t.Fatalf("was refused for another cause: %v", err)
	case !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), remedy):
		t.Errorf("the message names not both %q and %q: %v", field, remedy, err)
	}
}

func TestAccepted(t *testing.T) {
	for name, spec := range map[string]string{
		"the least":             `{scopes: [a]}`,
		"every printable scope": `{scopes: ["!#$%&'()*+,-./:;<=>?@[]^_` + "`" + `{|}~"]}`,
		"everything": `{scopes: [a, b], defaultScopes: [a], suspend: true,
			token: {lifetime: 1h30m, claims: {team: billing, "https://example.com/cost-centre": "4711 é"}},
			secret: {name: a.b-c, keys: {clientID: CLIENT_ID, clientSecret: client-secret, issuer: .i, tokenURL: u, scope: s, caCert: c, type: t, provider: p, envFile: e},
				source: Provided, template: {labels: {a: "", example.com/b: c_d.e}, annotations: {example.com/f: "any text"}}},
			authentication: {clientSecret: {rotation: {interval: 2160h, overlap: 24h, retireUnusedAfter: 2h}}},
			rollout: {restart: [{kind: Deployment, name: a}, {kind: StatefulSet, name: a}, {kind: DaemonSet, name: b.c}]}}`,
		"keys that differ in case, without an env file": `{scopes: [a], secret: {keys: {clientID: ISSUER}}}`,
		"env file beside a CA certificate of its name":  `{scopes: [a], secret: {keys: {caCert: CLIENT-ID, envFile: client.id}}}`,
		"shortest interval":                             `{scopes: [a], authentication: {clientSecret: {rotation: {interval: 1h, overlap: 1h}}}}`,
		"no overlap":                                    `{scopes: [a], authentication: {clientSecret: {rotation: {overlap: 0s}}}}`,
		"longest rotation":                              `{scopes: [a], authentication: {clientSecret: {rotation: {interval: 87600h, overlap: 8760h, retireUnusedAfter: 8760h}}}}`,
		"shortest lifetime":                             `{scopes: [a], token: {lifetime: 60s}}`,
		"longest lifetime":                              `{scopes: [a], token: {lifetime: 24h}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := create(t, spec); err != nil {
				t.Error(err)
			}
		})
	}
}

// A reserved claim in a token could be taken for an identity or a permission; the rule stands in the CRD, the list in Go.
func TestEveryReservedClaimIsRefused(t *testing.T) {
	for _, name := range v1alpha1.ReservedClaims() {
		if _, err := create(t, fmt.Sprintf(`{scopes: [a], token: {claims: {%q: x}}}`, name)); err == nil || !strings.Contains(err.Error(), "choose another name") {
			t.Errorf("%s: want the reserved-claim message, got %v", name, err)
		}
	}
	if slices.Contains(v1alpha1.ReservedClaims(), "team") || v1alpha1.ReservedClaim("team") {
		t.Error("team is no reserved claim")
	}
}

func TestDefaults(t *testing.T) {
	created, err := create(t, `{scopes: [a]}`)
	if err != nil {
		t.Fatal(err)
	}
	var c v1alpha1.OAuthClient
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(created.Object, &c); err != nil {
		t.Fatal(err)
	}
	rotation := c.Spec.Authentication.ClientSecret.Rotation
	if rotation.Interval != nil || rotation.Overlap.Duration != 7*24*time.Hour || rotation.RetireUnusedAfter.Duration != 24*time.Hour {
		t.Errorf("rotation is %+v by default", rotation)
	}
	if c.Spec.Secret.Source != v1alpha1.SecretGenerated || len(c.Spec.Rollout.Restart) != 0 {
		t.Errorf("source %q, rollout %+v", c.Spec.Secret.Source, c.Spec.Rollout)
	}
	if got := c.Spec.Token.Lifetime.Duration.String(); got != "1h0m0s" {
		t.Errorf("lifetime is %s by default, want 1h", got)
	}
	want := v1alpha1.SecretKeys{ClientID: "client_id", ClientSecret: "client_secret", Issuer: "issuer", TokenURL: "token_url", Scope: "scope", CACert: "ca.crt", Type: "type", Provider: "provider",
		PrivateKeyJWK: "private_key_jwk", PrivateKeyPEM: "private_key_pem", PrivateKeyID: "private_key_id"}
	if c.Spec.Secret.Keys != want {
		t.Errorf("the Secret's keys are %+v by default", c.Spec.Secret.Keys)
	}
	if c.SecretName() != c.Name || c.ClientID() != "default."+c.Name {
		t.Errorf("Secret %q, client_id %q", c.SecretName(), c.ClientID())
	}
}
