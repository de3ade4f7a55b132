package tokenserver_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/kubemint/kubemint/tokenserver/credential"
)

// Secrets of no form that Kubemint generates: what it reads is the protocol's.
const (
	specialID     = "a b"
	specialSecret = "p%&+:£€"
	colonSecret   = ":raw:colons:"
	plusSecret    = "a+raw+plus+sign"
)

func TestClientAuthentication(t *testing.T) {
	longSecret := strings.Repeat("s", 72) + "12345678"
	s := start(t, newCluster(t, map[string]string{specialID: specialSecret, "billing.colon": colonSecret,
		"billing.plus": plusSecret, "billing.long": longSecret, "billing.huge": strings.Repeat("s", 60<<10)}))
	s.add("billing.secretless") // As one that is registered for another method.
	s.add("billing.empty").Credentials = []credential.Accepted{{}, {Digest: credential.DigestOf("")}}

	right := post(grantType)
	authorized := func(values ...string) request { return right.with("Authorization", values...) }
	beside := func(parameters string) request { return post(grantType + "&" + parameters) }
	inBody := "client_id=" + worker + "&client_secret="
	s.run(t, []row{
		{"A01 Basic", right.as(worker, secret), issued},
		{"A02 body", postSecret(worker, secret), issued},
		{"A03 no credentials", right.anonymous(), uniform401},
		{"A03 client_id alone", beside("client_id=" + worker).anonymous(), uniform401},
		{"A04 Basic, wrong secret", right.as(worker, "wrong-secret"), uniform401},
		{"A04 Basic, another client's secret", right.as("billing.long", secret), uniform401},
		{"A05 Basic, unknown id", right.as("billing.unknown", secret), uniform401},
		{"A05 Basic, the id in another case", right.as("Billing.Worker", secret), uniform401},
		{"A06 body, wrong secret", postSecret(worker, "wrong-secret"), uniform401},
		{"A06 body, unknown id", postSecret("billing.unknown", secret), uniform401},
		{"A09 form-encoded specials", authorized(rawBasic("a+b:p%25%26%2B%3A%C2%A3%E2%82%AC")), issued},
		{"A09 form-encoded specials in the body", postSecret(specialID, specialSecret), issued},
		{"A10 raw colons in the secret", authorized(rawBasic("billing.colon:" + colonSecret)), issued},
		{"A10 encoded colons in the secret", right.as("billing.colon", colonSecret), issued},
		{"A11 raw specials", authorized(rawBasic(specialID + ":" + specialSecret)), uniform401},
		{"A11 raw plus sign: no second try", authorized(rawBasic("billing.plus:" + plusSecret)), uniform401},
		{"A11 encoded plus sign", right.as("billing.plus", plusSecret), issued},
		{"A11 an issued secret is the same raw", authorized(rawBasic(worker + ":" + secret)), issued},
		{"A12 bad base64", authorized("Basic !!!!"), uniform401},
		{"A12 no colon", authorized(rawBasic(worker)), uniform401},
		{"A12 empty id", right.as("", secret), uniform401},
		{"A12 %zz", authorized(rawBasic(worker + ":%zz")), uniform401},
		{"A12 only the scheme", authorized("Basic"), uniform401},
		{"A12 empty header", authorized(""), uniform401},
		{"A13 basic", authorized(strings.Replace(basic(worker, secret), "Basic", "basic", 1)), issued},
		{"A13 BASIC", authorized(strings.Replace(basic(worker, secret), "Basic", "BASIC", 1)), issued},
		{"A13 two spaces", authorized(strings.Replace(basic(worker, secret), " ", "  ", 1)), issued},
		{"A14 Bearer", authorized("Bearer " + secret), uniform401},
		{"A14 Negotiate", authorized("Negotiate YIIJvwYGKwYBBQUC"), uniform401},
		{"A14 DPoP", authorized("DPoP eyJhbGciOi.eyJqdGki.c2ln"), uniform401},
		{"A15 two Authorization headers, equal", authorized(basic(worker, secret), basic(worker, secret)), invalidRequest},
		{"A15 two Authorization headers, different", authorized(basic(worker, secret), "Bearer x"), invalidRequest},
		{"A16 Basic and body secret, equal", beside(inBody + secret), invalidRequest},
		{"A16 Basic and body secret, different", beside(inBody + "wrong-secret"), invalidRequest},
		{"A16 Basic and body secret without client_id", beside("client_secret=" + secret), invalidRequest},
		{"A17 Basic and client_id, equal", beside("client_id=" + worker), issued},
		{"A18 Basic and client_id, different", beside("client_id=billing.other"), invalidRequest},
		{"A19 Basic and client_assertion", beside("client_assertion=a.b.c"), invalidRequest},
		{"A19 body secret and client_assertion", beside(inBody + secret + "&client_assertion=a.b.c").anonymous(), invalidRequest},
		{"A20 client without a secret", right.as("billing.secretless", secret), uniform401},
		{"A21 secret of 80 bytes", right.as("billing.long", longSecret), issued},
		{"A21 its 73rd byte changed", right.as("billing.long", longSecret[:72]+"X"+longSecret[73:]), uniform401},
		{"A21 cut after 72 bytes", right.as("billing.long", longSecret[:72]), uniform401},
		{"A21 trailing space", right.as(worker, secret+" "), uniform401},
		{"A21 trailing newline", right.as(worker, secret+"\n"), uniform401},
		{"A21 trailing NUL", right.as(worker, secret+"\x00"), uniform401},
		{"A21 trailing space in the body", postSecret(worker, secret+" "), uniform401},
		{"A21 leading space in the body", postSecret(worker, " "+secret), uniform401},
		// Refused for its length, for it is the right one.
		{"A22 secret of 60 KiB", postSecret("billing.huge", strings.Repeat("s", 60<<10)), uniform401},
		{"A24 empty stored secret, Basic", right.as("billing.empty", ""), uniform401},
		{"A24 empty stored secret, body", postSecret("billing.empty", ""), uniform401},
		{"A24 empty stored secret, some other", right.as("billing.empty", strings.Repeat("0", 32)), uniform401},
	})
}

