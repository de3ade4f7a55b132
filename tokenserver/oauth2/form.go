package oauth2

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The parameters of a token request that this server knows. Each may stand in a request once, but for resource (RFC 8707, section
// 2); any other parameter is ignored, repeated or not (RFC 6749, section 3.2).
const (
	ParamGrantType           = "grant_type"
	ParamScope               = "scope"
	ParamResource            = "resource"
	ParamClientID            = "client_id"
	ParamClientSecret        = "client_secret"
	ParamClientAssertion     = "client_assertion"
	ParamClientAssertionType = "client_assertion_type"
)

var parameters = [...]string{ParamGrantType, ParamScope, ParamResource, ParamClientID, ParamClientSecret, ParamClientAssertion, ParamClientAssertionType}

// Known reports whether a parameter is one that a token request may hold only in its body.
func Known(name string) bool { return slices.Contains(parameters[:], name) }

// Bounds that keep a request from costing more than a token does.
const (
	// maxParameters is how many parameters a request may have, known and unknown.
	maxParameters = 64
	// maxUnknown is how long the unknown ones may be in all, in bytes.
	maxUnknown = 8 << 10
	// maxDecoded is how long a value may be to be decoded, in bytes. No longer one is right: who looks at it refuses it by its
	// length.
	maxDecoded = 16 << 10
)

// Form is the parameters of a token request that this server knows. An empty one counts as omitted (RFC 6749, section 3.2).
type Form map[string]string

// resourceSeparator stands between several resources in a Form. No value holds a control character.
const resourceSeparator = "\n"

// Resources returns the values of the parameter resource (RFC 8707, section 2).
func (f Form) Resources() []string {
	if f[ParamResource] == "" {
		return nil
	}
	return strings.Split(f[ParamResource], resourceSeparator)
}

// ParseForm parses a body of application/x-www-form-urlencoded (RFC 6749, appendix B) strictly: what is malformed, ambiguous
// or not text is an invalid_request, never a guess. It keeps nothing of the body.
func ParseForm(body []byte) (Form, *Error) {
	body = bytes.TrimRight(body, "\r\n") // Some clients end the body with a line break.
	if bytes.Count(body, ampersand) >= maxParameters {
		return nil, InvalidRequest("the request has too many parameters")
	}
	form, unknown := Form{}, 0
	var seen [len(parameters)]bool
	for pair := range bytes.SplitSeq(body, ampersand) {
		if len(pair) == 0 {
			continue
		}
		rawName, rawValue, _ := bytes.Cut(pair, equals)
		i, refusal := parameter(rawName)
		if refusal != nil {
			return nil, refusal
		}
		if i < 0 {
			if unknown += len(pair); unknown > maxUnknown {
				return nil, errTooLong
			}
		}
		value, refusal := decode(rawValue, i >= 0 && parameters[i] == ParamScope)
		if refusal != nil {
			return nil, refusal
		}
		if i < 0 {
			continue
		}
		name := parameters[i]
		if seen[i] && name != ParamResource {
			return nil, InvalidRequest("the request repeats a parameter")
		}
		seen[i] = true
		switch {
		case len(value) == 0:
		case name == ParamResource && len(value) > maxDecoded:
			return nil, errResource
		case name == ParamResource && form[name] != "":
			form[name] += resourceSeparator + string(value)
		default:
			form[name] = string(value)
		}
	}
	return form, nil
}

var (
	ampersand = []byte("&")
	equals    = []byte("=")

	errMalformed = InvalidRequest("the body is not well-formed application/x-www-form-urlencoded")
	errControl   = InvalidRequest("a parameter holds a control character")
	errResource  = InvalidTarget("a resource is too long")
	errTooLong   = InvalidRequest("the request has parameters that are unknown here, and too long")
)

// parameter returns which of the parameters a name is, or -1 for none.
func parameter(rawName []byte) (int, *Error) {
	if len(rawName) > maxUnknown {
		return -1, errTooLong
	}
	name, refusal := decode(rawName, false)
	return slices.Index(parameters[:], string(name)), refusal
}

// decode decodes one name or value, in place where nothing is encoded. The grammar of scope refuses control characters itself, as
// invalid_scope.
func decode(raw []byte, isScope bool) ([]byte, *Error) {
	if len(raw) > maxDecoded {
		return raw, nil
	}
	if bytes.IndexByte(raw, ';') >= 0 {
		return nil, errMalformed
	}
	text := raw
	if bytes.IndexByte(raw, '%') >= 0 || bytes.IndexByte(raw, '+') >= 0 {
		decoded, err := url.QueryUnescape(string(raw))
		if err != nil {
			return nil, errMalformed
		}
		text = []byte(decoded)
	}
	if !utf8.Valid(text) {
		return nil, errMalformed
	}
	if hasControl(text) && !isScope {
		return nil, errControl
	}
	return text, nil
}

// hasControl counts the C1 controls too (U+0080 to U+009F), on which terminals that show a log may act.
func hasControl(text []byte) bool { return bytes.ContainsFunc(text, unicode.IsControl) }
