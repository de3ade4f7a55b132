package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithm is a JWS algorithm (RFC 7518, section 3.1; RFC 8037, section 3.1).
type Algorithm string

// The algorithms that a token may be signed with. All are asymmetric.
const (
	ES256 Algorithm = "ES256"
	RS256 Algorithm = "RS256"
	PS256 Algorithm = "PS256"
	EdDSA Algorithm = "EdDSA" // With Ed25519.
)

// Algorithms are the algorithms that a token may be signed with, as the server's metadata advertises them.
var Algorithms = []Algorithm{ES256, RS256, PS256, EdDSA}

// methods verify for each algorithm. golang-jwt's own PS256 takes salts of any length; they must have that of the hash (RFC 7518,
// section 3.5).
var methods = map[Algorithm]jwt.SigningMethod{
	ES256: jwt.SigningMethodES256,
	RS256: jwt.SigningMethodRS256,
	PS256: &jwt.SigningMethodRSAPSS{
		SigningMethodRSA: jwt.SigningMethodPS256.SigningMethodRSA,
		Options:          &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash},
	},
	EdDSA: jwt.SigningMethodEdDSA,
}

// The bounds of a key set, in bytes and in keys.
const (
	maxKeySet = 64 << 10
	maxKeys   = 32
)

// Keys is a set of public keys, each of which verifies by one algorithm. A set is never changed.
type Keys struct {
	keys    []key
	leftOut []string
	// tryEach is whether each key is tried where a token names none.
	tryEach bool
}

// key is a public key with the one algorithm that it verifies by, whatever a token says.
type key struct {
	id        string // Empty where the set names none.
	algorithm Algorithm
	public    crypto.PublicKey
	// until is when it ceases to verify; zero: never.
	until time.Time
}

// DatedKey is a public key of P-256, as an uncompressed point (SEC 1, section 2.3.3), with its kid and the time of its end; zero: it has none.
type DatedKey struct {
	ID    string
	Point []byte
	Until time.Time
}

// NewDatedKeys returns a set of keys that were made for one client, for ES256. Unlike those of ParseKeys, each is tried where a token names
// no kid: a program that does not send one must not fail because its key is being replaced.
func NewDatedKeys(dated ...DatedKey) (*Keys, error) {
	keys := &Keys{tryEach: true}
	for _, d := range dated {
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), d.Point)
		if err != nil {
			return nil, errors.New("a key is no point of the curve P-256")
		}
		keys.keys = append(keys.keys, key{id: d.ID, algorithm: ES256, public: public, until: d.Until})
	}
	return keys, nil
}

// ParseKeys parses a JWK Set (RFC 7517, section 5). A set with a private or a symmetric key is refused as a whole, and so is one
// with a key that is malformed, weak, or of a kid that another has; the errors say what to do, and quote nothing. Keys that are
// well, but for another use or of a kind that is not supported, are left out (see LeftOut).
func ParseKeys(jwks []byte) (*Keys, error) {
	if len(jwks) > maxKeySet {
		return nil, fmt.Errorf("the key set is longer than %d KiB: publish fewer keys", maxKeySet>>10)
	}
	set, err := parseObject(jwks)
	if err != nil {
		return nil, fmt.Errorf("the key set: %w", err)
	}
	list, ok := set["keys"].([]any)
	if !ok {
		return nil, errors.New(`the key set must have the form {"keys": [...]} (RFC 7517)`)
	}
	if len(list) > maxKeys {
		return nil, fmt.Errorf("the key set has more than %d keys: publish only those in use", maxKeys)
	}
	keys := &Keys{}
	for i, element := range list {
		if err := keys.add(element); err != nil {
			return nil, fmt.Errorf("key %d of the set: %w", i+1, err)
		}
	}
	if len(keys.keys) == 0 {
		return nil, keys.nothingLeft()
	}
	return keys, nil
}

// add adds a key of a set, or notes why it is left out.
func (k *Keys) add(element any) error {
	members, ok := element.(object)
	if !ok {
		return errors.New("it must be a JSON object")
	}
	added, err := parseKey(members)
	var unsuitable unsuitableError
	if errors.As(err, &unsuitable) {
		k.leftOut = append(k.leftOut, string(unsuitable))
		return nil
	}
	if err != nil {
		return err
	}
	if added.id != "" && k.Has(added.id) {
		return errors.New("another key has the same kid: give each key its own")
	}
	k.keys = append(k.keys, added)
	return nil
}

func (k *Keys) nothingLeft() error {
	if len(k.leftOut) == 0 {
		return errors.New("the key set is empty: publish the public key that assertions are signed with")
	}
	return fmt.Errorf("the key set has no key to verify assertions with: %s", k.leftOut[0])
}

// LeftOut says why keys of the set were left out, one text a key.
func (k *Keys) LeftOut() []string { return slices.Clone(k.leftOut) }

// Has reports whether the set has a key of a kid.
func (k *Keys) Has(keyID string) bool {
	return slices.ContainsFunc(k.keys, func(key key) bool { return key.id == keyID })
}

// ErrUnknownKey is the error where no key of a set has the kid that a token names: the set may be older than the key.
var ErrUnknownKey = errors.New("no key of the set has its kid: publish the key under the kid that tokens name")

var (
	errKeyAlgorithm = errors.New("its alg is not the one that its key is for")
	errNoKey        = errors.New("it names no kid, and no key of the set is for its alg: publish the key, or name its kid")
	errWhichKey     = errors.New("it names no kid, and several keys of the set are for its alg: name the kid")
	errSignature    = errors.New("its signature is not by the key")
)

// Payload returns what a JWS in compact serialization holds, if a key of the set signed it. What it holds, and what the
// header says of that, is not looked at: Assertion.Verify does.
func (k *Keys) Payload(token string) ([]byte, error) {
	parsed, err := parseJWS(token)
	if err != nil {
		return nil, err
	}
	if _, err := k.verify(parsed, time.Time{}); err != nil {
		return nil, err
	}
	return parsed.payload, nil
}

// verify verifies the signature of a JWS, and returns the key that it is by.
func (k *Keys) verify(s *jws, now time.Time) (key, error) {
	candidates, err := k.candidates(s, now)
	if err != nil {
		return key{}, err
	}
	for _, candidate := range candidates {
		if methods[candidate.algorithm].Verify(s.signed, s.signature, candidate.public) == nil {
			return candidate, nil
		}
	}
	return key{}, errSignature
}

// candidates returns the keys that a JWS may be by: the one of its kid; or, where it names none, the only one for its algorithm. Several
// are tried only where one maker made them for one client, as what a signature is by should not depend on luck.
func (k *Keys) candidates(s *jws, now time.Time) ([]key, error) {
	var fitting []key
	for _, candidate := range k.keys {
		ended := !candidate.until.IsZero() && !now.Before(candidate.until)
		if ended || s.keyID != "" && candidate.id != s.keyID {
			continue
		}
		if candidate.algorithm == s.algorithm {
			fitting = append(fitting, candidate)
		} else if s.keyID != "" {
			return nil, errKeyAlgorithm
		}
	}
	switch {
	case len(fitting) == 0 && s.keyID != "":
		return nil, ErrUnknownKey
	case len(fitting) == 0:
		return nil, errNoKey
	case len(fitting) > 1 && !k.tryEach:
		return nil, errWhichKey
	}
	return fitting, nil
}
