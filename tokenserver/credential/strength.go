package credential

import (
	"math"
	"strings"
)

const (
	// MinProvided is the least length, in bytes, of a client secret that somebody else than Kubemint makes. MaxLength is the most.
	MinProvided = 32

	// minBits is the least entropy of such a secret, in bits, as the digest of a secret must not be worth guessing.
	minBits = 128
	// minShannon is the least Shannon entropy of its characters, in bits. Of few characters it comes out too low: 32 random hex
	// digits, of 128 bits, show 117 on average, and below this bound one in a million.
	minShannon = 88
	// block is the length, in bytes, from which two equal pieces are taken for a repetition and not for chance. Of 32 random hex digits, one
	// in ten million has such a pair.
	block = 8
)

// Weakness is why a value cannot serve as a client secret that somebody else makes. It tells nothing of the value itself.
type Weakness byte

// The weaknesses, in the order in which they are looked for.
const (
	LineBreak Weakness = iota + 1
	TooShort
	TooLong
	UnsafeCharacter
	UUID
	Regular
)

// Error says what is wrong and what helps, without quoting the value.
func (w Weakness) Error() string {
	switch w {
	case LineBreak:
		return "it ends with a line break, which most tools add without asking: make it with printf or echo -n"
	case TooShort:
		return "it is shorter than 32 bytes"
	case TooLong:
		return "it is longer than 256 bytes"
	case UnsafeCharacter:
		return "it has characters other than A-Z a-z 0-9 - . _ ~, which OAuth clients do not all send alike"
	case UUID:
		return "it is a UUID, of which not all bits are random"
	case Regular:
		return "it repeats itself, follows the alphabet, or has too few different characters to hold 128 random bits"
	default:
		return "it is of no known strength"
	}
}

// Strength returns nil if a value can serve as a client secret that somebody else makes, or else a Weakness: it has MinProvided to
// MaxLength bytes out of RFC 3986's unreserved characters, which all OAuth clients send alike, whether or not they form-encode
// Basic credentials; and it looks as if it held 128 random bits.
//
// Randomness cannot be proven from a value, so that this finds mistakes, not malice. The entropy is estimated as that of letters and
// digits drawn evenly from the smallest usual alphabet that has them all; then what is not drawn evenly is refused: characters of
// too low a Shannon entropy, equal blocks, and neighbours that mostly are equal or follow each other.
func Strength(value string) error {
	switch {
	case strings.TrimRight(value, "\r\n") != value:
		return LineBreak
	case len(value) < MinProvided:
		return TooShort
	case len(value) > MaxLength:
		return TooLong
	case strings.ContainsFunc(value, unsafe):
		return UnsafeCharacter
	case isUUID(value):
		return UUID
	case drawnEvenly(value) < minBits, shannon(value) < minShannon, repeats(value), follows(value):
		return Regular
	}
	return nil
}

func unsafe(r rune) bool {
	return !isDigit(r) && !isLower(r) && !isUpper(r) && !strings.ContainsRune("-._~", r)
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }
func isLower(r rune) bool { return 'a' <= r && r <= 'z' }
func isUpper(r rune) bool { return 'A' <= r && r <= 'Z' }

// isUUID reports whether a value is a UUID of whatever version: the random one has 122 bits, others are made from the time.
func isUUID(value string) bool {
	groups := strings.Split(value, "-")
	if len(groups) != 5 {
		return false
	}
	for i, length := range []int{8, 4, 4, 4, 12} {
		if len(groups[i]) != length || strings.ContainsFunc(groups[i], func(r rune) bool { return !isDigit(r) && !strings.ContainsRune("abcdefABCDEF", r) }) {
			return false
		}
	}
	return true
}

// drawnEvenly returns the entropy, in bits, of a value's letters and digits if each was drawn evenly from the smallest usual alphabet
// that has them all: digits, hex digits, letters of one case, these with digits, or all. Other characters may be mere separators.
func drawnEvenly(value string) float64 {
	var drawn int
	var digits, lower, upper, beyondHex bool
	for _, r := range value {
		switch {
		case isDigit(r):
			digits = true
		case isLower(r):
			lower, beyondHex = true, beyondHex || r > 'f'
		case isUpper(r):
			upper, beyondHex = true, beyondHex || r > 'F'
		default:
			continue
		}
		drawn++
	}
	var alphabet float64
	switch {
	case lower && upper:
		alphabet = 52
	case (lower || upper) && !beyondHex:
		alphabet = 6
	case lower || upper:
		alphabet = 26
	}
	if digits {
		alphabet += 10
	}
	return float64(drawn) * math.Log2(max(alphabet, 1))
}

// shannon returns the Shannon entropy of a value's characters by their frequencies, in bits.
func shannon(value string) float64 {
	var count [256]int
	for i := range len(value) {
		count[value[i]]++
	}
	bits, length := 0.0, float64(len(value))
	for _, n := range count {
		if n > 0 {
			bits += float64(n) * math.Log2(length/float64(n))
		}
	}
	return bits
}

// repeats reports whether a value has the same block twice.
func repeats(value string) bool {
	for at := block; at+block <= len(value); at++ {
		if strings.Contains(value[:at], value[at:at+block]) {
			return true
		}
	}
	return false
}

// follows reports whether neighbours in a value are equal or follow each other, up or down, as in aaaa and 0123456789: three of
// five, or a block in one go.
func follows(value string) bool {
	near, run, before := 0, 1, 0
	for i := 1; i < len(value); i++ {
		step := int(value[i]) - int(value[i-1])
		if step < -1 || step > 1 {
			run = 1
			continue
		}
		near++
		if step != before {
			run = 1
		}
		run, before = run+1, step
		if run == block {
			return true
		}
	}
	return 5*near > 3*(len(value)-1)
}
