package signing

import (
	"cmp"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
)

// secretSize is that of a key for HMAC-SHA256 (RFC 2104, section 3).
const secretSize = 32

// Secrets derives from each key of the ring a secret for a purpose (RFC 5869), the oldest key's first. What a replica makes with the
// first, every other knows by one of its own, whichever side of a rotation it is on: a new key is the oldest only when it has long been
// in all rings. A key that is taken out takes its secret along.
func (r *Ring) Secrets(purpose string) ([][]byte, error) {
	oldestFirst := slices.SortedFunc(slices.Values(r.Keys), func(a, b Key) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	secrets := make([][]byte, len(oldestFirst))
	for i := range oldestFirst {
		var err error
		if secrets[i], err = oldestFirst[i].secret(purpose); err != nil {
			return nil, fmt.Errorf("derive a secret from signing key %s: %w", oldestFirst[i].ID, err)
		}
	}
	return secrets, nil
}

func (k *Key) secret(purpose string) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, err
	}
	return hkdf.Key(sha256.New, der, nil, "kubemint "+purpose, secretSize)
}
