package scope

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Access is what a client may get at one audience.
type Access struct {
	// Audience is the aud of the tokens. It is empty where the client asks for scopes of nobody who has an audience (yet).
	Audience string
	// AtIssuer is whether it is the issuer's default audience.
	AtIssuer bool
	// Listed are the scopes that the client's OAuthClient asks for.
	Listed Set
	// Grant is which of them it has.
	Grant
	// ByDefault is whether a request that names neither scope nor resource may mean this audience.
	ByDefault bool
	// Lifetime is how long a token is valid.
	Lifetime time.Duration
	// Claims are extra claims with constant values.
	Claims map[string]string
}

// Accesses are what a client may get, at each audience: the issuer's default one first.
type Accesses []Access

// TargetError is why no audience can be chosen for a request: an invalid_target (RFC 8707, section 2). None says which audiences
// exist.
type TargetError string

func (e TargetError) Error() string { return string(e) }

// Errors of Accesses.Select, beside those of Parse and Grant.Select.
const (
	ErrTargetMalformed = TargetError("resource must be an absolute URI without fragment (RFC 8707, section 2)")
	ErrTargetUnknown   = TargetError("the resource is none that this client's OAuthClient names in spec.resources")
	ErrTargets         = TargetError("a token has one audience: send one request for each resource")
	ErrTargetsOfScopes = TargetError("the scopes are of several audiences, and a token has one: send one request for each, with the parameter resource")
	ErrTargetAmbiguous = TargetError("the request may be for several audiences: name one with the parameter resource")
)

// Select returns where a token is for, and its scopes, by the resource and scope parameters of a request. Without a resource, the
// scopes must be listed for exactly one audience. The issuer's default audience goes before others, so that what a client asked for
// before it had others goes on to be for it; and it counts what the client lists, not what it is granted, so that no audience's
// owner changes what a request means.
func (a Accesses) Select(resources []string, parameter string) (*Access, Set, error) {
	at, err := a.at(resources, parameter)
	if err != nil {
		return nil, Set{}, err
	}
	scopes, err := at.Select(parameter)
	return at, scopes, err
}

// at chooses the audience.
func (a Accesses) at(resources []string, parameter string) (*Access, error) {
	switch {
	case len(resources) > 0:
		return a.named(resources)
	case len(a) == 1:
		return &a[0], nil
	case parameter == "":
		return a.only(func(one *Access) bool { return one.ByDefault }, ErrNone)
	}
	requested, err := Parse(parameter)
	if err != nil {
		return nil, err
	}
	missing := ErrNotGranted
	if a.listed().containsAll(requested) {
		missing = ErrTargetsOfScopes
	}
	return a.only(func(one *Access) bool { return one.Listed.containsAll(requested) }, missing)
}

// named returns the audience that all resource parameters name.
func (a Accesses) named(resources []string) (*Access, error) {
	for _, resource := range resources {
		if parsed, err := url.Parse(resource); err != nil || !parsed.IsAbs() || strings.Contains(resource, "#") {
			return nil, ErrTargetMalformed
		}
		if resource != resources[0] {
			return nil, ErrTargets
		}
	}
	i := slices.IndexFunc(a, func(one Access) bool { return one.Audience == resources[0] })
	if i < 0 {
		return nil, ErrTargetUnknown
	}
	return &a[i], nil
}

// only returns the one audience that fits: the issuer's default one if it does. An error says that none does.
func (a Accesses) only(fits func(*Access) bool, none error) (*Access, error) {
	var found *Access
	for i := range a {
		one := &a[i]
		switch {
		case !fits(one):
			continue
		case one.AtIssuer:
			return one, nil
		case found != nil:
			return nil, ErrTargetAmbiguous
		}
		found = one
	}
	if found == nil {
		return nil, none
	}
	return found, nil
}

// listed returns all scopes that the client's OAuthClient asks for.
func (a Accesses) listed() Set {
	var tokens []string
	for i := range a {
		tokens = append(tokens, a[i].Listed.Tokens()...)
	}
	return NewSet(tokens...)
}
