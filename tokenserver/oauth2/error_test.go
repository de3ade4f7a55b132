package oauth2

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"testing"
)

// headerOf returns the headers that every answer of the token endpoint has, and those of this one.
func headerOf(length string, more ...string) http.Header {
	h := http.Header{
		"Content-Type":           {"application/json"},
		"Content-Length":         {length},
		"Cache-Control":          {"no-store"},
		"Pragma":                 {"no-cache"},
		"X-Content-Type-Options": {"nosniff"},
	}
	for i := 0; i < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return h
}

type writer interface{ Write(w http.ResponseWriter) }

func answerOf(w writer) *http.Response {
	recorder := httptest.NewRecorder()
	w.Write(recorder)
	return recorder.Result()
}

func body(t *testing.T, response *http.Response) string {
	t.Helper()
	text := make([]byte, 4096)
	n, _ := response.Body.Read(text)
	return string(text[:n])
}

func TestWrite(t *testing.T) {
	basic := []string{"WWW-Authenticate", `Basic realm="kubemint", charset="UTF-8"`}
	for _, test := range []struct {
		name   string
		answer writer
		status int
		body   string
		header http.Header
	}{
		{"A04 invalid_client", InvalidClient, 401,
			`{"error":"invalid_client","error_description":"client authentication failed: check client_id, and the secret, assertion or certificate"}`,
			headerOf("136", basic...)},
		{"A05 whatever the cause, the same bytes", InvalidClient.Because("no such client: hunter2"), 401,
			`{"error":"invalid_client","error_description":"client authentication failed: check client_id, and the secret, assertion or certificate"}`,
			headerOf("136", basic...)},
		{"invalid_request", InvalidRequest("a text"), 400,
			`{"error":"invalid_request","error_description":"a text"}`, headerOf("56")},
		{"invalid_scope", InvalidScope("a text"), 400,
			`{"error":"invalid_scope","error_description":"a text"}`, headerOf("54")},
		{"G04 unauthorized_client", UnauthorizedClient("a text"), 400,
			`{"error":"unauthorized_client","error_description":"a text"}`, headerOf("60")},
		{"G02 unsupported_grant_type", UnsupportedGrantType, 400,
			`{"error":"unsupported_grant_type","error_description":"grant_type must be client_credentials"}`, headerOf("94")},
		{"X04 invalid_dpop_proof", InvalidDPoPProof.Because("too old"), 400,
			`{"error":"invalid_dpop_proof","error_description":"the DPoP proof is not valid: send one DPoP header, and for each request a new proof, ` +
				`by the key in its jwk, with the htm POST and the token_endpoint as htu"}`, headerOf("208")},
		{"X04 use_dpop_nonce", UseDPoPNonce, 400,
			`{"error":"use_dpop_nonce","error_description":"the DPoP proof must hold a nonce of this server: make it again with the one in the DPoP-Nonce header"}`,
			headerOf("149")},
		{"T24 temporarily_unavailable", Unavailable.Because("no signing key"), 503,
			`{"error":"temporarily_unavailable","error_description":"this server is not ready: try again shortly"}`,
			headerOf("101", "Retry-After", "2")},
		{"L09 overloaded", Overloaded, 503,
			`{"error":"temporarily_unavailable","error_description":"this server has more requests than it can answer: try again shortly"}`,
			headerOf("125", "Retry-After", "1")},
		{"A25 too many failures", TooManyFailures.Because("unknown client or wrong secret"), 429,
			`{"error":"temporarily_unavailable","error_description":"client authentication failed too often: ` +
				`check client_id, and the secret, assertion or certificate, and wait as long as Retry-After says"}`,
			headerOf("193", "Retry-After", "2")},
		{"no description", &Error{Status: 400, Code: "invalid_request"}, 400, `{"error":"invalid_request"}`, headerOf("27")},
		{"R01 token", &Token{AccessToken: "a.b.c", TokenType: "Bearer", ExpiresIn: 3600, Scope: "read write"}, 200,
			`{"access_token":"a.b.c","token_type":"Bearer","expires_in":3600,"scope":"read write"}`, headerOf("85")},
		{"R03 scope stands even where it is empty", &Token{AccessToken: "a.b.c", TokenType: "Bearer", ExpiresIn: 1}, 200,
			`{"access_token":"a.b.c","token_type":"Bearer","expires_in":1,"scope":""}`, headerOf("72")},
	} {
		t.Run(test.name, func(t *testing.T) {
			response := answerOf(test.answer)
			if response.StatusCode != test.status {
				t.Errorf("status %d, want %d", response.StatusCode, test.status)
			}
			if got := body(t, response); got != test.body {
				t.Errorf("body %s, want %s", got, test.body)
			}
			if !reflect.DeepEqual(response.Header, test.header) {
				t.Errorf("header %v, want %v", response.Header, test.header)
			}
		})
	}
}

// R06: the grammar of scope allows characters that encoding/json escapes for the sake of HTML.
func TestR06ScopeSurvivesTheEncoding(t *testing.T) {
	const scope = "a<b>&'c/d+e%20"
	var decoded map[string]any
	if err := json.NewDecoder(answerOf(&Token{Scope: scope}).Body).Decode(&decoded); err != nil || decoded["scope"] != scope {
		t.Errorf("scope %q, %v; want %q", decoded["scope"], err, scope)
	}
}

// R07: RFC 6749, section 5.2 leaves out the quotation mark, the backslash and all that is not printable ASCII. The texts of
// ParseForm, scope and grant are checked where they are made.
func TestR07DescriptionsKeepTheAllowedCharacters(t *testing.T) {
	allowed := regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]+$`)
	for _, description := range []string{InvalidClient.Description, UnsupportedGrantType.Description, ServerError.Description,
		Unavailable.Description, Overloaded.Description, TooManyFailures.Description, malformed, control, repeated, tooMany, tooLong} {
		if !allowed.MatchString(description) {
			t.Errorf("%q", description)
		}
	}
}

func TestBecause(t *testing.T) {
	before := *InvalidClient
	because := InvalidClient.Because("unknown client")
	// The value is shared by all requests: one's cause must not show up in the log line of another.
	if *InvalidClient != before || before.Cause != "" {
		t.Errorf("the shared value now has cause %q", InvalidClient.Cause)
	}
	if got, want := because.Error(), "invalid_client: unknown client"; got != want {
		t.Errorf("logged as %q, want %q", got, want)
	}
	if got, want := InvalidRequest("a text").Error(), "invalid_request: a text"; got != want {
		t.Errorf("logged as %q, want %q", got, want)
	}
}
