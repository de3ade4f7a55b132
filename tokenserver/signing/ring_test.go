package signing

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestRingPublishesAllKeysAndSignsWithOne(t *testing.T) {
	prepared, active, retired := newKey(t, RS256, Prepared), newKey(t, ES256, Active), newKey(t, ES256, Retired)
	retiredSigned, err := retired.Sign("at+jwt", claims{"sub": "from before"})
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]Key{{prepared, active, retired}, {retired, prepared, active}} {
		ring := newRing(t, keys...)
		if got := ring.Active().ID; got != active.ID {
			t.Fatalf("key %s signs, want %s", got, active.ID)
		}
		token, err := ring.Active().Sign("at+jwt", claims{})
		if err != nil {
			t.Fatal(err)
		}
		if header, _ := verify(t, token, ring.JWKS()); header["kid"] != active.ID {
			t.Errorf("signed with %v, want %s", header["kid"], active.ID)
		}
		// A retired key is there for the sake of the tokens that it has signed.
		verify(t, retiredSigned, ring.JWKS())

		want := slices.Sorted(slices.Values([]string{prepared.ID, active.ID, retired.ID}))
		if got := slices.Sorted(maps.Keys(published(t, ring.JWKS()))); !slices.Equal(got, want) {
			t.Errorf("published %q, want %q", got, want)
		}
	}
}

// The members of a published key are exactly these, so that none is private (d, p, q, dp, dq, qi, oth, k).
func TestK02KeySetHoldsPublicMembersOnly(t *testing.T) {
	ecKey, rsaKey := newKey(t, ES256, Active), newKey(t, RS256, Prepared)
	keys := published(t, newRing(t, ecKey, rsaKey).JWKS())
	for _, test := range []struct {
		kid     string
		members []string
		fixed   map[string]string
	}{
		{ecKey.ID, []string{"alg", "crv", "kid", "kty", "use", "x", "y"},
			map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig"}},
		{rsaKey.ID, []string{"alg", "e", "kid", "kty", "n", "use"},
			map[string]string{"kty": "RSA", "alg": "RS256", "use": "sig"}},
	} {
		if got := slices.Sorted(maps.Keys(keys[test.kid])); !slices.Equal(got, test.members) {
			t.Errorf("members %q, want %q", got, test.members)
		}
		for name, value := range test.fixed {
			if got := keys[test.kid][name]; got != value {
				t.Errorf("%s = %q, want %q", name, got, value)
			}
		}
	}
}

func TestNewRingWithKey(t *testing.T) {
	ring, err := NewRingWithKey(ES256, now)
	if err != nil {
		t.Fatal(err)
	}
	// At once: with no active key, a new issuer could not issue.
	if key := ring.Active(); len(ring.Keys) != 1 || key.State != Active || !key.Activated.Equal(key.Created) {
		t.Errorf("ring of %d keys, the first %s since %s", len(ring.Keys), key.State, key.Activated)
	}
	if ring, err := NewRingWithKey("none", now); err == nil || ring != nil {
		t.Errorf("NewRingWithKey(none) = %v, %v", ring, err)
	}
}

func TestAlgorithms(t *testing.T) {
	ecKey, retiredKey, rsaKey := newKey(t, ES256, Active), newKey(t, ES256, Retired), newKey(t, RS256, Prepared)
	for _, test := range []struct {
		name string
		ring *Ring
		want []Algorithm
	}{
		{"each once", newRing(t, ecKey, retiredKey), []Algorithm{ES256}},
		// Verifiers must know the algorithm of a key before it signs, as they must know the key.
		{"those of prepared keys too, in a fixed order", newRing(t, rsaKey, ecKey), []Algorithm{ES256, RS256}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.ring.Algorithms(); !slices.Equal(got, test.want) {
				t.Errorf("Algorithms = %q, want %q", got, test.want)
			}
		})
	}
}

