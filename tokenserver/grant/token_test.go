package grant

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"reflect"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kubemint/kubemint/tokenserver/signing"
)

// Signatures are deterministic, so that it is the jti alone that tells two tokens of one second apart.
func TestTokensOfOneSecondDifferByTheirID(t *testing.T) {
	key, err := signing.NewKey(signing.ES256, noon)
	if err != nil {
		t.Fatal(err)
	}
	var tokens [2]string
	var claims [2]jwt.MapClaims
	for i := range tokens {
		granted, refusal := issuer().Grant(client(), nil, "")
		if refusal != nil {
			t.Fatal(refusal)
		}
		if tokens[i], err = key.Sign("at+jwt", granted); err != nil {
			t.Fatal(err)
		}
		if again, err := key.Sign("at+jwt", granted); err != nil || again != tokens[i] {
			t.Errorf("the same claims, signed again: %s, %v; want %s", again, err, tokens[i])
		}
		if _, _, err := jwt.NewParser().ParseUnverified(tokens[i], &claims[i]); err != nil {
			t.Fatal(err)
		}
	}
	if tokens[0] == tokens[1] || claims[0]["jti"] == claims[1]["jti"] {
		t.Errorf("twice the token %s", tokens[0])
	}
	for i := range claims {
		delete(claims[i], "jti")
	}
	if !reflect.DeepEqual(claims[0], claims[1]) {
		t.Errorf("claims %v and %v", claims[0], claims[1])
	}
}

// The whole of a token, from the grant to the string that is sent, beside the least that it can cost, which is the signature,
// and beside golang-jwt as it comes. A token is to take at most 1.15 times the bare signature.

func BenchmarkBareSignature(b *testing.B) {
	private, digest := newPrivateKey(b), sha256.Sum256([]byte("a signing string"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := private.Sign(nil, digest[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkToken(b *testing.B) {
	key, err := signing.NewKey(signing.ES256, noon)
	if err != nil {
		b.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		extra map[string]string
	}{{"no extra claims", nil}, {"three extra claims", threeClaims()}} {
		b.Run(test.name, func(b *testing.B) {
			by, c := issuer(), client()
			c.Accesses[0].Claims = test.extra
			b.ReportAllocs()
			for b.Loop() {
				claims, refusal := by.Grant(c, nil, "read write")
				if refusal != nil {
					b.Fatal(refusal)
				}
				if _, err := key.Sign("at+jwt", claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGolangJWT(b *testing.B) {
	private, by, c := newPrivateKey(b), issuer(), client()
	b.ReportAllocs()
	for b.Loop() {
		claims, refusal := by.Grant(c, nil, "read write")
		if refusal != nil {
			b.Fatal(refusal)
		}
		token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
			"iss": claims.Issuer, "sub": c.ID, "aud": claims.Access.Audience, "client_id": c.ID, "scope": claims.Scopes.String(),
			"iat": claims.IssuedAt.Unix(), "exp": claims.IssuedAt.Add(claims.Access.Lifetime).Unix(), "jti": claims.ID,
			"kubernetes.io": origin{c.Namespace, c.Name, c.UID},
		})
		token.Header["typ"], token.Header["kid"] = "at+jwt", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
		if _, err := token.SignedString(private); err != nil {
			b.Fatal(err)
		}
	}
}

// origin is the claim kubernetes.io.
type origin struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

func threeClaims() map[string]string {
	return map[string]string{"team": "billing", "environment": "production", "cost_centre": "4711"}
}

func newPrivateKey(b *testing.B) *ecdsa.PrivateKey {
	b.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return private
}
