// Package scope holds the grammar of OAuth scopes, sets of them, and what a client may ask for at each audience.
package scope

import (
	"errors"
	"iter"
	"slices"
	"strings"
)

// Bounds of a request's scope parameter. A client has at most 64 scopes of at most 128 bytes.
const (
	maxTokens = 64
	maxBytes  = maxTokens * (128 + 1)
)

// Errors of Parse and Select. Neither says which scope was at fault, so that nobody learns from them which scopes exist.
var (
	ErrMalformed  = errors.New("the scope parameter is scope tokens separated by single spaces (RFC 6749, section 3.3)")
	ErrNotGranted = errors.New("a requested scope is not granted to this client")
	ErrNone       = errors.New("no scope was requested, and this client has no default scope")
	ErrNothing    = errors.New("no scope is granted to this client there: the status of its OAuthClient says who can change that")
)

// Set is a set of scopes, sorted and without duplicates. The zero Set is empty.
type Set struct {
	// text is the tokens as a scope parameter, which each request asks for: so that a set is little memory, in one place.
	text string
}

// NewSet returns the set of those tokens that are scope tokens.
func NewSet[S ~string](tokens ...S) Set {
	valid := make([]string, 0, len(tokens))
	for _, token := range tokens {
		if validToken(string(token)) {
			valid = append(valid, string(token))
		}
	}
	slices.Sort(valid)
	return Set{strings.Join(slices.Compact(valid), " ")}
}

// SetOf returns the set of which String returned a text. It takes the text as it is.
func SetOf(text string) Set { return Set{text} }

// Tokens returns the scopes of the set, sorted.
func (s Set) Tokens() []string { return strings.Fields(s.text) }

// String returns the set as a scope parameter or claim.
func (s Set) String() string { return s.text }

// Empty reports whether the set has no scope.
func (s Set) Empty() bool { return s.text == "" }

// containsAll reports whether the scopes of other are all in s. Both being sorted, it looks at each only once.
func (s Set) containsAll(other Set) bool {
	rest := s.text
	for token := range other.all() {
		found := false
		for !found && rest != "" {
			var next string
			next, rest, _ = strings.Cut(rest, " ")
			found = next == token
		}
		if !found {
			return false
		}
	}
	return true
}

// all goes through the scopes of the set, sorted.
func (s Set) all() iter.Seq[string] { return strings.FieldsSeq(s.text) }

// within returns the scopes of s that are also in other.
func (s Set) within(other Set) Set {
	return NewSet(slices.DeleteFunc(s.Tokens(), func(token string) bool { return !other.containsAll(Set{token}) })...)
}

// Grant is what a client may ask for.
type Grant struct {
	// Granted are the scopes that a request may name.
	Granted Set
	// Default are the scopes of a request that names none.
	Default Set
}

// Granted says what a client may ask for at one audience, given the scopes that it has there and the default scopes that its
// OAuthClient states.
func Granted[S ~string](scopes, defaultScopes []S) Grant {
	granted := NewSet(scopes...)
	if len(defaultScopes) == 0 {
		return Grant{Granted: granted, Default: granted}
	}
	return Grant{Granted: granted, Default: NewSet(defaultScopes...).within(granted)}
}

// Select returns the scopes of a token for a request's scope parameter: those that it names, all of which must be granted, or
// the client's defaults where it names none. Matching is exact and case-sensitive. The errors are those of this package.
func (g Grant) Select(parameter string) (Set, error) {
	if parameter == "" {
		return g.Default, g.missingDefault()
	}
	requested, err := Parse(parameter)
	if err != nil {
		return Set{}, err
	}
	if !g.Granted.containsAll(requested) {
		return Set{}, ErrNotGranted
	}
	return requested, nil
}

// missingDefault returns why a request that names no scope gets none, or nil.
func (g Grant) missingDefault() error {
	switch {
	case g.Granted.Empty():
		return ErrNothing
	case g.Default.Empty():
		return ErrNone
	}
	return nil
}

// Parse parses a scope parameter by RFC 6749, section 3.3: scope tokens with one space between each.
func Parse(parameter string) (Set, error) {
	if len(parameter) > maxBytes || strings.Count(parameter, " ") >= maxTokens {
		return Set{}, ErrMalformed
	}
	tokens := strings.Split(parameter, " ")
	for _, token := range tokens {
		if !validToken(token) {
			return Set{}, ErrMalformed
		}
	}
	return NewSet(tokens...), nil
}

// validToken checks scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
func validToken(token string) bool {
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return token != ""
}
