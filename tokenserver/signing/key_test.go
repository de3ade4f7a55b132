package signing

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 7, 1, 12, 0, 0, 123_456_789, time.FixedZone("", 2*60*60))

func newKey(t testing.TB, algorithm Algorithm, state State) Key {
	t.Helper()
	key, err := NewKey(algorithm, now)
	if err != nil {
		t.Fatal(err)
	}
	key.State = state
	return key
}

func newRing(t testing.TB, keys ...Key) *Ring {
	t.Helper()
	ring, err := NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// published returns the keys of a key set as a verifier reads them, by kid.
func published(t testing.TB, jwks []byte) map[string]map[string]string {
	t.Helper()
	var set map[string][]map[string]string
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	keys := map[string]map[string]string{}
	for _, key := range set["keys"] {
		keys[key["kid"]] = key
	}
	if len(set) != 1 || len(keys) != len(set["keys"]) {
		t.Fatalf("key set %s", jwks)
	}
	return keys
}

func decode(t testing.TB, s string) []byte {
	t.Helper()
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		t.Fatalf("%q is not base64url without padding: %v", s, err)
	}
	return decoded
}

// verify verifies a token with a key set by RFC 7515 and RFC 7518 alone, with no JWT library, and returns its header and
// claims.
func verify(t testing.TB, token string, jwks []byte) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d parts", len(parts))
	}
	for i, into := range []*map[string]any{&header, &claims} {
		if err := json.Unmarshal(decode(t, parts[i]), into); err != nil {
			t.Fatal(err)
		}
	}
	key, found := published(t, jwks)[header["kid"].(string)]
	if !found {
		t.Fatalf("kid %v is not published", header["kid"])
	}
	digest, signature := sha256.Sum256([]byte(parts[0]+"."+parts[1])), decode(t, parts[2])
	switch header["alg"] {
	case "ES256":
		if len(signature) != 64 {
			t.Fatalf("J10 the signature is %d bytes, not R and S of 32 each", len(signature))
		}
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(),
			slices.Concat([]byte{4}, decode(t, key["x"]), decode(t, key["y"])))
		if err != nil {
			t.Fatal(err)
		}
		if !ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			t.Fatal("the signature does not verify")
		}
	case "RS256":
		public := &rsa.PublicKey{
			N: new(big.Int).SetBytes(decode(t, key["n"])),
			E: int(new(big.Int).SetBytes(decode(t, key["e"])).Int64()),
		}
		if public.N.BitLen() < 2048 {
			t.Errorf("J10 the RSA key has %d bits", public.N.BitLen())
		}
		if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("J02 alg %v", header["alg"])
	}
	return header, claims
}

// publicOnly is a signer of which only the public key is known.
type publicOnly struct{ crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.PublicKey }
func (publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	panic("not a private key")
}

func TestKeyIDIsTheThumbprint(t *testing.T) {
	t.Run("the example of RFC 7638, section 3.1", func(t *testing.T) {
		const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn" +
			"64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI" +
			"SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
		public := &rsa.PublicKey{N: new(big.Int).SetBytes(decode(t, n)), E: 65537}
		ring := newRing(t, Key{Algorithm: RS256, State: Active, private: publicOnly{public}})
		key := published(t, ring.JWKS())["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"]
		if key["n"] != n || key["e"] != "AQAB" {
			t.Errorf("key set %s", ring.JWKS())
		}
	})
	// The canonical JSON, spelled out: lexicographic order, no white space, required members only.
	for algorithm, canonical := range map[Algorithm]func(map[string]string) string{
		ES256: func(k map[string]string) string {
			return fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, k["x"], k["y"])
		},
		RS256: func(k map[string]string) string { return fmt.Sprintf(`{"e":"AQAB","kty":"RSA","n":"%s"}`, k["n"]) },
	} {
		t.Run("generated "+string(algorithm), func(t *testing.T) {
			key := newKey(t, algorithm, Active)
			digest := sha256.Sum256([]byte(canonical(published(t, newRing(t, key).JWKS())[key.ID])))
			if want := base64.RawURLEncoding.EncodeToString(digest[:]); key.ID != want {
				t.Errorf("kid %s, want %s", key.ID, want)
			}
		})
	}
}

// RFC 7518, section 6.2.1.2: a coordinate keeps its leading zeros. One key in 128 has one, and would be refused by verifiers
// every now and then.
func TestCoordinatesKeepTheirLeadingZeros(t *testing.T) {
	shortX, shortY := false, false
	for i := uint32(1); !shortX || !shortY; i++ {
		private := fixedKey(t, i)
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		x, y := point[1:33], point[33:]
		if x[0] != 0 && y[0] != 0 {
			continue
		}
		shortX, shortY = shortX || x[0] == 0, shortY || y[0] == 0
		for _, key := range published(t, newRing(t, Key{Algorithm: ES256, State: Active, private: private}).JWKS()) {
			if !bytes.Equal(decode(t, key["x"]), x) || !bytes.Equal(decode(t, key["y"]), y) {
				t.Errorf("key set has x %s, y %s; want %x, %x", key["x"], key["y"], x, y)
			}
		}
	}
}

// fixedKey returns the same key for the same number, every time.
func fixedKey(t testing.TB, number uint32) *ecdsa.PrivateKey {
	t.Helper()
	scalar := sha256.Sum256(fmt.Append(nil, "kubemint test key ", number))
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func TestNewKey(t *testing.T) {
	for _, algorithm := range []Algorithm{ES256, RS256} {
		t.Run(string(algorithm)+": prepared, not active", func(t *testing.T) {
			key, err := NewKey(algorithm, now)
			if err != nil || key.State != Prepared || !key.Activated.IsZero() || !key.Retired.IsZero() {
				t.Errorf("NewKey = state %s, activated %s, retired %s, %v", key.State, key.Activated, key.Retired, err)
			}
			if got, want := key.Created.Format(time.RFC3339Nano), "2026-07-01T10:00:00Z"; got != want {
				t.Errorf("created %s, want %s", got, want)
			}
			if other := newKey(t, algorithm, Prepared); other.ID == key.ID {
				t.Errorf("two keys have kid %s", key.ID)
			}
		})
	}
	for _, algorithm := range []Algorithm{"", "none", "HS256", "PS256", "ES384", "es256"} {
		t.Run("J02 refused: "+string(algorithm), func(t *testing.T) {
			if key, err := NewKey(algorithm, now); err == nil || key.private != nil {
				t.Errorf("NewKey made a key, %v", err)
			}
		})
	}
}

func TestActivate(t *testing.T) {
	key := newKey(t, ES256, Prepared)
	key.Activate(now.Add(time.Hour))
	if want := "2026-07-01T11:00:00Z"; key.State != Active || key.Activated.Format(time.RFC3339Nano) != want {
		t.Errorf("state %s since %s, want %s since %s", key.State, key.Activated.Format(time.RFC3339Nano), Active, want)
	}
	if !key.Created.Equal(now.Truncate(time.Second)) {
		t.Errorf("created %s now", key.Created)
	}
}
