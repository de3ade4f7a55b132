package tokenserver_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// How a request with a DPoP proof may end, beside the ways of all.
const (
	invalidProof = "400 invalid_dpop_proof"
	useNonce     = "400 use_dpop_nonce"
)

// withDPoP sets how proofs are looked at.
func withDPoP(setting tokenserver.DPoP) func(*tokenserver.Config) {
	return func(config *tokenserver.Config) { config.DPoP = setting }
}

// holder is who has a key of P-256.
type holder struct{ key *ecdsa.PrivateKey }

func newHolder(t testing.TB) holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return holder{key}
}

// members are those of a JSON object.
type members map[string]any

// with returns the members with one set, or without it for nil.
func (m members) with(name string, value any) members {
	changed := maps.Clone(m)
	if changed[name] = value; value == nil {
		delete(changed, name)
	}
	return changed
}

func (h holder) jwk(t testing.TB) members {
	t.Helper()
	point, err := h.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return members{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
}

// thumbprint is that of the key (RFC 7638).
func (h holder) thumbprint(t *testing.T) string {
	t.Helper()
	jwk := h.jwk(t)
	digest := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, jwk["x"], jwk["y"]))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// proof is a DPoP proof as a test writes it down.
type proof struct {
	header, claims members
	method         jwt.SigningMethod
	key            any
}

// proof returns a proof that is right, and new.
func (h holder) proof(t testing.TB) proof {
	t.Helper()
	return proof{
		header: members{"typ": "dpop+jwt", "alg": "ES256", "jwk": h.jwk(t)},
		claims: members{"jti": rand.Text(), "htm": "POST", "htu": issuerURL + tokenPath, "iat": noon.Unix()},
		method: jwt.SigningMethodES256, key: h.key,
	}
}

func (p proof) heading(name string, value any) proof {
	p.header = p.header.with(name, value)
	return p
}

func (p proof) saying(name string, value any) proof {
	p.claims = p.claims.with(name, value)
	return p
}

// by has somebody else sign, and says so in the header.
func (p proof) by(method jwt.SigningMethod, key any) proof {
	p.method, p.key = method, key
	return p.heading("alg", method.Alg())
}

