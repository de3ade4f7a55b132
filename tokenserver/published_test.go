package tokenserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// fullRing returns a ring with a key in each state, of both algorithms.
func fullRing(t *testing.T) *signing.Ring {
	t.Helper()
	var keys []signing.Key
	for state, algorithm := range map[signing.State]signing.Algorithm{
		signing.Prepared: signing.RS256, signing.Active: signing.ES256, signing.Retired: signing.ES256} {
		key, err := signing.NewKey(algorithm, noon)
		if err != nil {
			t.Fatal(err)
		}
		key.State = state
		keys = append(keys, key)
	}
	ring, err := signing.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestPublishedDocuments(t *testing.T) {
	s := start(t, newCluster(t, nil))
	first := s.ring
	for name, path := range documents {
		contentType := map[bool]string{true: "application/jwk-set+json", false: "application/json"}[name == "JWKS"]
		want := http.Header{
			"Cache-Control":          {fmt.Sprintf("public, max-age=%d", int(signing.PublishedMaxAge.Seconds()))},
			"Content-Type":           {contentType},
			"X-Content-Type-Options": {"nosniff"},
		}
		t.Run("K01 K04 M01 GET "+name, func(t *testing.T) {
			for _, caller := range s.callers {
				a := s.send(t, caller, get(path))
				if attest(t, "200", a.outcome()); a.status != http.StatusOK {
					t.Fatalf("status %d", a.status)
				}
				object(t, a.body)
				for header, values := range want {
					if !slices.Equal(a.header[header], values) {
						t.Errorf("%s %q, want %q", header, a.header[header], values)
					}
				}
			}
		})
		t.Run("K01 HEAD "+name, func(t *testing.T) {
			for _, caller := range s.callers {
				a, full := s.send(t, caller, get(path).by(http.MethodHead)), s.send(t, caller, get(path))
				a.header.Del("Date")
				full.header.Del("Date")
				if a.status != http.StatusOK || len(a.body) > 0 || !reflect.DeepEqual(a.header, full.header) {
					t.Errorf("status %d, body %q, headers %v, want %v", a.status, a.body, a.header, full.header)
				}
			}
		})
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
			t.Run("K01 "+method+" "+name+" is refused", func(t *testing.T) {
				a := s.send(t, s.callers[0], get(path).by(method))
				attest(t, notAllowed, a.outcome())
				if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET, HEAD" {
					t.Errorf("status %d, Allow %q", a.status, a.header.Get("Allow"))
				}
			})
		}
		t.Run("K04 ETag of "+name, func(t *testing.T) {
			a := s.send(t, s.callers[0], get(path))
			conditional := get(path).with("If-None-Match", a.header.Get("ETag"))
			for _, caller := range s.callers {
				if again := s.send(t, caller, conditional); again.status != http.StatusNotModified || len(again.body) > 0 {
					t.Errorf("status %d, body %q", again.status, again.body)
				}
			}
			// Now there is an RS256 key, which both the keys and the metadata tell.
			s.change(func() { s.ring = fullRing(t) })
			if again := s.send(t, s.callers[0], conditional); again.status != 200 || again.header.Get("ETag") == a.header.Get("ETag") {
				t.Errorf("changed: status %d, ETag %q", again.status, again.header.Get("ETag"))
			}
			s.change(func() { s.ring = first })
		})
	}
}

func TestKeySet(t *testing.T) {
	s := start(t, newCluster(t, nil))
	s.change(func() { s.ring = fullRing(t) })
	keys := s.keys(t)
	if len(keys) != 3 {
		t.Fatalf("%d keys, want one of each state", len(keys))
	}
	seen := map[string]bool{}
	for _, key := range keys {
		// The members, with their size in bytes where they are numbers at full length.
		want := map[string]int{"kty": 0, "use": 0, "alg": 0, "kid": 32, "crv": 0, "x": 32, "y": 32}
		fixed := map[string]string{"kty": "EC", "use": "sig", "alg": "ES256", "crv": "P-256"}
		if key["kty"] == "RSA" {
			want = map[string]int{"kty": 0, "use": 0, "alg": 0, "kid": 32, "n": 256, "e": 3}
			fixed = map[string]string{"kty": "RSA", "use": "sig", "alg": "RS256"}
		}
		t.Run("K02 public members only: "+key["kid"], func(t *testing.T) {
			got, want := slices.Sorted(maps.Keys(key)), slices.Sorted(maps.Keys(want))
			if attest(t, strings.Join(want, " "), strings.Join(got, " ")); !slices.Equal(got, want) {
				t.Errorf("members %q, want %q", got, want)
			}
		})
		t.Run("K03 well-formed: "+key["kid"], func(t *testing.T) {
			if seen[key["kid"]] {
				t.Error("the kid stands there twice")
			}
			for name, value := range fixed {
				if key[name] != value {
					t.Errorf("%s = %q, want %q", name, key[name], value)
				}
			}
			for name, size := range want {
				if size > 0 && len(decode(t, key[name])) != size {
					t.Errorf("%s is not %d bytes: %q", name, size, key[name])
				}
			}
		})
		seen[key["kid"]] = true
	}
}

