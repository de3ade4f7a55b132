package assertion

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const endpoint = issuer + "/oauth2/token"

// proofs returns a verifier for the endpoint, and its clock.
func newProofs(t testing.TB) (*Proofs, *clock) {
	t.Helper()
	clock := &clock{}
	proofs, err := NewProofs(endpoint, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	return proofs, clock
}

// verifyProof verifies a proof for a request of the tests.
func verifyProof(t testing.TB, proof string) (thumbprint string, err error) {
	t.Helper()
	proofs, _ := newProofs(t)
	return proofs.Verify(client, "POST", proof, nil)
}

// bareJWK is the public half of a key as most clients send it: with no more than what makes the key.
func (s signer) bareJWK() members { return s.jwk().with("use", nil).with("alg", nil).with("kid", nil) }

func (s signer) proofHeader() members {
	return members{"typ": "dpop+jwt", "alg": string(s.algorithm), "jwk": s.bareJWK()}
}

// proofClaims are those of a proof that is accepted.
func proofClaims() members {
	return members{"jti": "1", "htm": "POST", "htu": endpoint, "iat": now.Unix()}
}

func (s signer) proof(claims members) string {
	return s.sign(s.proofHeader().String(), claims.String())
}

func TestX04EachAlgorithm(t *testing.T) {
	for _, algorithm := range Algorithms {
		for name, jwk := range map[string]func(signer) members{"bare": signer.bareJWK, "full": signer.jwk} {
			t.Run(string(algorithm)+", "+name, func(t *testing.T) {
				signer := signers()[algorithm]
				got, err := verifyProof(t, signer.sign(signer.proofHeader().with("jwk", jwk(signer)).String(), proofClaims().String()))
				if err != nil {
					t.Fatal(err)
				}
				if want := signer.thumbprint(); got != want {
					t.Errorf("thumbprint %s, want %s", got, want)
				}
			})
		}
	}
}

// thumbprint spells RFC 7638, section 3.2 out.
func (s signer) thumbprint() string {
	jwk := s.jwk()
	digest := sha256.Sum256([]byte(map[any]string{
		"EC":  fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, jwk["x"], jwk["y"]),
		"RSA": fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, jwk["e"], jwk["n"]),
		"OKP": fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, jwk["x"]),
	}[jwk["kty"]]))
	return encode(digest[:])
}

// The keys whose thumbprints RFC 7638, section 3.1 and RFC 8037, appendix A.3 tell.
func TestThumbprintsOfTheRFCs(t *testing.T) {
	for want, jwk := range map[string]object{
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": {"kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
			"n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W" +
				"-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt" +
				"-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"},
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
	} {
		if got := thumbprint(jwk); got != want {
			t.Errorf("thumbprint %s, want %s", got, want)
		}
	}
}

