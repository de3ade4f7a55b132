package oauth2

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Param is a parameter of a token request that this server knows.
type Param int

// Each may stand in a request once, but for resource (RFC 8707, section 2); any other parameter is ignored, repeated or not (RFC 6749,
// section 3.2).
const (
	ParamGrantType Param = iota
	ParamScope
	ParamResource
	ParamClientID
	ParamClientSecret
	ParamClientAssertion
	ParamClientAssertionType
)

// names are what the parameters are called.
var names = [...]string{
	ParamGrantType:           "grant_type",
	ParamScope:               "scope",
	ParamResource:            "resource",
	ParamClientID:            "client_id",
	ParamClientSecret:        "client_secret",
	ParamClientAssertion:     "client_assertion",
	ParamClientAssertionType: "client_assertion_type",
}

// Known reports whether a name is that of a parameter, which a token request may hold only in its body.
func Known(name string) bool { return slices.Contains(names[:], name) }

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

// Form is the values of the parameters of a token request, each by its Param. An empty one counts as omitted (RFC 6749, section 3.2).
type Form [len(names)]string

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
		return Form{}, InvalidRequest("the request has too many parameters")
	}
	var form Form
	var seen [len(names)]bool
	unknown := 0
	for pair := range bytes.SplitSeq(body, ampersand) {
		if len(pair) == 0 {
			continue
		}
		rawName, rawValue, _ := bytes.Cut(pair, equals)
		param, refusal := parameter(rawName)
		if refusal != nil {
			return Form{}, refusal
		}
		if param == unknownParam {
			if unknown += len(pair); unknown > maxUnknown {
				return Form{}, errTooLong
			}
		}
		value, refusal := decode(rawValue, param == ParamScope)
		if refusal != nil {
			return Form{}, refusal
		}
		if param == unknownParam {
			continue
		}
		if seen[param] && param != ParamResource {
			return Form{}, InvalidRequest("the request repeats a parameter")
		}
		seen[param] = true
		switch {
		case len(value) == 0:
		case param == ParamResource && len(value) > maxDecoded:
			return Form{}, errResource
		case param == ParamResource && form[param] != "":
			form[param] += resourceSeparator + string(value)
		default:
			form[param] = string(value)
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

// unknownParam stands for every parameter that is none of those that this server knows.
const unknownParam Param = -1

// parameter returns which of the parameters a name is.
func parameter(rawName []byte) (Param, *Error) {
	if len(rawName) > maxUnknown {
		return unknownParam, errTooLong
	}
	name, refusal := decode(rawName, false)
	for param, known := range names {
		if string(name) == known {
			return Param(param), refusal
		}
	}
	return unknownParam, refusal
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