func TestParseRingReadsWhatMarshalWrote(t *testing.T) {
	prepared, active, retired := newKey(t, RS256, Prepared), newKey(t, ES256, Prepared), newKey(t, ES256, Retired)
	active.Activate(now)
	retired.Activated, retired.Retired = active.Created, active.Created
	ring := newRing(t, retired, active, prepared)
	stored, err := ring.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseRing(stored)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(parsed.JWKS(), ring.JWKS()) {
		t.Errorf("key set %s, want %s", parsed.JWKS(), ring.JWKS())
	}
	for i, want := range ring.Keys {
		got := parsed.Keys[i]
		got.private, want.private = nil, nil
		if got != want {
			t.Errorf("key %d is %+v, want %+v", i, got, want)
		}
	}
	token, err := parsed.Active().Sign("at+jwt", claims{})
	if err != nil {
		t.Fatal(err)
	}
	verify(t, token, ring.JWKS())
}

// entry is a key as the ring's Secret holds it.
type entry map[string]any

// with returns the entry with one member changed.
func (e entry) with(name string, value any) entry {
	changed := maps.Clone(e)
	changed[name] = value
	return changed
}

func stored(t testing.TB, keys ...entry) []byte {
	t.Helper()
	encoded, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// entryOf returns the entry of a key as Marshal writes it, but for its state.
func entryOf(t testing.TB, key Key, state State) entry {
	t.Helper()
	key.State = state
	s, err := key.store()
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var e entry
	if err := json.Unmarshal(encoded, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func pemOf(blockType string, der []byte, headers ...string) string {
	block := &pem.Block{Type: blockType, Bytes: der, Headers: map[string]string{}}
	for i := 0; i < len(headers); i += 2 {
		block.Headers[headers[i]] = headers[i+1]
	}
	return string(pem.EncodeToMemory(block))
}

// must returns a function's value where an error would be the machine's.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func pkcs8(private any) []byte { return must(x509.MarshalPKCS8PrivateKey(private)) }

func TestK07ParseRingRefuses(t *testing.T) {
	key, other := newKey(t, ES256, Active), newKey(t, ES256, Active)
	rsaKey := newKey(t, RS256, Active)
	valid := entryOf(t, key, Active)
	if _, err := ParseRing(stored(t, valid)); err != nil {
		t.Fatalf("the ring from which those below are made is refused itself: %v", err)
	}
	// foreign is an entry with a key that is none of ours, of which only the public half would tell its kid.
	foreign := func(algorithm string, private any) entry {
		return valid.with("alg", algorithm).with("privateKey", pemOf("PRIVATE KEY", pkcs8(private)))
	}
	der := pkcs8(key.private)
	ec, small := key.private.(*ecdsa.PrivateKey), must(rsa.GenerateKey(rand.Reader, 1024))
	privatePEM := valid["privateKey"].(string)

	const (
		notJSON     = "not valid JSON"
		noActive    = "no active signing key"
		notPEM      = "must be an unencrypted PKCS #8 key in PEM"
		notPKCS8    = "not a valid PKCS #8 key"
		notEC       = "an ECDSA key signs with ES256 on the curve P-256 only"
		notRSA      = "an RSA key signs with RS256 and at least 2048 bits only"
		notOurs     = "a signing key is ECDSA or RSA"
		thumbprint  = "kid must be"
		wrongState  = "state must be prepared, active or retired"
		standsTwice = "stands in the ring twice"
	)
	for _, test := range []struct {
		name   string
		stored []byte
		reason string
	}{
		{"nothing", nil, notJSON},
		{"not JSON, but a key", []byte(privatePEM), notJSON},
		{"something after the JSON", append(stored(t, valid), privatePEM...), notJSON},
		{"truncated", stored(t, valid)[:200], notJSON},
		{"keys of another type", []byte(`{"keys":"` + strings.ReplaceAll(privatePEM, "\n", `\n`) + `"}`), notJSON},
		{"a date that is a key", stored(t, valid.with("created", privatePEM)), notJSON},
		{"null", []byte("null"), noActive},
		{"no keys", stored(t), noActive},
		{"empty key", stored(t, entry{}), notPEM},
		{"zero active keys", stored(t, entryOf(t, key, Prepared), entryOf(t, other, Retired)), noActive},
		{"two active keys", stored(t, valid, entryOf(t, other, Active)), "more than one active signing key"},
		{"duplicate kid", stored(t, valid, entryOf(t, key, Retired)), standsTwice},
		{"unknown state", stored(t, valid, entryOf(t, other, "revoked")), wrongState},
		{"no state", stored(t, valid.with("state", "")), wrongState},
		{"state in another case", stored(t, valid.with("state", "Active")), wrongState},
		{"a state that is a key", stored(t, valid.with("state", privatePEM)), wrongState},
		{"kid of another key", stored(t, valid.with("kid", other.ID)), thumbprint},
		{"a kid that is a key", stored(t, valid.with("kid", privatePEM)), thumbprint},
		{"no kid", stored(t, valid.with("kid", "")), thumbprint},
		{"wrong curve", stored(t, foreign("ES256", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)))), notEC},
		{"wrong curve, labelled as it is", stored(t, foreign("ES384", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)))), notEC},
		{"1024-bit RSA", stored(t, foreign("RS256", small)), notRSA},
		{"EC key labelled RS256", stored(t, valid.with("alg", "RS256")), notEC},
		{"RSA key labelled ES256", stored(t, entryOf(t, rsaKey, Active).with("alg", "ES256")), notRSA},
		{"RSA key labelled PS256", stored(t, entryOf(t, rsaKey, Active).with("alg", "PS256")), notRSA},
		{"alg none", stored(t, valid.with("alg", "none")), notEC},
		{"alg HS256", stored(t, valid.with("alg", "HS256")), notEC},
		{"no alg", stored(t, valid.with("alg", "")), notEC},
		{"an alg that is a key", stored(t, valid.with("alg", privatePEM)), notEC},
		{"Ed25519", stored(t, foreign("ES256", ed25519.NewKeyFromSeed(make([]byte, 32)))), notOurs},
		{"X25519, which cannot sign", stored(t, foreign("ES256", must(ecdh.X25519().GenerateKey(rand.Reader)))), "is no signing key"},
		{"no PEM", stored(t, valid.with("privateKey", "")), notPEM},
		{"PEM in one line", stored(t, valid.with("privateKey", strings.ReplaceAll(privatePEM, "\n", ""))), notPEM},
		{"DER without PEM", stored(t, valid.with("privateKey", string(der))), notPEM},
		{"encrypted PKCS #8", stored(t, valid.with("privateKey", pemOf("ENCRYPTED PRIVATE KEY", der))), notPEM},
		{"encrypted as OpenSSL once did", stored(t, valid.with("privateKey", pemOf("EC PRIVATE KEY", der,
			"Proc-Type", "4,ENCRYPTED", "DEK-Info", "AES-128-CBC,00000000000000000000000000000000"))), notPEM},
		{"SEC 1", stored(t, valid.with("privateKey", pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ec))))), notPEM},
		{"SEC 1, labelled PKCS #8", stored(t, valid.with("privateKey", pemOf("PRIVATE KEY", must(x509.MarshalECPrivateKey(ec))))), notPKCS8},
		{"PKCS #1, labelled PKCS #8", stored(t, valid.with("privateKey", pemOf("PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small)))), notPKCS8},
		{"public key", stored(t, valid.with("privateKey", pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(ec.Public()))))), notPEM},
		{"truncated key", stored(t, valid.with("privateKey", pemOf("PRIVATE KEY", der[:len(der)-1]))), notPKCS8},
		{"garbage in PEM", stored(t, valid.with("privateKey", pemOf("PRIVATE KEY", []byte("correct horse battery staple")))), notPKCS8},
		{"bad key after a good one", stored(t, valid, entryOf(t, other, Prepared).with("privateKey", "")), "key 2 of the ring: privateKey " + notPEM},
	} {
		t.Run(test.name, func(t *testing.T) {
			ring, err := ParseRing(test.stored)
			if err == nil || ring != nil {
				t.Fatalf("ParseRing = %v, %v", ring, err)
			}
			if !strings.Contains(err.Error(), test.reason) {
				t.Errorf("refused with %q, want %q", err, test.reason)
			}
			wantNoKeyIn(t, err, test.stored)
		})
	}
}

