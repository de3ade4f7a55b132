// Package grant is the client credentials grant (RFC 6749, section 4.4): a client and its request become the claims of an
// access token (RFC 9068).
package grant

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"

	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
	"github.com/kubemint/kubemint/tokenserver/scope"
)

// ClientCredentials is the one grant type of this server.
const ClientCredentials = "client_credentials"

// Client is a registered client as the token server knows it. It is never changed once made.
type Client struct {
	// ID is the client identifier, NAMESPACE.NAME.
	ID string
	// Namespace, Name and UID are those of the OAuthClient.
	Namespace, Name, UID string
	// Credentials are the secrets that prove the client. A client without any cannot authenticate.
	Credentials []credential.Accepted
	// Scopes is what the client may ask for.
	Scopes scope.Grant
	// Lifetime is how long its tokens are valid.
	Lifetime time.Duration
	// Claims are extra claims with constant values.
	Claims map[string]string
	// Suspended clients authenticate, but get no token.
	Suspended bool
}

// Issuer is what every token of this server has in common.
type Issuer struct {
	// URL is the iss claim.
	URL string
	// Audience is the aud claim.
	Audience string
	// Now is the clock.
	Now func() time.Time
}

// Endpoint returns the URL of a path below the issuer.
func (i Issuer) Endpoint(path string) string {
	return strings.TrimSuffix(i.URL, "/") + path
}

// Grant decides what an authenticated client gets for the scope parameter of its request, which may be empty.
func (i Issuer) Grant(client *Client, scopeParameter string) (*Claims, *oauth2.Error) {
	if client.Suspended {
		return nil, oauth2.UnauthorizedClient("this client is suspended: its OAuthClient has spec.suspend set to true")
	}
	scopes, err := client.Scopes.Select(scopeParameter)
	if err != nil {
		return nil, oauth2.InvalidScope(err.Error())
	}
	return &Claims{
		Issuer:   i.URL,
		Audience: i.Audience,
		Client:   client,
		Scopes:   scopes,
		IssuedAt: i.Now().Truncate(time.Second), // JWT times are whole seconds, so that expires_in equals exp minus iat.
		ID:       newID(),
	}, nil
}

// newID returns a unique jti of 128 random bits.
func newID() string {
	var id [16]byte
	rand.Read(id[:]) // It never fails: the program crashes where no randomness is to be had.
	return base64.RawURLEncoding.EncodeToString(id[:])
}
