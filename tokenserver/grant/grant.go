// Package grant is the client credentials grant (RFC 6749, section 4.4): a client and its request become the claims of an
// access token (RFC 9068).
package grant

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
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
	// Credentials are the secrets that prove the client.
	Credentials []credential.Accepted
	// Secretless clients have no client secret, whatever their Secret holds.
	Secretless bool
	// Asymmetric is what proves the client without a shared secret; nil where nothing does.
	Asymmetric *Asymmetric
	// Accesses are what the client may ask for, at each audience.
	Accesses scope.Accesses
	// Suspended clients authenticate, but get no token.
	Suspended bool
	// Revision is another one whenever anything of the client has changed, even if another client had its ID before.
	Revision uint64
}

// Issuer is what every token of this server has in common.
type Issuer struct {
	// URL is the iss claim.
	URL string
	// Now is the clock.
	Now func() time.Time
}

// Endpoint returns the URL of a path below the issuer.
func (i Issuer) Endpoint(path string) string {
	return strings.TrimSuffix(i.URL, "/") + path
}

// Grant decides what an authenticated client gets for the resource and scope parameters of its request, of which there may be none.
func (i Issuer) Grant(client *Client, resources []string, scopeParameter string) (*Claims, *oauth2.Error) {
	if client.Suspended {
		return nil, oauth2.UnauthorizedClient("this client is suspended: its OAuthClient has spec.suspend set to true")
	}
	access, scopes, err := client.Accesses.Select(resources, scopeParameter)
	if err != nil {
		return nil, refusal(err)
	}
	return &Claims{
		Issuer:   i.URL,
		Client:   client,
		Access:   access,
		Scopes:   scopes,
		IssuedAt: i.Now().Truncate(time.Second), // JWT times are whole seconds, so that expires_in equals exp minus iat.
		ID:       newID(),
	}, nil
}

// refusal returns the answer to a request for which no audience or scopes can be chosen.
func refusal(err error) *oauth2.Error {
	if target := scope.TargetError(""); errors.As(err, &target) {
		return oauth2.InvalidTarget(err.Error())
	}
	return oauth2.InvalidScope(err.Error())
}

// newID returns a unique jti of 128 random bits.
func newID() string {
	var id [16]byte
	rand.Read(id[:]) // It never fails: the program crashes where no randomness is to be had.
	return base64.RawURLEncoding.EncodeToString(id[:])
}