// sign returns the proof as it is sent.
func (p proof) sign(t testing.TB) string {
	t.Helper()
	signed, err := (&jwt.Token{Header: p.header, Claims: jwt.MapClaims(p.claims), Method: p.method}).SignedString(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// proving adds proofs to a request.
func (r request) proving(proofs ...string) request { return r.with("Dpop", proofs...) }

// X04, and what it must not do to the rest.
func TestDPoP(t *testing.T) {
	s := start(t, newCluster(t, nil), withDPoP(tokenserver.DPoPOn))
	h, other := newHolder(t), newHolder(t)
	point, err := h.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	right := func(t *testing.T) request { return post(grantType).proving(h.proof(t).sign(t)) }
	heading := func(name string, value any) func(*testing.T) request {
		return func(t *testing.T) request { return post(grantType).proving(h.proof(t).heading(name, value).sign(t)) }
	}
	withKey := func(name string, value any) func(*testing.T) request {
		return heading("jwk", h.jwk(t).with(name, value))
	}
	saying := func(name string, value any) func(*testing.T) request {
		return func(t *testing.T) request { return post(grantType).proving(h.proof(t).saying(name, value).sign(t)) }
	}
	sending := func(proofs ...string) func(*testing.T) request {
		return func(*testing.T) request { return post(grantType).proving(proofs...) }
	}
	at := func(d time.Duration) func(*testing.T) request { return saying("iat", noon.Add(d).Unix()) }
	endpoint := issuerURL + tokenPath
	for _, row := range []struct {
		name    string
		request func(*testing.T) request
		want    string
	}{
		{"X04 one proof", right, issued},
		{"X04 one proof, secret in the body", func(t *testing.T) request {
			return postSecret(worker, secret).proving(h.proof(t).sign(t))
		}, issued},
		{"X04 two proofs", func(t *testing.T) request {
			return post(grantType).proving(h.proof(t).sign(t), h.proof(t).sign(t))
		}, invalidProof},
		{"X04 the same proof twice", func(t *testing.T) request {
			p := h.proof(t).sign(t)
			return post(grantType).proving(p, p)
		}, invalidProof},
		{"X04 two proofs in one header", func(t *testing.T) request {
			return post(grantType).proving(h.proof(t).sign(t) + ", " + h.proof(t).sign(t))
		}, invalidProof},
		{"X04 empty header", sending(""), invalidProof},
		{"X04 no JWT", sending("nonsense"), invalidProof},
		{"X04 huge", saying("x", strings.Repeat("x", 11<<10)), issued},
		{"X04 huge, and nonsense", sending(strings.Repeat("a.", 7<<10)), invalidProof},
		{"X04 no typ", heading("typ", nil), invalidProof},
		{"X04 typ JWT", heading("typ", "JWT"), invalidProof},
		{"X04 alg none", func(t *testing.T) request {
			return post(grantType).proving(h.proof(t).by(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType).sign(t))
		}, invalidProof},
		{"X04 HS256 by the public key", func(t *testing.T) request {
			return post(grantType).proving(h.proof(t).by(jwt.SigningMethodHS256, point).sign(t))
		}, invalidProof},
		{"X04 HS256 by a key in jwk", func(t *testing.T) request {
			return post(grantType).proving(h.proof(t).by(jwt.SigningMethodHS256, []byte("key")).heading("jwk", members{"kty": "oct", "k": "a2V5"}).sign(t))
		}, invalidProof},
		{"X04 no jwk", heading("jwk", nil), invalidProof},
		{"X04 private key in jwk", withKey("d", "c2VjcmV0"), invalidProof},
		{"X04 signed by another key than jwk", func(t *testing.T) request {
			return post(grantType).proving(h.proof(t).by(jwt.SigningMethodES256, other.key).sign(t))
		}, invalidProof},
		{"X04 wrong signature", func(t *testing.T) request {
			p := h.proof(t).sign(t)
			return post(grantType).proving(p[:strings.LastIndex(p, ".")+1] + strings.Repeat("A", 86))
		}, invalidProof},
		{"X04 no jti", saying("jti", nil), invalidProof},
		{"X04 jti of 256 bytes", func(t *testing.T) request {
			return post(grantType).proving(h.proof(t).saying("jti", rand.Text()+strings.Repeat("j", 256-26)).sign(t))
		}, issued},
		{"X04 jti of 257 bytes", saying("jti", strings.Repeat("j", 257)), invalidProof},
		{"X04 no htm", saying("htm", nil), invalidProof},
		{"X04 htm GET", saying("htm", "GET"), invalidProof},
		{"X04 no htu", saying("htu", nil), invalidProof},
		{"X04 htu of the key set", saying("htu", issuerURL+tokenserver.JWKSPath), invalidProof},
		{"X04 htu without TLS", saying("htu", "http://"+host+tokenPath), invalidProof},
		{"X04 htu with a query and a fragment", saying("htu", endpoint+"?a=b#c"), issued},
		{"X04 htu in another spelling", saying("htu", "HTTPS://ISSUER.test:443/x/../oauth2/%74oken"), issued},
		{"X04 htu is a spoofed host's", func(t *testing.T) request {
			return saying("htu", "https://evil.test"+tokenPath)(t).at("evil.test").with("X-Forwarded-Host", "evil.test")
		}, invalidProof},
		{"X04 htu is the issuer's, whatever the host", func(t *testing.T) request { return right(t).at("evil.test") }, issued},
		{"X04 no iat", saying("iat", nil), invalidProof},
		{"X04 iat 59 s ago", at(-59 * time.Second), issued},
		{"X04 iat 60 s ago", at(-60 * time.Second), invalidProof},
		{"X04 iat 10 s ahead", at(10 * time.Second), issued},
		{"X04 iat 11 s ahead", at(11 * time.Second), invalidProof},
		{"X04 no proof", func(*testing.T) request { return post(grantType) }, issued},
		{"X04 right proof, scope that is not granted", func(t *testing.T) request {
			return post(grantType + "&scope=admin").proving(h.proof(t).sign(t))
		}, invalidScope},
		{"A04 right proof, wrong secret", func(t *testing.T) request { return right(t).as(worker, "wrong-secret") }, uniform401},
		{"A14 DPoP as scheme", func(t *testing.T) request { return right(t).with("Authorization", "DPoP "+h.proof(t).sign(t)) }, uniform401},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, caller := range s.callers {
				a := s.ask(t, caller, row.request(t))
				if attest(t, row.want, a.outcome()); a.outcome() != row.want {
					t.Errorf("answer %s, want %s: %s", a.outcome(), row.want, a.body)
				}
				if nonce := a.header[nonceHeader]; nonce != nil {
					t.Errorf("a nonce that nobody needs: %q", nonce)
				}
			}
		})
	}
}

