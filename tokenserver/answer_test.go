package tokenserver_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// How a token request may end: its status, and its error code.
const (
	issued             = "200"
	invalidRequest     = "400 invalid_request"
	invalidScope       = "400 invalid_scope"
	invalidTarget      = "400 invalid_target"
	unauthorizedClient = "400 unauthorized_client"
	unsupportedGrant   = "400 unsupported_grant_type"
	uniform401         = "401 invalid_client"
	notAllowed         = "405 invalid_request"
	tooLarge           = "413 invalid_request"
	unsupportedMedia   = "415 invalid_request"
	serverError        = "500 server_error"
	unavailable        = "503 temporarily_unavailable"
)

// The one answer to every failed client authentication. Each 401 of these tests is compared to it, byte by byte.
const uniformBody = `{"error":"invalid_client",` +
	`"error_description":"client authentication failed: check client_id, and the secret, assertion or certificate"}`

var uniformHeader = http.Header{
	"Cache-Control":          {"no-store"},
	"Content-Length":         {strconv.Itoa(len(uniformBody))},
	"Content-Type":           {"application/json"},
	"Pragma":                 {"no-cache"},
	"Www-Authenticate":       {`Basic realm="kubemint", charset="UTF-8"`},
	"X-Content-Type-Options": {"nosniff"},
}

// outcome is the answer in the words of the constants above.
func (a answer) outcome() string {
	var refusal struct{ Error string }
	_ = json.Unmarshal(a.body, &refusal) // Whether it is JSON, check tells.
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, refusal.Error))
}

// response is a successful answer.
type response struct {
	AccessToken string      `json:"access_token"`
	TokenType   string      `json:"token_type"`
	ExpiresIn   json.Number `json:"expires_in"`
	Scope       string      `json:"scope"`
}

func (a answer) token(t *testing.T) (r response) {
	t.Helper()
	if err := json.Unmarshal(a.body, &r); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return r
}

// allowed are the characters of error and error_description (RFC 6749, section 5.2).
var allowed = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]+$`)

// check checks what CONFORMANCE.md says of every answer of the token endpoint.
func (a answer) check(t *testing.T, method string) {
	t.Helper()
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store",
		"Pragma": "no-cache", "X-Content-Type-Options": "nosniff"} {
		if got := a.header[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%d with %s %q, want %q", a.status, name, got, want)
		}
	}
	for name := range a.header {
		if name == "Set-Cookie" || name == "Location" || strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%d with %s", a.status, name)
		}
	}
	if allow := a.header.Get("Allow"); a.status == http.StatusMethodNotAllowed && allow != http.MethodPost {
		t.Errorf("405 with Allow %q", allow)
	}
	if method == http.MethodHead {
		if len(a.body) > 0 {
			t.Errorf("the answer to HEAD has the body %s", a.body)
		}
		return
	}
	if got, want := a.header.Get("Content-Length"), strconv.Itoa(len(a.body)); got != want {
		t.Errorf("%d with Content-Length %q and a body of %s", a.status, got, want)
	}
	members := object(t, a.body)
	names := slices.Sorted(maps.Keys(members))
	if a.status == http.StatusOK {
		if want := []string{"access_token", "expires_in", "scope", "token_type"}; !slices.Equal(names, want) {
			t.Errorf("the token response has members %q, want %q", names, want)
		}
		return
	}
	if want := []string{"error", "error_description"}; !slices.Equal(names, want) {
		t.Errorf("the error response has members %q, want %q", names, want)
	}
	for name, value := range members {
		if text, _ := value.(string); !allowed.MatchString(text) {
			t.Errorf("%s %q", name, value)
		}
	}
	if a.status == http.StatusUnauthorized {
		a.checkUniform(t)
	}
}

// checkNoEcho checks that an error says nothing that the caller said.
func (a answer) checkNoEcho(t *testing.T, r request) {
	t.Helper()
	for _, sent := range r.sent() {
		if a.status != http.StatusOK && bytes.Contains(a.body, []byte(sent)) {
			t.Errorf("the answer echoes %q: %s", sent, a.body)
		}
	}
}

func (a answer) checkUniform(t *testing.T) {
	t.Helper()
	header := a.header.Clone()
	header.Del("Date")
	if !reflect.DeepEqual(header, uniformHeader) {
		t.Errorf("401 with headers %v, want %v", header, uniformHeader)
	}
	if string(a.body) != uniformBody {
		t.Errorf("401 with body %s, want %s", a.body, uniformBody)
	}
}

// sent returns what the caller chose, less the protocol's own words, which the server may say too, and less what is so
// short that it may stand in any text.
func (r request) sent() []string {
	chosen := append([]string{r.query, r.body, r.header.Get("Origin"), r.header.Get("X-Forwarded-Host")}, r.header["Dpop"]...)
	for _, encoded := range []string{r.query, r.body} {
		values, _ := url.ParseQuery(encoded) // Of a malformed one it returns what is well-formed.
		for name, list := range values {
			chosen = append(append(chosen, name), list...)
		}
	}
	for _, authorization := range r.header["Authorization"] {
		id, secret := credentialsIn(authorization)
		chosen = append(chosen, authorization, id, secret)
	}
	return slices.DeleteFunc(chosen, func(s string) bool {
		return len(s) < 6 || oauth2.Known(s) || strings.TrimSpace(s) == "client_credentials" || s == grantType
	})
}

// secrets returns what no log may hold.
func (r request) secrets() []string {
	values, _ := url.ParseQuery(r.body)
	secrets := slices.Concat(values["client_secret"], r.header["Dpop"])
	for _, authorization := range r.header["Authorization"] {
		_, encoded, _ := strings.Cut(authorization, " ")
		_, secret := credentialsIn(authorization)
		secrets = append(secrets, authorization, encoded, secret)
	}
	return secrets
}

// credentialsIn decodes Basic credentials, leniently: as much as there is.
func credentialsIn(authorization string) (id, secret string) {
	_, encoded, _ := strings.Cut(authorization, " ")
	decoded, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	id, secret, _ = strings.Cut(string(decoded), ":")
	if plain, err := url.QueryUnescape(secret); err == nil {
		secret = plain
	}
	return id, secret
}

// object decodes one JSON object, in which no member may stand twice at any depth.
func object(t *testing.T, encoded []byte) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	value, err := strict(decoder)
	if err == nil {
		if _, after := decoder.Token(); after != io.EOF {
			err = errors.New("there is more after the value")
		}
	}
	members, ok := value.(map[string]any)
	if err != nil || !ok {
		t.Fatalf("not one JSON object (%v): %q", err, encoded)
	}
	return members
}

func strict(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		members := map[string]any{}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			if _, twice := members[name.(string)]; twice {
				return nil, fmt.Errorf("member %q stands there twice", name)
			}
			if members[name.(string)], err = strict(decoder); err != nil {
				return nil, err
			}
		}
		_, err = decoder.Token()
		return members, err
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			element, err := strict(decoder)
			if err != nil {
				return nil, err
			}
			list = append(list, element)
		}
		_, err = decoder.Token()
		return list, err
	}
	return token, nil
}
