package scope

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// parameter is the grammar of RFC 6749, section 3.3, as the text has it.
var parameter = regexp.MustCompile(`\A[\x21\x23-\x5B\x5D-\x7E]+(?: [\x21\x23-\x5B\x5D-\x7E]+)*\z`)

// numbered returns n distinct scopes of a length.
func numbered(n, length int) []string {
	scopes := make([]string, n)
	for i := range scopes {
		scopes[i] = fmt.Sprintf("%0*d", length, i)
	}
	return scopes
}

func TestSelect(t *testing.T) {
	withDefaults := Granted([]string{"read", "write", "delete"}, []string{"read", "write"})
	withoutDefaults := Granted([]string{"read"}, []string{"gone"}) // Its only default is no longer granted.
	most := numbered(64, 128)                                      // As many and as long as a client may have.
	for _, test := range []struct {
		name      string
		grant     Grant
		parameter string
		want      string
		err       error
	}{
		{"G05 scope omitted", withDefaults, "", "read write", nil},
		{"G05 scope omitted, no defaults stated: all that is granted", Granted([]string{"b", "a"}, nil), "", "a b", nil},
		{"G06 scope omitted, no default left", withoutDefaults, "", "", ErrNone},
		{"G06 scope omitted, nothing granted", Grant{}, "", "", ErrNothing},
		{"G07 subset", withDefaults, "write", "write", nil},
		{"G07 beyond the defaults", withDefaults, "delete", "delete", nil},
		{"G07 any order", withDefaults, "write delete read", "delete read write", nil},
		{"G07 no default, yet granted", withoutDefaults, "read", "read", nil},
		{"G08 one granted, one not", withDefaults, "read admin", "", ErrNotGranted},
		{"G08 in the other order", withDefaults, "admin read", "", ErrNotGranted},
		{"nothing granted", Grant{}, "read", "", ErrNotGranted},
		{"G10 quotation mark", withDefaults, `re"ad`, "", ErrMalformed},
		{"G10 backslash", withDefaults, `re\ad`, "", ErrMalformed},
		{"G10 DEL", withDefaults, "read\x7f", "", ErrMalformed},
		{"G10 NUL", withDefaults, "read\x00", "", ErrMalformed},
		{"G10 tab between", withDefaults, "read\twrite", "", ErrMalformed},
		{"G10 newline after", withDefaults, "read\n", "", ErrMalformed},
		{"G10 not ASCII", withDefaults, "lés", "", ErrMalformed},
		{"G10 no-break space between", withDefaults, "read\u00a0write", "", ErrMalformed},
		{"G10 leading space", withDefaults, " read", "", ErrMalformed},
		{"G10 trailing space", withDefaults, "read ", "", ErrMalformed},
		{"G10 double space", withDefaults, "read  write", "", ErrMalformed},
		{"G10 only a space", withDefaults, " ", "", ErrMalformed},
		// Malformed wins over not granted, wherever it stands: the grammar is checked before anything is looked up.
		{"G10 malformed after a scope that is not granted", withDefaults, `admin "`, "", ErrMalformed},
		{"G11 the same twice", withDefaults, "read read", "read", nil},
		{"G11 the same twice, apart", withDefaults, "read write read", "read write", nil},
		{"G12 another case", withDefaults, "READ", "", ErrNotGranted},
		{"G12 wildcard", withDefaults, "read*", "", ErrNotGranted},
		{"G12 only a wildcard", withDefaults, "*", "", ErrNotGranted},
		{"G12 below a granted one", withDefaults, "read.x", "", ErrNotGranted},
		{"G12 a granted one's beginning", withDefaults, "rea", "", ErrNotGranted},
		{"G12 wildcard granted: a name like any other", Granted([]string{"read*"}, nil), "reader", "", ErrNotGranted},
		{"G12 the wildcard itself, granted", Granted([]string{"read*"}, nil), "read*", "read*", nil},
		{"G13 the most that a client may have", Granted(most, nil), strings.Join(most, " "), strings.Join(most, " "), nil},
		{"G13 one scope more", Granted(most, nil), strings.Join(numbered(65, 1), " "), "", ErrMalformed},
		{"G13 50 000 characters", withDefaults, strings.Repeat("a", 50_000), "", ErrMalformed},
		{"G13 10 000 scopes", withDefaults, strings.Join(numbered(10_000, 5), " "), "", ErrMalformed},
		{"G13 10 000 times the same", withDefaults, "read" + strings.Repeat(" read", 9_999), "", ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.grant.Select(test.parameter)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if got.String() != test.want {
				t.Errorf("selected %q, want %q", got, test.want)
			}
		})
	}
}

