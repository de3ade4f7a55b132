package tokenserver_test

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/scope"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// verify verifies a token as a resource server does, with the key set that the server publishes, and returns what it says.
func (s *server) verify(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	return s.verifyAt(t, audience, token)
}

// verifyAt verifies a token as a resource server of an audience does.
func (s *server) verifyAt(t *testing.T, audience, token string) (header, claims map[string]any) {
	t.Helper()
	_, err := jwt.Parse(token, s.publicKey(t), jwt.WithValidMethods([]string{"ES256", "RS256"}), jwt.WithStrictDecoding(),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return noon }))
	if err != nil {
		t.Fatalf("verify %s: %v", token, err)
	}
	parts := strings.Split(token, ".")
	return object(t, decode(t, parts[0])), object(t, decode(t, parts[1]))
}

// publicKey finds the key of a token by its kid.
func (s *server) publicKey(t *testing.T) jwt.Keyfunc {
	t.Helper()
	keys := s.keys(t)
	return func(token *jwt.Token) (any, error) {
		for _, key := range keys {
			if key["kid"] == token.Header["kid"] && key["alg"] == token.Method.Alg() {
				if key["kty"] == "RSA" {
					exponent := new(big.Int).SetBytes(decode(t, key["e"]))
					return &rsa.PublicKey{N: new(big.Int).SetBytes(decode(t, key["n"])), E: int(exponent.Int64())}, nil
				}
				point := slices.Concat([]byte{4}, decode(t, key["x"]), decode(t, key["y"]))
				return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
			}
		}
		return nil, fmt.Errorf("kid %v is not in the key set", token.Header["kid"])
	}
}

// keys fetches the key set.
func (s *server) keys(t *testing.T) []map[string]string {
	t.Helper()
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(s.send(t, s.callers[0], get(tokenserver.JWKSPath)).body, &set); err != nil {
		t.Fatal(err)
	}
	return set.Keys
}

// decode decodes base64url without padding.
func decode(t *testing.T, encoded string) []byte {
	t.Helper()
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		t.Fatalf("%v: %q", err, encoded)
	}
	return decoded
}

func TestResponse(t *testing.T) {
	s := start(t, newCluster(t, nil))
	s.add("billing.short", secret).Accesses[0].Lifetime = 5 * time.Minute
	many := make([]string, 50)
	for i := range many {
		many[i] = fmt.Sprintf("invoices.department-%02d:write", i)
	}
	s.add("billing.many", secret).Accesses[0].Grant = scope.Granted(many, nil)
	s.add("billing.html", secret).Accesses[0].Grant = scope.Granted([]string{"a<b>&'c/d+e%20"}, nil)

	t.Run("R01 token_type is Bearer", func(t *testing.T) { // That there are no other members, every answer is checked for.
		got := s.token(t, post(grantType)).TokenType
		if attest(t, "Bearer", got); got != "Bearer" {
			t.Errorf("token_type %q", got)
		}
	})
	for id, want := range map[string]string{worker: "3600", "billing.short": "300"} {
		t.Run("R02 expires_in is exp - iat: "+id, func(t *testing.T) {
			granted := s.token(t, post(grantType).as(id, secret))
			_, claims := s.verify(t, granted.AccessToken)
			attest(t, want+" s", granted.ExpiresIn.String()+" s")
			if life := seconds(t, claims["exp"]) - seconds(t, claims["iat"]); string(granted.ExpiresIn) != want || fmt.Sprint(life) != want {
				t.Errorf("expires_in %s, exp - iat = %d, want %s", granted.ExpiresIn, life, want)
			}
		})
	}
	for _, scopes := range []string{"", "read", "read write"} {
		t.Run(fmt.Sprintf("R03 scope is always present: %q asked for", scopes), func(t *testing.T) {
			members := object(t, s.ask(t, s.callers[0], asking(scopes)).body)
			attest(t, "scope "+cmp.Or(scopes, "read write"), fmt.Sprint("scope ", members["scope"]))
			if members["scope"] == nil {
				t.Error("no scope")
			}
		})
	}
	t.Run("R05 50 scopes", func(t *testing.T) {
		granted := s.token(t, post(grantType).as("billing.many", secret))
		size := len(granted.AccessToken)
		attest(t, "at most 4096 bytes", fmt.Sprint(size, " bytes"))
		if size > 4<<10 || !regexp.MustCompile(`^[\x20-\x7E]+$`).MatchString(granted.AccessToken) {
			t.Errorf("access_token of %d bytes: %q", size, granted.AccessToken)
		}
		if got := len(strings.Fields(granted.Scope)); got != 50 {
			t.Errorf("%d scopes", got)
		}
	})
	t.Run("R06 no surprise by HTML escaping", func(t *testing.T) {
		const want = "a<b>&'c/d+e%20"
		granted := s.token(t, post(grantType).as("billing.html", secret))
		if _, claims := s.verify(t, granted.AccessToken); granted.Scope != want || claims["scope"] != want {
			t.Errorf("scope %q, in the token %q", granted.Scope, claims["scope"])
		}
	})
}

