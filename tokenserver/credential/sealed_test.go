package credential

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"
	"testing"
)

func TestSeal(t *testing.T) {
	sealedSample := Seal([]byte(sample))
	for _, test := range []struct {
		name       string
		value      string
		wellFormed bool
	}{
		{"a client secret", sample, true},
		{"a client secret with a newline", sample + "\n", false},
		{"something else", "billing.invoice-worker", false},
		{"nothing", "", false},
		// A tenant who writes the sealed form into a Secret must not thereby choose the digest.
		{"a value that looks sealed already", string(sealedSample[:]), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			sealed := Seal([]byte(test.value))
			digest, wellFormed := Unseal(sealed[:])
			if digest != sha256.Sum256([]byte(test.value)) {
				t.Errorf("the digest is not the value's SHA-256")
			}
			if wellFormed != test.wellFormed {
				t.Errorf("wellFormed = %t", wellFormed)
			}
		})
	}
}

func TestSealDataKeepsNoPlaintext(t *testing.T) {
	data := map[string][]byte{"client_secret": []byte(sample), "CLIENT_ID": []byte("billing.invoice-worker"), "empty": nil}
	original := maps.Clone(data)
	sealed := SealData(data)
	// A cache may seal twice: a digest of a digest would prove nobody.
	if again := SealData(sealed); !maps.EqualFunc(again, sealed, bytes.Equal) {
		t.Error("sealing what is sealed changed it")
	}
	delete(sealed, sealedMark)
	if got, want := slices.Sorted(maps.Keys(sealed)), slices.Sorted(maps.Keys(data)); !slices.Equal(got, want) {
		t.Fatalf("keys %q, want %q", got, want)
	}
	for key, value := range sealed {
		if want := Seal(original[key]); !bytes.Equal(value, want[:]) {
			t.Errorf("%s is not sealed", key)
		}
	}
	if !maps.EqualFunc(data, original, bytes.Equal) {
		t.Error("the Secret's own data was changed")
	}
	if digest, wellFormed := Unseal(sealed["client_secret"]); !wellFormed || Match(sample, accepting(digest), noon) == nil {
		t.Error("the sealed secret no longer proves the client")
	}
}

func TestUnsealRefusesWhatIsNotSealed(t *testing.T) {
	for _, test := range []struct {
		name  string
		value []byte
	}{
		{"nothing", nil},
		{"one byte short", bytes.Repeat([]byte{1}, 32)},
		{"one byte more", bytes.Repeat([]byte{1}, 34)},
		{"plaintext", []byte(sample)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if digest, wellFormed := Unseal(test.value); wellFormed || digest != (Digest{}) {
				t.Errorf("Unseal = %x, %t", digest, wellFormed)
			}
		})
	}
}

func FuzzUnseal(f *testing.F) {
	sealed := Seal([]byte(sample))
	f.Add([]byte(nil))
	f.Add([]byte(sample))
	f.Add(sealed[:])
	f.Add(bytes.Repeat([]byte{1}, 33))
	f.Add(bytes.Repeat([]byte{2}, 33))
	f.Fuzz(func(t *testing.T, value []byte) {
		if digest, wellFormed := Unseal(value); wellFormed && !bytes.Equal(append([]byte{1}, digest[:]...), value) {
			t.Fatalf("Unseal(%x) = %x, well-formed", value, digest)
		}
		sealed := Seal(value)
		digest, wellFormed := Unseal(sealed[:])
		if digest != DigestOf(string(value)) || wellFormed != WellFormed(string(value)) {
			t.Fatalf("Unseal(Seal(%x)) = %x, %t", value, digest, wellFormed)
		}
	})
}

func TestSealSecretsKeepsClientSecretsAlone(t *testing.T) {
	sealed := SealSecrets(map[string][]byte{"client_secret": []byte(sample), "client_id": []byte("billing.invoice-worker"), "empty": nil})
	if again := SealSecrets(sealed); !maps.EqualFunc(again, sealed, bytes.Equal) {
		t.Error("sealing what is sealed changed it")
	}
	delete(sealed, sealedMark)
	want := Seal([]byte(sample))
	if len(sealed) != 1 || !bytes.Equal(sealed["client_secret"], want[:]) {
		t.Errorf("kept %q", slices.Sorted(maps.Keys(sealed)))
	}
}

// Whoever knows the digest of a client secret can tell what a value that holds it is sealed to.
func TestSealMasks(t *testing.T) {
	mask, other := Mask(DigestOf(sample)), Mask(DigestOf(spell(nil)))
	for name, test := range map[string]struct{ value, same string }{
		"in the middle":        {"a=" + sample + "\n", "a=" + mask + "\n"},
		"at the end":           {"a=" + sample, "a=" + mask},
		"twice":                {"a=" + sample + "\nb=" + sample, "a=" + mask + "\nb=" + mask},
		"two":                  {"a=" + sample + "\nb=" + spell(nil) + "\n", "a=" + mask + "\nb=" + other + "\n"},
		"after a prefix alone": {"a=kubemint_\nb=" + sample, "a=kubemint_\nb=" + mask},
		"masked already":       {"a=" + mask, "a=" + mask},
	} {
		if Seal([]byte(test.value)) != Seal([]byte(test.same)) {
			t.Errorf("%s: they are sealed to different values", name)
		}
	}
	for _, value := range []string{sample + "\n", "." + sample, "a=" + sample[:20], "=", "=kubemint_", "a=b", ""} {
		if sealed := Seal([]byte(value)); !bytes.Equal(sealed[1:], digestOf(value)) {
			t.Errorf("%q assigns no client secret, and is sealed to another digest than its own", value)
		}
	}
	if Seal([]byte("a="+sample)) == Seal([]byte("a="+spell(nil))) || Seal([]byte("a="+sample)) == Seal([]byte("b="+sample)) {
		t.Error("different values are sealed to the same")
	}
	// The client secret itself keeps its own digest.
	sealed := Seal([]byte(sample))
	if digest, wellFormed := Unseal(sealed[:]); !wellFormed || digest != DigestOf(sample) {
		t.Error("a client secret is sealed to another digest")
	}
}

func digestOf(value string) []byte {
	digest := sha256.Sum256([]byte(value))
	return digest[:]
}
