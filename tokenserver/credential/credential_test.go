package credential

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"regexp"
	"strings"
	"testing"
	"time"
)

// spell spells a secret by the format alone, without the code under test: secrets that have been issued and the patterns of
// secret scanners depend on it, so that a change of the format must show. There is no literal secret in this file for the
// scanners' sake.
func spell(entropy []byte) string {
	var random [32]byte
	copy(random[:], entropy)
	summed := binary.BigEndian.AppendUint32(random[:], crc32.ChecksumIEEE(random[:]))
	return "kubemint_" + base64.RawURLEncoding.EncodeToString(summed)
}

// sample is some well-formed secret.
var sample = spell([]byte("an example, and no randomness"))

func TestA26GeneratedSecretsAreRandom(t *testing.T) {
	const n = 10_000
	form := regexp.MustCompile(`^kubemint_[A-Za-z0-9_-]{48}$`)
	seen := make(map[string]bool, n)
	var ones [256]int
	for range n {
		secret := Generate()
		if !form.MatchString(secret) || !WellFormed(secret) {
			t.Fatalf("generated secret %q has not the form of one", secret)
		}
		if seen[secret] {
			t.Fatalf("secret %q was generated twice", secret)
		}
		seen[secret] = true
		random, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(secret, "kubemint_"))
		if err != nil {
			t.Fatal(err)
		}
		for bit := range ones {
			ones[bit] += int(random[bit/8]>>(bit%8)) & 1
		}
	}
	// Each of the 256 bits is a fair coin. A count's standard deviation is 50: seven of them are passed by chance in fewer
	// than one run of a billion, and by a bit that is constant, or a copy of a biased one, in every run.
	for bit, count := range ones {
		if count < n/2-350 || count > n/2+350 {
			t.Errorf("bit %d is set in %d of %d secrets: it is not random", bit, count, n)
		}
	}
}

