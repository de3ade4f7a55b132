package grant

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver/oauth2"
	"github.com/kubemint/kubemint/tokenserver/scope"
)

// noon is not noon sharp, since no clock ever is.
var noon = time.Date(2026, 7, 1, 12, 0, 0, 999_999_999, time.FixedZone("", 2*60*60))

func issuer() Issuer {
	return Issuer{
		URL: "https://issuer.example",
		Now: func() time.Time { return noon },
	}
}

// client returns a client that may have read and write, and has read by default.
func client() *Client {
	return &Client{
		ID:        "billing.invoice-worker",
		Namespace: "billing",
		Name:      "invoice-worker",
		UID:       "6f1c7f3e-0000-4000-8000-000000000001",
		Accesses: scope.Accesses{{Audience: "https://api.example", AtIssuer: true, Lifetime: time.Hour, ByDefault: true,
			Grant: scope.Granted([]string{"read", "write"}, []string{"read"})}},
	}
}

// claims returns the claims of a token as a resource server reads them.
func claims(t *testing.T, c *Client, scopeParameter string) map[string]any {
	t.Helper()
	granted, err := issuer().Grant(c, nil, scopeParameter)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, granted)
}

// The claims that RFC 9068, section 2.2 requires, its scope, and the one that is ours.
func TestClaimsOfAToken(t *testing.T) {
	got := claims(t, client(), "write read")
	jti, _ := got["jti"].(string)
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`).MatchString(jti) {
		t.Errorf("jti %q is not 128 bits", jti)
	}
	delete(got, "jti")
	for name, want := range map[string]any{
		"iss":       "https://issuer.example",
		"sub":       "billing.invoice-worker",
		"aud":       "https://api.example",
		"client_id": "billing.invoice-worker",
		"scope":     "read write",
		"iat":       json.Number("1782900000"),
		"exp":       json.Number("1782903600"),
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
		delete(got, name)
	}
	origin, _ := got["kubernetes.io"].(map[string]any)
	if want := map[string]any{"namespace": "billing", "name": "invoice-worker", "uid": "6f1c7f3e-0000-4000-8000-000000000001"}; !maps.Equal(origin, want) {
		t.Errorf("kubernetes.io = %v, want %v", got["kubernetes.io"], want)
	}
	delete(got, "kubernetes.io")
	if len(got) > 0 {
		t.Errorf("beyond these, the token claims %v", got)
	}
}

func TestGrantSelectsScopes(t *testing.T) {
	noDefault := client()
	noDefault.Accesses[0].Default = scope.Set{}
	for _, test := range []struct {
		name      string
		client    *Client
		parameter string
		want      string
		err       error // of package scope
	}{
		{"G05 scope omitted", client(), "", "read", nil},
		{"G06 scope omitted, no default", noDefault, "", "", scope.ErrNone},
		{"G07 subset", client(), "write", "write", nil},
		{"G08 one granted, one not", client(), "read admin", "", scope.ErrNotGranted},
		{"G09 unknown", client(), "unknown", "", scope.ErrNotGranted},
		{"G10 malformed", client(), `read "`, "", scope.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			granted, err := issuer().Grant(test.client, nil, test.parameter)
			if test.err == nil {
				if err != nil || granted.Scopes.String() != test.want {
					t.Fatalf("Grant = %+v, %v; want scope %q", granted, err, test.want)
				}
				return
			}
			wantRefusal(t, granted, err, "invalid_scope")
			if err.Description != test.err.Error() {
				t.Errorf("description %q, want %q", err.Description, test.err)
			}
		})
	}
}

func TestG04SuspendedClientGetsNoToken(t *testing.T) {
	suspended := client()
	suspended.Suspended = true
	// Whatever it asks for: a suspended client is not told what it would be granted.
	for _, parameter := range []string{"", "read", "admin", `"`} {
		granted, err := issuer().Grant(suspended, nil, parameter)
		wantRefusal(t, granted, err, "unauthorized_client")
	}
}