// R04, R06, R08: what check checks holds for an answer of each kind, or there would be one that no other test looks at.
func TestEveryKindOfAnswer(t *testing.T) {
	s := start(t, newCluster(t, nil))
	s.run(t, []row{
		{"R04 R06 R08 200", post(grantType), issued},
		{"R04 R06 R08 400", post(""), invalidRequest},
		{"R04 R06 R08 401", post(grantType).anonymous(), uniform401},
		{"R04 R06 R08 405", get(tokenPath), notAllowed},
		{"R04 R06 R08 413", post(strings.Repeat("x", maxBody+1)), tooLarge},
		{"R04 R06 R08 415", post(grantType).with("Content-Encoding", "br"), unsupportedMedia},
	})
	s.change(func() { s.hook = func() { panic("some bug") } })
	s.run(t, []row{{"R04 R06 R08 500", post(grantType), serverError}})
	s.change(func() { s.notReady = true })
	s.run(t, []row{{"R04 R06 R08 503", post(grantType), unavailable}})
}

// R07: whatever is sent, and wherever, does not come back.
func TestR07NothingIsEchoed(t *testing.T) {
	s := start(t, newCluster(t, nil))
	const canary = `canary"\<script>é`
	escaped := "canary%22%5C%3Cscript%3E%C3%A9"
	for name, request := range map[string]request{
		"grant_type":                post("grant_type=" + escaped),
		"scope":                     asking(canary),
		"scope that is not granted": asking("canary"),
		"client_id":                 postSecret(canary, secret),
		"client_secret":             postSecret(worker, canary),
		"client_assertion":          post(grantType + "&client_assertion=" + escaped).anonymous(),
		"id of Basic":               post(grantType).as(canary, secret),
		"secret of Basic":           post(grantType).as(worker, canary),
		"scheme":                    post(grantType).with("Authorization", "canary abc"),
		"name":                      post(escaped + "=1"),
		"value":                     post("x=" + escaped),
		"malformed value":           post("x=" + escaped + "%zz"),
		"query":                     post(grantType).asking("scope=" + escaped),
		"method":                    post(grantType).by("CANARY"),
		"Content-Type":              post(grantType).with("Content-Type", "canary/canary; charset=canary"),
		"Content-Encoding":          post(grantType).with("Content-Encoding", "canary"),
		"Origin":                    post("").with("Origin", "https://canary.test"),
	} {
		t.Run("R07 "+name, func(t *testing.T) {
			a := s.ask(t, s.callers[0], request)
			if a.status == http.StatusOK || bytes.Contains(bytes.ToLower(a.body), []byte("canary")) {
				t.Errorf("answer %d: %s", a.status, a.body)
			}
			for name, values := range a.header {
				if strings.Contains(strings.ToLower(strings.Join(values, " ")), "canary") {
					t.Errorf("header %s: %q", name, values)
				}
			}
		})
	}
}

