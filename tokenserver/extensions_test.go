package tokenserver_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// What this server does not do, it does not do by halves either: the rest of the request counts as if nothing had been said of it,
// or the request is refused. That the metadata says nothing of it either, TestMetadata tells.
func TestExtensions(t *testing.T) {
	s := start(t, newCluster(t, nil))
	const jwtBearer = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
	anonymous := func(parameters string) request { return post(grantType + "&" + parameters).anonymous() }
	as := "client_id=" + worker
	accessToken := s.token(t, post(grantType)).AccessToken
	s.run(t, []row{
		{"J14 access token as client_assertion", anonymous(jwtBearer + "&client_assertion=" + accessToken), uniform401},
		{"J14 as client_assertion of a client_id", anonymous(as + "&" + jwtBearer + "&client_assertion=" + accessToken), uniform401},
		{"C19 assertion of 60 000 dots", anonymous(jwtBearer + "&client_assertion=" + strings.Repeat(".", 60_000)), uniform401},
		{"C20 unknown client_assertion_type", anonymous("client_assertion_type=x&client_assertion=a.b.c"), uniform401},
		{"C20 type without assertion", anonymous(as + "&" + jwtBearer), invalidRequest},
		{"C20 assertion without type", anonymous(as + "&client_assertion=a.b.c"), invalidRequest},
		{"X05 client assertion", anonymous(as + "&" + jwtBearer + "&client_assertion=a.b.c"), uniform401},
		{"X05 client_id alone, as mTLS has it", anonymous(as), uniform401},
		{"X05 certificate in a header", anonymous(as).with("X-Forwarded-Client-Cert", "Subject=\"CN="+worker+"\"").
			with("Client-Cert", ":MIIBqDCCAU6g:"), uniform401},
		{"X05 DPoP as scheme", post(grantType).with("Authorization", "DPoP "+accessToken), uniform401},
	})
	for name, request := range map[string]request{
		"X05 DPoP proof":            post(grantType).with("Dpop", "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJ4In0.c2ln"),
		"X05 authorization_details": post(grantType + "&authorization_details=%5B%7B%22type%22%3A%22admin%22%7D%5D"),
		"X05 requested claims":      post(grantType + "&claims=%7B%22sub%22%3A%22admin%22%7D&cnf=x&dpop_jkt=x"),
	} {
		t.Run(name+" changes nothing", func(t *testing.T) {
			for _, caller := range s.callers {
				a, plain := s.ask(t, caller, request), s.token(t, post(grantType))
				attest(t, issued, a.outcome())
				granted := a.token(t)
				_, claims := s.verify(t, granted.AccessToken)
				_, plainClaims := s.verify(t, plain.AccessToken)
				got, want := slices.Sorted(maps.Keys(claims)), slices.Sorted(maps.Keys(plainClaims))
				if granted.TokenType != "Bearer" || !slices.Equal(got, want) || claims["sub"] != worker {
					t.Errorf("token_type %s, claims %v, want those of %v", granted.TokenType, claims, plainClaims)
				}
			}
		})
	}
}
