package assertion

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

// What another library publishes and signs is verified: none of it is made by the code of this package, or by golang-jwt.
func TestAssertionsOfAnotherLibrary(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		algorithm jwa.SignatureAlgorithm
		private   any
	}{
		{jwa.ES256(), newES256("").private},
		{jwa.EdDSA(), newEdDSA("").private},
		{jwa.RS256(), rsaKey},
		{jwa.PS256(), rsaKey},
	} {
		t.Run(test.algorithm.String(), func(t *testing.T) {
			key, err := jwk.Import(test.private)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]any{jwk.KeyIDKey: "k", jwk.AlgorithmKey: test.algorithm, jwk.KeyUsageKey: "sig"} {
				if err := key.Set(name, value); err != nil {
					t.Fatal(err)
				}
			}
			token, err := jwt.NewBuilder().Issuer(client).Subject(client).Audience([]string{issuer}).JwtID("1").
				IssuedAt(now).Expiration(now.Add(time.Minute)).Build()
			if err != nil {
				t.Fatal(err)
			}
			signed, err := jwt.Sign(token, jwt.WithKey(test.algorithm, key))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := verify(string(signed), foreignKeys(t, key), expected); err != nil {
				t.Error(err)
			}
		})
	}
}

// foreignKeys returns the public half of a key, in a set as another library writes it.
func foreignKeys(t *testing.T, private jwk.Key) *Keys {
	t.Helper()
	public, err := private.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	set := jwk.NewSet()
	if err := set.AddKey(public); err != nil {
		t.Fatal(err)
	}
	published, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeys(published)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Wycheproof has no vectors for EdDSA in JWS. This is that of RFC 8037, appendix A.4.
func TestEdDSAVector(t *testing.T) {
	keys, err := ParseKeys([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	const signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
		"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	payload, err := keys.Payload(signed)
	if err != nil || string(payload) != "Example of Ed25519 signing" {
		t.Errorf("%q, %v", payload, err)
	}
}
