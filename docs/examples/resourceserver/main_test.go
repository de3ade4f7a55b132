package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
	"github.com/kubemint/kubemint/tokenserver/scope"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

const (
	audience = "https://api.test"
	metadata = "https://issuer.test/.well-known/oauth-protected-resource/shop/orders"
	worker   = "billing.worker"
)

// cluster is a registry with one client and one key.
type cluster struct {
	tokenserver.Registry // Not asked for anything else.

	client *grant.Client
	ring   *signing.Ring
}

func (c cluster) Ready() bool         { return true }
func (c cluster) Ring() *signing.Ring { return c.ring }

func (c cluster) ProtectedResource(string, string) *oauth2.ProtectedResource { return nil }

func (c cluster) Client(id string) *grant.Client {
	if id != c.client.ID {
		return nil
	}
	return c.client
}

// issuer is a token server, and what a forger knows and has: a key of its own.
type issuer struct {
	*httptest.Server
	ring   *signing.Ring
	secret string
	forger *ecdsa.PrivateKey
}

func startIssuer(t *testing.T) *issuer {
	t.Helper()
	ring, err := signing.NewRingWithKey(signing.ES256, time.Now())
	must(t, err)
	forger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	i := &issuer{Server: httptest.NewUnstartedServer(nil), ring: ring, secret: credential.Generate(), forger: forger}
	server, err := tokenserver.New(tokenserver.Config{
		Issuer: grant.Issuer{URL: "https://" + i.Listener.Addr().String(), Now: time.Now},
		DPoP:   tokenserver.DPoPOn,
		Registry: cluster{ring: ring, client: &grant.Client{ID: worker,
			Credentials: []credential.Accepted{{Digest: credential.DigestOf(i.secret)}}, Accesses: scope.Accesses{{
				Audience: audience, AtIssuer: true, Lifetime: time.Hour, Grant: scope.Granted([]string{"orders:read", "other"}, nil)}}}},
		Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	i.Config.Handler = server
	i.StartTLS()
	t.Cleanup(i.Close)
	return i
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// token gets a token with a scope, which is bound to the key of a DPoP proof where there is one.
func (i *issuer) token(t *testing.T, scope string, proof ...string) string {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, i.URL+tokenserver.TokenPath, strings.NewReader("grant_type=client_credentials&scope="+scope))
	must(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header["Dpop"] = proof
	request.SetBasicAuth(worker, i.secret)
	response, err := i.Client().Do(request)
	must(t, err)
	defer response.Body.Close()
	var granted struct {
		AccessToken string `json:"access_token"`
	}
	must(t, json.NewDecoder(response.Body).Decode(&granted))
	return granted.AccessToken
}

// publicKey returns the issuer's key, as anybody may know it: its point, and the same in PEM.
func (i *issuer) publicKey(t *testing.T) (point, inPEM []byte) {
	t.Helper()
	var set struct{ Keys []struct{ X, Y string } }
	must(t, json.Unmarshal(i.ring.JWKS(), &set))
	x, errX := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	y, errY := base64.RawURLEncoding.DecodeString(set.Keys[0].Y)
	must(t, errX)
	must(t, errY)
	point = slices.Concat([]byte{4}, x, y)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(public)
	must(t, err)
	return point, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// forge returns a token with members of its header replaced, and a signature by whoever signs.
func forge(t *testing.T, token string, header map[string]any, sign func(signed string) []byte) string {
	t.Helper()
	parts := strings.Split(token, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(parts[0])
	must(t, err)
	members := map[string]any{}
	must(t, json.Unmarshal(decoded, &members))
	maps.Copy(members, header)
	encoded, err := json.Marshal(members)
	must(t, err)
	signed := base64.RawURLEncoding.EncodeToString(encoded) + "." + parts[1]
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign(signed))
}

func (i *issuer) byForger(signed string) []byte {
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.forger, digest[:])
	if err != nil {
		panic(err)
	}
	return slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)))
}

func byHMAC(key []byte) func(string) []byte {
	return func(signed string) []byte {
		mac := hmac.New(sha256.New, key)
		_, _ = io.WriteString(mac, signed) // A hash never fails.
		return mac.Sum(nil)
	}
}

func signature(bytes []byte) func(string) []byte { return func(string) []byte { return bytes } }

// text is claims as they stand.
type text []byte

func (c text) AppendText(b []byte) ([]byte, error) { return append(b, c...), nil }

// resourceServer serves what main serves.
func (i *issuer) resourceServer(t *testing.T) http.Handler {
	t.Helper()
	provider, err := oidc.NewProvider(oidc.ClientContext(context.Background(), i.Client()), i.URL)
	must(t, err)
	return gate{provider.Verifier(&oidc.Config{ClientID: audience}), "orders:read", metadata}.protect(http.HandlerFunc(orders))
}

