package tokenserver_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/clientauth"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// Clients that authenticate by assertions, and what they are proved by.
const (
	signerID  = "billing.signer"  // Signs with clientKey.
	accountID = "billing.account" // Its service account is worker.
	trustedID = "billing.trusted"
	ciIssuer  = "https://ci.test"
	ciSubject = "repo:example/app:ref:refs/heads/main"
	jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// signingKey is a key of a test, with its kid.
type signingKey struct {
	id      string
	private *ecdsa.PrivateKey
}

var clientKey, clusterKey, ciKey, strangersKey = newSigningKey("client"), newSigningKey("cluster"), newSigningKey("ci"), newSigningKey("client")

func newSigningKey(id string) signingKey {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return signingKey{id, private}
}

// keySet returns the public key as a JWK Set.
func (k signingKey) keySet(t testing.TB) []byte {
	t.Helper()
	point, err := k.private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	coordinate := base64.RawURLEncoding.EncodeToString
	return fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","kid":%q,"x":%q,"y":%q}]}`, k.id, coordinate(point[1:33]), coordinate(point[33:]))
}

func (k signingKey) keys(t testing.TB) *assertion.Keys {
	t.Helper()
	keys, err := assertion.ParseKeys(k.keySet(t))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// sign returns a JWT. A header that is nil is left out.
func (k signingKey) sign(claims jwt.MapClaims, header map[string]any) string {
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = k.id
	maps.Copy(token.Header, header)
	maps.DeleteFunc(token.Header, func(_ string, value any) bool { return value == nil })
	signed, err := token.SignedString(crypto.Signer(k.private))
	if err != nil {
		panic(err)
	}
	return signed
}

var nextID atomic.Int64

// of returns the claims of a client's assertion, each with a jti of its own; changes are made to them, and nil removes one.
func of(client string, changes jwt.MapClaims) jwt.MapClaims {
	claims := jwt.MapClaims{"iss": client, "sub": client, "aud": issuerURL, "jti": fmt.Sprint("id-", nextID.Add(1)),
		"iat": noon.Unix(), "exp": noon.Add(time.Minute).Unix()}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// ofAccount returns the claims of a service account token, as the API server makes them.
func ofAccount(namespace, name string, changes jwt.MapClaims) jwt.MapClaims {
	claims := of("", jwt.MapClaims{"iss": clusterIssuer, "sub": "system:serviceaccount:" + namespace + ":" + name,
		"aud": []string{issuerURL}, "exp": noon.Add(time.Hour).Unix(), "nbf": noon.Unix(), "kubernetes.io": map[string]any{
			"namespace": namespace, "serviceaccount": map[string]any{"name": name, "uid": "uid-of-" + name}, "pod": map[string]any{"name": name + "-0"}}})
	maps.Copy(claims, changes)
	return claims
}

// asserting returns a token request with an assertion, and further parameters.
func asserting(text string, parameters ...string) request {
	form := url.Values{"client_assertion": {text}, "client_assertion_type": {jwtBearer}}
	for _, parameter := range parameters {
		name, value, _ := strings.Cut(parameter, "=")
		form.Set(name, value)
	}
	return post(grantType + "&" + form.Encode()).anonymous()
}

// startAsserting starts a server that knows clients without secrets.
func startAsserting(t *testing.T, options ...func(*tokenserver.Config)) *server {
	t.Helper()
	c := newCluster(t, nil)
	for id, proofs := range map[string]grant.Asymmetric{
		signerID:           {Keys: clientKey.keys(t)},
		"billing.other":    {Keys: newSigningKey("client").keys(t)},
		accountID:          {ServiceAccounts: []string{"worker", "shared"}},
		"billing.account2": {ServiceAccounts: []string{"shared"}},
		"shop.account":     {ServiceAccounts: []string{"cashier"}},
		trustedID:          {Trusted: []grant.TrustedSubject{{Issuer: ciIssuer, Subject: ciSubject}}},
	} {
		proofs.Uses = new(grant.Uses)
		c.add(id).Asymmetric = &proofs
	}
	c.accountKeys = clusterKey.keys(t)
	trusting := func(config *tokenserver.Config) {
		keys := ciKey.keys(t)
		config.Assertions.Trusted = map[string]clientauth.TrustedIssuer{
			ciIssuer: {Keys: func(context.Context, string) (*assertion.Keys, error) { return keys, nil }, MaxTokenAge: 10 * time.Minute},
		}
	}
	return start(t, c, append([]func(*tokenserver.Config){trusting}, options...)...)
}

// assertionRow is a row whose every request has an assertion of its own.
type assertionRow struct {
	name    string
	request func() request
	want    string
}

// runAsserting checks rows, over each version of HTTP.
func (s *server) runAsserting(t *testing.T, rows []assertionRow) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for _, caller := range s.callers {
				got := s.ask(t, caller, row.request())
				if attest(t, row.want, got.outcome()); got.outcome() != row.want {
					t.Errorf("answer %s, want %s: %s", got.outcome(), row.want, got.body)
				}
			}
		})
	}
}

