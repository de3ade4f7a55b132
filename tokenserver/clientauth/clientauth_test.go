package clientauth

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// basic returns an Authorization header of an id and a secret that are encoded already.
func basic(id, secret string) string { return "Basic " + encode(id+":"+secret) }

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func post(id, secret string) oauth2.Form {
	return oauth2.Form{oauth2.ParamClientID: id, oauth2.ParamClientSecret: secret}
}

// The two refusals that a request can meet.
const (
	uniform401     = "invalid_client"
	invalidRequest = "invalid_request"
)

func TestRead(t *testing.T) {
	const id, secret = "billing.invoices", "s3cret-_"
	right := basic(id, secret)
	viaBasic := Credentials{Method: ClientSecretBasic, ClientID: id, secret: secret}
	viaPost := Credentials{Method: ClientSecretPost, ClientID: id, secret: secret}
	issued := credential.Generate()
	accepted := map[Method]bool{PrivateKeyJWT: true} // By TestAssertions.

	none := oauth2.Form{}
	for _, test := range []struct {
		name          string
		authorization []string
		form          oauth2.Form
		want          Credentials // where the request is accepted
		refused       string      // where it is not
	}{
		{"A01 Basic", []string{right}, none, viaBasic, ""},
		{"A02 body", nil, post(id, secret), viaPost, ""},
		{"A03 no credentials", nil, none, Credentials{}, uniform401},
		{"A03 client_id alone", nil, oauth2.Form{oauth2.ParamClientID: id}, Credentials{}, uniform401},
		{"A03 client_secret alone", nil, oauth2.Form{oauth2.ParamClientSecret: secret}, Credentials{}, uniform401},
		{"A09 form-encoded specials", []string{basic("a+b", "p%25%26%2B%3A%C2%A3%E2%82%AC")}, none,
			Credentials{Method: ClientSecretBasic, ClientID: "a b", secret: "p%&+:£€"}, ""},
		{"A09 space as %20", []string{basic("a%20b", "c%20d")}, none,
			Credentials{Method: ClientSecretBasic, ClientID: "a b", secret: "c d"}, ""},
		{"A09 body is decoded once only, by the form", nil, post("a b", "p%25&+"),
			Credentials{Method: ClientSecretPost, ClientID: "a b", secret: "p%25&+"}, ""},
		{"A10 raw colons in the secret", []string{basic(id, "a::b:")}, none,
			Credentials{Method: ClientSecretBasic, ClientID: id, secret: "a::b:"}, ""},
		{"A10 encoded colon in the id", []string{basic("a%3Ab", "c")}, none,
			Credentials{Method: ClientSecretBasic, ClientID: "a:b", secret: "c"}, ""},
		{"A11 raw percent sign", []string{basic(id, "p%&")}, none, Credentials{}, uniform401},
		// Read as the space that it stands for, never as itself too.
		{"A11 raw plus sign", []string{basic(id, "a+b")}, none,
			Credentials{Method: ClientSecretBasic, ClientID: id, secret: "a b"}, ""},
		{"A11 issued secret: raw is encoded", []string{basic(id, issued)}, none,
			Credentials{Method: ClientSecretBasic, ClientID: id, secret: issued}, ""},
		{"A12 not base64", []string{"Basic !!!!"}, none, Credentials{}, uniform401},
		{"A12 base64 without padding", []string{"Basic " + strings.TrimRight(encode("a:bcd"), "=")}, none, Credentials{}, uniform401},
		{"A12 base64url", []string{"Basic " + base64.URLEncoding.EncodeToString([]byte("a:???>>>"))}, none, Credentials{}, uniform401},
		{"A12 something after the base64", []string{right + " x"}, none, Credentials{}, uniform401},
		{"A12 no colon", []string{"Basic " + encode(id)}, none, Credentials{}, uniform401},
		{"A12 empty id", []string{basic("", secret)}, none, Credentials{}, uniform401},
		{"A12 empty secret", []string{basic(id, "")}, none, Credentials{}, uniform401},
		{"A12 %zz in the id", []string{basic("%zz", secret)}, none, Credentials{}, uniform401},
		{"A12 %zz in the secret", []string{basic(id, "%zz")}, none, Credentials{}, uniform401},
		{"A12 only the scheme", []string{"Basic"}, none, Credentials{}, uniform401},
		{"A12 nothing after the scheme", []string{"Basic "}, none, Credentials{}, uniform401},
		{"A12 empty header", []string{""}, none, Credentials{}, uniform401},
		{"P11 invalid UTF-8 in the id", []string{basic("%FF%FE", secret)}, none, Credentials{}, uniform401},
		{"P11 invalid UTF-8 in the secret", []string{basic(id, "\xff")}, none, Credentials{}, uniform401},
		{"P12 NUL in the id", []string{basic("a%00", secret)}, none, Credentials{}, uniform401},
		{"P12 newline in the secret", []string{basic(id, secret+"\n")}, none, Credentials{}, uniform401},
		{"P12 DEL in the secret", []string{basic(id, "%7F")}, none, Credentials{}, uniform401},
		{"A13 basic", []string{"basic " + encode(id+":"+secret)}, none, viaBasic, ""},
		{"A13 BASIC", []string{"BASIC " + encode(id+":"+secret)}, none, viaBasic, ""},
		{"A13 two spaces", []string{"Basic  " + encode(id+":"+secret)}, none, viaBasic, ""},
		{"A14 Bearer", []string{"Bearer " + encode(id+":"+secret)}, none, Credentials{}, uniform401},
		{"A14 Negotiate", []string{"Negotiate YII="}, none, Credentials{}, uniform401},
		{"A14 DPoP", []string{"DPoP a.b.c"}, none, Credentials{}, uniform401},
		{"A14 Basic without a space", []string{"Basic" + encode(id+":"+secret)}, none, Credentials{}, uniform401},
		// The body does not make up for it: the header is what the caller chose to be judged by.
		{"A14 Bearer beside a right secret", []string{"Bearer x"}, post(id, secret), Credentials{}, uniform401},
		{"A15 two headers, equal", []string{right, right}, none, Credentials{}, invalidRequest},
		{"A15 two headers, different", []string{right, "Bearer x"}, none, Credentials{}, invalidRequest},
		{"A15 two headers, the first empty", []string{"", right}, none, Credentials{}, invalidRequest},
		{"A16 Basic and body secret, equal", []string{right}, post(id, secret), Credentials{}, invalidRequest},
		{"A16 Basic and body secret, different", []string{right}, post("other", "x"), Credentials{}, invalidRequest},
		{"A16 Basic and body secret without client_id", []string{right}, oauth2.Form{oauth2.ParamClientSecret: secret}, Credentials{}, invalidRequest},
		// Which is checked first tells nothing about either.
		{"A16 malformed Basic and body secret", []string{"Basic !"}, post(id, secret), Credentials{}, invalidRequest},
		{"A17 Basic and equal client_id", []string{right}, oauth2.Form{oauth2.ParamClientID: id}, viaBasic, ""},
		{"A18 Basic and different client_id", []string{right}, oauth2.Form{oauth2.ParamClientID: "other"}, Credentials{}, invalidRequest},
		{"A18 Basic and client_id in another case", []string{right}, oauth2.Form{oauth2.ParamClientID: strings.ToUpper(id)}, Credentials{}, invalidRequest},
		{"A18 malformed Basic and client_id", []string{"Basic !"}, oauth2.Form{oauth2.ParamClientID: id}, Credentials{}, uniform401},
		{"A19 secret and assertion", nil, oauth2.Form{oauth2.ParamClientID: id, oauth2.ParamClientSecret: secret, oauth2.ParamClientAssertion: "a.b.c"}, Credentials{}, invalidRequest},
		{"A19 Basic and assertion", []string{right}, oauth2.Form{oauth2.ParamClientAssertion: "a.b.c"}, Credentials{}, invalidRequest},
		{"A19 two headers and assertion", []string{"", right}, oauth2.Form{oauth2.ParamClientAssertion: "a.b.c"}, Credentials{}, invalidRequest},
		{"C20 assertion without type", nil, oauth2.Form{oauth2.ParamClientAssertion: "a.b.c"}, Credentials{}, invalidRequest},
		{"C20 type without assertion", nil, oauth2.Form{oauth2.ParamClientID: id, oauth2.ParamClientAssertionType: assertionType}, Credentials{}, invalidRequest},
		{"C20 unknown type", nil, oauth2.Form{oauth2.ParamClientID: id, oauth2.ParamClientAssertion: "a.b.c", oauth2.ParamClientAssertionType: "x"},
			Credentials{Method: PrivateKeyJWT, ClientID: id, text: "a.b.c"}, uniform401},
		{"no JWT", nil, oauth2.Form{oauth2.ParamClientAssertion: "a.b.c", oauth2.ParamClientAssertionType: assertionType},
			Credentials{Method: PrivateKeyJWT, text: "a.b.c"}, uniform401},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Read(http.Header{"Authorization": test.authorization}, test.form, nil)
			if got != test.want {
				t.Errorf("read %+v, want %+v", got, test.want)
			}
			switch test.refused {
			case "":
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				accepted[got.Method] = true
				if got.Proved(accepting(credential.DigestOf(test.want.secret)), time.Now()) == nil {
					t.Error("the credentials do not prove the client whose secret they hold")
				}
			case uniform401:
				if err == nil || err.Cause == "" || answer(err) != answer(oauth2.InvalidClient) {
					t.Errorf("refused with %v, want a cause for the audit log and the uniform 401", err)
				}
			case invalidRequest:
				if err == nil || err.Status != http.StatusBadRequest || err.Code != "invalid_request" {
					t.Errorf("refused with %v, want invalid_request", err)
				}
			}
		})
	}
	// M08: what the metadata advertises is what is accepted.
	if got, want := slices.Sorted(maps.Keys(accepted)), slices.Sorted(slices.Values(Methods)); !slices.Equal(got, want) {
		t.Errorf("accepted %q, advertised %q", got, want)
	}
}