const nonceHeader = "Dpop-Nonce"

// X04: the token is bound to the key that was proved, or to none.
func TestX04TokenIsBoundToTheKey(t *testing.T) {
	s := start(t, newCluster(t, nil), withDPoP(tokenserver.DPoPOn))
	h := newHolder(t)
	for name, test := range map[string]struct {
		proofs    func() []string
		tokenType string
		cnf       any
	}{
		"with a proof":    {func() []string { return []string{h.proof(t).sign(t)} }, "DPoP", map[string]any{"jkt": h.thumbprint(t)}},
		"without a proof": {func() []string { return nil }, "Bearer", nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, caller := range s.callers {
				granted := s.ask(t, caller, post(grantType).proving(test.proofs()...)).token(t)
				_, claims := s.verify(t, granted.AccessToken)
				attest(t, test.tokenType, granted.TokenType)
				if granted.TokenType != test.tokenType || !reflect.DeepEqual(claims["cnf"], test.cnf) {
					t.Errorf("token_type %s, cnf %v, want %s, %v", granted.TokenType, claims["cnf"], test.tokenType, test.cnf)
				}
			}
		})
	}
}

// X04: a client that authenticates by an assertion proves a key in the same way.
func TestX04BesideAClientAssertion(t *testing.T) {
	registered, h := newHolder(t), newHolder(t)
	set, err := json.Marshal(members{"keys": []members{registered.jwk(t).with("alg", "ES256")}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := assertion.ParseKeys(set)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, newCluster(t, nil), withDPoP(tokenserver.DPoPOn))
	s.clients[worker].Asymmetric = &grant.Asymmetric{Keys: keys, Uses: &grant.Uses{}}
	asserting := func() request {
		signed, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": worker, "sub": worker, "aud": issuerURL,
			"jti": rand.Text(), "exp": noon.Add(time.Minute).Unix()}).SignedString(registered.key)
		if err != nil {
			t.Fatal(err)
		}
		return post(grantType + "&client_assertion_type=" + url.QueryEscape("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") +
			"&client_assertion=" + signed).anonymous()
	}
	for _, caller := range s.callers {
		a := s.ask(t, caller, asserting().proving(h.proof(t).sign(t)))
		attest(t, issued, a.outcome())
		_, claims := s.verify(t, a.token(t).AccessToken)
		if want := map[string]any{"jkt": h.thumbprint(t)}; !reflect.DeepEqual(claims["cnf"], want) {
			t.Errorf("cnf %v, want %v", claims["cnf"], want)
		}
		// The key of an assertion proves the client, and binds nothing.
		if granted := s.ask(t, caller, asserting()).token(t); granted.TokenType != "Bearer" {
			t.Errorf("token_type %s", granted.TokenType)
		}
	}
}

