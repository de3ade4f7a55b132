package assertion

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
)

func TestParseKeysPinsTheAlgorithm(t *testing.T) {
	for _, test := range []struct {
		name string
		jwk  members
		want Algorithm
	}{
		{"ES256", signers()[ES256].jwk(), ES256},
		{"EC without alg", signers()[ES256].jwk().with("alg", nil), ES256},
		{"RS256", signers()[RS256].jwk(), RS256},
		{"PS256", signers()[PS256].jwk(), PS256},
		{"RSA without alg", signers()[RS256].jwk().with("alg", nil), RS256},
		{"EdDSA", signers()[EdDSA].jwk(), EdDSA},
		{"OKP without alg", signers()[EdDSA].jwk().with("alg", nil), EdDSA},
		{"without use", signers()[ES256].jwk().with("use", nil), ES256},
		{"without kid", signers()[ES256].jwk().with("kid", nil), ES256},
		{"for verifying", signers()[ES256].jwk().with("use", nil).with("key_ops", []string{"verify"}), ES256},
		{"with members that are not known", signers()[ES256].jwk().with("x5t", "x").with("iat", 1), ES256},
		{"8192 bits", foreignRSA.with("n", encode(bytes.Repeat([]byte{0xff}, 1024))), RS256},
	} {
		t.Run(test.name, func(t *testing.T) {
			keys, err := ParseKeys(jwks(test.jwk))
			if err != nil {
				t.Fatal(err)
			}
			if len(keys.keys) != 1 || keys.keys[0].algorithm != test.want || len(keys.LeftOut()) != 0 {
				t.Errorf("keys %+v, left out %q, want one key for %s", keys.keys, keys.LeftOut(), test.want)
			}
		})
	}
}

// Errors must say what to do, and must not quote the set, which may hold a private key by mistake.
func TestParseKeysRefuses(t *testing.T) {
	es, rs, ed := signers()[ES256].jwk(), signers()[RS256].jwk(), signers()[EdDSA].jwk()
	bits := func(n int) string {
		return encode(new(big.Int).Sub(new(big.Int).Lsh(one, uint(n)), one).Bytes())
	}
	many := slices.Repeat([]members{es.with("kid", nil)}, maxKeys+1)
	for _, test := range []struct {
		name string
		jwks []byte
		want string
	}{
		{"nothing", nil, "JSON"},
		{"a list", []byte("[]"), "JSON"},
		{"no keys", []byte("{}"), "must have the form"},
		{"keys that are an object", []byte(`{"keys":{}}`), "must have the form"},
		{"a bare key", []byte(es.String()), "must have the form"},
		{"keys twice", []byte(`{"keys":[],"keys":[` + es.String() + `]}`), "leave one out"},
		{"KEYS beside keys", []byte(`{"KEYS":[],"keys":[` + es.String() + `]}`), "leave one out"},
		{"an empty set", []byte(`{"keys":[]}`), "publish the public key"},
		{"a key that is a number", []byte(`{"keys":[1]}`), "must be a JSON object"},
		{"a member twice", []byte(`{"keys":[{"kty":"EC","kty":"RSA"}]}`), "leave one out"},
		{"too many keys", jwks(many...), "publish only those in use"},
		{"too long", jwks(es.with("x5c", strings.Repeat("x", maxKeySet))), "publish fewer keys"},
		{"a private EC key", jwks(es.with("d", "AAAA")), "publish only public keys"},
		{"a private EC key beside others", jwks(rs, es.with("d", "AAAA")), "key 2 of the set: it is private"},
		{"a private RSA key's primes", jwks(rs.with("p", "AAAA")), "publish only public keys"},
		{"a private RSA key's other primes", jwks(rs.with("oth", []string{})), "publish only public keys"},
		{"a private Ed25519 key", jwks(ed.with("d", json.RawMessage("null"))), "publish only public keys"},
		{"a private key for another use", jwks(rs, es.with("d", "AAAA").with("use", "enc")), "publish only public keys"},
		{"a private key of an unknown kind", jwks(rs, members{"kty": "AKP", "d": "AAAA"}), "publish only public keys"},
		{"a symmetric key", jwks(rs, members{"kty": "oct", "k": "AAAA"}), "publish only public keys"},
		{"a symmetric key without its value", jwks(rs, members{"kty": "oct"}), "publish only public keys"},
		{"no kty", jwks(es.with("kty", nil)), "it has no kty"},
		{"kid twice", jwks(es, rs.with("kid", es["kid"])), "give each key its own"},
		{"kid that is a number", jwks(es.with("kid", 1)), "kid must be text"},
		{"kid that is empty", jwks(es.with("kid", "")), "kid must be text"},
		{"kid that is too long", jwks(es.with("kid", strings.Repeat("k", maxName+1))), "kid must be text"},
		{"for encryption only", jwks(es.with("use", "enc")), "set its use to sig"},
		{"use that is a list", jwks(es.with("use", []string{"sig"})), "set its use to sig"},
		{"for wrapping only", jwks(es.with("key_ops", []string{"wrapKey"})), "add verify to its key_ops"},
		{"key_ops that are text", jwks(es.with("key_ops", "verify")), "add verify to its key_ops"},
		{"P-384 only", jwks(es.with("crv", "P-384")), "use EC with P-256"},
		{"secp256k1 only", jwks(es.with("crv", "secp256k1")), "use EC with P-256"},
		{"X25519 only", jwks(ed.with("crv", "X25519")), "use EC with P-256"},
		{"RS512 only", jwks(rs.with("alg", "RS512")), "must be one of"},
		{"an RSA key for ES256", jwks(rs.with("alg", "ES256")), "must be one of"},
		{"an EC key for PS256", jwks(es.with("alg", "PS256")), "must be one of"},
		{"an RSA key for HS256", jwks(rs.with("alg", "HS256")), "must be one of"},
		{"alg that is null", jwks(rs.with("alg", json.RawMessage("null"))), "must be one of"},
		{"x that is missing", jwks(es.with("x", nil)), "it has no x"},
		{"x with padding", jwks(es.with("x", es["x"].(string)+"=")), "without padding"},
		{"x that is short", jwks(es.with("x", encode(make([]byte, 31)))), "32 bytes each"},
		{"x that is off the curve", jwks(es.with("x", encode(make([]byte, 32))).with("y", encode(make([]byte, 32)))), "no point"},
		{"y of another key", jwks(es.with("y", newES256("").jwk()["y"])), "no point"},
		{"1024 bits", jwks(rs.with("n", bits(1024))), "make a new one"},
		{"2047 bits", jwks(rs.with("n", bits(2047))), "make a new one"},
		{"8193 bits", jwks(rs.with("n", bits(8193))), "make a new one"},
		{"n with a leading zero", jwks(rs.with("n", "AAAA"+bits(2048))), "no leading zeros"},
		{"n that is even", jwks(rs.with("n", encode(append(bytes.Repeat([]byte{0xff}, 255), 0xfe)))), "n is even"},
		{"e that is missing", jwks(rs.with("e", nil)), "it has no e"},
		{"e that is empty", jwks(rs.with("e", "")), "no leading zeros"},
		{"e that is 1", jwks(rs.with("e", "AQ")), "make a new key, with AQAB"},
		{"e that is 3", jwks(rs.with("e", "Aw")), "make a new key, with AQAB"},
		{"e that is even", jwks(rs.with("e", "AQAC")), "make a new key, with AQAB"},
		{"e that is huge", jwks(rs.with("e", bits(64))), "make a new key, with AQAB"},
		{"an Ed25519 key that is short", jwks(ed.with("x", encode(make([]byte, 31)))), "no point of the curve"},
	} {
		t.Run(test.name, func(t *testing.T) {
			keys, err := ParseKeys(test.jwks)
			if err == nil || keys != nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v, %v, want %q", keys, err, test.want)
			}
			if strings.Contains(err.Error(), "AAAA") {
				t.Errorf("the error quotes the set: %v", err)
			}
		})
	}
}