// A ring is checked wherever it comes from: these were never parsed.
func TestK07NewRingRefuses(t *testing.T) {
	unfit := func(algorithm Algorithm, private crypto.Signer) Key {
		return Key{ID: "x", Algorithm: algorithm, State: Active, private: private}
	}
	key := newKey(t, ES256, Active)
	for _, test := range []struct {
		name string
		keys []Key
	}{
		{"no keys", nil},
		{"zero active keys", []Key{newKey(t, ES256, Prepared)}},
		{"two active keys", []Key{key, newKey(t, ES256, Active)}},
		{"duplicate kid", []Key{key, key}},
		{"wrong curve", []Key{unfit(ES256, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)))}},
		{"1024-bit RSA", []Key{unfit(RS256, must(rsa.GenerateKey(rand.Reader, 1024)))}},
		{"EC key labelled RS256", []Key{unfit(RS256, key.private)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if ring, err := NewRing(test.keys...); err == nil || ring != nil {
				t.Errorf("NewRing = %v, %v", ring, err)
			}
		})
	}
}

var (
	// keyMaterial is text that may be part of a key: a line of PEM has 64 characters, a kid 43.
	keyMaterial = regexp.MustCompile(`[A-Za-z0-9+/]{50,}`)
	// quotedKid is a kid in an error. It is public, and was computed from the key, not taken from the document.
	quotedKid = regexp.MustCompile(`(kid must be|signing key) [A-Za-z0-9_-]{43}`)
)

