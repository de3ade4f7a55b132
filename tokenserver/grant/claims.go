package grant

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/kubemint/kubemint/tokenserver/scope"
)

// Claims are the claims of an access token (RFC 9068, section 2.2).
type Claims struct {
	Issuer string
	Client *Client
	// Access is what the client may get at the token's audience, and Scopes which of its scopes it gets.
	Access   *scope.Access
	Scopes   scope.Set
	IssuedAt time.Time
	ID       string
	// Confirmation binds the token to a key of the client's.
	Confirmation Confirmation
}

// Confirmation is the key that whoever shows a token must prove to have (RFC 7800, section 3.1). The zero Confirmation binds it to none:
// it is a bearer token.
type Confirmation struct {
	// Certificate is the SHA-256 of the client's certificate, in base64url (RFC 8705, section 3.1).
	Certificate string
	// Key is the thumbprint of the client's DPoP key (RFC 9449, section 6.1).
	Key string
}

// ExpiresIn returns how long the token lives from a time on, in seconds.
func (c *Claims) ExpiresIn(from time.Time) int64 {
	return int64(c.IssuedAt.Add(c.Access.Lifetime).Sub(from) / time.Second)
}

// AppendText appends the claims as they stand in the token: a JSON object of those that every token has, then of the
// extra ones. It implements encoding.TextAppender, and never fails.
func (c *Claims) AppendText(b []byte) ([]byte, error) {
	b = append(b, '{')
	b = appendText(b, "iss", c.Issuer)
	b = appendText(b, "sub", c.Client.ID)
	b = appendText(b, "aud", c.Access.Audience)
	b = appendText(b, "client_id", c.Client.ID)
	b = appendText(b, "scope", c.Scopes.String())
	b = appendInteger(b, "iat", c.IssuedAt.Unix())
	b = appendInteger(b, "exp", c.IssuedAt.Add(c.Access.Lifetime).Unix())
	b = appendText(b, "jti", c.ID)
	if c.Confirmation != (Confirmation{}) {
		b = appendName(b, "cnf")
		b = c.Confirmation.append(b)
	}
	for _, name := range extraClaims(c.Access.Claims) {
		b = appendText(b, name, c.Access.Claims[name])
	}
	b = appendName(b, "kubernetes.io")
	b = c.Client.appendOrigin(b)
	return append(b, '}'), nil
}

// append appends the value of the claim cnf.
func (c Confirmation) append(b []byte) []byte {
	b = append(b, '{')
	if c.Certificate != "" {
		b = appendText(b, "x5t#S256", c.Certificate)
	}
	if c.Key != "" {
		b = appendText(b, "jkt", c.Key)
	}
	return append(b, '}')
}

// appendOrigin appends what names the OAuthClient, in the manner of Kubernetes' own service account tokens.
func (c *Client) appendOrigin(b []byte) []byte {
	b = append(b, '{')
	b = appendText(b, "namespace", c.Namespace)
	b = appendText(b, "name", c.Name)
	b = appendText(b, "uid", c.UID)
	return append(b, '}')
}

// extraClaims returns the names of extra claims, sorted, less those that would stand in the token twice: the ones
// that are the server's own, and names that JSON cannot spell, which would all come out alike.
func extraClaims(claims map[string]string) []string {
	if len(claims) == 0 {
		return nil
	}
	names := make([]string, 0, len(claims))
	for name := range claims {
		if !own(name) && utf8.ValidString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// own reports whether AppendText writes a claim itself, for every client or for some.
func own(name string) bool {
	switch name {
	case "iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "cnf", "kubernetes.io":
		return true
	}
	return false
}

// appendText appends a member of a JSON object, whose value is a string.
func appendText(b []byte, name, value string) []byte { return appendString(appendName(b, name), value) }

// appendInteger appends a member of a JSON object, whose value is an integer.
func appendInteger(b []byte, name string, value int64) []byte {
	return strconv.AppendInt(appendName(b, name), value, 10)
}

// appendName begins a member of a JSON object, after a comma unless it is the object's first.
func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(appendString(b, name), ':')
}

// appendString appends a JSON string. Nearly none that a token holds needs escaping; what does is left to encoding/json.
func appendString(b []byte, s string) []byte {
	if needsEscaping(s) {
		return append(b, escaped(s)...)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// needsEscaping reports whether a string is more than printable ASCII without quotation marks and backslashes.
func needsEscaping(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return true
		}
	}
	return false
}

// escaped returns a string as encoding/json writes it, but for <, > and &: no browser takes a token for HTML.
func escaped(s string) []byte {
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // A string always encodes, and a buffer always takes it.
	return bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))
}
