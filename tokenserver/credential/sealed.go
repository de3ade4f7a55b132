package credential

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
)

// Sealed is what memory keeps of a value in a Secret: what it is good for, and its SHA-256. Every value is sealed alike, so that
// nobody needs to know beforehand which key of a Secret holds the client secret. Where one is assigned in a value, an env file, it is
// masked first: who knows its digest then can tell whether the value is as it should be.
type Sealed [1 + sha256.Size]byte

// What a value is good for, the first byte of its sealed form. A Weakness counts from there.
const (
	sealedWellFormed = 1
	sealedStrong     = 2
	sealedLast       = sealedStrong + byte(Regular)
	// sealedPrivateKey is a generated private key, as PEM or JWK. Of it the thumbprint is kept in place of the value's own digest.
	sealedPrivateKey = 255
)

// Seal seals one value.
func Seal(value []byte) Sealed {
	var sealed Sealed
	if key, err := ParsePrivateKey(string(value)); err == nil {
		sealed[0] = sealedPrivateKey
		copy(sealed[1:], key.Thumbprint[:])
		return sealed
	}
	sealed[0] = goodFor(string(value))
	if sealed[0] != sealedWellFormed {
		value = masked(value)
	}
	digest := sha256.Sum256(value)
	copy(sealed[1:], digest[:])
	return sealed
}

// Mask returns what stands for a client secret of a digest where a longer value that holds it is sealed.
func Mask(digest Digest) string { return "sha256:" + hex.EncodeToString(digest[:]) }

// masked returns a value with every well-formed client secret masked that it assigns, NAME=SECRET. No client secret, whoever made
// it, has such a form itself, so that its own digest stays what it is.
func masked(value []byte) []byte {
	const assigned = "=" + Prefix
	const length = len(Prefix) + (entropyBytes+checksumSize)*4/3 // Base64 needs no padding for it.
	var result []byte
	for {
		at := bytes.Index(value, []byte(assigned))
		if at < 0 {
			return append(result, value...)
		}
		at++
		result = append(result, value[:at]...)
		value = value[at:]
		if secret := string(value[:min(length, len(value))]); WellFormed(secret) {
			result = append(result, Mask(DigestOf(secret))...)
			value = value[length:]
		}
	}
}

func goodFor(value string) byte {
	if WellFormed(value) {
		return sealedWellFormed
	}
	var weakness Weakness
	errors.As(Strength(value), &weakness)
	return sealedStrong + byte(weakness)
}

// sealedMark stands among sealed data to tell it from plain. The API server takes no Secret with an empty key, so that nobody
// can write it.
const sealedMark = ""

// SealData replaces each value of a Secret's data by its sealed form. What is sealed already stays as it is: client-go may
// transform an object twice on its way into a cache.
func SealData(data map[string][]byte) map[string][]byte {
	if _, done := data[sealedMark]; done {
		return data
	}
	sealed := make(map[string][]byte, len(data)+1)
	sealed[sealedMark] = nil
	together := make([]Sealed, 0, len(data)) // One piece of memory instead of many.
	for key, value := range data {
		together = append(together, Seal(value))
		sealed[key] = together[len(together)-1][:]
	}
	return sealed
}

// SealSecrets seals a Secret's data, and keeps only what was a well-formed client secret.
func SealSecrets(data map[string][]byte) map[string][]byte {
	sealed := SealData(data)
	maps.DeleteFunc(sealed, func(key string, value []byte) bool {
		_, wellFormed := Unseal(value)
		return !wellFormed && key != sealedMark
	})
	return sealed
}

// Unseal returns the digest of a sealed value, and whether the value was a well-formed client secret.
func Unseal(value []byte) (digest Digest, wellFormed bool) {
	if len(value) != len(Sealed{}) {
		return Digest{}, false
	}
	copy(digest[:], value[1:])
	return digest, value[0] == sealedWellFormed
}

// UnsealPrivateKey returns the thumbprint of a sealed private key, and whether the value was one.
func UnsealPrivateKey(value []byte) (thumbprint Digest, isKey bool) {
	if len(value) != len(Sealed{}) {
		return Digest{}, false
	}
	copy(thumbprint[:], value[1:])
	return thumbprint, value[0] == sealedPrivateKey
}

// UnsealProvided returns the digest of a sealed value, and the Weakness by which it cannot serve as a client secret that somebody
// else makes; nil if it can.
func UnsealProvided(value []byte) (Digest, error) {
	digest, wellFormed := Unseal(value)
	switch {
	case wellFormed:
		return digest, nil
	case len(value) != len(Sealed{}) || value[0] < sealedStrong || value[0] > sealedLast:
		return Digest{}, Weakness(0)
	case value[0] > sealedStrong:
		return digest, Weakness(value[0] - sealedStrong)
	}
	return digest, nil
}
