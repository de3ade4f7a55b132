package tokenserver_test

import "testing"

func TestParameters(t *testing.T) {
	s := start(t, newCluster(t, nil))
	const jwtBearer = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
	inBody := "&client_id=" + worker + "&client_secret=" + secret
	s.run(t, []row{
		// Each of these would be answered otherwise if the first of the two values, or the last, were taken.
		{"P01 grant_type twice, same", post(grantType + "&" + grantType), invalidRequest},
		{"P01 grant_type twice, different", post(grantType + "&grant_type=password"), invalidRequest},
		{"P01 grant_type twice, the other one first", post("grant_type=password&" + grantType), invalidRequest},
		{"P01 scope twice, same", post(grantType + "&scope=read&scope=read"), invalidRequest},
		{"P01 scope twice, different", post(grantType + "&scope=read&scope=write"), invalidRequest},
		{"P01 client_id twice, same", post(grantType + "&client_id=" + worker + "&client_id=" + worker), invalidRequest},
		{"P01 client_id twice, different", post(grantType + "&client_id=" + worker + "&client_id=other"), invalidRequest},
		{"P01 client_secret twice, same", post(grantType + inBody + "&client_secret=" + secret).anonymous(), invalidRequest},
		{"P01 client_secret twice, different", post(grantType + inBody + "&client_secret=wrong").anonymous(), invalidRequest},
		{"P01 client_assertion twice, same",
			post(grantType + "&client_assertion=a.b.c&client_assertion=a.b.c").anonymous(), invalidRequest},
		{"P01 client_assertion twice, different",
			post(grantType + "&client_assertion=a.b.c&client_assertion=d.e.f").anonymous(), invalidRequest},
		{"P01 client_assertion_type twice, same",
			post(grantType + "&client_assertion_type=" + jwtBearer + "&client_assertion_type=" + jwtBearer), invalidRequest},
		{"P01 client_assertion_type twice, different",
			post(grantType + "&client_assertion_type=" + jwtBearer + "&client_assertion_type=x"), invalidRequest},
		{"P01 empty, then a value", post("grant_type=&" + grantType), invalidRequest},

		{"P02 resource twice", post(grantType + "&resource=https%3A%2F%2Fapi.test&resource=https%3A%2F%2Fapi.test"), issued},
		{"P02 two resources", post(grantType + "&resource=https%3A%2F%2Fapi.test&resource=https%3A%2F%2Fb.test"), invalidTarget},
		{"P02 resource empty", post(grantType + "&resource="), issued},
		{"P03 unknown parameter", post(grantType + "&foo=bar"), issued},
		{"P04 unknown parameter twice", post(grantType + "&foo=bar&foo=baz"), issued},
		{"P05 grant_type=", post("grant_type="), invalidRequest},
		{"P07 client_secret= in the body, no Basic",
			post(grantType + "&client_id=" + worker + "&client_secret=").anonymous(), uniform401},

		{"P08 client_id in the query", post(grantType).asking("client_id=" + worker), invalidRequest},
		{"P08 client_secret in the query", post(grantType).asking("client_secret=" + secret), invalidRequest},
		{"P08 client_assertion in the query", post(grantType).asking("client_assertion=a.b.c"), invalidRequest},
		{"P08 client_assertion_type in the query", post(grantType).asking("client_assertion_type=" + jwtBearer), invalidRequest},
		{"P08 grant_type in the query", post(grantType).asking(grantType), invalidRequest},
		{"P08 scope in the query", post(grantType).asking("x=1&scope=read"), invalidRequest},
		{"P08 escaped name", post(grantType).asking("s%63ope=read"), invalidRequest},
		{"P08 the query is not merged", post("").asking(grantType), invalidRequest},
		{"P09 another query is ignored", post(grantType).asking("x=1"), issued},
		{"P09 a query that is not well-formed is ignored", post(grantType).asking("x=%zz&;"), issued},

		{"P10 %zz", post(grantType + "&scope=%zz"), invalidRequest},
		{"P10 truncated escape", post(grantType + "&scope=read%2"), invalidRequest},
		{"P10 semicolon as separator", post(grantType + "&x=1;scope=read"), invalidRequest},
		{"P11 invalid UTF-8 in grant_type", post(grantType + "%FF%FE"), invalidRequest},
		{"P11 invalid UTF-8 in scope", post(grantType + "&scope=%FF%FE"), invalidRequest},
		{"P11 invalid UTF-8 in client_id", post(grantType + "&client_id=%FF%FE"), invalidRequest},
		{"P11 invalid UTF-8 in client_secret", post(grantType + inBody + "%FF%FE").anonymous(), invalidRequest},
		{"P11 invalid UTF-8 in an unknown parameter", post(grantType + "&foo=%FF%FE"), invalidRequest},
		{"P12 NUL in grant_type", post(grantType + "%00"), invalidRequest},
		{"P12 NUL in client_id", post(grantType + "&client_id=" + worker + "%00"), invalidRequest},
		{"P12 newline in client_secret", post(grantType + inBody + "%0A").anonymous(), invalidRequest},
		{"P12 C1 control character in client_id", postSecret(worker+"\u0085", secret), invalidRequest},
		{"P12 NUL in an unknown parameter", post(grantType + "&foo=%00"), invalidRequest},
		{"P12 NUL in the id of Basic", post(grantType).as(worker+"\x00", secret), uniform401},
		{"P12 C1 control character in the id of Basic", post(grantType).as(worker+"\u0085", secret), uniform401},
		// The answer that G10 gives to any other scope that its grammar does not allow.
		{"P12 NUL in scope", post(grantType + "&scope=read%00"), invalidScope},
		{"P14 Grant_Type", post("Grant_Type=client_credentials"), invalidRequest},
		{"P15 byte order mark before the first name", post("\ufeff" + grantType), invalidRequest},
		{"P15 CRLF after the body", post(grantType + "\r\n"), issued},
	})
	for _, test := range []struct{ name, body, want string }{
		{"P06 scope= is scope omitted", grantType + "&scope=", "read write"},
		{"P13 space as +", grantType + "&scope=delete+read", "delete read"},
		{"P13 space as %20", grantType + "&scope=delete%20read", "delete read"},
		{"P15 CRLF is not part of the last value", grantType + "&scope=read\r\n", "read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := s.token(t, post(test.body)).Scope
			if attest(t, "scope "+test.want, "scope "+got); got != test.want {
				t.Errorf("scope %q, want %q", got, test.want)
			}
		})
	}
}
