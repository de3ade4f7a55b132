// Package clientauth finds out who is calling: it reads a client's credentials from a token request, and verifies them. They are a
// client secret, by client_secret_basic or client_secret_post (RFC 6749, section 2.3.1), or a JWT (RFC 7521, section 4.2): one
// that the client signed (private_key_jwt, RFC 7523), the token of a service account, or that of another trusted issuer; or a TLS client
// certificate (tls_client_auth, RFC 8705).
package clientauth

import (
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// Method is how a client authenticates: by its name in the IANA registry of token endpoint authentication methods, or, for tokens of
// others that are sent as client assertions, by a name of our own.
type Method string

// The methods that a client may use.
const (
	ClientSecretBasic   Method = "client_secret_basic"
	ClientSecretPost    Method = "client_secret_post"
	PrivateKeyJWT       Method = "private_key_jwt"
	TLSClientAuth       Method = "tls_client_auth"
	ServiceAccountToken Method = "service_account_token"
	TrustedToken        Method = "trusted_issuer_token"
)

// Methods are the registered methods that every server accepts, as its metadata advertises them. Tokens of others are sent as
// private_key_jwt has it. TLSClientAuth is accepted where there are CAs for it.
var Methods = []Method{ClientSecretBasic, ClientSecretPost, PrivateKeyJWT}

// assertionType is the client_assertion_type of a JWT (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Credentials is who a caller says it is, and what it shows for it. Nothing of it is verified.
type Credentials struct {
	// Method is PrivateKeyJWT for every JWT: whose it is, is found when it is verified.
	Method Method
	// ClientID is empty where a JWT of another says nothing of it.
	ClientID string

	secret string

	assertion       *assertion.Assertion
	issuer, subject string
	text            string // The JWT itself.

	connection *tls.ConnectionState // On which a certificate was shown.
}

// String leaves the secret and the JWT out, wherever the credentials are printed.
func (c Credentials) String() string { return string(c.Method) + " " + c.ClientID }

// Proved returns the one of a client's secrets, of those that are valid now, that the credentials hold, or nil.
func (c Credentials) Proved(accepted []credential.Accepted, now time.Time) *credential.Accepted {
	return credential.Match(c.secret, accepted, now)
}

// Read reads the credentials of a token request from its headers, form and TLS connection, which is nil where no client certificate
// is asked for. A request with credentials of more than one method is malformed; one with none that this server knows fails
// authentication. A certificate beside other credentials is none of them: a client may show it to every server. A refusal may come with
// what there is to say of them in the audit log.
func Read(header http.Header, form oauth2.Form, connection *tls.ConnectionState) (Credentials, *oauth2.Error) {
	if form[oauth2.ParamClientAssertion] != "" || form[oauth2.ParamClientAssertionType] != "" {
		return readAssertion(header, form)
	}
	switch authorization := header.Values("Authorization"); len(authorization) {
	case 0:
		if form[oauth2.ParamClientSecret] == "" && hasCertificate(connection) {
			return readCertificate(connection, form[oauth2.ParamClientID])
		}
		return readPost(form)
	case 1:
		return readBasic(authorization[0], form)
	default:
		return Credentials{}, oauth2.InvalidRequest("the request has more than one Authorization header")
	}
}

// readAssertion reads a JWT and its type (RFC 7521, section 4.2). Beside a secret it is ambiguous.
func readAssertion(header http.Header, form oauth2.Form) (Credentials, *oauth2.Error) {
	text, kind := form[oauth2.ParamClientAssertion], form[oauth2.ParamClientAssertionType]
	c := Credentials{Method: PrivateKeyJWT, ClientID: form[oauth2.ParamClientID], text: text}
	switch {
	case form[oauth2.ParamClientSecret] != "" || len(header.Values("Authorization")) > 0:
		return Credentials{}, errSeveralMethods
	case text == "" || kind == "":
		return Credentials{}, oauth2.InvalidRequest("client_assertion and client_assertion_type go together: send both, or none")
	case kind != assertionType:
		return c, refused("client_assertion_type must be " + assertionType)
	}
	parsed, err := assertion.Parse(text)
	if err != nil {
		return c, refused(err.Error())
	}
	c.assertion = parsed
	c.issuer, c.subject = parsed.Claimed()
	if c.issuer != c.subject {
		return c, nil
	}
	if c.ClientID != "" && c.ClientID != c.subject {
		return c, refused("its iss and sub differ from client_id")
	}
	c.ClientID = c.subject
	return c, nil
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
	if form[oauth2.ParamClientSecret] != "" {
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
