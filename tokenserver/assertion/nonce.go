package assertion

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"
)

// The life of a nonce: its age at which it is refused, and how much the clock of the replica that made it may be ahead.
const (
	maxNonceAge = 5 * time.Minute
	nonceLeeway = 10 * time.Second
)

// The parts of a nonce: the time it was made, in seconds, and the code that only who has a secret can make of that.
const (
	nonceTime = 8
	nonceCode = 16
)

// Nonces are what a server gives out for proofs to carry, so that none can be made long beforehand (RFC 9449, section 8). They are
// stored nowhere: every replica knows them by secrets that all have.
type Nonces struct {
	secrets [][]byte
}

// NewNonces returns nonces that are made with the first secret, and accepted by any. There must be one.
func NewNonces(secrets [][]byte) *Nonces { return &Nonces{secrets} }

// New returns a nonce that is good for five minutes.
func (n *Nonces) New(now time.Time) string {
	made := binary.BigEndian.AppendUint64(nil, uint64(now.Unix())) //nolint:gosec // Back and forth it is the same time.
	return base64.RawURLEncoding.EncodeToString(append(made, codeOf(made, n.secrets[0])...))
}

// Fresh reports whether a nonce is one that was given out less than five minutes ago.
func (n *Nonces) Fresh(nonce string, now time.Time) bool {
	decoded, err := decode(nonce)
	if err != nil || len(decoded) != nonceTime+nonceCode {
		return false
	}
	encoded, code := decoded[:nonceTime], decoded[nonceTime:]
	made := time.Unix(int64(binary.BigEndian.Uint64(encoded)), 0) //nolint:gosec // What overflows has no code.
	if !made.Add(maxNonceAge).After(now) || made.After(now.Add(nonceLeeway)) {
		return false
	}
	return slices.ContainsFunc(n.secrets, func(secret []byte) bool { return hmac.Equal(codeOf(encoded, secret), code) })
}

func codeOf(made, secret []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(made)
	return mac.Sum(nil)[:nonceCode]
}