// A23: while there are two secrets, both are right, until the second at which the one from before ends.
func TestA23PreviousSecret(t *testing.T) {
	previous, current := credential.Generate(), credential.Generate()
	s := start(t, newCluster(t, nil))
	s.add("billing.rotating", current, previous)
	s.run(t, []row{
		{"A23 current secret", post(grantType).as("billing.rotating", current), issued},
		{"A23 previous secret inside the overlap", post(grantType).as("billing.rotating", previous), issued},
	})
	s.change(func() { s.add("billing.rotating", current) })
	s.run(t, []row{
		{"A23 current secret after the overlap", post(grantType).as("billing.rotating", current), issued},
		{"A23 previous secret after the overlap", post(grantType).as("billing.rotating", previous), uniform401},
	})
	// The edge, to the second, by the server's clock.
	ending := func(at int64) {
		s.change(func() {
			client := s.add("billing.rotating", current, previous)
			client.Credentials[1].Expires = at
		})
	}
	ending(noon.Unix() + 1)
	s.run(t, []row{{"A23 previous secret a second before its end", post(grantType).as("billing.rotating", previous), issued}})
	ending(noon.Unix())
	s.run(t, []row{
		{"A23 previous secret at its end", post(grantType).as("billing.rotating", previous), uniform401},
		{"A23 current secret then", post(grantType).as("billing.rotating", current), issued},
	})
}

// A05: whoever reads the wire learns nothing either. The status line and the headers' order are compared too.
func TestA05UnknownClientAndWrongSecretAreTheSameBytes(t *testing.T) {
	s := start(t, newCluster(t, nil))
	handler := newHandler(t, s.cluster)
	var first []byte
	for name, request := range map[string]request{
		"wrong secret":   post(grantType).as(worker, "wrong-secret"),
		"unknown client": post(grantType).as("billing.unknown", "wrong-secret"),
		"in the body":    postSecret("billing.unknown", "wrong-secret"),
		"no credentials": post(grantType).anonymous(),
	} {
		var wire bytes.Buffer
		if err := record(handler, http.MethodPost, request.header, request.body).Write(&wire); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = wire.Bytes()
		}
		if !bytes.Equal(wire.Bytes(), first) {
			t.Errorf("%s: %s\nwant %s", name, wire.Bytes(), first)
		}
	}
}