// X04: a proof gets one token, whoever sends it again. One that was refused, or that came with a wrong secret, was not used.
func TestX04JTIReplay(t *testing.T) {
	otherSecret := credential.Generate()
	s := start(t, newCluster(t, map[string]string{"billing.other": otherSecret}), withDPoP(tokenserver.DPoPOn))
	h := newHolder(t)
	p := h.proof(t)
	for _, step := range []struct {
		name    string
		request request
		want    string
	}{
		{"X04 with a wrong secret", post(grantType).as(worker, "wrong-secret").proving(p.sign(t)), uniform401},
		{"X04 beside another", post(grantType).proving(p.sign(t), p.sign(t)), invalidProof},
		{"X04 for another endpoint", post(grantType).proving(p.saying("htu", issuerURL).sign(t)), invalidProof},
		{"X04 at first", post(grantType).proving(p.sign(t)), issued},
		{"X04 jti again", post(grantType).proving(p.sign(t)), invalidProof},
		{"X04 jti again in another proof", post(grantType).proving(p.saying("iat", noon.Unix()-1).sign(t)), invalidProof},
		{"X04 jti again by another client", post(grantType).as("billing.other", otherSecret).proving(p.sign(t)), invalidProof},
		{"X04 jti of another key", post(grantType).proving(newHolder(t).proof(t).saying("jti", p.claims["jti"]).sign(t)), issued},
	} {
		t.Run(step.name, func(t *testing.T) {
			got := s.ask(t, s.callers[0], step.request).outcome()
			if attest(t, step.want, got); got != step.want {
				t.Errorf("answer %s, want %s", got, step.want)
			}
		})
	}
}

// X04: a wrong proof is no failed authentication: it costs nothing of what a client may fail.
func TestX04WrongProofsCostNoBudget(t *testing.T) {
	s := start(t, newCluster(t, nil), withDPoP(tokenserver.DPoPOn))
	for range 100 {
		if a := s.ask(t, s.callers[0], post(grantType).proving("nonsense")); a.outcome() != invalidProof {
			t.Fatalf("answer %s", a.outcome())
		}
	}
}

// X04: where nonces are needed, a proof holds one that any replica gave out in the last five minutes, and each answer has the next.
func TestX04Nonces(t *testing.T) {
	former, latter := newKey(t), newKey(t)
	latter.Created = former.Created.Add(time.Hour)
	var passed atomic.Int64
	replica := func(ring *signing.Ring) *server {
		c := newCluster(t, nil)
		c.ring = ring
		return start(t, c, withDPoP(tokenserver.DPoPNonce), func(config *tokenserver.Config) {
			config.Issuer.Now = func() time.Time { return noon.Add(time.Duration(passed.Load())) }
		})
	}
	behind := replica(ringOf(t, in(former, signing.Active), in(latter, signing.Prepared)))
	ahead := replica(ringOf(t, in(latter, signing.Active), in(former, signing.Retired)))
	stranger := replica(ring(t))
	h := newHolder(t)
	ask := func(t *testing.T, s *server, caller int, nonce any) answer {
		t.Helper()
		now := noon.Add(time.Duration(passed.Load())).Unix()
		return s.ask(t, s.callers[caller], post(grantType).proving(h.proof(t).saying("iat", now).saying("nonce", nonce).sign(t)))
	}
	given := func(t *testing.T, a answer) string {
		t.Helper()
		values := a.header[nonceHeader]
		if len(values) != 1 || len(values[0]) < 16 {
			t.Fatalf("nonces %q", values)
		}
		return values[0]
	}
	want := func(t *testing.T, a answer, want string) {
		t.Helper()
		if attest(t, want, a.outcome()); a.outcome() != want {
			t.Errorf("answer %s, want %s: %s", a.outcome(), want, a.body)
		}
	}
	t.Run("X04 use_dpop_nonce, and then with the answer's nonce, and the next", func(t *testing.T) {
		for caller := range behind.callers {
			first := ask(t, behind, caller, nil)
			want(t, first, useNonce)
			second := ask(t, behind, caller, given(t, first))
			want(t, second, issued)
			if second.token(t).TokenType != "DPoP" {
				t.Error("not bound")
			}
			want(t, ask(t, behind, caller, given(t, second)), issued)
		}
	})
	nonce := given(t, ask(t, behind, 0, nil))
	t.Run("X04 the nonce of another replica, on both sides of a rotation", func(t *testing.T) {
		want(t, ask(t, ahead, 0, nonce), issued)
		want(t, ask(t, behind, 0, given(t, ask(t, ahead, 0, nil))), issued)
	})
	t.Run("X04 the nonce of another issuer", func(t *testing.T) {
		want(t, ask(t, stranger, 0, nonce), useNonce)
	})
	t.Run("X04 a nonce that nobody gave out", func(t *testing.T) {
		for _, invented := range []any{"", "x", strings.Repeat("A", 32), nonce[:31] + "!"} {
			want(t, ask(t, behind, 0, invented), useNonce)
		}
		want(t, ask(t, behind, 0, 1), invalidProof)
	})
	t.Run("X04 a wrong proof with the right nonce", func(t *testing.T) {
		a := behind.ask(t, behind.callers[0], post(grantType).proving(h.proof(t).saying("htm", "GET").saying("nonce", nonce).sign(t)))
		want(t, a, invalidProof)
	})
	t.Run("X04 no proof", func(t *testing.T) {
		a := behind.ask(t, behind.callers[0], post(grantType))
		want(t, a, issued)
		if a.token(t).TokenType != "Bearer" || a.header[nonceHeader] != nil {
			t.Errorf("token_type %s, nonce %q", a.token(t).TokenType, a.header[nonceHeader])
		}
	})
	t.Run("X04 the nonce after a change of the keys", func(t *testing.T) {
		alone := ringOf(t, in(latter, signing.Active))
		stranger.change(func() { stranger.ring = alone })
		want(t, ask(t, stranger, 0, nonce), useNonce) // The key that it was made with is gone.
		want(t, ask(t, ahead, 0, given(t, ask(t, stranger, 0, nil))), issued)
	})
	t.Run("X04 the nonce after 4 min 59 s, and after 5 min", func(t *testing.T) {
		passed.Store(int64(5*time.Minute - time.Second))
		want(t, ask(t, behind, 0, nonce), issued)
		passed.Store(int64(5 * time.Minute))
		want(t, ask(t, behind, 0, nonce), useNonce)
	})
}

