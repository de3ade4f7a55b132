package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// claims are claims of a test.
type claims map[string]any

func (c claims) AppendText(b []byte) ([]byte, error) {
	encoded, err := json.Marshal(c)
	return append(b, encoded...), err
}

func TestSign(t *testing.T) {
	for _, algorithm := range []Algorithm{ES256, RS256} {
		t.Run(string(algorithm), func(t *testing.T) {
			ring, err := NewRingWithKey(algorithm, now)
			if err != nil {
				t.Fatal(err)
			}
			// Often enough that an R or S with leading zeros, which DER and big.Int shorten, is among them.
			times := map[Algorithm]int{ES256: 500, RS256: 2}[algorithm]
			for i := range times {
				claims := claims{"sub": "billing.invoice-worker", "n": float64(i)}
				token, err := ring.Active().Sign("at+jwt", claims)
				if err != nil {
					t.Fatal(err)
				}
				gotHeader, gotClaims := verify(t, token, ring.JWKS())
				wantHeader := map[string]any{"typ": "at+jwt", "alg": string(algorithm), "kid": ring.Active().ID}
				if !maps.Equal(gotHeader, wantHeader) {
					t.Fatalf("J01, J02, J03 header %v, want %v", gotHeader, wantHeader)
				}
				if !maps.Equal(gotClaims, claims) {
					t.Fatalf("claims %v, want %v", gotClaims, claims)
				}
			}
		})
	}
}

// The header byte by byte, so that no member stands in it twice (J11), and the claims as they encode themselves.
func TestSignWritesHeaderAndClaimsOnce(t *testing.T) {
	for _, algorithm := range []Algorithm{ES256, RS256} {
		t.Run(string(algorithm), func(t *testing.T) {
			key := newKey(t, algorithm, Active)
			token, err := key.Sign("at+jwt", claims{"sub": "billing.invoice-worker"})
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.Split(token, ".")
			header, payload := string(decode(t, parts[0])), string(decode(t, parts[1]))
			if want := fmt.Sprintf(`{"alg":"%s","typ":"at+jwt","kid":"%s"}`, algorithm, key.ID); header != want {
				t.Errorf("header %s, want %s", header, want)
			}
			if payload != `{"sub":"billing.invoice-worker"}` {
				t.Errorf("claims %s", payload)
			}
		})
	}
}

// J12: an independent reader of tokens, with golang-jwt's own methods.
func TestGolangJWTVerifiesTokens(t *testing.T) {
	for _, algorithm := range []Algorithm{ES256, RS256} {
		t.Run(string(algorithm), func(t *testing.T) {
			key := newKey(t, algorithm, Active)
			token, err := key.Sign("at+jwt", claims{"sub": "billing.invoice-worker"})
			if err != nil {
				t.Fatal(err)
			}
			parser := jwt.NewParser(jwt.WithValidMethods([]string{string(algorithm)}), jwt.WithStrictDecoding())
			public := func(*jwt.Token) (any, error) { return key.private.Public(), nil }
			parsed, err := parser.Parse(token, public)
			if err != nil {
				t.Fatal(err)
			}
			if subject, err := parsed.Claims.GetSubject(); err != nil || subject != "billing.invoice-worker" {
				t.Errorf("sub %q, %v", subject, err)
			}
			// What is verified is the claims, not only the form.
			parts := strings.Split(token, ".")
			parts[1] = encode([]byte(`{"sub":"billing.admin"}`))
			if _, err := parser.Parse(strings.Join(parts, "."), public); !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
				t.Errorf("another subject: %v", err)
			}
		})
	}
}