func TestX04Header(t *testing.T) {
	es, rs := signers()[ES256], signers()[RS256]
	header := es.proofHeader()
	withKey := func(name string, value any) members { return header.with("jwk", es.bareJWK().with(name, value)) }
	for _, test := range []struct {
		name   string
		header members
		want   string // in the error; none where it is accepted
	}{
		{"typ dpop+jwt", header, ""},
		{"no typ", header.with("typ", nil), errProofType.Error()},
		{"typ JWT", header.with("typ", "JWT"), errProofType.Error()},
		{"typ at+jwt", header.with("typ", "at+jwt"), errProofType.Error()},
		{"typ in another case", header.with("typ", "DPoP+JWT"), errProofType.Error()},
		{"typ with application/", header.with("typ", "application/dpop+jwt"), errProofType.Error()},
		{"typ is a list", header.with("typ", []string{"dpop+jwt"}), errProofType.Error()},
		{"no alg", header.with("alg", nil), errAlgorithm.Error()},
		{"alg none", header.with("alg", "none"), errAlgorithm.Error()},
		{"alg HS256", header.with("alg", "HS256"), errAlgorithm.Error()},
		{"alg ES384", header.with("alg", "ES384"), errAlgorithm.Error()},
		{"alg of another kind of key", header.with("alg", "EdDSA"), errProofAlgorithm.Error()},
		{"alg RS256 for a key for PS256", rs.proofHeader().with("jwk", signers()[PS256].jwk()), errProofAlgorithm.Error()},
		{"crit", header.with("crit", []string{"b64"}), errExtensions.Error()},
		{"kid is ignored", header.with("kid", "of another"), ""},
		{"no jwk", header.with("jwk", nil), errProofKey.Error()},
		{"jwk is text", header.with("jwk", es.bareJWK().String()), errProofKey.Error()},
		{"jwk is a set", header.with("jwk", members{"keys": []members{es.jwk()}}), "no kty"},
		{"jwk is private", withKey("d", "c2VjcmV0"), "private or symmetric"},
		{"jwk is private, RSA", rs.proofHeader().with("jwk", rs.bareJWK().with("p", "c2VjcmV0")), "private or symmetric"},
		{"jwk has k", withKey("k", "c2VjcmV0"), "private or symmetric"},
		{"jwk is symmetric", header.with("jwk", members{"kty": "oct"}), "symmetric"},
		{"jwk is of another curve", withKey("crv", "P-384"), "of a kind that is not supported"},
		{"jwk is no point", withKey("y", encode(make([]byte, 32))), "no point of the curve"},
		{"jwk is weak", header.with("alg", "RS256").with("jwk", members{"kty": "RSA", "e": "AQAB", "n": encode([]byte(strings.Repeat("\xff", 128)))}), "must have 2048"},
		{"jwk is of small order", header.with("alg", "EdDSA").with("jwk", members{"kty": "OKP", "crv": "Ed25519", "x": encode(make([]byte, 32))}), "weak one"},
		{"jwk is for encryption", withKey("use", "enc"), "set its use to sig"},
		{"jwk has an alg of another kind", withKey("alg", "RS256"), "not for its kind"},
		{"jwk has a kid that is none", withKey("kid", 1), ""},
		{"jwk is to verify", withKey("key_ops", []string{"verify"}).with("ext", true), ""},
		{"jwk of another key", header.with("jwk", newES256("").bareJWK()), errProofSignature.Error()},
		{"jku and x5c beside jwk", header.with("jku", "https://attacker.example").with("x5c", []string{"MIIB"}), ""},
	} {
		t.Run("X04 "+test.name, func(t *testing.T) {
			signer := es
			if test.header["alg"] == "RS256" {
				signer = rs
			}
			_, err := verifyProof(t, signer.sign(test.header.String(), proofClaims().String()))
			wantError(t, err, test.want)
		})
	}
}

// wantError checks that an error holds a text, or that there is none for the empty one.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%v, want %q", err, want)
	}
	if err != nil && strings.Contains(err.Error(), "c2VjcmV0") {
		t.Errorf("the error quotes the proof: %v", err)
	}
}