// As a set serves others too, keys that are for them are no reason to refuse it (RFC 7517, section 5).
func TestParseKeysLeavesOutWhatIsForOthers(t *testing.T) {
	es := signers()[ES256].jwk()
	keys, err := ParseKeys(jwks(
		es.with("use", "enc"), // Of the same kid, as it is another key.
		members{"kty": "AKP", "kid": "post-quantum"},
		es.with("kid", "p384").with("crv", "P-384"),
		signers()[RS256].jwk().with("alg", "RS384"),
		es,
	))
	if err != nil {
		t.Fatal(err)
	}
	if len(keys.LeftOut()) != 4 || len(keys.keys) != 1 || !keys.Has("es") || keys.Has("rs") {
		t.Errorf("keys %+v, left out %q", keys.keys, keys.LeftOut())
	}
	if _, err := verify(signers()[ES256].assertion(claims()), keys, expected); err != nil {
		t.Error(err)
	}
}

// weakEd25519 are the points of small order, with each sign, and encodings that are not the one of their point.
var weakEd25519 = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

func TestWeakEd25519KeysAreRefused(t *testing.T) {
	for _, text := range weakEd25519 {
		point, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseKeys(jwks(signers()[EdDSA].jwk().with("x", encode(point)))); err == nil {
			t.Errorf("accepted %s", text)
		}
	}
}

func TestStrongEd25519KeysAreAccepted(t *testing.T) {
	for range 50 {
		if public := newEdDSA("").private.Public().(ed25519.PublicKey); !strongEd25519(public) {
			t.Errorf("refuses the key %x", public)
		}
	}
}

// Every other y has points. That it is the right ones is asked in another way: a number is a square where its power to (p-1)/2 is 1.
func TestWhatIsNoPointOfEd25519IsRefused(t *testing.T) {
	points := 0
	for i := range 200 {
		y2 := big.NewInt(int64(i+256) * int64(i+256))
		x2 := quotient(new(big.Int).Sub(y2, one), new(big.Int).Add(one, new(big.Int).Mul(curveD, y2)))
		isSquare := x2.Exp(x2, new(big.Int).Rsh(prime, 1), prime).Cmp(one) == 0
		encoded := append([]byte{byte(i), 1}, make([]byte, 30)...)
		if strongEd25519(encoded) != isSquare {
			t.Errorf("%x is a key: %v, want %v", encoded, !isSquare, isSquare)
		}
		if isSquare {
			points++
		}
	}
	if points < 50 || points > 150 {
		t.Errorf("%d points of 200", points)
	}
}

// What was made by the library with that flaw is a power of 65537 modulo every small prime: here it is 1, the power of nothing.
func TestROCAKeysAreRefused(t *testing.T) {
	product := big.NewInt(1)
	for _, prime := range rocaPrimes {
		product.Mul(product, big.NewInt(prime))
	}
	modulus := product.Lsh(product, uint(minRSABits-product.BitLen()))
	flawed := foreignRSA.with("n", encode(modulus.Add(modulus, one).Bytes()))
	if _, err := ParseKeys(jwks(flawed)); err == nil || !strings.Contains(err.Error(), "ROCA") {
		t.Errorf("%v, want an error that names ROCA", err)
	}
	modulus.Add(modulus, big.NewInt(2))
	if _, err := ParseKeys(jwks(flawed.with("n", encode(modulus.Bytes())))); err != nil {
		t.Errorf("another: %v", err)
	}
}
