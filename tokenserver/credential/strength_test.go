package credential

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

const (
	someHex  = "3f9a1c0e7b62d85490ab4de1f6c7283b"
	someUUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
)

func TestStrength(t *testing.T) {
	for name, row := range map[string]struct {
		value string
		want  error
	}{
		"generated":                      {sample, nil},
		"16 bytes in hex":                {someHex, nil},
		"16 bytes in hex, upper case":    {strings.ToUpper(someHex), nil},
		"every safe character":           {"Zq3-x.Y_8~" + someHex, nil},
		"as long as can be":              {longRandom(256), nil},
		"nothing":                        {"", TooShort},
		"one too short":                  {someHex[1:], TooShort},
		"one too long":                   {longRandom(257), TooLong},
		"with a line break":              {someHex + "\n", LineBreak},
		"with a line break of Windows":   {someHex + "\r\n", LineBreak},
		"short, with a line break":       {"hunter2\n", LineBreak},
		"a line break within":            {someHex + "\n" + someHex, UnsafeCharacter},
		"base64":                         {"q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ/+8SNFY=", UnsafeCharacter},
		"a space":                        {someHex + " " + someHex, UnsafeCharacter},
		"a zero byte":                    {someHex + "\x00", UnsafeCharacter},
		"a letter beyond ASCII":          {someHex + "é", UnsafeCharacter},
		"not even UTF-8":                 {someHex + "\xff", UnsafeCharacter},
		"a UUID":                         {someUUID, UUID},
		"a UUID in upper case":           {strings.ToUpper(someUUID), UUID},
		"a UUID twice":                   {someUUID + someUUID, Regular},
		"a UUID in dashes":               {"-" + someUUID, nil}, // It is taken for hex digits; one cannot find out everything.
		"one letter":                     {strings.Repeat("a", 64), Regular},
		"two letters":                    {strings.Repeat("ab", 32), Regular},
		"a password, again and again":    {strings.Repeat("password", 4), Regular},
		"digits upwards":                 {strings.Repeat("0123456789", 4), Regular},
		"digits too few":                 {"71402839561830274958162039475610283746", Regular},
		"digits enough":                  {"714028395618302749581620394756102837465", nil},
		"hex digits, grouped, too few":   {"3f9a-1c0e-7b62-d854-90ab-4de1-f6c-7", Regular},
		"the alphabet":                   {"abcdefghijklmnopqrstuvwxyz0123456789", Regular},
		"the alphabet downwards":         {"zyxwvutsrqponmlkjihgfedcba9876543210", Regular},
		"the alphabet with interruption": {"abcdefgh5ijklmnop7qrstuvwxyz3ABCDEFGH", Regular},
		"the alphabet in short pieces":   {"abcdefg1hijklmn2opqrstu3vwxyz4ABCDEFG5HIJKLMN", Regular},
		"three characters, well mixed":   {"aZ55aZa5ZZaa5a5Z5ZaZZ5aaZ55Za5aZ5Z5a", Regular},
		"separators":                     {strings.Repeat("-._~", 16), Regular},
		"few characters among many":      {strings.Repeat("0", 40) + someHex[:20], Regular},
		"the second half is the first":   {someHex[:16] + someHex[:16], Regular},
		"filled up":                      {someHex[:24] + "00000000", Regular},
	} {
		if got := Strength(row.value); got != row.want {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}

func longRandom(length int) string {
	return sample[len(Prefix):] + randomText(length-len(sample)+len(Prefix))
}

func randomText(length int) string {
	random := make([]byte, length)
	rand.Read(random)
	return base64.RawURLEncoding.EncodeToString(random)[:length]
}

// What is made at random is refused so seldom that nobody meets it.
func TestStrengthRefusesNothingRandom(t *testing.T) {
	const tries = 100_000
	for name, make := range map[string]struct {
		bytes  int
		encode func([]byte) string
	}{
		"hex-32":       {16, hex.EncodeToString},
		"hex-64":       {32, hex.EncodeToString},
		"base64url-43": {32, base64.RawURLEncoding.EncodeToString},
		"base32-32":    {20, base32.StdEncoding.EncodeToString},
		"generated":    {0, func([]byte) string { return Generate() }},
	} {
		random, refused := [32]byte{}, 0
		for range tries {
			rand.Read(random[:make.bytes])
			if Strength(make.encode(random[:make.bytes])) != nil {
				refused++
			}
		}
		t.Logf("%s: %d of %d refused", name, refused, tries)
		// Of hex-32, 2 in a million are refused: as many as these about once in a million runs.
		if refused > 4 {
			t.Errorf("%s: %d of %d refused", name, refused, tries)
		}
	}
}

// A reason is said in words of its own, without the value.
func TestWeaknessTellsNothing(t *testing.T) {
	seen := map[string]bool{}
	for w := LineBreak; w <= Regular; w++ {
		if seen[w.Error()] || w.Error() == Weakness(0).Error() {
			t.Errorf("weakness %d has no words of its own", w)
		}
		seen[w.Error()] = true
	}
	for _, value := range []string{"hunter2hunter2", "hunter2hunter2\n", strings.Repeat("hunter2", 40), strings.Repeat("hunter2 ", 5)} {
		if err := Strength(value); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the reason is %v", err)
		}
	}
}

func TestUnsealProvided(t *testing.T) {
	for _, value := range []string{sample, someHex, "", someHex + "\n", "hunter2", strings.Repeat("a", 40), someUUID, longRandom(300), someHex + " "} {
		sealed := Seal([]byte(value))
		digest, err := UnsealProvided(sealed[:])
		if digest != DigestOf(value) || err != Strength(value) {
			t.Errorf("%q: %v, want %v", value, err, Strength(value))
		}
		// The strength of a value does not make it a generated one.
		if _, wellFormed := Unseal(sealed[:]); wellFormed != (value == sample) {
			t.Errorf("%q is well-formed: %t", value, wellFormed)
		}
	}
	other := Seal([]byte(someHex))
	for _, first := range []byte{0, sealedLast + 1, 255} {
		other[0] = first
		if digest, err := UnsealProvided(other[:]); err == nil || digest != (Digest{}) {
			t.Errorf("first byte %d: %v", first, err)
		}
	}
	if _, err := UnsealProvided([]byte(someHex)); err == nil {
		t.Error("plaintext is taken for sealed")
	}
}

func FuzzStrength(f *testing.F) {
	for _, value := range []string{"", sample, someHex, someHex + "\n", someUUID, strings.Repeat("ab", 40), "\xff\x00"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		err := Strength(value)
		var weakness Weakness
		if err != nil && (!errors.As(err, &weakness) || weakness == 0 || weakness > Regular) {
			t.Fatalf("%q: %v", value, err)
		}
		if err == nil && (len(value) < 32 || len(value) > 256 || strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") != "") {
			t.Fatalf("%q is accepted", value)
		}
		if doubled := value + value; err == nil && Strength(doubled) == nil {
			t.Fatalf("%q is accepted twice over", value)
		}
		sealed := Seal([]byte(value))
		if digest, got := UnsealProvided(sealed[:]); got != err && !WellFormed(value) || digest != DigestOf(value) {
			t.Fatalf("%q: sealed %v, plain %v", value, got, err)
		}
	})
}

func BenchmarkStrength(b *testing.B) {
	value := longRandom(256)
	for b.Loop() {
		_ = Strength(value)
	}
}