// wantNoKeyIn checks that an error about a stored ring does not quote so much as 12 characters of a key in it.
func wantNoKeyIn(t *testing.T, err error, stored []byte) {
	t.Helper()
	const window = 12
	message := quotedKid.ReplaceAllString(err.Error(), "")
	for _, material := range keyMaterial.FindAllString(string(stored), -1) {
		for i := range len(material) - window {
			if quoted := material[i : i+window]; strings.Contains(message, quoted) {
				t.Fatalf("the error %q quotes the key: %q", err, quoted)
			}
		}
	}
}

func FuzzParseRing(f *testing.F) {
	seed := func(number uint32, state State) entry {
		key := Key{Algorithm: ES256, Created: now, private: fixedKey(f, number)}
		key.ID = must(key.jwk()).KeyID
		return entryOf(f, key, state)
	}
	active, prepared, retired := seed(1, Active), seed(2, Prepared), seed(3, Retired)
	privatePEM := active["privateKey"].(string)
	for _, document := range [][]byte{
		nil, []byte("null"), []byte("{}"), []byte(privatePEM),
		stored(f, active),
		stored(f, prepared, active, retired),
		stored(f, active, active),
		stored(f, prepared),
		stored(f, active.with("alg", "RS256")),
		stored(f, active.with("kid", prepared["kid"])),
		stored(f, active.with("state", privatePEM)),
		stored(f, active.with("created", "0000-01-01T00:00:00+23:59")),
		stored(f, active.with("privateKey", "x\n"+privatePEM+privatePEM)),
		stored(f, entryOf(f, newKey(f, RS256, Active), Active)),
	} {
		f.Add(document)
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		ring, err := ParseRing(document)
		if err != nil {
			if ring != nil {
				t.Fatalf("ParseRing = %v, %v", ring, err)
			}
			wantNoKeyIn(t, err, document)
			return
		}
		marshalled, err := ring.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseRing(marshalled)
		if err != nil || !bytes.Equal(again.JWKS(), ring.JWKS()) || again.Active().ID != ring.Active().ID {
			t.Fatalf("%s is marshalled to %s: %v", document, marshalled, err)
		}
		// What was accepted must do: a ring that cannot sign is to be refused when it is read, not at each request.
		token, err := again.Active().Sign("at+jwt", claims{})
		if err != nil {
			t.Fatal(err)
		}
		verify(t, token, ring.JWKS())
	})
}
