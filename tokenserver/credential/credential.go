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
	"sync/atomic"
	"time"
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

// Accepted is one client secret that proves a client. It is never changed once made, but for its Use.
type Accepted struct {
	Digest Digest
	// Version is its number, 0 while it is in no record.
	Version int64
	// Expires is when it ends, in Unix seconds; 0 means that it does not.
	Expires int64
	Use     *Use
}

// Use is when a client secret was last used, in Unix seconds; 0 means not yet. It is safe for concurrent use.
type Use struct {
	last atomic.Int64
	// Told is the last use that others were told of.
	Told atomic.Int64
}

// useGranularity is how exact Use is, in seconds: a client in full use must not write to the memory that others read each time.
const useGranularity = 60

// Mark notes a use. A nil Use notes none.
func (u *Use) Mark(now time.Time) {
	if u != nil && now.Unix()-u.last.Load() >= useGranularity {
		u.last.Store(now.Unix())
	}
}

// Last returns when the last use was.
func (u *Use) Last() int64 { return u.last.Load() }

// Match returns the one of the client secrets that are valid now that a presented secret is, or nil. It takes the same time
// whatever the secret, and hashes it even where there is nothing to compare it with, so that an unknown client takes as long to
// refuse as a wrong secret.
func Match(secret string, accepted []Accepted, now time.Time) *Accepted {
	if len(secret) > MaxLength {
		return nil
	}
	presented := DigestOf(secret)
	matched := 0 // One more than the index.
	for i := range accepted {
		equal := subtle.ConstantTimeCompare(presented[:], accepted[i].Digest[:])
		matched = subtle.ConstantTimeSelect(equal, i+1, matched)
	}
	if matched == 0 || secret == "" {
		return nil
	}
	match := &accepted[matched-1]
	if match.Expires != 0 && now.Unix() >= match.Expires {
		return nil
	}
	return match
}