// wantRefusal checks an error, and that its description keeps to the characters of RFC 6749, section 5.2.
func wantRefusal(t *testing.T, granted *Claims, err *oauth2.Error, code string) {
	t.Helper()
	if granted != nil || err == nil || err.Status != http.StatusBadRequest || err.Code != code {
		t.Fatalf("Grant = %+v, %v; want %s", granted, err, code)
	}
	if !regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]+$`).MatchString(err.Description) {
		t.Errorf("R07 description %q", err.Description)
	}
}

// R02, J07: whole seconds everywhere, and none more promised than the token lives.
func TestTimes(t *testing.T) {
	for _, test := range []struct {
		name     string
		now      time.Time
		lifetime time.Duration
		iat, exp int64
	}{
		{"clock on the second", time.Unix(1_000, 0), time.Hour, 1_000, 4_600},
		{"clock just before the next second", time.Unix(1_000, 999_999_999), time.Hour, 1_000, 4_600},
		{"fractional lifetime", time.Unix(1_000, 0), 90*time.Second + 900*time.Millisecond, 1_000, 1_090},
		// Their fractions would add up to another second.
		{"fractional lifetime and clock", time.Unix(1_000, 900_000_000), 90*time.Second + 900*time.Millisecond, 1_000, 1_090},
		{"clock in another zone", time.Unix(1_000, 1).In(time.FixedZone("", 5*60*60+45*60)), time.Minute, 1_000, 1_060},
		{"after 2038", time.Unix(1<<32, 5), 24 * time.Hour, 1 << 32, 1<<32 + 86_400},
	} {
		t.Run(test.name, func(t *testing.T) {
			by := issuer()
			by.Now = func() time.Time { return test.now }
			c := client()
			c.Accesses[0].Lifetime = test.lifetime
			granted, err := by.Grant(c, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			claims := decoded(t, granted)
			iat, exp := integer(t, claims["iat"]), integer(t, claims["exp"])
			if iat != test.iat || exp != test.exp {
				t.Errorf("iat %d, exp %d; want %d, %d", iat, exp, test.iat, test.exp)
			}
			if got := granted.ExpiresIn(granted.IssuedAt); got != exp-iat {
				t.Errorf("expires_in %d, exp - iat = %d", got, exp-iat)
			}
		})
	}
}

func TestExtraClaims(t *testing.T) {
	plain := claims(t, client(), "")
	greedy := client()
	greedy.Accesses[0].Claims = map[string]string{"team": "billing"}
	for name := range plain {
		greedy.Accesses[0].Claims[name] = "overridden"
	}
	before := maps.Clone(greedy.Accesses[0].Claims)
	got := claims(t, greedy, "")

	if got["team"] != "billing" {
		t.Errorf("team = %v", got["team"])
	}
	for name, value := range got {
		if value == "overridden" {
			t.Errorf("%s was overridden", name)
		}
	}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, slices.Sorted(maps.Keys(greedy.Accesses[0].Claims))) {
		t.Errorf("claims %q", names)
	}
	// The client is shared by all requests.
	if !maps.Equal(greedy.Accesses[0].Claims, before) {
		t.Errorf("the client's own claims are now %v", greedy.Accesses[0].Claims)
	}
}

func TestJ07TokenIDsAreUnique(t *testing.T) {
	const n = 100_000
	by, c := issuer(), client()
	seen := make(map[string]bool, n)
	for range n {
		granted, err := by.Grant(c, nil, "read")
		if err != nil {
			t.Fatal(err)
		}
		if seen[granted.ID] {
			t.Fatalf("jti %s was issued twice", granted.ID)
		}
		seen[granted.ID] = true
	}
}

func TestEndpoint(t *testing.T) {
	for _, test := range []struct{ name, issuer, want string }{
		{"root", "https://issuer.example", "https://issuer.example/oauth2/token"},
		{"root with a slash", "https://issuer.example/", "https://issuer.example/oauth2/token"},
		{"path", "https://issuer.example/a", "https://issuer.example/a/oauth2/token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := (Issuer{URL: test.issuer}).Endpoint("/oauth2/token"); got != test.want {
				t.Errorf("Endpoint = %s, want %s", got, test.want)
			}
		})
	}
}

// J04: resource servers compare iss byte by byte, so that no slash may be trimmed from it.
func TestJ04IssuerIsByteEqual(t *testing.T) {
	by := issuer()
	by.URL = "https://issuer.example/a/"
	granted, err := by.Grant(client(), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := decoded(t, granted)["iss"]; got != by.URL {
		t.Errorf("iss = %v, want %s", got, by.URL)
	}
}
