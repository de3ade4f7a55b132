package scope

import (
	"errors"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const (
	issuer = "https://issuer.example"
	shop   = "https://orders.shop.svc"
	bank   = "urn:example:bank"
)

// at returns an access where all that is listed is granted, but what begins with a minus.
func at(audience string, listed ...string) Access {
	var all, granted []string
	for _, token := range listed {
		name, denied := strings.CutPrefix(token, "-")
		all = append(all, name)
		if !denied {
			granted = append(granted, name)
		}
	}
	return Access{Audience: audience, AtIssuer: audience == issuer, Listed: NewSet(all...), Grant: Granted(granted, nil), ByDefault: true}
}

func notByDefault(a Access) Access {
	a.ByDefault = false
	return a
}

func TestAccesses(t *testing.T) {
	single := Accesses{at(shop, "orders:read", "-orders:write")}
	beside := Accesses{at(issuer, "invoices:read", "invoices:write"), at(shop, "orders:read", "-orders:write"), at(bank, "accounts:read", "orders:read")}
	nowhere := Accesses{at(issuer, "invoices:read"), at("", "-orders:read")}
	several := beside[1:]
	for _, test := range []struct {
		name      string
		of        Accesses
		resources []string
		parameter string
		audience  string
		scopes    string
		err       error
	}{
		{"G14 resource and scope", beside, []string{shop}, "orders:read", shop, "orders:read", nil},
		{"G14 resource without scope: all that is granted there", beside, []string{shop}, "", shop, "orders:read", nil},
		{"G14 the issuer's default audience by its name", beside, []string{issuer}, "", issuer, "invoices:read invoices:write", nil},
		{"G14 the same resource twice", beside, []string{bank, bank}, "", bank, "accounts:read orders:read", nil},
		{"G14 one audience only, by its name", single, []string{shop}, "", shop, "orders:read", nil},
		{"G15 relative", beside, []string{"orders.shop.svc"}, "", "", "", ErrTargetMalformed},
		{"G15 relative, a path", beside, []string{"/orders"}, "", "", "", ErrTargetMalformed},
		{"G15 no URI", beside, []string{"https://[orders"}, "", "", "", ErrTargetMalformed},
		{"G15 empty", beside, []string{""}, "", "", "", ErrTargetMalformed},
		{"G15 with fragment", beside, []string{shop + "#a"}, "", "", "", ErrTargetMalformed},
		{"G15 with empty fragment", beside, []string{shop + "#"}, "", "", "", ErrTargetMalformed},
		{"G15 unknown", beside, []string{"https://unknown.example"}, "", "", "", ErrTargetUnknown},
		{"G15 a slash more is another one", beside, []string{shop + "/"}, "", "", "", ErrTargetUnknown},
		{"G15 unknown, one audience only", single, []string{issuer}, "", "", "", ErrTargetUnknown},
		{"G15 of nobody who has an audience", nowhere, []string{"urn:example:none"}, "", "", "", ErrTargetUnknown},
		{"two resources", beside, []string{shop, bank}, "", "", "", ErrTargets},
		{"two resources, the second malformed", beside, []string{shop, "bank"}, "", "", "", ErrTargetMalformed},
		{"G16 scope of one audience, resource of another", beside, []string{shop}, "accounts:read", "", "", ErrNotGranted},
		{"G16 scopes of both", beside, []string{shop}, "accounts:read orders:read", "", "", ErrNotGranted},
		{"G17 scopes of two audiences", beside, nil, "invoices:read accounts:read", "", "", ErrTargetsOfScopes},
		{"G17 scopes of two audiences, not the issuer's", several, nil, "orders:write accounts:read", "", "", ErrTargetsOfScopes},
		{"G19 resource whose scopes were taken back", Accesses{at(issuer, "a"), at(shop, "-orders:read")}, []string{shop}, "orders:read", "", "", ErrNotGranted},
		{"G19 resource whose scopes were taken back, no scope", Accesses{at(issuer, "a"), at(shop, "-orders:read")}, []string{shop}, "", "", "", ErrNothing},
		{"G19 scope taken back, no resource", single, nil, "orders:write", "", "", ErrNotGranted},
		{"scopes of one audience need no resource", beside, nil, "accounts:read", bank, "accounts:read", nil},
		{"scopes of the issuer's need no resource", beside, nil, "invoices:write invoices:read", issuer, "invoices:read invoices:write", nil},
		{"no scope: the issuer's", beside, nil, "", issuer, "invoices:read invoices:write", nil},
		{"no scope, one audience only", single, nil, "", shop, "orders:read", nil},
		{"no scope, several", several, nil, "", "", "", ErrTargetAmbiguous},
		{"no scope, several, one has defaults", Accesses{notByDefault(several[0]), several[1]}, nil, "", bank, "accounts:read orders:read", nil},
		{"no scope, none has defaults", Accesses{notByDefault(several[0]), notByDefault(several[1])}, nil, "", "", "", ErrNone},
		{"a scope of two audiences", beside, nil, "orders:read", "", "", ErrTargetAmbiguous},
		{"a scope of two audiences, one the issuer's", Accesses{at(issuer, "read"), at(shop, "read")}, nil, "read", issuer, "read", nil},
		{"a scope that one audience lists and has not, and another has", Accesses{at(shop, "-read"), at(bank, "read")}, nil, "read", "", "", ErrTargetAmbiguous},
		{"a scope that is nowhere", beside, nil, "admin", "", "", ErrNotGranted},
		{"a scope that is nowhere, with one that is", beside, nil, "admin orders:read", "", "", ErrNotGranted},
		{"a scope of nobody who has an audience", nowhere, nil, "orders:read", "", "", ErrNotGranted},
		{"malformed scope", beside, nil, "a  b", "", "", ErrMalformed},
		{"malformed scope, with a resource", beside, []string{shop}, "a  b", "", "", ErrMalformed},
		{"nothing at all", nil, nil, "a", "", "", ErrNotGranted},
		{"nothing at all, no scope", nil, nil, "", "", "", ErrNone},
	} {
		t.Run(test.name, func(t *testing.T) {
			access, scopes, err := test.of.Select(test.resources, test.parameter)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err == nil && (access.Audience != test.audience || scopes.String() != test.scopes) {
				t.Errorf("%q at %s; want %q at %s", scopes, access.Audience, test.scopes, test.audience)
			}
		})
	}
}

// FuzzAccesses: whatever is asked for, what comes out is granted at the audience that comes out, and is what was asked for.
func FuzzAccesses(f *testing.F) {
	f.Add(uint64(1), shop, "orders:read", false)
	f.Add(uint64(2), "", "a b", true)
	f.Add(uint64(3), bank+"#", "c", true)
	f.Add(uint64(4), " https://a b", "\x00", true)
	f.Add(uint64(5), "https://[::1", "", true)
	f.Fuzz(func(t *testing.T, seed uint64, resource, parameter string, named bool) {
		random := rand.New(rand.NewPCG(seed, 2))
		var accesses Accesses
		for _, audience := range []string{issuer, shop, "", resource} {
			if random.IntN(2) == 0 {
				continue
			}
			var listed []string
			for _, token := range append([]string{"a", "b", "orders:read"}, strings.Fields(parameter)...) {
				if random.IntN(2) == 0 {
					listed = append(listed, []string{"", "-"}[random.IntN(2)]+token)
				}
			}
			accesses = append(accesses, at(audience, listed...))
		}
		var resources []string
		if named {
			resources = append(resources, resource)
		}
		access, scopes, err := accesses.Select(resources, parameter)
		if err != nil {
			return
		}
		if !access.Granted.containsAll(scopes) || scopes.Empty() {
			t.Errorf("%q of %q", scopes, access.Granted)
		}
		if asked := NewSet(strings.Split(parameter, " ")...); parameter != "" && asked.String() != scopes.String() {
			t.Errorf("asked for %q, got %q", asked, scopes)
		}
		if named && access.Audience != resource {
			t.Errorf("asked for %q, got %q", resource, access.Audience)
		}
		if uri, err := url.Parse(resource); named && (err != nil || !uri.IsAbs() || strings.Contains(resource, "#")) {
			t.Errorf("a token for %q", resource)
		}
		if !slices.ContainsFunc(accesses, func(a Access) bool { return a.Audience == access.Audience }) {
			t.Errorf("a token for %q, which is no audience of the client", access.Audience)
		}
	})
}
