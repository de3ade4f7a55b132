package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"sync"
	"testing"
	"time"
)

var now = time.Unix(1_800_000_000, 0)

const (
	client = "billing.invoice-worker"
	issuer = "https://issuer.example"
)

// expected is what a client assertion of the tests must be.
var expected = Expectation{
	Issuer: client, Subject: client, Audiences: []string{issuer}, Now: now, MaxAge: 5 * time.Minute, Leeway: 10 * time.Second,
}

// signer is a key of a client.
type signer struct {
	id        string
	algorithm Algorithm
	private   crypto.Signer
}

// signers are one for each algorithm, made once, as RSA keys take long to make.
var signers = sync.OnceValue(func() map[Algorithm]signer {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return map[Algorithm]signer{
		ES256: newES256("es"),
		RS256: {"rs", RS256, rsaKey},
		PS256: {"ps", PS256, rsaKey},
		EdDSA: newEdDSA("ed"),
	}
})

func newES256(id string) signer {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return signer{id, ES256, private}
}

func newEdDSA(id string) signer {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return signer{id, EdDSA, private}
}

// members are those of a JSON object.
type members map[string]any

// with returns the members with one set, or without it for nil.
func (m members) with(name string, value any) members {
	changed := maps.Clone(m)
	changed[name] = value
	if value == nil {
		delete(changed, name)
	}
	return changed
}

func (m members) String() string {
	encoded, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

// jwk is the public half of a key as a JWK.
func (s signer) jwk() members {
	jwk := members{"use": "sig", "alg": string(s.algorithm), "kid": s.id}
	switch public := s.private.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			panic(err)
		}
		return jwk.with("kty", "EC").with("crv", "P-256").with("x", encode(point[1:33])).with("y", encode(point[33:]))
	case *rsa.PublicKey:
		return jwk.with("kty", "RSA").with("n", encode(public.N.Bytes())).with("e", encode(big.NewInt(int64(public.E)).Bytes()))
	case ed25519.PublicKey:
		return jwk.with("kty", "OKP").with("crv", "Ed25519").with("x", encode(public))
	default:
		panic(fmt.Sprintf("a key of type %T", public))
	}
}

// header is that of the tokens that the key signs.
func (s signer) header() members { return members{"alg": string(s.algorithm), "kid": s.id} }

// sign returns a JWS with a header and a payload as they are written.
func (s signer) sign(header, payload string) string {
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	signature, err := methods[s.algorithm].Sign(signed, s.private)
	if err != nil {
		panic(err)
	}
	return signed + "." + encode(signature)
}

// assertion returns a client assertion with the claims.
func (s signer) assertion(claims members) string { return s.sign(s.header().String(), claims.String()) }

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// claims are those of a client assertion that is accepted.
func claims() members {
	return members{
		"iss": client, "sub": client, "aud": issuer, "jti": "1",
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
}

func jwks(keys ...members) []byte {
	return []byte(members{"keys": keys}.String())
}

func keysOf(t testing.TB, signers ...signer) *Keys {
	t.Helper()
	published := make([]members, len(signers))
	for i, signer := range signers {
		published[i] = signer.jwk()
	}
	keys, err := ParseKeys(jwks(published...))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// verify parses and verifies a token.
func verify(token string, keys *Keys, expected Expectation) (Claims, error) {
	parsed, err := Parse(token)
	if err != nil {
		return Claims{}, err
	}
	return parsed.Verify(keys, expected)
}
