package assertion

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"sync"
)

// Decoys returns keys of nobody, one for each algorithm: to verify with them takes as long as with somebody's, and always fails.
var Decoys = sync.OnceValue(func() *Keys {
	// Making keys fails only where no randomness is to be had, and then the program crashes.
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsa2048, _ := rsa.GenerateKey(rand.Reader, minRSABits)
	edwards, _, _ := ed25519.GenerateKey(rand.Reader)
	return &Keys{keys: []key{
		{algorithm: ES256, public: &p256.PublicKey},
		{algorithm: RS256, public: &rsa2048.PublicKey},
		{algorithm: PS256, public: &rsa2048.PublicKey},
		{algorithm: EdDSA, public: edwards},
	}}
})