// A key's life, as far as the ring holds it: while one is being replaced, each token verifies with each replica's keys, whichever
// side of the change the replica is on.
func TestKeyRotation(t *testing.T) {
	first, second := newKey(t), newKey(t)
	earlier := ringOf(t, in(first, signing.Active), in(second, signing.Prepared))
	later := ringOf(t, in(first, signing.Retired), in(second, signing.Active))
	last := ringOf(t, in(second, signing.Active))
	ahead, behind := start(t, newCluster(t, nil)), start(t, newCluster(t, nil))
	ahead.change(func() { ahead.ring = later })
	behind.change(func() { behind.ring = earlier })
	byFirst, bySecond := behind.token(t, post(grantType)).AccessToken, ahead.token(t, post(grantType)).AccessToken

	for _, test := range []struct {
		name      string
		server    *server
		token     string
		signer    signing.Key
		published []string
	}{
		{"K05 a prepared key is published, and does not sign", behind, byFirst, first, []string{first.ID, second.ID}},
		{"K06 a retired key is published, for the tokens that it signed", ahead, byFirst, first, []string{first.ID, second.ID}},
		{"K08 a replica behind verifies the new key's tokens", behind, bySecond, second, []string{first.ID, second.ID}},
		{"K08 a replica ahead verifies the old key's tokens", ahead, byFirst, first, []string{first.ID, second.ID}},
	} {
		t.Run(test.name, func(t *testing.T) {
			header, _ := test.server.verify(t, test.token)
			if header["kid"] != test.signer.ID {
				t.Errorf("signed by %v", header["kid"])
			}
			got, want := test.server.kids(t), slices.Sorted(slices.Values(test.published))
			attest(t, fmt.Sprint("verified with ", len(want), " keys"), fmt.Sprint("verified with ", len(got), " keys"))
			if !slices.Equal(got, want) {
				t.Errorf("published are %q, want %q", got, want)
			}
		})
	}
	t.Run("K10 a key that is taken away is not published from then on", func(t *testing.T) {
		known := ahead.send(t, ahead.callers[0], get(tokenserver.JWKSPath)).header.Get("ETag")
		ahead.change(func() { ahead.ring = last })
		got, want := ahead.kids(t), []string{second.ID}
		if attest(t, "1 key", fmt.Sprint(len(got), " key")); !slices.Equal(got, want) {
			t.Errorf("published are %q, want %q", got, want)
		}
		again := ahead.send(t, ahead.callers[0], get(tokenserver.JWKSPath).with("If-None-Match", known))
		if again.status != http.StatusOK {
			t.Errorf("whoever had the key is answered %d", again.status)
		}
	})
}

