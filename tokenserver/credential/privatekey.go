package credential

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
)

// PrivateKey is a private key that was generated for a client, with which it signs assertions by ES256.
type PrivateKey struct {
	private *ecdsa.PrivateKey
	// Point is the public key, as an uncompressed point (SEC 1, section 2.3.3).
	Point []byte
	// Thumbprint is the SHA-256 of the public key as RFC 7638 has it.
	Thumbprint Digest
}

// String leaves the private key out, wherever the key is printed.
func (k PrivateKey) String() string { return "ES256 " + k.ID() }

// ID is the kid: the thumbprint in base64url.
func (k PrivateKey) ID() string { return encoding.EncodeToString(k.Thumbprint[:]) }

// GeneratePrivateKey returns a new private key.
func GeneratePrivateKey() PrivateKey {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil { // It never fails: the program crashes where no randomness is to be had.
		panic("credential: make a key of P-256: " + err.Error())
	}
	return newPrivateKey(private)
}

func newPrivateKey(private *ecdsa.PrivateKey) PrivateKey {
	point, err := private.PublicKey.Bytes()
	if err != nil {
		panic("credential: a key of P-256 did not encode: " + err.Error())
	}
	// The required members in lexicographic order, without space (RFC 7638, section 3).
	public := `{"crv":"P-256","kty":"EC","x":"` + encode(point[1:33]) + `","y":"` + encode(point[33:]) + `"}`
	return PrivateKey{private: private, Point: point, Thumbprint: sha256.Sum256([]byte(public))}
}

// PEM is the private key as PEM (PKCS #8).
func (k PrivateKey) PEM() string {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		panic("credential: a key of P-256 did not encode: " + err.Error())
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
}

const (
	pemType   = "PRIVATE KEY"
	pemPrefix = "-----BEGIN " + pemType + "-----\n"
	jwkPrefix = `{"kty":"EC","crv":"P-256",`
)

// JWK is the private key as a JWK (RFC 7517, section 4; RFC 7518, section 6.2).
func (k PrivateKey) JWK() string {
	d, err := k.private.Bytes()
	if err != nil {
		panic("credential: a key of P-256 did not encode: " + err.Error())
	}
	return jwkPrefix + `"use":"sig","alg":"ES256","kid":"` + k.ID() + `","x":"` + encode(k.Point[1:33]) + `","y":"` + encode(k.Point[33:]) +
		`","d":"` + encode(d) + `"}`
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

var errPrivateKey = errors.New("it is no private key as Kubemint writes it")

// ParsePrivateKey parses what PEM or JWK wrote, and nothing else. The error quotes nothing of it.
func ParsePrivateKey(value string) (PrivateKey, error) {
	var key PrivateKey
	var err error
	switch {
	case strings.HasPrefix(value, pemPrefix):
		key, err = parsePEM(value)
	case strings.HasPrefix(value, jwkPrefix):
		key, err = parseJWK(value)
	default:
		return PrivateKey{}, errPrivateKey
	}
	if err != nil || value != key.PEM() && value != key.JWK() {
		return PrivateKey{}, errPrivateKey
	}
	return key, nil
}

func parsePEM(value string) (PrivateKey, error) {
	block, _ := pem.Decode([]byte(value))
	if block == nil {
		return PrivateKey{}, errPrivateKey
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return PrivateKey{}, errPrivateKey
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return PrivateKey{}, errPrivateKey
	}
	return newPrivateKey(private), nil
}

func parseJWK(value string) (PrivateKey, error) {
	var members struct {
		D string `json:"d"`
	}
	if err := json.Unmarshal([]byte(value), &members); err != nil {
		return PrivateKey{}, errPrivateKey
	}
	d, err := encoding.DecodeString(members.D)
	if err != nil {
		return PrivateKey{}, errPrivateKey
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		return PrivateKey{}, errPrivateKey
	}
	return newPrivateKey(private), nil
}