func TestWellFormed(t *testing.T) {
	other := spell([]byte("another"))
	for _, test := range []struct {
		name   string
		secret string
		want   bool
	}{
		{"as the format says", sample, true},
		{"all zero, with the checksum of zeros", spell(nil), true},
		{"all zero, checksum included", "kubemint_" + strings.Repeat("A", 48), false},
		{"empty", "", false},
		{"prefix only", "kubemint_", false},
		{"without the prefix", strings.TrimPrefix(sample, "kubemint_"), false},
		{"prefix in another case", "Kubemint_" + strings.TrimPrefix(sample, "kubemint_"), false},
		{"one character short", sample[:len(sample)-1], false},
		{"one character more", sample + "A", false},
		{"padded", sample + "=", false},
		{"trailing newline, as of a file", sample + "\n", false},
		{"leading space", " " + sample, false},
		{"checksum of another secret", sample[:len(sample)-5] + other[len(other)-5:], false},
		{"standard base64 instead of base64url", strings.NewReplacer("-", "+", "_", "/").Replace(spell([]byte{0xfb, 0xff, 0xbf})), false},
		// encoding/base64 skips line breaks, so that the decoded value is shorter than the encoded length promises.
		{"line breaks only", "kubemint_" + strings.Repeat("\n", 48), false},
		{"line breaks within", sample[:30] + "\r\n\r\n" + sample[34:], false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := WellFormed(test.secret); got != test.want {
				t.Errorf("WellFormed(%q) = %t", test.secret, got)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	long := strings.Repeat("0123456789", 10)
	changed73rd := long[:72] + "x" + long[73:]
	huge := strings.Repeat("a", 60<<10)
	digests := func(secrets ...string) (ds []Digest) {
		for _, secret := range secrets {
			ds = append(ds, DigestOf(secret))
		}
		return ds
	}
	for _, test := range []struct {
		name    string
		secret  string
		digests []Digest
		want    bool
	}{
		{"the secret", sample, digests(sample), true},
		{"another secret", spell(nil), digests(sample), false},
		{"the digest's own bytes", string(func() []byte { d := DigestOf(sample); return d[:] }()), digests(sample), false},
		{"first of two, while one overlaps", sample, digests(sample, "previous"), true},
		{"second of two, while one overlaps", "previous", digests(sample, "previous"), true},
		{"one digest twice", sample, digests(sample, sample), true},
		{"A21 trailing space", sample + " ", digests(sample), false},
		{"A21 trailing newline", sample + "\n", digests(sample), false},
		{"A21 trailing NUL", sample + "\x00", digests(sample), false},
		{"A21 truncated", sample[:len(sample)-1], digests(sample), false},
		{"A21 secret of 100 bytes", long, digests(long), true},
		{"A21 73rd byte changed", changed73rd, digests(long), false},
		{"A22 longest that is hashed", huge[:MaxLength], digests(huge[:MaxLength]), true},
		// Even with its digest on file: nothing that long gets as far as the hash.
		{"A22 one byte too long", huge[:MaxLength+1], digests(huge[:MaxLength+1]), false},
		{"A22 60 KiB", huge, digests(huge), false},
		{"A24 no digest", sample, nil, false},
		{"A24 empty secret, no digest", "", nil, false},
		{"A24 empty secret, digest of the empty secret", "", digests(""), false},
		{"A24 empty secret, zero digest", "", []Digest{{}}, false},
		{"A24 zero digest", sample, []Digest{{}}, false},
		{"A24 zero digest beside the right one", sample, []Digest{{}, DigestOf(sample)}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Match(test.secret, accepting(test.digests...), noon) != nil; got != test.want {
				t.Errorf("Match: %t", got)
			}
		})
	}
}

var noon = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)

func accepting(digests ...Digest) []Accepted {
	var accepted []Accepted
	for i, digest := range digests {
		accepted = append(accepted, Accepted{Digest: digest, Version: int64(i + 1), Use: new(Use)})
	}
	return accepted
}

// Of several secrets the one that was shown is found, and one that has ended is as good as wrong.
func TestMatchTellsWhichAndWhen(t *testing.T) {
	accepted := accepting(DigestOf("present"), DigestOf("before"))
	accepted[1].Expires = noon.Unix()
	for _, test := range []struct {
		secret string
		now    time.Time
		want   int64 // 0: none
	}{
		{"present", noon.Add(1000 * time.Hour), 1},
		{"before", noon.Add(-time.Second), 2},
		{"before", noon.Add(-time.Nanosecond), 2},
		{"before", noon, 0},
		{"before", noon.Add(time.Hour), 0},
		{"neither", noon.Add(-time.Hour), 0},
	} {
		var got int64
		if match := Match(test.secret, accepted, test.now); match != nil {
			got = match.Version
		}
		if got != test.want {
			t.Errorf("%s at %v is version %d, want %d", test.secret, test.now, got, test.want)
		}
	}
}

// A client in full use writes to the shared memory once a minute at most.
func TestUse(t *testing.T) {
	var use Use
	for _, step := range []struct {
		at   time.Time
		want time.Time
	}{
		{noon, noon},
		{noon.Add(59 * time.Second), noon},
		{noon.Add(time.Minute), noon.Add(time.Minute)},
		{noon.Add(-time.Hour), noon.Add(time.Minute)}, // A clock that was set back.
	} {
		if use.Mark(step.at); use.Last() != step.want.Unix() {
			t.Errorf("after a use at %v it is %d", step.at, use.Last())
		}
	}
	(*Use)(nil).Mark(noon) // As an unknown client has none.
}

func FuzzWellFormed(f *testing.F) {
	f.Add([]byte(nil), uint(0), byte('K'), "")
	f.Add([]byte("an example, and no randomness"), uint(9), byte('\n'), sample)
	f.Add([]byte("\xff\xff\xff"), uint(56), byte('='), "kubemint_"+strings.Repeat("\r\n", 24))
	form := regexp.MustCompile(`^kubemint_[A-Za-z0-9_-]{48}$`)
	f.Fuzz(func(t *testing.T, entropy []byte, position uint, replacement byte, arbitrary string) {
		secret := spell(entropy)
		if !WellFormed(secret) {
			t.Fatalf("%q is not well-formed", secret)
		}
		changed := []byte(secret)
		changed[position%uint(len(changed))] = replacement
		if string(changed) != secret && WellFormed(string(changed)) {
			t.Fatalf("%q, changed to %q, is still well-formed", secret, changed)
		}
		if WellFormed(arbitrary) && !form.MatchString(arbitrary) {
			t.Fatalf("%q is well-formed", arbitrary)
		}
	})
}