// J13: what is not this issuer's token, as it was issued, does not get in.
func TestForgedTokens(t *testing.T) {
	i := startIssuer(t)
	var fetched atomic.Int64
	evil := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
	defer evil.Close()
	api := i.resourceServer(t)
	token := i.token(t, "orders:read")
	parts := strings.Split(token, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	ofAnotherType, err := i.ring.Active().Sign("JWT", text(claims))
	must(t, err)
	point, inPEM := i.publicKey(t)
	forgersPoint, err := i.forger.PublicKey.Bytes()
	must(t, err)
	forgersKey := map[string]any{"kty": "EC", "crv": "P-256", "x": base64.RawURLEncoding.EncodeToString(forgersPoint[1:33]),
		"y": base64.RawURLEncoding.EncodeToString(forgersPoint[33:])}
	order := new(big.Int).Set(elliptic.P256().Params().N).FillBytes(make([]byte, 32))
	by := func(header map[string]any) string { return forge(t, token, header, i.byForger) }
	for _, test := range []struct {
		name, token string
		want        int
	}{
		{"J13 as it was issued", token, http.StatusOK},
		{"J13 without the scope", i.token(t, "other"), http.StatusForbidden},
		{"J13 no token", "", http.StatusUnauthorized},
		{"J13 alg none", forge(t, token, map[string]any{"alg": "none"}, signature(nil)), http.StatusUnauthorized},
		{"J13 alg nOnE, the signature left", forge(t, token, map[string]any{"alg": "nOnE"}, i.byForger), http.StatusUnauthorized},
		{"J13 HS256 with the public key in PEM", forge(t, token, map[string]any{"alg": "HS256"}, byHMAC(inPEM)), http.StatusUnauthorized},
		{"J13 HS256 with the public key's point", forge(t, token, map[string]any{"alg": "HS256"}, byHMAC(point)), http.StatusUnauthorized},
		{"J13 ES256 r=s=0", forge(t, token, nil, signature(make([]byte, 64))), http.StatusUnauthorized},
		{"J13 ES256 r=s=n", forge(t, token, nil, signature(slices.Concat(order, order))), http.StatusUnauthorized},
		{"J13 another key's signature", by(nil), http.StatusUnauthorized},
		{"J13 no kid", by(map[string]any{"kid": nil}), http.StatusUnauthorized},
		{"J13 kid as a path", by(map[string]any{"kid": "../../../../../../dev/null"}), http.StatusUnauthorized},
		{"J13 kid as SQL", by(map[string]any{"kid": "x' UNION SELECT 'key' --"}), http.StatusUnauthorized},
		{"J13 kid as a URL", by(map[string]any{"kid": evil.URL}), http.StatusUnauthorized},
		{"J13 jku", by(map[string]any{"jku": evil.URL}), http.StatusUnauthorized},
		{"J13 x5u", by(map[string]any{"x5u": evil.URL}), http.StatusUnauthorized},
		{"J13 jwk", by(map[string]any{"jwk": forgersKey}), http.StatusUnauthorized},
		{"J13 another typ", ofAnotherType, http.StatusUnauthorized},
		{"J13 typ swapped", forge(t, ofAnotherType, map[string]any{"typ": "at+jwt"}, i.byForger), http.StatusUnauthorized},
		{"J13 truncated signature", token[:len(token)-4], http.StatusUnauthorized},
		{"J13 no signature", parts[0] + "." + parts[1] + ".", http.StatusUnauthorized},
		{"J13 two parts", parts[0] + "." + parts[1], http.StatusUnauthorized},
		{"J13 other claims", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(claims),
			worker, "billing.admin", 1))) + "." + parts[2], http.StatusUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := httptest.NewRequest(http.MethodGet, "/orders", nil)
			request.Header.Set("Authorization", "Bearer "+test.token)
			answer := httptest.NewRecorder()
			api.ServeHTTP(answer, request)
			t.Attr("expected", fmt.Sprint(test.want))
			t.Attr("got", fmt.Sprint(answer.Code))
			if answer.Code != test.want {
				t.Errorf("answer %d: %s", answer.Code, answer.Body)
			}
		})
	}
	if fetched.Load() != 0 {
		t.Errorf("the verifier asked the forger's server %d times", fetched.Load())
	}
}

// A token that is bound to a key is no bearer token: whoever has only read it does not get in, nor does its client without a proof, which
// this API does not know how to check.
func TestBoundTokens(t *testing.T) {
	i := startIssuer(t)
	api := i.resourceServer(t)
	bound := i.token(t, "orders:read", i.proof(t))
	if bound == "" {
		t.Fatal("no token")
	}
	for _, scheme := range []string{"Bearer ", "bearer ", "DPoP "} {
		request := httptest.NewRequest(http.MethodGet, "/orders", nil)
		request.Header.Set("Authorization", scheme+bound)
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, request)
		if answer.Code != http.StatusUnauthorized {
			t.Errorf("%s: answer %d: %s", scheme, answer.Code, answer.Body)
		}
	}
}

// proof returns a DPoP proof by the forger's key, for a request for a token.
func (i *issuer) proof(t *testing.T) string {
	t.Helper()
	point, err := i.forger.PublicKey.Bytes()
	must(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	proof := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"jti": "1", "htm": http.MethodPost, "htu": i.URL + tokenserver.TokenPath, "iat": time.Now().Unix()})
	proof.Header["typ"] = "dpop+jwt"
	proof.Header["jwk"] = map[string]string{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
	signed, err := proof.SignedString(i.forger)
	must(t, err)
	return signed
}

// A caller without the right token is told what was wrong (RFC 6750), and where it finds out how to get one (RFC 9728).
func TestChallenge(t *testing.T) {
	i := startIssuer(t)
	api := i.resourceServer(t)
	const more = `resource_metadata="` + metadata + `"`
	for authorization, want := range map[string]string{
		"":                              "Bearer " + more,
		"Basic YTpi":                    "Bearer " + more,
		"Bearer nonsense":               `Bearer error="invalid_token", ` + more,
		"Bearer " + i.token(t, "other"): `Bearer error="insufficient_scope", scope="orders:read", ` + more,
	} {
		request := httptest.NewRequest(http.MethodGet, "/orders", nil)
		request.Header.Set("Authorization", authorization)
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, request)
		if got := answer.Header().Get("WWW-Authenticate"); got != want {
			t.Errorf("%.20s: %s, want %s", authorization, got, want)
		}
	}
	answer := httptest.NewRecorder()
	gate{}.protect(nil).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/orders", nil))
	if got := answer.Header().Get("WWW-Authenticate"); got != "Bearer" {
		t.Errorf("without metadata: %s", got)
	}
}
