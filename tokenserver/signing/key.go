// Package signing holds the keys that sign access tokens: making them, the ring in which they live from prepared through
// active to retired, the key set that resource servers verify with, and signing itself.
package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Algorithm is a JWS algorithm (RFC 7518, section 3.1).
type Algorithm string

// The algorithms that a signing key may have: the two that every common verifier knows.
const (
	ES256 Algorithm = "ES256"
	RS256 Algorithm = "RS256"
)

// minRSABits is the least size of an RSA key (RFC 7518, section 3.3), and the size of the ones made here.
const minRSABits = 2048

// State is where a key stands in its life.
type State string

// The states of a key. All are published in the key set.
const (
	// Prepared keys are published, so that verifiers know them, and do not sign yet.
	Prepared State = "prepared"
	// Active is the one key that signs.
	Active State = "active"
	// Retired keys no longer sign, and stay published until their last token has expired.
	Retired State = "retired"
)

// Key is a signing key.
type Key struct {
	// ID is the kid: the thumbprint of the public key (RFC 7638).
	ID        string
	Algorithm Algorithm
	State     State
	// Created, Activated and Retired are when the key entered each state; zero where it has not.
	Created, Activated, Retired time.Time

	private crypto.Signer
}

// String leaves the private key out, wherever the key is printed.
func (k Key) String() string { return string(k.Algorithm) + " " + k.ID + " " + string(k.State) }

// NewKey makes a key for an algorithm, in state Prepared.
func NewKey(algorithm Algorithm, now time.Time) (Key, error) {
	var private crypto.Signer
	var err error
	switch algorithm {
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		private, err = rsa.GenerateKey(rand.Reader, minRSABits)
	default:
		err = fmt.Errorf("algorithm %q: must be %s or %s", algorithm, ES256, RS256)
	}
	if err != nil {
		return Key{}, fmt.Errorf("make a signing key: %w", err)
	}
	key := Key{Algorithm: algorithm, State: Prepared, Created: now.UTC().Truncate(time.Second), private: private}
	public, err := key.jwk()
	key.ID = public.KeyID
	return key, err
}

// Activate makes the key the one that signs.
func (k *Key) Activate(now time.Time) {
	k.State = Active
	k.Activated = now.UTC().Truncate(time.Second)
}

// Retire ends the key's signing. It stays published.
func (k *Key) Retire(now time.Time) {
	k.State = Retired
	k.Retired = now.UTC().Truncate(time.Second)
}

// jwk is a public key as a JSON Web Key (RFC 7517, section 4; RFC 7518, section 6).
type jwk struct {
	KeyType   string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

// jwk returns the public half of the key, having checked that it fits the algorithm.
func (k *Key) jwk() (jwk, error) {
	public := jwk{Use: "sig", Algorithm: string(k.Algorithm)}
	var thumbprint any // The required members in lexicographic order (RFC 7638, section 3.2).
	switch key := k.private.Public().(type) {
	case *ecdsa.PublicKey:
		if k.Algorithm != ES256 || key.Curve != elliptic.P256() {
			return jwk{}, fmt.Errorf("an ECDSA key signs with %s on the curve P-256 only", ES256)
		}
		point, err := key.Bytes() // 0x04, then both coordinates at their full 32 bytes each.
		if err != nil {
			return jwk{}, fmt.Errorf("encode the public key: %w", err)
		}
		public.KeyType, public.Curve = "EC", "P-256"
		public.X, public.Y = encode(point[1:33]), encode(point[33:])
		thumbprint = struct {
			Curve   string `json:"crv"`
			KeyType string `json:"kty"`
			X       string `json:"x"`
			Y       string `json:"y"`
		}{public.Curve, public.KeyType, public.X, public.Y}
	case *rsa.PublicKey:
		if k.Algorithm != RS256 || key.N.BitLen() < minRSABits {
			return jwk{}, fmt.Errorf("an RSA key signs with %s and at least %d bits only", RS256, minRSABits)
		}
		public.KeyType = "RSA"
		public.N, public.E = encode(key.N.Bytes()), encode(big.NewInt(int64(key.E)).Bytes())
		thumbprint = struct {
			E       string `json:"e"`
			KeyType string `json:"kty"`
			N       string `json:"n"`
		}{public.E, public.KeyType, public.N}
	default:
		return jwk{}, fmt.Errorf("a signing key is ECDSA or RSA, not %T", key)
	}
	canonical, err := json.Marshal(thumbprint)
	if err != nil {
		return jwk{}, fmt.Errorf("encode the public key: %w", err)
	}
	digest := sha256.Sum256(canonical)
	public.KeyID = encode(digest[:])
	return public, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// storedKey is a key as the ring's Secret holds it.
type storedKey struct {
	ID         string    `json:"kid"`
	Algorithm  Algorithm `json:"alg"`
	State      State     `json:"state"`
	Created    time.Time `json:"created"`
	Activated  time.Time `json:"activated,omitzero"`
	Retired    time.Time `json:"retired,omitzero"`
	PrivateKey string    `json:"privateKey"` // PKCS #8, PEM
}

func (k *Key) store() (storedKey, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return storedKey{}, fmt.Errorf("encode signing key %s: %w", k.ID, err)
	}
	return storedKey{
		ID: k.ID, Algorithm: k.Algorithm, State: k.State, Created: k.Created, Activated: k.Activated, Retired: k.Retired,
		PrivateKey: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	}, nil
}

// load parses and checks a stored key: its algorithm, its strength, and that its kid is its own.
func (s storedKey) load() (Key, error) {
	block, _ := pem.Decode([]byte(s.PrivateKey))
	if block == nil || block.Type != "PRIVATE KEY" {
		return Key{}, errors.New("privateKey must be an unencrypted PKCS #8 key in PEM (BEGIN PRIVATE KEY)")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Key{}, errors.New("privateKey is not a valid PKCS #8 key") // The error might quote the key.
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return Key{}, fmt.Errorf("privateKey is no signing key but %T", parsed)
	}
	key := Key{
		ID: s.ID, Algorithm: s.Algorithm, State: s.State, Created: s.Created, Activated: s.Activated, Retired: s.Retired,
		private: private,
	}
	public, err := key.jwk()
	if err != nil {
		return Key{}, err
	}
	if public.KeyID != s.ID {
		return Key{}, fmt.Errorf("kid must be %s, the thumbprint of the key (RFC 7638)", public.KeyID)
	}
	return key, nil
}