// G09: nobody learns from an error which scopes exist, nor which of those in a request was at fault.
func TestG09UnknownAndNotGrantedAreTheSameError(t *testing.T) {
	grant := Granted([]string{"read"}, nil)
	for _, parameter := range []string{"others", "unknown", "read unknown", "unknown others read", "READ"} {
		// Compared by identity: an error that wraps ErrNotGranted with the scope's name would fail.
		if _, err := grant.Select(parameter); err != ErrNotGranted {
			t.Errorf("%q: %v, want %v", parameter, err, ErrNotGranted)
		}
	}
}

// G13: the length is checked before the parameter is split, since that happens on the caller's account.
func TestG13TooLongIsRefusedWithoutWork(t *testing.T) {
	grant := Granted([]string{"read"}, nil)
	for _, parameter := range []string{strings.Repeat("a", 50_000), strings.Repeat("a ", 10_000), strings.Repeat(" ", 64)} {
		if allocations := testing.AllocsPerRun(10, func() { _, _ = grant.Select(parameter) }); allocations != 0 {
			t.Errorf("%d characters cost %v allocations", len(parameter), allocations)
		}
	}
}

func TestGranted(t *testing.T) {
	for _, test := range []struct {
		name               string
		scopes, defaults   []string
		granted, byDefault string
	}{
		{"defaults unset: all", []string{"b", "a"}, nil, "a b", "a b"},
		{"defaults named", []string{"a", "b"}, []string{"b"}, "a b", "b"},
		{"default that is not granted is left out", []string{"a", "b"}, []string{"b", "c"}, "a b", "b"},
		// Not "all": the client named its defaults, so that a revoke must not widen them.
		{"no default is granted", []string{"a"}, []string{"c"}, "a", ""},
		{"nothing", nil, nil, "", ""},
		{"what is no scope token is left out", []string{"a", "", "b c", `"`, "é"}, []string{"", "a"}, "a", "a"},
		{"duplicates", []string{"a", "b", "a"}, []string{"a", "a"}, "a b", "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			scopes, defaults := slices.Clone(test.scopes), slices.Clone(test.defaults)
			grant := Granted(scopes, defaults)
			if got := grant.Granted.String(); got != test.granted {
				t.Errorf("granted %q, want %q", got, test.granted)
			}
			if got := grant.Default.String(); got != test.byDefault {
				t.Errorf("default %q, want %q", got, test.byDefault)
			}
			if grant.Default.Empty() != (test.byDefault == "") {
				t.Errorf("Empty() = %t for %q", grant.Default.Empty(), grant.Default)
			}
			// They are slices of an object in the informer's cache.
			if !slices.Equal(scopes, test.scopes) || !slices.Equal(defaults, test.defaults) {
				t.Error("the lists of the OAuthClient were changed")
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "read", "write read", "a a", " ", "a  b", "a ", " a", `"`, `\`, "\x7f", "a\tb", "é", "\xff",
		"!#[]~", strings.Repeat("a ", 63) + "a", strings.Repeat("a ", 64) + "a", strings.Repeat("a", 9000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		set, err := Parse(input)
		if (err == nil) != (parameter.MatchString(input) && len(input) <= 64*129 && strings.Count(input, " ") < 64) {
			t.Fatalf("Parse(%q): %v", input, err)
		}
		if err != nil {
			if !set.Empty() || err != ErrMalformed {
				t.Fatalf("Parse(%q) = %q, %v", input, set, err)
			}
			return
		}
		named := strings.Split(input, " ")
		slices.Sort(named)
		if !slices.Equal(set.Tokens(), slices.Compact(named)) {
			t.Fatalf("Parse(%q) = %q", input, set.Tokens())
		}
		if again, err := Parse(set.String()); err != nil || !slices.Equal(again.Tokens(), set.Tokens()) {
			t.Fatalf("Parse(%q) is %q, which parses as %q, %v", input, set, again.Tokens(), err)
		}
	})
}