func TestAssertions(t *testing.T) {
	by := func(changes jwt.MapClaims, header map[string]any, parameters ...string) func() request {
		return func() request { return asserting(clientKey.sign(of(signerID, changes), header), parameters...) }
	}
	text := func(text string) func() request { return func() request { return asserting(text) } }
	raw := func(header, claims string) func() request {
		encode := base64.RawURLEncoding.EncodeToString
		return func() request {
			signed := encode([]byte(header)) + "." + encode([]byte(strings.ReplaceAll(claims, "JTI", fmt.Sprint(nextID.Add(1)))))
			signature, err := jwt.SigningMethodES256.Sign(signed, clientKey.private)
			if err != nil {
				t.Fatal(err)
			}
			return asserting(signed + "." + encode(signature))
		}
	}
	const rawHeader = `{"alg":"ES256","kid":"client"}`
	rawClaims := fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"jti":"JTI","exp":%d}`, signerID, signerID, issuerURL, noon.Add(time.Minute).Unix())
	at := func(seconds int64) int64 { return noon.Unix() + seconds }
	hmac := func() request {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, of(signerID, nil))
		signed, err := token.SignedString(clientKey.keySet(t))
		if err != nil {
			t.Fatal(err)
		}
		return asserting(signed)
	}
	none := func() request {
		signed, err := jwt.NewWithClaims(jwt.SigningMethodNone, of(signerID, nil)).SignedString(jwt.UnsafeAllowNoneSignatureType)
		if err != nil {
			t.Fatal(err)
		}
		return asserting(signed)
	}
	for _, row := range []assertionRow{
		{"C01 aud is the issuer", by(nil, nil), issued},
		{"C01 with the same client_id", by(nil, nil, "client_id="+signerID), issued},
		{"C01 aud is a list of the issuer", by(jwt.MapClaims{"aud": []string{issuerURL}}, nil), issued},
		{"C02 aud is the token endpoint", by(jwt.MapClaims{"aud": issuerURL + tokenPath}, nil), uniform401},
		{"C03 aud is the issuer and another", by(jwt.MapClaims{"aud": []string{issuerURL, "https://other.test"}}, nil), uniform401},
		{"C04 aud with a slash at the end", by(jwt.MapClaims{"aud": issuerURL + "/"}, nil), uniform401},
		{"C04 aud in another case", by(jwt.MapClaims{"aud": strings.ToUpper(issuerURL)}, nil), uniform401},
		{"C04 aud with the port", by(jwt.MapClaims{"aud": issuerURL + ":443"}, nil), uniform401},
		{"C04 no aud", by(jwt.MapClaims{"aud": nil}, nil), uniform401},
		{"C05 typ client-authentication+jwt", by(nil, map[string]any{"typ": "client-authentication+jwt"}), issued},
		{"C05 typ JWT", by(nil, map[string]any{"typ": "JWT"}), issued},
		{"C05 no typ", by(nil, map[string]any{"typ": nil}), issued},
		{"C06 typ at+jwt", by(nil, map[string]any{"typ": "at+jwt"}), uniform401},
		{"C06 typ dpop+jwt", by(nil, map[string]any{"typ": "dpop+jwt"}), uniform401},
		{"C06 typ jwt-svid", by(nil, map[string]any{"typ": "jwt-svid"}), uniform401},
		{"C07 iss of another client", by(jwt.MapClaims{"iss": "billing.other"}, nil), uniform401},
		{"C07 sub of another client", by(jwt.MapClaims{"sub": "billing.other"}, nil), uniform401},
		{"C07 iss and sub of another client", by(jwt.MapClaims{"iss": "billing.other", "sub": "billing.other"}, nil), uniform401},
		{"C07 another client_id", by(nil, nil, "client_id=billing.other"), uniform401},
		{"C07 unknown client", by(jwt.MapClaims{"iss": "billing.unknown", "sub": "billing.unknown"}, nil), uniform401},
		{"C08 no exp", by(jwt.MapClaims{"exp": nil}, nil), uniform401},
		{"C08 exp past, within the leeway", by(jwt.MapClaims{"exp": at(-9)}, nil), issued},
		{"C08 exp past", by(jwt.MapClaims{"exp": at(-10)}, nil), uniform401},
		{"C08 exp ahead, to the bound", by(jwt.MapClaims{"exp": at(70)}, nil), issued},
		{"C08 exp ahead, beyond the bound", by(jwt.MapClaims{"exp": at(71)}, nil), uniform401},
		{"C08 exp more than 5 min ahead", by(jwt.MapClaims{"exp": at(301)}, nil), uniform401},
		{"C08 iat in the future, within the leeway", by(jwt.MapClaims{"iat": at(10)}, nil), issued},
		{"C08 iat in the future", by(jwt.MapClaims{"iat": at(11)}, nil), uniform401},
		{"C08 iat long ago", by(jwt.MapClaims{"iat": at(-71)}, nil), uniform401},
		{"C08 nbf in the future", by(jwt.MapClaims{"nbf": at(11)}, nil), uniform401},
		{"C08 no iat", by(jwt.MapClaims{"iat": nil}, nil), issued},
		{"C09 exp is text", by(jwt.MapClaims{"exp": "9999999999"}, nil), uniform401},
		{"C09 exp is a fraction", by(jwt.MapClaims{"exp": float64(at(30)) + .5}, nil), uniform401},
		{"C09 exp is infinite", raw(rawHeader, strings.Replace(rawClaims, fmt.Sprint(at(60)), "1e400", 1)), uniform401},
		{"C09 exp is negative", by(jwt.MapClaims{"exp": -1}, nil), uniform401},
		{"C09 exp is null", raw(rawHeader, strings.Replace(rawClaims, fmt.Sprint(at(60)), "null", 1)), uniform401},
		{"C10 no jti", by(jwt.MapClaims{"jti": nil}, nil), uniform401},
		{"C15 alg none", none, uniform401},
		{"C15 HS256 with the public key", hmac, uniform401},
		{"C15 alg of another kind of key", by(nil, map[string]any{"alg": "RS256"}), uniform401},
		{"C15 signed by another's key of the same kid", func() request { return asserting(strangersKey.sign(of(signerID, nil), nil)) }, uniform401},
		{"C15 signed by another's key, no kid", func() request { return asserting(strangersKey.sign(of(signerID, nil), map[string]any{"kid": nil})) }, uniform401},
		{"C15 unknown kid", by(nil, map[string]any{"kid": "../client"}), uniform401},
		{"C16 crit", by(nil, map[string]any{"crit": []string{"x"}}), uniform401},
		{"C16 empty crit", by(nil, map[string]any{"crit": []string{}}), uniform401},
		{"C16 b64", by(nil, map[string]any{"b64": false}), uniform401},
		{"C17 raw and right", raw(rawHeader, rawClaims), issued},
		{"C17 header with a member twice", raw(`{"alg":"ES256","alg":"ES256","kid":"client"}`, rawClaims), uniform401},
		{"C17 claims with a member twice", raw(rawHeader, strings.Replace(rawClaims, `{`, `{"sub":"billing.other",`, 1)), uniform401},
		{"C17 AUD beside aud", raw(rawHeader, strings.Replace(rawClaims, `{`, `{"AUD":"x",`, 1)), uniform401},
		{"C18 jku", by(nil, map[string]any{"jku": "https://127.0.0.1:1/jwks"}), issued},
		{"C18 x5u and another's key in jwk", func() request {
			return asserting(strangersKey.sign(of(signerID, nil), map[string]any{"x5u": "https://127.0.0.1:1/", "jwk": json.RawMessage(strangersKey.keySet(t))}))
		}, uniform401},
		{"C19 JWE", text("a.b.c.d.e"), uniform401},
		{"C19 60 KiB", text(strings.Repeat("a", 60<<10)), uniform401},
		{"C19 padding", func() request { return asserting(clientKey.sign(of(signerID, nil), nil) + "=") }, uniform401},
		{"C19 whitespace", func() request { return asserting(clientKey.sign(of(signerID, nil), nil) + " ") }, uniform401},
		{"A20 the client signs, and shows a secret", func() request { return post(grantType).as(signerID, secret) }, uniform401},
		{"A20 the client has a secret, and signs", func() request { return asserting(clientKey.sign(of(worker, nil), nil)) }, uniform401},
	} {
		startAsserting(t).runAsserting(t, []assertionRow{row}) // Of so many failures, one server would tell the client to wait.
	}
}

// C11, C13, C14: an assertion is used once, by its client; and one that is refused uses up no jti.
func TestAssertionsAreUsedOnce(t *testing.T) {
	s := startAsserting(t)
	s.clients["billing.other"].Asymmetric.Keys = clientKey.keys(t)
	once := clientKey.sign(of(signerID, jwt.MapClaims{"jti": "one"}), nil)
	wrong := clientKey.sign(of(signerID, jwt.MapClaims{"jti": "two", "aud": "https://other.test"}), nil)
	for _, row := range []row{
		{"C11 first", asserting(once), issued},
		{"C11 again", asserting(once), uniform401},
		{"C11 another assertion of the same jti", asserting(clientKey.sign(of(signerID, jwt.MapClaims{"jti": "one", "exp": noon.Add(30 * time.Second).Unix()}), nil)), uniform401},
		{"C13 the same jti of another client", asserting(clientKey.sign(of("billing.other", jwt.MapClaims{"jti": "one"}), nil)), issued},
		{"C14 a wrong one", asserting(wrong), uniform401},
		{"C14 a wrong signature", asserting(strangersKey.sign(of(signerID, jwt.MapClaims{"jti": "two"}), nil)), uniform401},
		{"C14 and then the right one of the same jti", asserting(clientKey.sign(of(signerID, jwt.MapClaims{"jti": "two"}), nil)), issued},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := s.ask(t, s.callers[0], row.request)
			if attest(t, row.want, got.outcome()); got.outcome() != row.want {
				t.Errorf("answer %s, want %s", got.outcome(), row.want)
			}
		})
	}
}

// C12: within a replica, one of a hundred at once; across replicas, one on each at most, until the assertion expires a minute later.
func TestC12AssertionAtSeveralReplicas(t *testing.T) {
	replicas := []*server{startAsserting(t), startAsserting(t), startAsserting(t)}
	once := asserting(clientKey.sign(of(signerID, nil), nil))
	var issuedBy [3]atomic.Int64
	var group sync.WaitGroup
	for i := range 99 {
		group.Go(func() {
			s := replicas[i%3]
			if s.ask(t, s.callers[0], once).outcome() == issued {
				issuedBy[i%3].Add(1)
			}
		})
	}
	group.Wait()
	for i := range issuedBy {
		attest(t, "1 of each replica at most", fmt.Sprint(issuedBy[i].Load()))
		if issuedBy[i].Load() != 1 {
			t.Errorf("replica %d issued %d tokens", i, issuedBy[i].Load())
		}
	}
}

// C02: for clients that cannot be changed.
func TestC02TokenEndpointAsAudience(t *testing.T) {
	s := startAsserting(t, func(config *tokenserver.Config) {
		config.Assertions.Audiences = append(config.Assertions.Audiences, issuerURL+tokenPath)
	})
	s.runAsserting(t, []assertionRow{
		{"C02 admitted", func() request {
			return asserting(clientKey.sign(of(signerID, jwt.MapClaims{"aud": issuerURL + tokenPath}), nil))
		}, issued},
		{"C01 the issuer too", func() request { return asserting(clientKey.sign(of(signerID, nil), nil)) }, issued},
		{"C03 but not both", func() request {
			return asserting(clientKey.sign(of(signerID, jwt.MapClaims{"aud": []string{issuerURL, issuerURL + tokenPath}}), nil))
		}, uniform401},
	})
}

func TestServiceAccountTokens(t *testing.T) {
	s := startAsserting(t)
	by := func(namespace, name string, changes jwt.MapClaims, parameters ...string) func() request {
		return func() request {
			return asserting(clusterKey.sign(ofAccount(namespace, name, changes), nil), parameters...)
		}
	}
	hours := func(n int64) int64 { return noon.Unix() + n*60*60 }
	s.runAsserting(t, []assertionRow{
		{"the only client of the service account", by("billing", "worker", nil), issued},
		{"with its client_id", by("billing", "worker", nil, "client_id="+accountID), issued},
		{"again and again", func() request { return asserting(onceForAll()) }, issued},
		{"several clients, and no client_id", by("billing", "shared", nil), uniform401},
		{"several clients, and a client_id", by("billing", "shared", nil, "client_id=billing.account2"), issued},
		{"C21 a client of another namespace", by("billing", "worker", nil, "client_id=shop.account"), uniform401},
		{"C21 a service account of another namespace", by("shop", "worker", nil), uniform401},
		{"C21 a service account of another namespace, and the client_id", by("shop", "worker", nil, "client_id="+accountID), uniform401},
		{"C21 of one name, in the client's namespace", by("billing", "cashier", nil, "client_id=shop.account"), uniform401},
		{"a service account that no client lists", by("billing", "default", nil), uniform401},
		{"a client that lists none", by("billing", "worker", nil, "client_id="+worker), uniform401},
		{"another audience", by("billing", "worker", jwt.MapClaims{"aud": []string{"https://kubernetes.default.svc"}}), uniform401},
		{"C03 two audiences", by("billing", "worker", jwt.MapClaims{"aud": []string{issuerURL, "https://other.test"}}), uniform401},
		{"another issuer", by("billing", "worker", jwt.MapClaims{"iss": "https://other.test"}), uniform401},
		{"another key", func() request {
			return asserting(strangersKey.sign(ofAccount("billing", "worker", nil), map[string]any{"kid": "cluster"}))
		}, uniform401},
		{"too old", by("billing", "worker", jwt.MapClaims{"iat": noon.Add(-time.Hour - 11*time.Second).Unix()}), uniform401},
		{"lives too long", by("billing", "worker", jwt.MapClaims{"exp": hours(2)}), uniform401},
		{"expired", by("billing", "worker", jwt.MapClaims{"exp": hours(-1)}), uniform401},
		{"sub of another one", by("billing", "worker", jwt.MapClaims{"sub": "system:serviceaccount:billing:shared"}), uniform401},
		{"a legacy token of a Secret", by("billing", "worker", jwt.MapClaims{"kubernetes.io": nil}), uniform401},
		{"A16 beside a secret", func() request {
			return asserting(clusterKey.sign(ofAccount("billing", "worker", nil), nil)).as(worker, secret)
		}, invalidRequest},
	})
	s.change(func() { s.accountKeys = nil })
	s.runAsserting(t, []assertionRow{{"keys that cannot be had", by("billing", "worker", nil), uniform401}})
	if client := s.clients[accountID]; client.Asymmetric.Uses.ServiceAccount.Last() != noon.Unix() || client.Asymmetric.Uses.PrivateKey.Last() != 0 {
		t.Errorf("uses %+v", client.Asymmetric.Uses)
	}
}

var onceForAll = sync.OnceValue(func() string { return clusterKey.sign(ofAccount("billing", "worker", nil), nil) })

// A token that is valid by its signature dies with its pod, where the API server is asked.
func TestServiceAccountTokensAreReviewed(t *testing.T) {
	var said atomic.Pointer[error]
	var asked atomic.Int64
	good := error(nil)
	said.Store(&good)
	gone := errors.New("gone")
	s := startAsserting(t, func(config *tokenserver.Config) {
		config.Assertions.Review = func(context.Context, string) (bool, error) {
			asked.Add(1)
			if err := *said.Load(); err == gone {
				return false, nil
			} else if err != nil {
				return false, err
			}
			return true, nil
		}
	})
	by := func() request { return asserting(clusterKey.sign(ofAccount("billing", "worker", nil), nil)) }
	s.runAsserting(t, []assertionRow{{"its pod is there", by, issued}})
	said.Store(&gone)
	s.runAsserting(t, []assertionRow{{"its pod is gone", by, uniform401}})
	away := errors.New("the API server is away")
	said.Store(&away)
	s.runAsserting(t, []assertionRow{{"nobody knows", by, unavailable}})
	before := asked.Load()
	s.runAsserting(t, []assertionRow{
		{"a forged one asks nobody", func() request { return asserting(strangersKey.sign(ofAccount("billing", "worker", nil), nil)) }, uniform401},
		{"nor does one that proves no client", func() request { return asserting(clusterKey.sign(ofAccount("billing", "nobody", nil), nil)) }, uniform401},
	})
	if asked.Load() != before {
		t.Error("the API server was asked about them")
	}
}

func TestTokensOfTrustedIssuers(t *testing.T) {
	s := startAsserting(t)
	by := func(changes jwt.MapClaims, parameters ...string) func() request {
		return func() request {
			claims := of("", jwt.MapClaims{"iss": ciIssuer, "sub": ciSubject, "exp": noon.Add(5 * time.Minute).Unix()})
			maps.Copy(claims, changes)
			return asserting(ciKey.sign(claims, nil), parameters...)
		}
	}
	as := "client_id=" + trustedID
	s.runAsserting(t, []assertionRow{
		{"issuer and subject of the client", by(nil, as), issued},
		{"no client_id", by(nil), uniform401},
		{"another subject", by(jwt.MapClaims{"sub": ciSubject + "x"}, as), uniform401},
		{"an issuer that is not trusted", by(jwt.MapClaims{"iss": "https://other.test"}, as), uniform401},
		{"another client", by(nil, "client_id="+accountID), uniform401},
		{"a client without any", by(nil, "client_id="+worker), uniform401},
		{"another audience", by(jwt.MapClaims{"aud": "https://other.test"}, as), uniform401},
		{"too old for this issuer", by(jwt.MapClaims{"iat": noon.Add(-10*time.Minute - 11*time.Second).Unix()}, as), uniform401},
		{"by the cluster's key", func() request {
			return asserting(clusterKey.sign(of("", jwt.MapClaims{"iss": ciIssuer, "sub": ciSubject}), nil), as)
		}, uniform401},
		// Whoever can make service account tokens elsewhere must not be one of here.
		{"C21 a service account of here, by its key", func() request {
			return asserting(ciKey.sign(ofAccount("billing", "worker", nil), nil))
		}, uniform401},
	})
}

// Keys at a URL are fetched when they are needed, and one bad URL slows nobody else.
func TestKeysByURL(t *testing.T) {
	published := clientKey.keySet(t)
	slow := make(chan struct{})
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-slow
		}
		_, _ = w.Write(published)
	}))
	t.Cleanup(host.Close)
	t.Cleanup(func() { close(slow) })
	c := newCluster(t, nil)
	c.add(signerID).Asymmetric = &grant.Asymmetric{KeysURL: host.URL + "/jwks", Uses: new(grant.Uses)}
	c.add("billing.slow").Asymmetric = &grant.Asymmetric{KeysURL: host.URL + "/slow", Uses: new(grant.Uses)}
	s := start(t, c, func(config *tokenserver.Config) {
		roots := host.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		config.KeySets = assertion.NewKeySets(assertion.FetchOptions{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RootCAs: roots, Now: config.Issuer.Now})
	})
	by := func(id string) request { return asserting(clientKey.sign(of(id, nil), nil)) }

	var group sync.WaitGroup
	var looked, refused atomic.Int64
	s.change(func() { c.hook = func() { looked.Add(1) } })
	waiting := int64(2 * 16 * runtime.GOMAXPROCS(0)) // More than there are places.
	for range waiting {
		group.Go(func() {
			if got := s.ask(t, s.callers[1], by("billing.slow")).outcome(); got != issued {
				t.Errorf("once its host has answered: %s", got)
				refused.Add(1)
			}
		})
	}
	for looked.Load() < waiting && refused.Load() == 0 { // Until all of them wait for the host.
		time.Sleep(time.Millisecond)
	}
	s.change(func() { c.hook = nil })
	for range 3 {
		if got := s.ask(t, s.callers[0], by(signerID)).outcome(); got != issued {
			t.Errorf("beside a slow host: %s", got)
		}
	}
	if got := s.ask(t, s.callers[0], post(grantType)).outcome(); got != issued {
		t.Errorf("a secret beside a slow host: %s", got)
	}
	slow <- struct{}{} // One fetch for all.
	group.Wait()
}

// A20: a client whose manifest says that it has no secret has none, whatever its Secret holds.
func TestA20SecretBesideAssertions(t *testing.T) {
	s := startAsserting(t)
	s.add("billing.both", secret).Asymmetric = &grant.Asymmetric{Keys: clientKey.keys(t), Uses: new(grant.Uses)}
	both := s.clients["billing.both"]
	both.Credentials[0].Use = new(credential.Use)
	s.runAsserting(t, []assertionRow{
		{"the secret", func() request { return post(grantType).as("billing.both", secret) }, issued},
		{"the key", func() request { return asserting(clientKey.sign(of("billing.both", nil), nil)) }, issued},
	})
	if both.Credentials[0].Use.Last() == 0 || both.Asymmetric.Uses.PrivateKey.Last() == 0 {
		t.Error("a use was not noted")
	}
}