func TestX04Claims(t *testing.T) {
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	valid, es := proofClaims(), signers()[ES256]
	for _, test := range []struct {
		name   string
		claims members
		want   error
	}{
		{"no jti", valid.with("jti", nil), errProofID},
		{"jti is empty", valid.with("jti", ""), errProofID},
		{"jti is a number", valid.with("jti", 1), errProofID},
		{"jti is long", valid.with("jti", strings.Repeat("j", maxName)), nil},
		{"jti is too long", valid.with("jti", strings.Repeat("j", maxName+1)), errProofID},
		{"no htm", valid.with("htm", nil), errProofMethod},
		{"htm GET", valid.with("htm", "GET"), errProofMethod},
		{"htm post", valid.with("htm", "post"), errProofMethod},
		{"htm is a list", valid.with("htm", []string{"POST"}), errProofMethod},
		{"no htu", valid.with("htu", nil), errProofTarget},
		{"htu is a list", valid.with("htu", []string{endpoint}), errProofTarget},
		{"no iat", valid.with("iat", nil), errProofTime},
		{"iat is text", valid.with("iat", fmt.Sprint(at(0))), errProofTime},
		{"iat is a fraction", valid.with("iat", json.RawMessage(fmt.Sprintf("%d.5", at(0)))), errProofTime},
		{"iat overflows", valid.with("iat", json.RawMessage("1e400")), errProofTime},
		{"iat is zero", valid.with("iat", 0), errProofOld},
		{"iat is 59 s ago", valid.with("iat", at(-59*time.Second)), nil},
		{"iat is 60 s ago", valid.with("iat", at(-60*time.Second)), errProofOld},
		{"iat is 10 s ahead", valid.with("iat", at(10*time.Second)), nil},
		{"iat is 11 s ahead", valid.with("iat", at(11*time.Second)), errProofAhead},
		{"nonce that nobody needs", valid.with("nonce", "x"), nil},
		{"nonce is a number", valid.with("nonce", 1), errProofNonce},
		{"others", valid.with("ath", "x").with("exp", 1).with("iss", "x"), nil},
	} {
		t.Run("X04 "+test.name, func(t *testing.T) {
			if _, err := verifyProof(t, es.proof(test.claims)); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

// RFC 9449, section 4.3, point 9, and the normalization that it refers to.
func TestX04TargetURL(t *testing.T) {
	for target, same := range map[string]bool{
		endpoint:                                       true,
		endpoint + "?scope=x":                          true,
		endpoint + "?":                                 true,
		endpoint + "#x":                                true,
		"HTTPS://issuer.example/oauth2/token":          true,
		"https://ISSUER.example/oauth2/token":          true,
		"https://issuer.example:443/oauth2/token":      true,
		"https://issuer.example:/oauth2/token":         true,
		"https://issuer.example/oauth2/%74oken":        true,
		"https://issuer.example/oauth2/./token":        true,
		"https://issuer.example/../oauth2/token":       true,
		"https://issuer.example/x/../oauth2/token":     true,
		"https://issuer.example/x/%2E%2e/oauth2/token": true,
		"":                                         false,
		"/oauth2/token":                            false,
		"//issuer.example/oauth2/token":            false,
		"issuer.example/oauth2/token":              false,
		"https:issuer.example/oauth2/token":        false,
		"https:///oauth2/token":                    false,
		"http://issuer.example/oauth2/token":       false,
		"http://issuer.example:443/oauth2/token":   false,
		"ftp://issuer.example/oauth2/token":        false,
		"https://issuer.example:8443/oauth2/token": false,
		"https://issuer.example:80/oauth2/token":   false,
		"https://issuer.example./oauth2/token":     false,
		"https://me@issuer.example/oauth2/token":   false,
		"https://other.example/oauth2/token":       false,
		issuer:                                     false,
		"https://issuer.example/oauth2/token/":     false,
		"https://issuer.example/oauth2/token/.":    false,
		"https://issuer.example/oauth2/token/x/..": false,
		"https://issuer.example//oauth2/token":     false,
		"https://issuer.example/oauth2/TOKEN":      false,
		"https://issuer.example/oauth2%2Ftoken":    false,
		"https://issuer.example/oauth2/token%":     false,
		"https://issuer.example/oauth2/token\x00":  false,
		"https://issuer.example/oauth2/jwks":       false,
		"https://issuer.example/oauth2/token;x":    false,
		"https://issuer.example/oauth2/token%00":   false,
		"https://issuer.example/oauth2/..":         false,
	} {
		t.Run("X04 htu "+target, func(t *testing.T) {
			var want error
			if !same {
				want = errProofTarget
			}
			if _, err := verifyProof(t, signers()[ES256].proof(proofClaims().with("htu", target))); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
}

func TestNormalized(t *testing.T) {
	for text, want := range map[string]string{
		"https://a.test":               "https://a.test/",
		"https://a.test?x":             "https://a.test/",
		"https://a.test/..":            "https://a.test/",
		"https://a.test/b/../..":       "https://a.test/",
		"https://a.test/b/.":           "https://a.test/b/",
		"https://a.test/b/c/../d":      "https://a.test/b/d",
		"https://a.test/b//../c":       "https://a.test/b/c",
		"https://a.test/a%2fb%3a%7E":   "https://a.test/a%2Fb%3A~",
		"https://a.test/%c3%A9":        "https://a.test/%C3%A9",
		"http://a.test:80/":            "http://a.test/",
		"https://[::1]:443/":           "https://[::1]/",
		"https://[2001:DB8::1]:8443/x": "https://[2001:db8::1]:8443/x",
	} {
		if got, ok := normalized(text); !ok || got != want {
			t.Errorf("%s is %s, %t, want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "a.test", "https://", "https://:443/", "https://a.test::443/", "mailto:a@a.test", "https://a.test:port/", "https://a.test/%zz",
		"https://a.test/é", "https://\u212a.test/", "https://a%25.test/", "https://%eb.test/", "https://[fe80::1%25eth0]/"} {
		if got, ok := normalized(text); ok {
			t.Errorf("%q is %s", text, got)
		}
	}
	if _, err := NewProofs("/oauth2/token", time.Now); err == nil {
		t.Error("a verifier for no absolute URL")
	}
}

func TestX04Signature(t *testing.T) {
	es := signers()[ES256]
	signed, signature := cutLast(es.proof(proofClaims()))
	raw, err := decode(signature)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string][]byte{"none": {}, "zeros": make([]byte, 64), "one bit off": append(slices.Clone(raw[:63]), raw[63]^1)} {
		t.Run("X04 "+name, func(t *testing.T) {
			if _, err := verifyProof(t, signed+"."+encode(other)); !errors.Is(err, errProofSignature) {
				t.Errorf("%v, want %v", err, errProofSignature)
			}
		})
	}
	t.Run("X04 HS256 by the public key", func(t *testing.T) {
		public, err := es.private.Public().(*ecdsa.PublicKey).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		signed := encode([]byte(es.proofHeader().with("alg", "HS256").String())) + "." + encode([]byte(proofClaims().String()))
		mac := hmac.New(sha256.New, public)
		mac.Write([]byte(signed))
		if _, err := verifyProof(t, signed+"."+encode(mac.Sum(nil))); !errors.Is(err, errAlgorithm) {
			t.Errorf("%v, want %v", err, errAlgorithm)
		}
	})
}

func TestX04Form(t *testing.T) {
	es := signers()[ES256]
	header, claims := es.proofHeader().String(), proofClaims().String()
	for _, test := range []struct {
		name, proof string
		want        error
	}{
		{"empty", "", errParts},
		{"two proofs in one header", es.proof(proofClaims()) + "," + es.proof(proofClaims()), errParts},
		{"a JWE", "e30.e30.e30.e30.e30", errParts},
		{"huge", es.proof(proofClaims().with("x", strings.Repeat("x", maxToken))), errTooLong},
		{"white space", " " + es.proof(proofClaims()), errBase64},
		{"claims are a list", es.sign(header, "["+claims+"]"), errNotJSON},
		{"jti twice", es.sign(header, strings.TrimSuffix(claims, "}")+`,"jti":"2"}`), errDuplicates},
		{"jwk twice", es.sign(strings.TrimSuffix(header, "}")+`,"jwk":`+newES256("").bareJWK().String()+"}", claims), errDuplicates},
		{"x twice in jwk", es.sign(strings.Replace(header, `"x":`, `"X":"","x":`, 1), claims), errDuplicates},
	} {
		t.Run("X04 "+test.name, func(t *testing.T) {
			if _, err := verifyProof(t, test.proof); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func TestX04JTIOnce(t *testing.T) {
	proofs, clock := newProofs(t)
	es, other := signers()[ES256], newES256("")
	for _, step := range []struct {
		name          string
		advance       time.Duration
		client, proof string
		want          error
	}{
		{"at first", 0, client, es.proof(proofClaims()), nil},
		{"again", 0, client, es.proof(proofClaims()), errReplayed},
		{"again, made anew", 0, client, es.proof(proofClaims().with("iat", now.Unix()+1)), errReplayed},
		{"by another client", 0, "billing.other", es.proof(proofClaims()), errReplayed},
		{"with another jti", 0, client, es.proof(proofClaims().with("jti", "2")), nil},
		{"with another key", 0, client, other.proof(proofClaims()), nil},
		{"at the last moment", maxProofAge - 1, client, es.proof(proofClaims()), errReplayed},
		{"when it is too old", 1, client, es.proof(proofClaims()), errProofOld},
		{"anew when it is forgotten", 0, client, es.proof(proofClaims().with("iat", now.Add(maxProofAge).Unix())), nil},
	} {
		clock.advance(step.advance)
		if _, err := proofs.Verify(step.client, "POST", step.proof, nil); !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
	}
}

func TestX04JTIIsNotedAfterAllElse(t *testing.T) {
	es := signers()[ES256]
	proofs, _ := newProofs(t)
	stale := func(string) bool { return false }
	for name, refused := range map[string]string{
		"another htu":       es.proof(proofClaims().with("htu", issuer)),
		"too old":           es.proof(proofClaims().with("iat", now.Add(-time.Hour).Unix())),
		"another signature": newES256("").sign(es.proofHeader().String(), proofClaims().String()),
		"a stale nonce":     es.proof(proofClaims()),
	} {
		if _, err := proofs.Verify(client, "POST", refused, stale); err == nil || proofs.replays.Len() != 0 {
			t.Errorf("%s: %v, and %d are remembered", name, err, proofs.replays.Len())
		}
	}
	if _, err := proofs.Verify(client, "POST", es.proof(proofClaims()), nil); err != nil {
		t.Errorf("with the same jti, and all right: %v", err)
	}
}

// By making keys, a client takes its own room, and no other's.
func TestX04RoomIsTheClients(t *testing.T) {
	proofs, clock := newProofs(t)
	proofs.replays = NewReplays(Limits{Clients: 3, Own: 2, Lent: 0, PerClient: 2}, clock.now)
	for range 2 {
		if _, err := proofs.Verify("billing.greedy", "POST", newES256("").proof(proofClaims()), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := proofs.Verify("billing.greedy", "POST", newES256("").proof(proofClaims()), nil); !errors.Is(err, errOwnRoom) {
		t.Errorf("%v, want %v", err, errOwnRoom)
	}
	if _, err := proofs.Verify(client, "POST", newES256("").proof(proofClaims()), nil); err != nil {
		t.Errorf("another client: %v", err)
	}
}

func TestX04Nonce(t *testing.T) {
	es := signers()[ES256]
	secret, next := []byte(strings.Repeat("s", 32)), []byte(strings.Repeat("n", 32))
	here := NewNonces([][]byte{secret, next})
	given := here.New(now)
	decoded, err := decode(given)
	if err != nil {
		t.Fatal(err)
	}
	later := slices.Clone(decoded)
	later[7]++
	for _, test := range []struct {
		name  string
		nonce any
		after time.Duration
		want  error
	}{
		{"given", given, 0, nil},
		{"given by a replica that is ahead", NewNonces([][]byte{next}).New(now), 0, nil},
		{"4 min 59 s old", given, maxNonceAge - time.Second, nil},
		{"5 min old", given, maxNonceAge, ErrNonce},
		{"given by a clock 10 s ahead", here.New(now.Add(nonceLeeway)), 0, nil},
		{"given by a clock 11 s ahead", here.New(now.Add(nonceLeeway + time.Second)), 0, ErrNonce},
		{"none", nil, 0, ErrNonce},
		{"empty", "", 0, ErrNonce},
		{"of a stranger", NewNonces([][]byte{[]byte("x")}).New(now), 0, ErrNonce},
		{"of another time under the same code", encode(later), 0, ErrNonce},
		{"truncated", encode(decoded[:23]), 0, ErrNonce},
		{"longer", encode(append(slices.Clone(decoded), 0)), 0, ErrNonce},
		{"the time alone", encode(decoded[:8]), 0, ErrNonce},
		{"padded", given + "=", 0, ErrNonce},
		{"huge", strings.Repeat("A", 8000), 0, ErrNonce},
	} {
		t.Run("X04 "+test.name, func(t *testing.T) {
			proofs, clock := newProofs(t)
			clock.advance(test.after)
			fresh := func(nonce string) bool { return here.Fresh(nonce, clock.now()) }
			proof := es.proof(proofClaims().with("iat", clock.now().Unix()).with("nonce", test.nonce))
			if _, err := proofs.Verify(client, "POST", proof, fresh); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
	t.Run("X04 a nonce is text as the RFC has it", func(t *testing.T) {
		if strings.Trim(given, unreserved) != "" {
			t.Error(given)
		}
	})
}

// FuzzDPoP asks that nothing panics, and that what is accepted was signed as it stands, as FuzzVerify does.
func FuzzDPoP(f *testing.F) {
	key := signer{"ed", EdDSA, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	header := key.proofHeader()
	valid := map[string]bool{}
	for _, proof := range []string{
		key.proof(proofClaims()), key.proof(proofClaims().with("htu", "HTTPS://ISSUER.example:443/x/%2e./oauth2/%74oken?x#y")),
		key.sign(header.with("jwk", key.jwk()).with("kid", "x").String(), proofClaims().with("ath", "x").String()),
	} {
		valid[proof] = true
		f.Add(proof)
	}
	for _, proof := range []string{
		"", "..", "e30.e30.", key.sign(`{"alg":"EdDSA","typ":"dpop+jwt"}`, "{}"), key.sign(`{"alg":"EdDSA","typ":"dpop+jwt","jwk":{}}`, "{}"),
		key.proof(members{}), key.proof(proofClaims().with("iat", nil)), key.proof(proofClaims().with("htu", "https://[::1]:%31/%2")),
		key.proof(proofClaims().with("nonce", 1)), key.sign(header.with("typ", "JWT").String(), proofClaims().String()),
		key.sign(header.with("jwk", key.jwk().with("d", "x")).String(), proofClaims().String()),
		key.sign(header.with("jwk", foreignRSA).String(), proofClaims().String()),
		newES256("").sign(newES256("").proofHeader().String(), proofClaims().String()),
	} {
		f.Add(proof)
	}
	thumbprint := key.thumbprint()
	f.Fuzz(func(t *testing.T, proof string) {
		got, err := verifyProof(t, proof)
		if (err == nil) != valid[proof] || err == nil && got != thumbprint {
			t.Fatalf("%q: %s, %v", proof, got, err)
		}
	})
}

// FuzzNormalized asks that what is normalized stays as it is when that is done again, so that two spellings of one URL cannot differ.
func FuzzNormalized(f *testing.F) {
	for _, text := range []string{endpoint, "https://a/../b/./%2e%2E/%41%2f?x#y", "HTTP://[::1]:80", "https://a:443:443/", "https://a/%25%32%65", "http://a%25\xcd\xcd"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, ok := normalized(text)
		if !ok {
			return
		}
		if twice, ok := normalized(once); !ok || twice != once {
			t.Fatalf("%q is %q, and then %q, %t", text, once, twice, ok)
		}
	})
}