// X04: a token is given again only to who proves its key again.
func TestX04Reuse(t *testing.T) {
	s := start(t, newCluster(t, nil), withDPoP(tokenserver.DPoPOn), func(config *tokenserver.Config) { config.Reuse = time.Minute })
	h, other := newHolder(t), newHolder(t)
	first := s.token(t, post(grantType).proving(h.proof(t).sign(t)))
	if again := s.token(t, post(grantType).proving(h.proof(t).sign(t))); again != first {
		t.Error("not given again to the same key")
	}
	for name, request := range map[string]request{"another key": post(grantType).proving(other.proof(t).sign(t)), "no key": post(grantType)} {
		if s.token(t, request).AccessToken == first.AccessToken {
			t.Errorf("given again to %s", name)
		}
	}
}

// M09: the metadata says of proofs what the server does with them, and nothing where it does nothing.
func TestMetadataOfDPoP(t *testing.T) {
	const name = "dpop_signing_alg_values_supported"
	all := []string{"ES256", "RS256", "PS256", "EdDSA"}
	for setting, want := range map[tokenserver.DPoP][]string{"": nil, tokenserver.DPoPOff: nil, tokenserver.DPoPOn: all, tokenserver.DPoPNonce: all} {
		t.Run(fmt.Sprintf("M09 M10 X04 X05 %s, DPoP %q", name, setting), func(t *testing.T) {
			m := start(t, newCluster(t, nil), withDPoP(setting)).metadata(t, "/.well-known/oauth-authorization-server")
			got, there := m.list(name), m[name] != nil
			attest(t, listed(want), listed(got))
			if !slices.Equal(got, want) || there != (want != nil) {
				t.Errorf("%v, want %q", m[name], want)
			}
		})
	}
}

// X05: a proof changes nothing where DPoP is off, be it right or wrong.
func TestX05ProofsWhereDPoPIsOff(t *testing.T) {
	s := start(t, newCluster(t, nil), withDPoP(tokenserver.DPoPOff))
	right := newHolder(t).proof(t).sign(t)
	for name, proofs := range map[string][]string{"right": {right}, "the same again": {right}, "two": {right, right}, "nonsense": {"x"}} {
		t.Run("X05 "+name, func(t *testing.T) {
			for _, caller := range s.callers {
				a := s.ask(t, caller, post(grantType).proving(proofs...))
				attest(t, issued, a.outcome())
				granted := a.token(t)
				if _, claims := s.verify(t, granted.AccessToken); granted.TokenType != "Bearer" || claims["cnf"] != nil || a.header[nonceHeader] != nil {
					t.Errorf("token_type %s, cnf %v, nonce %q", granted.TokenType, claims["cnf"], a.header[nonceHeader])
				}
			}
		})
	}
}

