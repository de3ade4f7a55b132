package clientauth

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// Registry is what an Authenticator knows of the cluster.
type Registry interface {
	// Client returns the client with an identifier, or nil.
	Client(id string) *grant.Client
	// ClientsOf returns the identifiers of the clients that a service account proves, all of them in its own namespace.
	ClientsOf(namespace, serviceAccount string) []string
	// ServiceAccountIssuer returns the issuer of the cluster's service account tokens; empty while it is not known.
	ServiceAccountIssuer() string
	// ServiceAccountKeys returns the keys that verify them; keyID is the kid of the one that is looked for. It may wait.
	ServiceAccountKeys(ctx context.Context, keyID string) (*assertion.Keys, error)
}

// Authenticator verifies who is calling.
type Authenticator struct {
	Registry Registry
	Now      func() time.Time
	// Assertions says what a JWT must be to prove a client.
	Assertions AssertionPolicy
	// Replays remembers which client assertions were used, and KeySets are those that clients publish. Nil means that no client has any.
	Replays *assertion.Replays
	KeySets *assertion.KeySets
	// ClientCAs returns the CAs that may sign client certificates. Nil means that no client has any.
	ClientCAs func() *x509.CertPool
}

// Caller is who proved to be a client.
type Caller struct {
	Client *grant.Client
	Method Method
	// Confirmation is the key to which the proof binds tokens; zero where it binds them to none.
	Confirmation grant.Confirmation
}

// Aside lets a function wait for something that others do, a host that publishes keys say, and reports whether the request may go on
// then. No other request waits behind it. what it waits for is named in the request's trace.
type Aside func(ctx context.Context, what string, wait func(context.Context)) bool

// What a request may wait for.
const (
	forKeySet = "wait for key set"
	forReview = "wait for TokenReview"
)

// nobody stands for a client that is unknown, so that refusing it takes the same work as refusing a wrong secret or assertion: one
// comparison, or one signature, and no allocation. No secret has this digest, and nobody has these keys.
var nobody = &grant.Client{Credentials: []credential.Accepted{{}}, Asymmetric: &grant.Asymmetric{Keys: assertion.Decoys()}}

func (a *Authenticator) client(id string) *grant.Client {
	if client := a.Registry.Client(id); client != nil {
		return client
	}
	return nobody
}

// Authenticate verifies the credentials of a request, and returns whom they prove. Every refusal is the uniform one, but where the
// request had to wait in vain. known is the client that they name, as far as there is one.
func (a *Authenticator) Authenticate(ctx context.Context, c Credentials, aside Aside) (caller *Caller, known *grant.Client, refusal *oauth2.Error) {
	switch c.Method { //nolint:exhaustive // All others that Read returns are of secrets.
	case PrivateKeyJWT:
		return a.byAssertion(ctx, c, aside)
	case TLSClientAuth:
		return a.byCertificate(c)
	default:
		return a.bySecret(c)
	}
}

// bySecret verifies a client secret.
func (a *Authenticator) bySecret(c Credentials) (*Caller, *grant.Client, *oauth2.Error) {
	client, now := a.client(c.ClientID), a.Now()
	proved := c.Proved(client.Credentials, now)
	if proved == nil {
		return nil, client, oauth2.InvalidClient.Because("unknown client or wrong secret")
	}
	proved.Use.Mark(now)
	return &Caller{Client: client, Method: c.Method}, client, nil
}
