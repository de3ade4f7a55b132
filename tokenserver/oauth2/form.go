package oauth2

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The parameters of a token request that this server knows. Each may stand in a request once; any other parameter is ignored,
// repeated or not (RFC 6749, section 3.2).
const (
	ParamGrantType           = "grant_type"
	ParamScope               = "scope"
	ParamClientID            = "client_id"
	ParamClientSecret        = "client_secret"
	ParamClientAssertion     = "client_assertion"
	ParamClientAssertionType = "client_assertion_type"
)

var parameters = [...]string{ParamGrantType, ParamScope, ParamClientID, ParamClientSecret, ParamClientAssertion, ParamClientAssertionType}

// Known reports whether a parameter is one that a token request may hold only once, and only in its body.
func Known(name string) bool { return slices.Contains(parameters[:], name) }

// maxParameters bounds the parameters of a request, known and unknown.
const maxParameters = 64

// Form is the parameters of a token request that this server knows. An empty one counts as omitted (RFC 6749, section 3.2).
type Form map[string]string

// ParseForm parses a body of application/x-www-form-urlencoded (RFC 6749, appendix B) strictly: what is malformed, ambiguous
// or not text is an invalid_request, never a guess.
func ParseForm(body string) (Form, *Error) {
	body = strings.TrimRight(body, "\r\n") // Some clients end the body with a line break.
	if strings.Count(body, "&") >= maxParameters {
		return nil, InvalidRequest("the request has too many parameters")
	}
	form := Form{}
	var seen [len(parameters)]bool
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, nameErr := decode(rawName)
		value, valueErr := decode(rawValue)
		if nameErr != nil || valueErr != nil {
			return nil, InvalidRequest("the body is not well-formed application/x-www-form-urlencoded")
		}
		// The grammar of scope refuses control characters itself, as invalid_scope.
		if hasControl(name) || (hasControl(value) && name != ParamScope) {
			return nil, InvalidRequest("a parameter holds a control character")
		}
		i := slices.Index(parameters[:], name)
		if i < 0 {
			continue
		}
		if seen[i] {
			return nil, InvalidRequest("the request repeats a parameter")
		}
		seen[i] = true
		if value != "" {
			form[name] = value
		}
	}
	return form, nil
}

// decode decodes one name or value.
func decode(raw string) (string, error) {
	if strings.Contains(raw, ";") {
		return "", url.EscapeError(";")
	}
	decoded, err := url.QueryUnescape(raw)
	if err != nil {
		return "", err
	}
	if !utf8.ValidString(decoded) {
		return "", url.EscapeError(raw)
	}
	return decoded, nil
}

// hasControl counts the C1 controls too (U+0080 to U+009F), on which terminals that show a log may act.
func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }
