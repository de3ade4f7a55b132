package credential

import (
	"crypto/sha256"
	"maps"
)

// Sealed is what memory keeps of a value in a Secret: whether it is a well-formed client secret, and its SHA-256. Every value
// is sealed alike, so that nobody needs to know beforehand which key of a Secret holds the client secret.
type Sealed [1 + sha256.Size]byte

// Seal seals one value.
func Seal(value []byte) Sealed {
	var sealed Sealed
	if WellFormed(string(value)) {
		sealed[0] = 1
	}
	digest := sha256.Sum256(value)
	copy(sealed[1:], digest[:])
	return sealed
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
	for key, value := range data {
		s := Seal(value)
		sealed[key] = s[:]
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
	return digest, value[0] == 1
}
