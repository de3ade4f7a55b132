// Package credential makes client secrets, checks their form, and compares them without keeping them.
package credential

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

const (
	// Prefix begins every generated secret, so that secret scanners recognise a leaked one.
	Prefix = "kubemint_"

	entropyBytes = 32
	checksumSize = 4

	// MaxLength bounds, in bytes, a secret that is presented: a longer one is refused before it is hashed.
	MaxLength = 256
)

// encoding is strict, so that a secret has exactly one spelling.
var encoding = base64.RawURLEncoding.Strict()

// Generate returns a new client secret: Prefix, then 256 bits from crypto/rand with their CRC-32, in base64url. Its
// characters are [A-Za-z0-9_-] only, on which all OAuth clients agree whether or not they form-encode Basic credentials.
func Generate() string {
	random := make([]byte, entropyBytes, entropyBytes+checksumSize)
	rand.Read(random) // It never fails: the program crashes where no randomness is to be had.
	return Prefix + encoding.EncodeToString(appendChecksum(random))
}

// WellFormed reports whether a secret has the form that Generate gives it, checksum included. A typo, a truncated value or
// an empty one does not.
func WellFormed(secret string) bool {
	body, found := strings.CutPrefix(secret, Prefix)
	if !found || len(body) != encoding.EncodedLen(entropyBytes+checksumSize) {
		return false
	}
	decoded, err := encoding.DecodeString(body)
	return err == nil && string(appendChecksum(decoded[:entropyBytes:entropyBytes])) == string(decoded)
}

func appendChecksum(random []byte) []byte {
	return binary.BigEndian.AppendUint32(random, crc32.ChecksumIEEE(random))
}

// Digest is the SHA-256 of a secret. A generated secret is random, so that one round suffices: there is no dictionary to
// slow an attacker down against.
type Digest [sha256.Size]byte

// DigestOf returns the digest of a secret.
func DigestOf(secret string) Digest {
	return sha256.Sum256([]byte(secret))
}

// Matches reports whether secret is that of any of the digests. It takes the same time whatever the secret, and hashes it
// even where there is no digest, so that an unknown client takes as long to refuse as a wrong secret.
func Matches(secret string, digests []Digest) bool {
	if len(secret) > MaxLength {
		return false
	}
	presented := DigestOf(secret)
	matched := 0
	for i := range digests {
		matched |= subtle.ConstantTimeCompare(presented[:], digests[i][:])
	}
	return matched == 1 && secret != ""
}
