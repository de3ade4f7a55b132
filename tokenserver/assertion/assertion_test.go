package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVerifyAcceptsEachAlgorithm(t *testing.T) {
	all := slices.Collect(func(yield func(signer) bool) {
		for _, algorithm := range Algorithms {
			if !yield(signers()[algorithm]) {
				return
			}
		}
	})
	keys := keysOf(t, all...)
	for _, signer := range all {
		t.Run(string(signer.algorithm), func(t *testing.T) {
			got, err := verify(signer.assertion(claims()), keys, expected)
			if err != nil {
				t.Fatal(err)
			}
			want := Claims{
				Issuer: client, Subject: client, Audience: issuer, ID: "1", IssuedAt: now, Expires: now.Add(time.Minute),
				AcceptedUntil: now.Add(time.Minute + expected.Leeway), KeyID: signer.id,
			}
			if got != want {
				t.Errorf("claims %+v, want %+v", got, want)
			}
			other := newSet(t, signer)
			if _, err := verify(signer.assertion(claims()), other, expected); !errors.Is(err, errSignature) {
				t.Errorf("with another key of the same kid: %v, want %v", err, errSignature)
			}
		})
	}
}

// newSet returns a set with a key of another, but with its kid and algorithm.
func newSet(t *testing.T, like signer) *Keys {
	other := map[Algorithm]members{
		ES256: newES256("").jwk(), EdDSA: newEdDSA("").jwk(),
		RS256: foreignRSA, PS256: foreignRSA,
	}[like.algorithm]
	keys, err := ParseKeys(jwks(other.with("kid", like.id).with("alg", string(like.algorithm))))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// foreignRSA is a key of the form of an RSA key, of which nobody has the private half.
var foreignRSA = members{"kty": "RSA", "n": encode([]byte(strings.Repeat("\xff", 256))), "e": "AQAB"}

func TestClaims(t *testing.T) {
	const endpoint = issuer + "/oauth2/token"
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	valid, es := claims(), signers()[ES256]
	keys := keysOf(t, es)
	for _, test := range []struct {
		name   string
		claims members
		want   error
	}{
		{"C01 aud is the issuer", valid, nil},
		{"C01 aud is a list of the issuer", valid.with("aud", []string{issuer}), nil},
		{"C02 aud is the token endpoint", valid.with("aud", endpoint), errWrongAudience},
		{"C03 aud is the issuer and another", valid.with("aud", []string{issuer, "https://other.example"}), errAudience},
		{"C03 aud is the issuer twice", valid.with("aud", []string{issuer, issuer}), errAudience},
		{"C03 aud is an empty list", valid.with("aud", []string{}), errAudience},
		{"C03 aud is a list in a list", valid.with("aud", [][]string{{issuer}}), errAudience},
		{"C03 aud is a number", valid.with("aud", 1), errAudience},
		{"C03 aud is empty", valid.with("aud", ""), errAudience},
		{"C03 no aud", valid.with("aud", nil), errAudience},
		{"C04 aud with a slash", valid.with("aud", issuer+"/"), errWrongAudience},
		{"C04 aud in another case", valid.with("aud", "https://Issuer.example"), errWrongAudience},
		{"C04 aud with the port", valid.with("aud", issuer+":443"), errWrongAudience},
		{"C04 aud is what the issuer begins with", valid.with("aud", "https://issuer"), errWrongAudience},
		{"C07 iss is another client", valid.with("iss", "billing.other"), errWrongIssuer},
		{"C07 sub is another client", valid.with("sub", "billing.other"), errWrongSubject},
		{"C07 iss and sub are another client", valid.with("iss", "billing.other").with("sub", "billing.other"), errWrongIssuer},
		{"C07 no iss", valid.with("iss", nil), errIdentity},
		{"C07 no sub", valid.with("sub", nil), errIdentity},
		{"C07 iss is empty", valid.with("iss", ""), errIdentity},
		{"C07 sub is a list", valid.with("sub", []string{client}), errIdentity},
		{"C08 no exp", valid.with("exp", nil), errNoExpiry},
		{"C08 exp is past", valid.with("exp", at(-time.Minute)), errExpired},
		{"C08 exp is past by the leeway", valid.with("exp", at(-10*time.Second)), errExpired},
		{"C08 exp is past by less than the leeway", valid.with("exp", at(-9*time.Second)), nil},
		{"C08 exp is as far ahead as may be", valid.with("exp", at(5*time.Minute+10*time.Second)), nil},
		{"C08 exp is too far ahead", valid.with("exp", at(5*time.Minute+11*time.Second)), errLongLived},
		{"C08 exp is in the year 9999", valid.with("exp", int64(253402300799)), errLongLived},
		{"C08 iat is in the future", valid.with("iat", at(11*time.Second)), errNotYet},
		{"C08 iat is in the future by the leeway", valid.with("iat", at(10*time.Second)), nil},
		{"C08 iat is long ago", valid.with("iat", at(-5*time.Minute-11*time.Second)), errLongLived},
		{"C08 iat is as long ago as may be", valid.with("iat", at(-5*time.Minute-10*time.Second)), nil},
		{"C08 nbf is in the future", valid.with("nbf", at(11*time.Second)), errNotYet},
		{"C08 nbf is in the future by the leeway", valid.with("nbf", at(10*time.Second)), nil},
		{"C08 no iat", valid.with("iat", nil), nil},
		{"C09 exp is text", valid.with("exp", fmt.Sprint(at(time.Minute))), errTime},
		{"C09 exp is a fraction", valid.with("exp", json.RawMessage(fmt.Sprintf("%d.5", at(time.Minute)))), errTime},
		{"C09 exp is a fraction of nothing", valid.with("exp", json.RawMessage(fmt.Sprintf("%d.0", at(time.Minute)))), errTime},
		{"C09 exp has an exponent", valid.with("exp", json.RawMessage("18e8")), errTime},
		{"C09 exp overflows floats", valid.with("exp", json.RawMessage("1e400")), errTime},
		{"C09 exp overflows integers", valid.with("exp", json.RawMessage(strings.Repeat("9", 40))), errTime},
		{"C09 exp is negative", valid.with("exp", -1), errTime},
		{"C09 exp is zero", valid.with("exp", 0), errExpired},
		{"C09 exp is null", valid.with("exp", json.RawMessage("null")), errTime},
		{"C09 exp is true", valid.with("exp", true), errTime},
		{"C09 iat is text", valid.with("iat", "now"), errTime},
		{"C09 nbf is null", valid.with("nbf", json.RawMessage("null")), errTime},
		{"C10 no jti", valid.with("jti", nil), errNoID},
		{"C10 jti is empty", valid.with("jti", ""), errID},
		{"C10 jti is a number", valid.with("jti", 1), errID},
		{"C10 jti is long", valid.with("jti", strings.Repeat("j", maxName)), nil},
		{"C10 jti is too long", valid.with("jti", strings.Repeat("j", maxName+1)), errID},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := verify(es.assertion(test.claims), keys, expected); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
	t.Run("C02 aud is the token endpoint, which is admitted", func(t *testing.T) {
		admitting := expected
		admitting.Audiences = []string{issuer, endpoint}
		if _, err := verify(es.assertion(valid.with("aud", endpoint)), keys, admitting); err != nil {
			t.Error(err)
		}
	})
}

func TestHeader(t *testing.T) {
	es := signers()[ES256]
	keys := keysOf(t, es)
	header := es.header()
	embedded := newES256(es.id)
	for _, test := range []struct {
		name   string
		header members
		want   error
	}{
		{"C05 no typ", header, nil},
		{"C05 typ JWT", header.with("typ", "JWT"), nil},
		{"C05 typ jwt", header.with("typ", "jwt"), nil},
		{"C05 typ client-authentication+jwt", header.with("typ", "client-authentication+jwt"), nil},
		{"C05 typ application/client-authentication+jwt", header.with("typ", "application/client-authentication+jwt"), nil},
		{"C06 typ at+jwt", header.with("typ", "at+jwt"), errType},
		{"C06 typ application/at+jwt", header.with("typ", "application/at+jwt"), errType},
		{"C06 typ dpop+jwt", header.with("typ", "dpop+jwt"), errType},
		{"C06 typ logout+jwt", header.with("typ", "logout+jwt"), errType},
		{"C06 typ is empty", header.with("typ", ""), errType},
		{"C06 typ is null", header.with("typ", json.RawMessage("null")), errType},
		{"C06 typ is a list", header.with("typ", []string{"JWT"}), errType},
		{"C15 no alg", header.with("alg", nil), errAlgorithm},
		{"C15 alg none", header.with("alg", "none"), errAlgorithm},
		{"C15 alg nOnE", header.with("alg", "nOnE"), errAlgorithm},
		{"C15 alg HS256", header.with("alg", "HS256"), errAlgorithm},
		{"C15 alg ES384", header.with("alg", "ES384"), errAlgorithm},
		{"C15 alg es256", header.with("alg", "es256"), errAlgorithm},
		{"C15 alg is a list", header.with("alg", []string{"ES256"}), errAlgorithm},
		{"C15 alg of another kind of key", header.with("alg", "RS256"), errKeyAlgorithm},
		{"C15 alg of another kind of key, no kid", header.with("alg", "EdDSA").with("kid", nil), errNoKey},
		{"C16 crit", header.with("crit", []string{"x"}).with("x", 1), errExtensions},
		{"C16 crit is empty", header.with("crit", []string{}), errExtensions},
		{"C16 crit is null", header.with("crit", json.RawMessage("null")), errExtensions},
		{"C16 b64 is false", header.with("b64", false), errExtensions},
		{"C16 b64 is true", header.with("b64", true), errExtensions},
		{"C18 jku", header.with("jku", "https://attacker.example/jwks"), nil},
		{"C18 x5u", header.with("x5u", "https://attacker.example/cert"), nil},
		{"C18 jwk", header.with("jwk", embedded.jwk()), nil},
		{"C18 x5c", header.with("x5c", []string{"MIIB"}), nil},
		{"no kid", header.with("kid", nil), nil},
		{"unknown kid", header.with("kid", "other"), ErrUnknownKey},
		{"kid is empty", header.with("kid", ""), errKeyID},
		{"kid is a number", header.with("kid", 1), errKeyID},
		{"kid is a path", header.with("kid", "../../dev/null"), ErrUnknownKey},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := es.sign(test.header.String(), claims().String())
			if _, err := verify(token, keys, expected); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
	t.Run("C18 signed by the key that it brings along", func(t *testing.T) {
		token := embedded.sign(header.with("jwk", embedded.jwk()).String(), claims().String())
		if _, err := verify(token, keys, expected); !errors.Is(err, errSignature) {
			t.Errorf("%v, want %v", err, errSignature)
		}
	})
}

func TestKidSelectsTheKey(t *testing.T) {
	first, second, rs := newES256("first"), newES256("second"), signers()[RS256]
	both := keysOf(t, first, second, rs)
	for _, test := range []struct {
		name  string
		token string
		keys  *Keys
		want  error
	}{
		{"first", first.assertion(claims()), both, nil},
		{"second", second.assertion(claims()), both, nil},
		{"another's kid", second.sign(first.header().String(), claims().String()), both, errSignature},
		{"no kid, several keys for the alg", first.sign(`{"alg":"ES256"}`, claims().String()), both, errWhichKey},
		{"no kid, one key for the alg", rs.sign(`{"alg":"RS256"}`, claims().String()), both, nil},
		{"no kid, one key", second.sign(`{"alg":"ES256"}`, claims().String()), keysOf(t, second), nil},
		{"PS256 by the kid of a key for RS256", signers()[PS256].sign(`{"alg":"PS256","kid":"rs"}`, claims().String()), both, errKeyAlgorithm},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := verify(test.token, test.keys, expected); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

// A verifier that takes the algorithm from the token takes a public key for the secret of an HMAC.
func TestC15PublicKeyAsSecret(t *testing.T) {
	es := signers()[ES256]
	public, err := es.private.Public().(*ecdsa.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	signed := encode([]byte(`{"alg":"HS256","kid":"es"}`)) + "." + encode([]byte(claims().String()))
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(signed))
	if _, err := verify(signed+"."+encode(mac.Sum(nil)), keysOf(t, es), expected); !errors.Is(err, errAlgorithm) {
		t.Errorf("%v, want %v", err, errAlgorithm)
	}
}

func TestC15SignatureOfAnotherForm(t *testing.T) {
	es := signers()[ES256]
	keys := keysOf(t, es)
	signed, signature := cutLast(es.assertion(claims()))
	raw, err := decode(signature)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string][]byte{
		"none":           {},
		"zeros":          make([]byte, 64),
		"truncated":      raw[:63],
		"too long":       append(slices.Clone(raw), 0),
		"one bit off":    append(slices.Clone(raw[:63]), raw[63]^1),
		"R twice":        append(slices.Clone(raw[:32]), raw[:32]...),
		"halves swapped": append(slices.Clone(raw[32:]), raw[:32]...),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := verify(signed+"."+encode(other), keys, expected); !errors.Is(err, errSignature) {
				t.Errorf("%v, want %v", err, errSignature)
			}
		})
	}
}

func cutLast(token string) (before, after string) {
	i := strings.LastIndexByte(token, '.')
	return token[:i], token[i+1:]
}

// golang-jwt's own PS256 accepts these.
func TestC15SaltOfAnotherLength(t *testing.T) {
	ps := signers()[PS256]
	keys := keysOf(t, ps)
	signed, _ := cutLast(ps.assertion(claims()))
	digest := sha256.Sum256([]byte(signed))
	for length, want := range map[int]error{32: nil, 31: errSignature, 20: errSignature, 64: errSignature} {
		options := &rsa.PSSOptions{SaltLength: length, Hash: crypto.SHA256}
		signature, err := ps.private.Sign(rand.Reader, digest[:], options)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verify(signed+"."+encode(signature), keys, expected); !errors.Is(err, want) {
			t.Errorf("a salt of %d bytes: %v, want %v", length, err, want)
		}
	}
}

func TestC17DuplicateMembers(t *testing.T) {
	es := signers()[ES256]
	keys := keysOf(t, es)
	header, body := es.header().String(), claims().String()
	more := func(object, members string) string { return strings.TrimSuffix(object, "}") + "," + members + "}" }
	for _, test := range []struct{ name, header, claims string }{
		{"alg", more(header, `"alg":"ES256"`), body},
		{"kid", more(header, `"kid":"es"`), body},
		{"kid, escaped", more(header, `"k\u0069d":"es"`), body},
		{"KID beside kid", more(header, `"KID":"es"`), body},
		{"kid with the Kelvin sign", more(header, `"\u212aid":"es"`), body},
		{"aud", header, more(body, `"aud":"`+issuer+`"`)},
		{"AUD beside aud", header, more(body, `"AUD":"`+issuer+`"`)},
		{"sub with a long s", header, more(body, `"ſub":"`+client+`"`)},
		{"unknown", header, more(body, `"x":1,"x":1`)},
		{"nested", header, more(body, `"x":{"y":[{"z":1,"z":2}]}`)},
		{"nested, in another case", header, more(body, `"x":[[{"z":1,"Z":2}]]`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := verify(es.sign(test.header, test.claims), keys, expected); !errors.Is(err, errDuplicates) {
				t.Errorf("%v, want %v", err, errDuplicates)
			}
		})
	}
	t.Run("C17 names that are different", func(t *testing.T) {
		different := more(body, `"x":{"aud":1},"y":[{"aud":1},{"aud":2}],"au":1,"":2`)
		if _, err := verify(es.sign(header, different), keys, expected); err != nil {
			t.Error(err)
		}
	})
	t.Run("C17 AUD in place of aud", func(t *testing.T) {
		other := claims().with("aud", nil).with("AUD", issuer)
		if _, err := verify(es.assertion(other), keys, expected); !errors.Is(err, errAudience) {
			t.Errorf("%v, want %v", err, errAudience)
		}
	})
}

func TestC19MonstrousTokens(t *testing.T) {
	es := signers()[ES256]
	keys := keysOf(t, es)
	token := es.assertion(claims())
	parts := strings.Split(token, ".")
	at := func(i int, part string) string {
		changed := slices.Clone(parts)
		changed[i] = part
		return strings.Join(changed, ".")
	}
	deep := strings.Repeat(`{"x":`, maxDepth) + "1" + strings.Repeat("}", maxDepth)
	for _, test := range []struct {
		name, token string
		want        error
	}{
		{"empty", "", errParts},
		{"a JWE of five parts", "e30.e30.e30.e30.e30", errParts},
		{"two parts", parts[0] + "." + parts[1], errParts},
		{"four parts", token + ".", errParts},
		{"a million dots", strings.Repeat(".", 1_000_000), errTooLong},
		{"as many dots as fit", strings.Repeat(".", maxToken), errParts},
		{"60 KiB", es.assertion(claims().with("x", strings.Repeat("x", 60<<10))), errTooLong},
		{"three empty parts", "..", errNotJSON},
		{"padding of the header", at(0, parts[0]+"="), errBase64},
		{"padding of the signature", at(2, parts[2]+"=="), errBase64},
		{"white space before", " " + token, errBase64},
		{"white space after", token + " ", errBase64},
		{"a line break after", token + "\n", errBase64},
		{"line breaks in the payload", at(1, parts[1][:4]+"\r\n"+parts[1][4:]), errBase64},
		{"base64 in place of base64url", at(2, strings.Repeat("+/", 43)), errBase64},
		{"bits that are not used", at(2, parts[2][:85]+string(parts[2][85]+1)), errBase64},
		{"a header that is no JSON", at(0, encode([]byte("alg=ES256"))), errNotJSON},
		{"a header that is a list", at(0, encode([]byte(`["ES256"]`))), errNotJSON},
		{"claims that are null", es.sign(es.header().String(), "null"), errNotJSON},
		{"claims in two objects", es.sign(es.header().String(), claims().String()+"{}"), errNotJSON},
		{"claims with a comma too many", es.sign(es.header().String(), `{"x":1,}`), errNotJSON},
		{"claims with a byte order mark", es.sign(es.header().String(), "\ufeff"+claims().String()), errNotJSON},
		{"claims that are no UTF-8", es.sign(es.header().String(), `{"x":"`+"\xff"+`"}`), errNotJSON},
		{"claims as deep as may be", es.sign(es.header().String(), deep), errIdentity},
		{"claims too deep", es.sign(es.header().String(), `{"x":`+deep+`}`), errTooDeep},
		{"brackets only", es.sign(es.header().String(), strings.Repeat("[", 8000)), errNotJSON},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := verify(test.token, keys, expected); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func TestEmptyExpectationAcceptsNothing(t *testing.T) {
	es := signers()[ES256]
	keys, token := keysOf(t, es), es.assertion(claims())
	for name, change := range map[string]func(*Expectation){
		"all":       func(e *Expectation) { *e = Expectation{} },
		"issuer":    func(e *Expectation) { e.Issuer = "" },
		"subject":   func(e *Expectation) { e.Subject = "" },
		"audiences": func(e *Expectation) { e.Audiences = nil },
		"now":       func(e *Expectation) { e.Now = time.Time{} },
		"max age":   func(e *Expectation) { e.MaxAge = 0 },
	} {
		changed := expected
		change(&changed)
		if _, err := verify(token, keys, changed); err == nil {
			t.Errorf("accepted without %s", name)
		}
	}
	if _, err := verify(token, &Keys{}, expected); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("without keys: %v, want %v", err, ErrUnknownKey)
	}
}

func TestClaimedProvesNothingAndSaysWhoToLookFor(t *testing.T) {
	parsed, err := Parse(signers()[ES256].assertion(claims().with("exp", now.Add(-time.Hour).Unix())))
	if err != nil {
		t.Fatal(err)
	}
	gotIssuer, gotSubject := parsed.Claimed()
	if gotIssuer != client || gotSubject != client || parsed.KeyID() != "es" {
		t.Errorf("claimed %q, %q, kid %q", gotIssuer, gotSubject, parsed.KeyID())
	}
}
