package assertion

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// FuzzVerify asks that nothing panics, and that what is accepted was signed as it stands. The key is fixed, and so are its
// signatures, as each process of the fuzzer makes its own.
func FuzzVerify(f *testing.F) {
	key := signer{"ed", EdDSA, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	keys := keysOf(f, key)
	valid := map[string]bool{}
	for _, token := range []string{
		key.assertion(claims()), key.assertion(claims().with("aud", []string{issuer})), key.sign(`{"alg":"EdDSA"}`, claims().String()),
	} {
		valid[token] = true
		f.Add(token)
	}
	for _, token := range []string{
		"", "..", "e30.e30.", "....", key.sign(`{"alg":"none"}`, "{}"), key.sign(`{"alg":"EdDSA","crit":[]}`, "{}"),
		key.sign(key.header().String(), `{"exp":1e400}`), key.assertion(claims().with("exp", nil)),
	} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := verify(token, keys, expected); (err == nil) != valid[token] {
			t.Fatalf("%q: %v", token, err)
		}
	})
}

// FuzzParseObject compares with encoding/json, which is to agree on all that is accepted.
func FuzzParseObject(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"a":[1,{"b":null}],"c":"\ud800"}`, `{"a":1,"A":2}`, `{"a":1e400}`, `[]`, `{"a":1}x`, "{\"a\":\"\xff\"}", `{"\u0000":-0}`,
		`{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseObject(text)
		if err != nil {
			return
		}
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.UseNumber()
		var want map[string]any
		if err := decoder.Decode(&want); err != nil {
			t.Fatalf("accepted %q, of which encoding/json says %v", text, err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%q is %v, want %v", text, got, want)
		}
	})
}

// FuzzParseKeys asks that nothing panics, that no error quotes a private key, and that what was accepted does its work.
func FuzzParseKeys(f *testing.F) {
	const secret = "c2VjcmV0LWtleS1tYXRlcmlhbA"
	es := signers()[ES256].jwk()
	for _, set := range [][]byte{
		nil, []byte("{}"), []byte(`{"keys":[]}`), jwks(es), jwks(es, signers()[RS256].jwk(), signers()[EdDSA].jwk()),
		jwks(es.with("d", secret)), jwks(members{"kty": "oct", "k": secret}), jwks(es.with("x", secret)), jwks(es.with("use", "enc")),
		jwks(es, es), jwks(foreignRSA.with("e", "AA")),
	} {
		f.Add(set)
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		keys, err := ParseKeys(set)
		if err != nil {
			if keys != nil || strings.Contains(err.Error(), secret) {
				t.Fatalf("ParseKeys = %v, %v", keys, err)
			}
			return
		}
		if len(keys.keys) == 0 || len(keys.keys) > maxKeys {
			t.Fatalf("%d keys", len(keys.keys))
		}
		for _, key := range keys.keys {
			if err := methods[key.algorithm].Verify("signed", make([]byte, 64), key.public); err == nil {
				t.Fatalf("zeros are a signature under a key for %s", key.algorithm)
			}
		}
	})
}
