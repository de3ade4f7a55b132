// Package clientauth finds out who is calling: it reads a client's credentials from a token request, by
// client_secret_basic or client_secret_post (RFC 6749, section 2.3.1), and verifies them.
package clientauth

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// Method is how a client authenticates, by its name in the IANA registry of token endpoint authentication methods.
type Method string

// The methods that a client may use.
const (
	ClientSecretBasic Method = "client_secret_basic"
	ClientSecretPost  Method = "client_secret_post"
)

// Methods are the methods that Read accepts, as the server's metadata advertises them.
var Methods = []Method{ClientSecretBasic, ClientSecretPost}

// Credentials is who a caller says it is, and the secret it shows for it. Nothing of it is verified.
type Credentials struct {
	Method   Method
	ClientID string
	secret   string
}

// String leaves the secret out, wherever the credentials are printed.
func (c Credentials) String() string { return string(c.Method) + " " + c.ClientID }

// Proved returns the one of a client's secrets, of those that are valid now, that the credentials hold, or nil.
func (c Credentials) Proved(accepted []credential.Accepted, now time.Time) *credential.Accepted {
	return credential.Match(c.secret, accepted, now)
}

// Read reads the credentials of a token request from its headers and form. A request with credentials of more than one
// method is malformed; one with none that this server knows fails authentication.
func Read(header http.Header, form oauth2.Form) (Credentials, *oauth2.Error) {
	if _, ok := form[oauth2.ParamClientAssertion]; ok {
		return readAssertion(header, form)
	}
	switch authorization := header.Values("Authorization"); len(authorization) {
	case 0:
		return readPost(form)
	case 1:
		return readBasic(authorization[0], form)
	default:
		return Credentials{}, oauth2.InvalidRequest("the request has more than one Authorization header")
	}
}

// readAssertion refuses an assertion: alone, as a method that this server does not take; beside a secret, as ambiguous.
func readAssertion(header http.Header, form oauth2.Form) (Credentials, *oauth2.Error) {
	if _, ok := form[oauth2.ParamClientSecret]; ok || len(header.Values("Authorization")) > 0 {
		return Credentials{}, errSeveralMethods
	}
	return Credentials{}, oauth2.InvalidClient.Because("client assertions are not supported")
}

var errSeveralMethods = oauth2.InvalidRequest("the request authenticates the client in more than one way: use one")

func readPost(form oauth2.Form) (Credentials, *oauth2.Error) {
	id, secret := form[oauth2.ParamClientID], form[oauth2.ParamClientSecret]
	if id == "" || secret == "" {
		return Credentials{}, oauth2.InvalidClient.Because("no client credentials")
	}
	return Credentials{Method: ClientSecretPost, ClientID: id, secret: secret}, nil
}

func readBasic(authorization string, form oauth2.Form) (Credentials, *oauth2.Error) {
	scheme, encoded, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return Credentials{}, oauth2.InvalidClient.Because("the Authorization scheme is not Basic")
	}
	if _, ok := form[oauth2.ParamClientSecret]; ok {
		return Credentials{}, errSeveralMethods
	}
	id, secret, ok := decodeBasic(strings.TrimLeft(encoded, " "))
	if !ok {
		return Credentials{}, oauth2.InvalidClient.Because("malformed Basic credentials")
	}
	if bodyID := form[oauth2.ParamClientID]; bodyID != "" && bodyID != id {
		return Credentials{}, oauth2.InvalidRequest("client_id differs from the Authorization header")
	}
	return Credentials{Method: ClientSecretBasic, ClientID: id, secret: secret}, nil
}

// decodeBasic decodes Basic credentials, whose two parts are form-encoded (RFC 6749, section 2.3.1, beyond RFC 7617).
func decodeBasic(encoded string) (id, secret string, ok bool) {
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	rawID, rawSecret, found := strings.Cut(string(decoded), ":")
	if !found {
		return "", "", false
	}
	id, idErr := url.QueryUnescape(rawID)
	secret, secretErr := url.QueryUnescape(rawSecret)
	ok = idErr == nil && secretErr == nil && id != "" && secret != "" && isText(id) && isText(secret)
	return id, secret, ok
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