// The example of RFC 6979, section A.2.5, "With SHA-256, message = "sample"".
func TestES256IsDeterministic(t *testing.T) {
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(),
		unhex(t, "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := methods[ES256].Sign("sample", private)
	if err != nil {
		t.Fatal(err)
	}
	const r, s = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716", "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
	if got := strings.ToUpper(hex.EncodeToString(signature)); got != r+s {
		t.Errorf("signature %s, want %s", got, r+s)
	}
}

// J10: leading zeros, which DER leaves out, and its sign bytes, which JWS leaves out.
func TestRAndS(t *testing.T) {
	largest := new(big.Int).Sub(elliptic.P256().Params().N, big.NewInt(1))
	for _, test := range []struct {
		name string
		r, s *big.Int
	}{
		{"both of one byte", big.NewInt(1), big.NewInt(2)},
		{"largest", largest, largest},
		{"short R", new(big.Int).Lsh(big.NewInt(1), 240), largest},
		{"short S", largest, big.NewInt(0x80)},
	} {
		t.Run(test.name, func(t *testing.T) {
			der := must(asn1.Marshal(struct{ R, S *big.Int }{test.r, test.s}))
			want := fmt.Sprintf("%064x%064x", test.r, test.s)
			if raw, err := rAndS(der); err != nil || hex.EncodeToString(raw) != want {
				t.Errorf("rAndS = %x, %v; want %s", raw, err, want)
			}
		})
	}
	for name, der := range map[string]string{
		"empty":            "",
		"truncated":        "3006020101",
		"no S":             "3003020101",
		"R of no bytes":    "30050200020101",
		"R is zero":        "3006020100020101",
		"R of 33 bytes":    "3026022101" + strings.Repeat("00", 32) + "020101",
		"not a sequence":   "0206020101020101",
		"not integers":     "3006040101040101",
		"long form length": "308106020101020101",
	} {
		t.Run(name, func(t *testing.T) {
			if raw, err := rAndS(unhex(t, der)); err == nil {
				t.Errorf("rAndS = %x", raw)
			}
		})
	}
}

func TestSignReportsClaimsThatDoNotEncode(t *testing.T) {
	key := newKey(t, ES256, Active)
	token, err := key.Sign("at+jwt", claims{"sub": func() {}})
	if err == nil || token != "" {
		t.Errorf("Sign = %q, %v", token, err)
	}
}

// A ring refuses such keys; that none of them signs does not rest on this alone.
func TestSignRefusesAKeyOfAnotherAlgorithm(t *testing.T) {
	es256, rs256 := newKey(t, ES256, Active), newKey(t, RS256, Active)
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	for name, key := range map[string]Key{
		"ES256 with an RSA key":   {Algorithm: ES256, private: rs256.private},
		"ES256 with a P-384 key":  {Algorithm: ES256, private: p384},
		"RS256 with an ECDSA key": {Algorithm: RS256, private: es256.private},
	} {
		t.Run(name, func(t *testing.T) {
			if token, err := key.Sign("at+jwt", claims{}); !errors.Is(err, jwt.ErrInvalidKeyType) || token != "" {
				t.Errorf("Sign = %q, %v", token, err)
			}
		})
	}
}

// One key signs for all requests at once, in buffers that they share one after the other: no token holds what another left.
func TestSignConcurrently(t *testing.T) {
	ring := newRing(t, newKey(t, ES256, Active))
	padding := func(i int) string { return strings.Repeat("x", i*37%1000) }
	tokens := make([]string, 200)
	var signers sync.WaitGroup
	for i := range tokens {
		signers.Go(func() {
			token, err := ring.Active().Sign("at+jwt", claims{"n": i, "padding": padding(i)})
			if err != nil {
				t.Error(err)
			}
			tokens[i] = token
		})
	}
	signers.Wait()
	for i, token := range tokens {
		want := map[string]any{"n": float64(i), "padding": padding(i)}
		if _, got := verify(t, token, ring.JWKS()); !maps.Equal(got, want) {
			t.Errorf("token %d claims %v", i, got)
		}
	}
}

func unhex(t testing.TB, digits string) []byte {
	t.Helper()
	decoded, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

// The two ways of signing of which es256 takes the cheaper.
func BenchmarkBareSignature(b *testing.B) {
	key, digest := fixedKey(b, 1), sha256.Sum256([]byte("a signing string"))
	for _, test := range []struct {
		name   string
		random io.Reader
	}{{"deterministic", nil}, {"randomised", rand.Reader}} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := key.Sign(test.random, digest[:], crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
