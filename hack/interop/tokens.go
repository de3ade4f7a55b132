package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"golang.org/x/oauth2"
)

// tokens are what a verifier is shown: one that Kubemint issued, and forgeries of it, by what was done to them.
type tokens struct {
	Genuine string            `json:"genuine"`
	Forged  map[string]string `json:"forged"`
}

func (t *trial) getTokens(ctx context.Context) error {
	token, err := t.clientCredentials(oauth2.AuthStyleInHeader).Token(t.withClient(ctx))
	if err != nil {
		return fmt.Errorf("get a token: %w", err)
	}
	keys, err := t.keySet(ctx)
	if err != nil {
		return err
	}
	publicKey, err := t.newKey(keys)
	if err != nil {
		return err
	}
	forged, err := forge(token.AccessToken, publicKey)
	if err != nil {
		return fmt.Errorf("forge tokens: %w", err)
	}
	t.tokens = tokens{Genuine: token.AccessToken, Forged: forged}
	return nil
}

// newKey is the public key of the algorithm on trial, which is alone in the key set.
func (t *trial) newKey(keys jwk.Set) (crypto.PublicKey, error) {
	key, found := keys.Key(0)
	if !found || keys.Len() != 1 {
		return nil, fmt.Errorf("the key set has %d keys, want the new one alone", keys.Len())
	}
	if algorithm, _ := key.Algorithm(); algorithm == nil || algorithm.String() != t.algorithm {
		return nil, fmt.Errorf("the signing key is for %v, want %s", algorithm, t.algorithm)
	}
	var publicKey any
	err := jwk.Export(key, &publicKey)
	return publicKey, err
}

// forge does to a token what attackers do.
func forge(genuine string, publicKey crypto.PublicKey) (map[string]string, error) {
	parsed, parts, err := jwt.NewParser().ParseUnverified(genuine, jwt.MapClaims{})
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(publicKey)
	if err != nil {
		return nil, err
	}
	strangersKey, err := keyLike(publicKey)
	if err != nil {
		return nil, err
	}
	f := forger{parsed}
	otherSubject := strings.Split(f.sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), ".")[1]
	forged := map[string]string{
		"another subject under the same signature": strings.Join([]string{parts[0], otherSubject, parts[2]}, "."),
		"half a signature":                         genuine[:len(genuine)-len(parts[2])/2],
		"alg none":                                 f.sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"HS256 with the public key as its secret":  f.sign(jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"a stranger's key under the same kid":      f.sign(parsed.Method, strangersKey),
	}
	return forged, f.check(forged)
}

// forger makes tokens with the headers and the claims of a genuine one, for another subject.
type forger struct{ genuine *jwt.Token }

func (f forger) sign(method jwt.SigningMethod, key any) string {
	claims := maps.Clone(f.genuine.Claims.(jwt.MapClaims))
	claims["sub"], claims["client_id"] = "kubemint-system.admin", "kubemint-system.admin"
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"], token.Header["typ"] = f.genuine.Header["kid"], f.genuine.Header["typ"]
	signed, _ := token.SignedString(key) // Empty where it failed, which check finds.
	return signed
}

// check makes sure that there is something to refuse.
func (f forger) check(forged map[string]string) error {
	for what, token := range forged {
		if token == "" || token == f.genuine.Raw {
			return fmt.Errorf("no token with %s came out", what)
		}
	}
	return nil
}

// keyLike makes a private key of the kind that a public key is of.
func keyLike(publicKey crypto.PublicKey) (crypto.PrivateKey, error) {
	switch publicKey.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case *rsa.PublicKey:
		return rsa.GenerateKey(rand.Reader, 2048)
	default:
		return nil, fmt.Errorf("the signing key is a %T", publicKey)
	}
}

// otherAudience is one that no token here is for.
const otherAudience = "https://somebody-else.example"

// verifier verifies a token for an audience.
type verifier func(ctx context.Context, token, audience string) error

// judge says whether a verifier takes the genuine token, for its audience alone, and no forgery. That it still takes the genuine one
// in the end shows that it did not refuse the others for reasons of its own.
func (t *trial) judge(ctx context.Context, verify verifier) error {
	if err := verify(ctx, t.tokens.Genuine, t.secret.issuer); err != nil {
		return fmt.Errorf("it refuses the genuine token: %w", err)
	}
	if verify(ctx, t.tokens.Genuine, otherAudience) == nil {
		return errors.New("it accepts a token for another audience")
	}
	return t.judgeForgeries(ctx, verify)
}

func (t *trial) judgeForgeries(ctx context.Context, verify verifier) error {
	for _, what := range slices.Sorted(maps.Keys(t.tokens.Forged)) {
		if verify(ctx, t.tokens.Forged[what], t.secret.issuer) == nil {
			return fmt.Errorf("it accepts a forgery: %s", what)
		}
	}
	if err := verify(ctx, t.tokens.Genuine, t.secret.issuer); err != nil {
		return fmt.Errorf("after the forgeries it refuses the genuine token: %w", err)
	}
	return nil
}