func newKey(t *testing.T) signing.Key {
	t.Helper()
	key, err := signing.NewKey(signing.ES256, noon)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func in(key signing.Key, state signing.State) signing.Key {
	key.State = state
	return key
}

func ringOf(t *testing.T, keys ...signing.Key) *signing.Ring {
	t.Helper()
	ring, err := signing.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// kids returns the identifiers of the published keys, sorted.
func (s *server) kids(t *testing.T) []string {
	t.Helper()
	var kids []string
	for _, key := range s.keys(t) {
		kids = append(kids, key["kid"])
	}
	slices.Sort(kids)
	return kids
}

// metadata is the document as a client reads it: with all members that it may have and must not.
type metadata map[string]any

func (s *server) metadata(t *testing.T, path string) metadata {
	t.Helper()
	a := s.send(t, s.callers[0], get(path))
	if a.status != http.StatusOK {
		t.Fatalf("%s: status %d", path, a.status)
	}
	return object(t, a.body)
}

func (m metadata) list(name string) []string {
	var list []string
	encoded, _ := json.Marshal(m[name])
	_ = json.Unmarshal(encoded, &list) // What is no list of strings is an empty one.
	return list
}

func TestMetadata(t *testing.T) {
	for _, test := range []struct{ name, issuer, wellKnown, openID, elsewhere string }{
		{"issuer without a path", issuerURL,
			"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration",
			"/.well-known/oauth-authorization-server/"},
		{"issuer with a path", issuerURL + "/tenants/a",
			"/.well-known/oauth-authorization-server/tenants/a", "/tenants/a/.well-known/openid-configuration",
			"/.well-known/oauth-authorization-server"},
	} {
		s := start(t, newCluster(t, nil), func(config *tokenserver.Config) { config.Issuer.URL = test.issuer })
		m := s.metadata(t, test.wellKnown)
		t.Run("M02 "+test.name, func(t *testing.T) {
			if openID := s.metadata(t, test.openID); !reflect.DeepEqual(openID, m) {
				t.Errorf("%v\nwant %v", openID, m)
			}
			if a := s.send(t, s.callers[0], get(test.elsewhere)); a.status != http.StatusNotFound {
				t.Errorf("%s: status %d", test.elsewhere, a.status)
			}
		})
		tokenURL, jwksURL := reach(t, m["token_endpoint"]), reach(t, m["jwks_uri"])
		t.Run("M03 M04 issuer and endpoints, "+test.name, func(t *testing.T) {
			token := s.token(t, post(grantType).to(tokenURL.Path)).AccessToken
			claims := object(t, decode(t, strings.Split(token, ".")[1]))
			attest(t, test.issuer, fmt.Sprint(m["issuer"]))
			if m["issuer"] != test.issuer || claims["iss"] != test.issuer {
				t.Errorf("issuer %v, iss %v, want %s", m["issuer"], claims["iss"], test.issuer)
			}
			if got := s.send(t, s.callers[0], get(jwksURL.Path)); !bytes.Equal(got.body, s.ring.JWKS()) {
				t.Errorf("jwks_uri: %d: %s", got.status, got.body)
			}
		})
		for _, member := range []struct {
			row, name string
			want      []string // None where it must not be there at all.
		}{
			{"M05", "grant_types_supported", []string{"client_credentials"}},
			{"M06", "authorization_endpoint", nil},
			{"M07", "response_types_supported", nil},
			{"M08", "token_endpoint_auth_methods_supported", []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}},
			{"M09", "token_endpoint_auth_signing_alg_values_supported", []string{"ES256", "RS256", "PS256", "EdDSA"}},
			{"M09", "id_token_signing_alg_values_supported", []string{"ES256"}},
		} {
			t.Run(member.row+" "+member.name+", "+test.name, func(t *testing.T) {
				got, there := m.list(member.name), m[member.name] != nil
				attest(t, listed(member.want), listed(got))
				if !slices.Equal(got, member.want) || there != (member.want != nil) {
					t.Errorf("%v, want %q", m[member.name], member.want)
				}
			})
		}
		// No others, so that nothing is claimed which is not there.
		t.Run("M10 X05 members, "+test.name, func(t *testing.T) {
			want := []string{"grant_types_supported", "id_token_signing_alg_values_supported", "issuer", "jwks_uri",
				"token_endpoint", "token_endpoint_auth_methods_supported", "token_endpoint_auth_signing_alg_values_supported"}
			got := slices.Sorted(maps.Keys(m))
			if attest(t, fmt.Sprint(len(want), " members"), fmt.Sprint(len(got), " members")); !slices.Equal(got, want) {
				t.Errorf("members %q, want %q", got, want)
			}
		})
		base := strings.TrimPrefix(test.issuer, issuerURL)
		for _, path := range []string{"/oauth2/authorize", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/register",
			"/oauth2/device_authorization", "/oauth2/par", "/oauth2/userinfo", "/oauth2/keys", "/.well-known/jwks.json"} {
			t.Run("M10 X05 "+path+" is not there, "+test.name, func(t *testing.T) {
				for _, r := range []request{get(base + path), post(grantType).to(base + path)} {
					a := s.send(t, s.callers[0], r)
					if attest(t, "404", a.outcome()); a.status != http.StatusNotFound {
						t.Errorf("%s: status %d", r.method, a.status)
					}
				}
			})
		}
	}
}

// listed says what a member of the metadata holds.
func listed(values []string) string {
	if values == nil {
		return "absent"
	}
	return strings.Join(values, " ")
}

// reach parses the URL of an endpoint, which must be absolute and https.
func reach(t *testing.T, endpoint any) *url.URL {
	t.Helper()
	text, _ := endpoint.(string)
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "https" || parsed.Host != host {
		t.Fatalf("endpoint %v", endpoint)
	}
	return parsed
}