func TestAccessToken(t *testing.T) {
	c := newCluster(t, nil)
	c.clients[worker].Accesses[0].Claims = map[string]string{"team": "billing"}
	s, replica := start(t, c), start(t, c)
	rs256, err := signing.NewRingWithKey(signing.RS256, noon)
	if err != nil {
		t.Fatal(err)
	}
	es256 := c.ring
	for _, test := range []struct {
		algorithm     string
		ring          *signing.Ring
		signatureSize int // in bytes: R and S of 32 each, not DER; the size of the modulus
	}{{"ES256", es256, 64}, {"RS256", rs256, 256}} {
		c.change(func() { c.ring = test.ring })
		granted := s.token(t, post(grantType))
		header, claims := s.verify(t, granted.AccessToken)
		t.Run("J01 J02 J03 header, "+test.algorithm, func(t *testing.T) {
			// And nothing else, such as a key or where to get one.
			want := map[string]any{"typ": "at+jwt", "alg": test.algorithm, "kid": test.ring.Active().ID}
			attest(t, fmt.Sprint("at+jwt ", test.algorithm), fmt.Sprint(header["typ"], " ", header["alg"]))
			if !maps.Equal(header, want) {
				t.Errorf("header %v, want %v", header, want)
			}
		})
		t.Run("J03 another replica's key set has the key, "+test.algorithm, func(t *testing.T) {
			replica.verify(t, granted.AccessToken)
		})
		for _, claim := range []struct{ row, name, want string }{
			{"J04", "iss", issuerURL}, {"J05", "aud", audience}, {"J06", "sub", worker}, {"J06", "client_id", worker},
			{"J08", "scope", granted.Scope}, {"J09", "team", "billing"},
		} {
			t.Run(claim.row+" "+claim.name+", "+test.algorithm, func(t *testing.T) {
				if attest(t, claim.want, fmt.Sprint(claims[claim.name])); claims[claim.name] != claim.want {
					t.Errorf("%s = %v, want %v", claim.name, claims[claim.name], claim.want)
				}
			})
		}
		t.Run("J07 times, "+test.algorithm, func(t *testing.T) {
			iat, exp := seconds(t, claims["iat"]), seconds(t, claims["exp"])
			attest(t, "for 3600 s", fmt.Sprintf("for %d s", exp-iat))
			if iat != noon.Unix() || exp != noon.Add(time.Hour).Unix() {
				t.Errorf("iat %d, exp %d", iat, exp)
			}
		})
		t.Run("J09 no other claims, "+test.algorithm, func(t *testing.T) {
			want := []string{"aud", "client_id", "exp", "iat", "iss", "jti", "kubernetes.io", "scope", "sub", "team"}
			got := slices.Sorted(maps.Keys(claims))
			if attest(t, fmt.Sprint(len(want), " claims"), fmt.Sprint(len(got), " claims")); !slices.Equal(got, want) {
				t.Errorf("claims %q, want %q", got, want)
			}
		})
		t.Run("J10 J11 form, "+test.algorithm, func(t *testing.T) {
			parts := strings.Split(granted.AccessToken, ".")
			size := len(decode(t, parts[len(parts)-1]))
			attest(t, fmt.Sprintf("3 parts, signature %d bytes", test.signatureSize), fmt.Sprintf("%d parts, signature %d bytes", len(parts), size))
			if len(parts) != 3 || size != test.signatureSize {
				t.Errorf("%d parts, signature of %d bytes, want %d", len(parts), size, test.signatureSize)
			}
		})
	}
	t.Run("J07 jti is unique", func(t *testing.T) {
		c.change(func() { c.ring = es256 })
		seen := map[any]bool{}
		for range 50 {
			_, claims := s.verify(t, s.token(t, post(grantType)).AccessToken)
			if id, _ := claims["jti"].(string); id == "" || seen[id] {
				t.Fatalf("jti %q after %d tokens", id, len(seen))
			}
			seen[claims["jti"]] = true
		}
	})
}

// J15: a token says when it was issued by the server's clock, be it behind, ahead or set back; it never says so early, and holds at
// once.
func TestClock(t *testing.T) {
	var clock atomic.Int64
	s := start(t, newCluster(t, nil), func(config *tokenserver.Config) {
		config.Issuer.Now = func() time.Time { return noon.Add(time.Duration(clock.Load())) }
	})
	for _, test := range []struct {
		name   string
		offset time.Duration
		iat    time.Duration
	}{
		{"J15 right", 0, 0},
		{"J15 60 s behind", -time.Minute, -time.Minute},
		{"J15 60 s ahead", time.Minute, time.Minute},
		{"J15 set back by 61 s", -time.Second, -time.Second},
		{"J15 between two seconds: the earlier", 999 * time.Millisecond, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock.Store(int64(test.offset))
			granted := s.token(t, post(grantType))
			claims := object(t, decode(t, strings.Split(granted.AccessToken, ".")[1]))
			iat, exp := seconds(t, claims["iat"]), seconds(t, claims["exp"])
			want := noon.Add(test.iat).Unix()
			attest(t, fmt.Sprint("iat noon + ", test.iat), fmt.Sprint("iat noon + ", time.Unix(iat, 0).Sub(noon)))
			if iat != want || exp != want+3600 || granted.ExpiresIn != "3600" {
				t.Errorf("iat %d, exp %d, expires_in %s, want iat %d", iat, exp, granted.ExpiresIn, want)
			}
			if nbf, ok := claims["nbf"]; ok {
				t.Errorf("nbf = %v", nbf)
			}
		})
	}
}

// seconds returns a time claim, which must be written as an integer.
func seconds(t *testing.T, claim any) int64 {
	t.Helper()
	number, _ := claim.(json.Number)
	integer, err := number.Int64()
	if err != nil {
		t.Fatalf("%v is no integer", claim)
	}
	return integer
}
