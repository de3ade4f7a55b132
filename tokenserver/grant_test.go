package tokenserver_test

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/kubemint/kubemint/tokenserver/scope"
)

// asking returns a request for scopes.
func asking(scopes string) request { return post(grantType + "&scope=" + url.QueryEscape(scopes)) }

func TestGrant(t *testing.T) {
	s := start(t, newCluster(t, nil))
	s.add("billing.suspended", secret).Suspended = true
	s.add("billing.nodefault", secret).Accesses[0].Grant = scope.Granted([]string{"read"}, []string{"gone"})
	s.add("shop.other", secret).Accesses[0].Grant = scope.Granted([]string{"admin"}, nil)
	s.run(t, []row{
		{"G01 grant_type absent", post("scope=read"), invalidRequest},
		{"G02 authorization_code", post("grant_type=authorization_code&code=abcdefgh"), unsupportedGrant},
		{"G02 refresh_token", post("grant_type=refresh_token&refresh_token=abcdefgh"), unsupportedGrant},
		{"G02 password", post("grant_type=password&username=u&password=abcdefgh"), unsupportedGrant},
		{"G02 device_code", post("grant_type=urn:ietf:params:oauth:grant-type:device_code"), unsupportedGrant},
		{"G02 token-exchange", post("grant_type=urn:ietf:params:oauth:grant-type:token-exchange"), unsupportedGrant},
		{"G02 jwt-bearer", post("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer"), unsupportedGrant},
		{"G02 foo", post("grant_type=foo"), unsupportedGrant},
		{"G03 Client_Credentials", post("grant_type=Client_Credentials"), unsupportedGrant},
		{"G03 two of them", post("grant_type=client_credentials+password"), unsupportedGrant},
		{"G03 trailing space", post("grant_type=client_credentials+"), unsupportedGrant},
		{"G03 leading space", post("grant_type=+client_credentials"), unsupportedGrant},
		{"G04 suspended", post(grantType).as("billing.suspended", secret), unauthorizedClient},
		// Who cannot prove to be the client does not learn that it is suspended.
		{"G04 suspended, wrong secret", post(grantType).as("billing.suspended", "wrong-secret"), uniform401},
		{"G06 scope omitted, no defaults", post(grantType).as("billing.nodefault", secret), invalidScope},
		{"G08 one granted, one not", asking("read admin"), invalidScope},
		{"G08 in the other order", asking("admin read"), invalidScope},
		{"G10 quotation mark", asking(`re"ad`), invalidScope},
		{"G10 backslash", asking(`re\ad`), invalidScope},
		{"G10 DEL", asking("read\x7f"), invalidScope},
		{"G10 tab", asking("read\twrite"), invalidScope},
		{"G10 newline", asking("read\n"), invalidScope},
		{"G10 é", asking("lés"), invalidScope},
		{"G10 leading space", asking(" read"), invalidScope},
		{"G10 trailing space", asking("read "), invalidScope},
		{"G10 double space", asking("read  write"), invalidScope},
		{"G12 another case", asking("READ"), invalidScope},
		{"G12 wildcard", asking("read*"), invalidScope},
		{"G12 below a granted one", asking("read.x"), invalidScope},
		{"G13 50 000 characters", asking(strings.Repeat("a", 50_000)), invalidScope},
		{"G13 10 000 tokens", asking(strings.TrimSpace(strings.Repeat("read ", 10_000))), invalidScope},
		// Before authentication the scope is not even looked at.
		{"G13 50 000 characters, no credentials", asking(strings.Repeat("a", 50_000)).anonymous(), uniform401},
		{"G13 10 000 tokens, wrong secret", asking(strings.Repeat("read ", 10_000)).as(worker, "wrong-secret"), uniform401},
	})
	for _, test := range []struct {
		name    string
		request request
		want    string
	}{
		{"G05 scope omitted: the defaults", post(grantType), "read write"},
		{"G07 subset", asking("write"), "write"},
		{"G07 beyond the defaults, any order", asking("write delete"), "delete write"},
		{"G11 the same twice", asking("read read"), "read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			granted := s.token(t, test.request)
			attest(t, "scope "+test.want, "scope "+granted.Scope)
			if _, claims := s.verify(t, granted.AccessToken); granted.Scope != test.want || claims["scope"] != test.want {
				t.Errorf("scope %q, in the token %q, want %q", granted.Scope, claims["scope"], test.want)
			}
		})
	}
	t.Run("G18 audience is ignored", func(t *testing.T) {
		_, claims := s.verify(t, s.token(t, post(grantType+"&audience=https%3A%2F%2Fevil.test")).AccessToken)
		if attest(t, "aud "+audience, fmt.Sprint("aud ", claims["aud"])); claims["aud"] != audience {
			t.Errorf("aud = %v", claims["aud"])
		}
	})
	t.Run("G09 unknown and not granted are the same bytes", func(t *testing.T) {
		unknown, notGranted := s.ask(t, s.callers[0], asking("nonsense")), s.ask(t, s.callers[0], asking("admin"))
		if !bytes.Equal(unknown.body, notGranted.body) {
			t.Errorf("unknown: %s\nnot granted: %s", unknown.body, notGranted.body)
		}
	})
	t.Run("G04 suspended and resumed while serving", func(t *testing.T) {
		for _, suspended := range []bool{true, false} {
			s.change(func() { s.add("billing.switched", secret).Suspended = suspended })
			want := map[bool]string{true: unauthorizedClient, false: issued}[suspended]
			got := s.ask(t, s.callers[0], post(grantType).as("billing.switched", secret)).outcome()
			if attest(t, want, got); got != want {
				t.Errorf("suspended %t: answer %s", suspended, got)
			}
		}
	})
}