// answer is an error as the caller sees it.
func answer(err *oauth2.Error) string {
	recorder := httptest.NewRecorder()
	err.Write(recorder)
	var seen strings.Builder
	_ = recorder.Result().Write(&seen)
	return seen.String()
}

func accepting(digests ...credential.Digest) []credential.Accepted {
	var accepted []credential.Accepted
	for _, digest := range digests {
		accepted = append(accepted, credential.Accepted{Digest: digest})
	}
	return accepted
}

func TestProved(t *testing.T) {
	secret := credential.Generate()
	right, wrong := credential.DigestOf(secret), credential.DigestOf(credential.Generate())
	for _, test := range []struct {
		name        string
		credentials Credentials
		digests     []credential.Digest
		want        bool
	}{
		{"right", Credentials{secret: secret}, []credential.Digest{right}, true},
		{"A04 wrong", Credentials{secret: secret}, []credential.Digest{wrong}, false},
		{"A05 unknown client", Credentials{secret: secret}, nil, false},
		{"A23 previous", Credentials{secret: secret}, []credential.Digest{wrong, right}, true},
		{"A24 zero credentials", Credentials{}, []credential.Digest{{}, credential.DigestOf("")}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.credentials.Proved(accepting(test.digests...), time.Now()) != nil; got != test.want {
				t.Errorf("Proved: %t", got)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	right := basic("billing.invoices", "s3cret")
	f.Add(right, "", "")
	f.Add("bAsIc  "+encode("a+b:p%25%26%2B%3A%C2%A3"), "", "client_id=a+b")
	f.Add(basic("a", "b:c+%"), "", "")
	f.Add(basic("", "%zz"), "", "client_id=x")
	f.Add("", "", "client_id=a%20b&client_secret=%2B%25%26")
	f.Add(right, "Bearer x", "client_assertion=a.b.c")
	f.Add(right, "", "client_secret=x")
	f.Add("Basic", "", "client_id=\u0085&client_secret=\ufeff")
	f.Fuzz(func(t *testing.T, authorization, second, body string) {
		form, formErr := oauth2.ParseForm([]byte(body))
		if formErr != nil {
			t.Skip()
		}
		header := http.Header{}
		for _, value := range []string{authorization, second} {
			if value != "" {
				header.Add("Authorization", value)
			}
		}
		got, err := Read(header, form, nil)
		if err != nil {
			if got.assertion != nil && got.issuer != got.subject || err.Code != uniform401 && err.Code != invalidRequest {
				t.Fatalf("Read = %+v, %v", got, err)
			}
			return
		}
		if got.Method == PrivateKeyJWT {
			if got.assertion == nil || got.issuer == "" || got.subject == "" || got.issuer == got.subject && got.ClientID != got.subject {
				t.Fatalf("Read = %+v", got)
			}
			return
		}
		for _, part := range []string{got.ClientID, got.secret} {
			if part == "" || !utf8.ValidString(part) || strings.ContainsFunc(part, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
				t.Fatalf("Read accepted %q", part)
			}
		}
		header, form = encoded(t, got)
		if again, err := Read(header, form, nil); err != nil || again != got {
			t.Fatalf("%+v is read as %+v, %v", got, again, err)
		}
	})
}

// encoded is a request with the credentials, as a client that follows RFC 6749 makes it.
func encoded(t *testing.T, c Credentials) (http.Header, oauth2.Form) {
	switch c.Method { //nolint:exhaustive // The others end the test.
	case ClientSecretBasic:
		return http.Header{"Authorization": {basic(url.QueryEscape(c.ClientID), url.QueryEscape(c.secret))}}, oauth2.Form{}
	case ClientSecretPost:
		form, err := oauth2.ParseForm([]byte(url.Values{"client_id": {c.ClientID}, "client_secret": {c.secret}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		return nil, form
	}
	t.Fatalf("Read accepted by method %q", c.Method)
	return nil, oauth2.Form{}
}
