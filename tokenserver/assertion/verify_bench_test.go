package assertion

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"testing"
)

// BenchmarkVerify is an assertion from text to claims, beside the bare verification of its signature.
func BenchmarkVerify(b *testing.B) {
	es := signers()[ES256]
	token, keys := es.assertion(claims()), keysOf(b, es)
	b.Run("assertion", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := verify(token, keys, expected); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		digest := sha256.Sum256([]byte(token))
		private := es.private.(*ecdsa.PrivateKey)
		signature, err := ecdsa.SignASN1(nil, private, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if !ecdsa.VerifyASN1(&private.PublicKey, digest[:], signature) {
				b.Fatal("not verified")
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(token); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDPoP is a proof from text to thumbprint, for each kind of key. Each time, no proof is remembered.
func BenchmarkDPoP(b *testing.B) {
	for _, algorithm := range Algorithms {
		b.Run(string(algorithm), func(b *testing.B) {
			proof := signers()[algorithm].proof(proofClaims())
			proofs, clock := newProofs(b)
			b.ReportAllocs()
			for b.Loop() {
				proofs.replays = NewReplays(DefaultLimits, clock.now)
				if _, err := proofs.Verify(client, "POST", proof, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