// L07: the audit log says which key a token is bound to, and why a proof was refused.
func TestL07DPoP(t *testing.T) {
	var log capture
	s := start(t, newCluster(t, nil), withDPoP(tokenserver.DPoPNonce), tee(&log, inJSON))
	h := newHolder(t)
	nonce := s.ask(t, s.callers[0], post(grantType).proving(h.proof(t).sign(t))).header.Get(nonceHeader)
	for _, test := range []struct {
		name, proof string
		want        map[string]any
		cnf         any
	}{
		{"L07 bound", h.proof(t).saying("nonce", nonce).sign(t), map[string]any{"msg": "token issued"}, map[string]any{"jkt": h.thumbprint(t)}},
		{"L07 not bound", "", map[string]any{"msg": "token issued"}, nil},
		{"L07 no nonce", h.proof(t).sign(t), map[string]any{"msg": "token refused", "error": "use_dpop_nonce", "client": worker,
			"cause": "use_dpop_nonce: DPoP proof: it carries no nonce of this server, or an old one: make it again with that of the answer"}, nil},
		{"L07 no proof at all", "nonsense", map[string]any{"msg": "token refused", "error": "invalid_dpop_proof", "client": worker, "method": "client_secret_basic"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(log.String())
			r := post(grantType)
			if test.proof != "" {
				r = r.proving(test.proof)
			}
			s.ask(t, s.callers[0], r)
			line := object(t, []byte(log.String()[before:]))
			for name, want := range test.want {
				if line[name] != want {
					t.Errorf("%s = %v, want %v", name, line[name], want)
				}
			}
			token, _ := line["token"].(map[string]any)
			if !reflect.DeepEqual(token["cnf"], test.cnf) {
				t.Errorf("token.cnf = %v, want %v", token["cnf"], test.cnf)
			}
		})
	}
}

// L01: no proof and no nonce is logged, whatever became of it; that none of the other tests logs one either, TestMain checks.
func TestL01ProofsAreNotLogged(t *testing.T) {
	var log capture
	s := start(t, newCluster(t, nil), withDPoP(tokenserver.DPoPNonce), tee(&log, inText))
	h := newHolder(t)
	refused := h.proof(t).sign(t)
	nonce := s.ask(t, s.callers[0], post(grantType).proving(refused)).header.Get(nonceHeader)
	accepted := h.proof(t).saying("nonce", nonce).sign(t)
	private := h.proof(t).heading("jwk", h.jwk(t).with("d", "private-key-of-a-client")).sign(t)
	for _, proof := range []string{accepted, accepted, private} {
		s.ask(t, s.callers[0], post(grantType).proving(proof))
	}
	for _, secret := range []string{refused, accepted, private, nonce, "private-key-of-a-client"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
	if lines := bytes.Count([]byte(log.String()), []byte("\n")); lines != 4 {
		t.Errorf("%d lines", lines)
	}
}

func TestObserveIsToldOutcomesOfProofs(t *testing.T) {
	var outcomes []string
	s := start(t, newCluster(t, nil), withDPoP(tokenserver.DPoPNonce), func(config *tokenserver.Config) {
		config.Observe = func(o tokenserver.Observation) { outcomes = append(outcomes, o.Outcome) }
	})
	h := newHolder(t)
	nonce := s.ask(t, s.callers[0], post(grantType).proving(h.proof(t).sign(t))).header.Get(nonceHeader)
	for _, proof := range []string{"nonsense", h.proof(t).saying("nonce", nonce).sign(t)} {
		s.ask(t, s.callers[0], post(grantType).proving(proof))
	}
	if err := s.stop(); err != nil { // So that no handler writes any more.
		t.Fatal(err)
	}
	if want := []string{"use_dpop_nonce", "invalid_dpop_proof", "issued"}; !slices.Equal(outcomes, want) {
		t.Errorf("observed %q, want %q", outcomes, want)
	}
}
