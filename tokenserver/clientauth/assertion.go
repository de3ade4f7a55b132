package clientauth

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// AssertionPolicy is what a JWT must be to prove a client.
type AssertionPolicy struct {
	// Audiences are those of which its one audience must be one: the issuer's URL, and the token endpoint's where clients are to be
	// admitted that know RFC 7523 only.
	Audiences []string
	// MaxAge bounds the life of a client assertion, and of what a client can do with one that it did not make.
	MaxAge time.Duration
	// MaxTokenAge bounds the age of a service account token, or of another issuer's.
	MaxTokenAge time.Duration
	// Leeway is how much the clock of who made it may differ.
	Leeway time.Duration
	// Trusted are further issuers whose tokens may prove clients, by their iss.
	Trusted map[string]TrustedIssuer
	// Review asks the API server whether a service account token that is valid by its signature is still good: whether its pod is
	// there. Nil means that nobody is asked.
	Review func(ctx context.Context, token string) (good bool, err error)
}

// TrustedIssuer is an issuer whose tokens may prove clients, which an administrator named.
type TrustedIssuer struct {
	// Keys returns the keys that verify the issuer's tokens; keyID is the kid of the one that is looked for. It may wait.
	Keys func(ctx context.Context, keyID string) (*assertion.Keys, error)
	// Audiences are those of which the one audience of its tokens must be one; none stands for those of the policy.
	Audiences []string
	// MaxTokenAge bounds the age of its tokens; 0 stands for that of the policy.
	MaxTokenAge time.Duration
}

// byAssertion verifies a JWT. Whose it is follows from its issuer: a client speaks for itself, a cluster for its service accounts.
func (a *Authenticator) byAssertion(ctx context.Context, c Credentials, aside Aside) (*Caller, *grant.Client, *oauth2.Error) {
	trusted, isTrusted := a.Assertions.Trusted[c.issuer]
	switch {
	case c.issuer == c.subject:
		return a.byPrivateKey(ctx, c, aside)
	case c.issuer == a.Registry.ServiceAccountIssuer():
		return a.byServiceAccount(ctx, c, aside)
	case isTrusted:
		return a.byTrustedToken(ctx, c, trusted, aside)
	default:
		return nil, nobody, refused("its iss is neither the client itself, nor this cluster, nor an issuer that is trusted")
	}
}

// byPrivateKey verifies a client assertion (RFC 7523, section 3).
func (a *Authenticator) byPrivateKey(ctx context.Context, c Credentials, aside Aside) (*Caller, *grant.Client, *oauth2.Error) {
	client := a.client(c.ClientID)
	registered := client.Asymmetric
	if registered == nil || registered.Keys == nil && registered.KeysURL == "" {
		registered = nobody.Asymmetric
	}
	keys, refusal := a.keysOf(ctx, registered, c.assertion.KeyID(), aside)
	if refusal != nil {
		return nil, client, refusal
	}
	now := a.Now()
	claims, err := a.Replays.VerifyOnce(c.assertion, keys, assertion.Expectation{
		Issuer: c.ClientID, Subject: c.ClientID, Audiences: a.Assertions.Audiences,
		Now: now, MaxAge: a.Assertions.MaxAge, Leeway: a.Assertions.Leeway,
	})
	if err != nil {
		return nil, client, refused(err.Error())
	}
	registered.MarkKey(claims.KeyID, now)
	return &Caller{Client: client, Method: PrivateKeyJWT}, client, nil
}

// keysOf returns the keys that verify a client's assertions.
func (a *Authenticator) keysOf(ctx context.Context, registered *grant.Asymmetric, keyID string, aside Aside) (*assertion.Keys, *oauth2.Error) {
	if registered.KeysURL == "" {
		return registered.Keys, nil
	}
	return await(ctx, aside, func(ctx context.Context) (*assertion.Keys, error) {
		return a.KeySets.Keys(ctx, registered.KeysURL, keyID)
	})
}

// await waits for keys.
func await(ctx context.Context, aside Aside, fetch func(context.Context) (*assertion.Keys, error)) (keys *assertion.Keys, refusal *oauth2.Error) {
	var err error
	if !aside(ctx, forKeySet, func(ctx context.Context) { keys, err = fetch(ctx) }) {
		return nil, oauth2.Overloaded
	}
	if err != nil {
		return nil, refused(err.Error())
	}
	return keys, nil
}

// verifyToken verifies a token that somebody else than the client made, who shows it until it expires.
func (a *Authenticator) verifyToken(c Credentials, keys *assertion.Keys, audiences []string, maxAge time.Duration) (assertion.Claims, *oauth2.Error) {
	claims, err := c.assertion.Verify(keys, assertion.Expectation{
		Issuer: c.issuer, Subject: c.subject, Audiences: audiences,
		Now: a.Now(), MaxAge: maxAge, Leeway: a.Assertions.Leeway, Reusable: true,
	})
	if err != nil {
		return assertion.Claims{}, refused(err.Error())
	}
	return claims, nil
}

// byServiceAccount verifies a token of one of the cluster's own service accounts.
func (a *Authenticator) byServiceAccount(ctx context.Context, c Credentials, aside Aside) (*Caller, *grant.Client, *oauth2.Error) {
	keys, refusal := await(ctx, aside, func(ctx context.Context) (*assertion.Keys, error) {
		return a.Registry.ServiceAccountKeys(ctx, c.assertion.KeyID())
	})
	if refusal != nil {
		return nil, nobody, refusal
	}
	claims, refusal := a.verifyToken(c, keys, a.Assertions.Audiences, a.Assertions.MaxTokenAge)
	if refusal != nil {
		return nil, nobody, refusal
	}
	account, err := claims.ServiceAccount()
	if err != nil {
		return nil, nobody, refused(err.Error())
	}
	client, refusal := a.clientOf(account, c.ClientID)
	if refusal != nil {
		return nil, client, refusal
	}
	if refusal := a.review(ctx, c, aside); refusal != nil {
		return nil, client, refusal
	}
	client.Asymmetric.Uses.ServiceAccount.Mark(a.Now())
	return &Caller{Client: client, Method: ServiceAccountToken}, client, nil
}

// clientOf returns the client that a service account proves: the one that the request names, or else the only one.
func (a *Authenticator) clientOf(account assertion.ServiceAccount, clientID string) (*grant.Client, *oauth2.Error) {
	if clientID == "" {
		switch ids := a.Registry.ClientsOf(account.Namespace, account.Name); len(ids) {
		case 0:
			return nobody, refused("no OAuthClient of its namespace lists its service account")
		case 1:
			clientID = ids[0]
		default:
			return nobody, refused("several OAuthClients list its service account: send the client_id of one of them")
		}
	}
	client := a.client(clientID)
	if client.Namespace != account.Namespace || client.Asymmetric == nil || !slices.Contains(client.Asymmetric.ServiceAccounts, account.Name) {
		return client, refused("the client does not list its service account, or is in another namespace")
	}
	return client, nil
}

// review asks whether a service account token is still good, where that is asked at all.
func (a *Authenticator) review(ctx context.Context, c Credentials, aside Aside) (refusal *oauth2.Error) {
	if a.Assertions.Review == nil {
		return nil
	}
	var good bool
	var err error
	switch back := aside(ctx, forReview, func(ctx context.Context) { good, err = a.Assertions.Review(ctx, c.text) }); {
	case !back:
		return oauth2.Overloaded
	case err != nil:
		return oauth2.Unavailable.Because("the API server does not review service account tokens: " + err.Error())
	case !good:
		return refused("the API server no longer accepts it: its pod or its service account is gone")
	}
	return nil
}

// byTrustedToken verifies a token of an issuer that an administrator named. It says nothing of clients, so that the request must.
func (a *Authenticator) byTrustedToken(ctx context.Context, c Credentials, issuer TrustedIssuer, aside Aside) (*Caller, *grant.Client, *oauth2.Error) {
	if c.ClientID == "" {
		return nil, nobody, refused("it is of a trusted issuer, and the request has no client_id: send it")
	}
	client := a.client(c.ClientID)
	keys, refusal := await(ctx, aside, func(ctx context.Context) (*assertion.Keys, error) { return issuer.Keys(ctx, c.assertion.KeyID()) })
	if refusal != nil {
		return nil, client, refusal
	}
	audiences := a.Assertions.Audiences
	if len(issuer.Audiences) > 0 {
		audiences = issuer.Audiences
	}
	if _, refusal := a.verifyToken(c, keys, audiences, cmp.Or(issuer.MaxTokenAge, a.Assertions.MaxTokenAge)); refusal != nil {
		return nil, client, refusal
	}
	if client.Asymmetric == nil || !slices.Contains(client.Asymmetric.Trusted, grant.TrustedSubject{Issuer: c.issuer, Subject: c.subject}) {
		return nil, client, refused("the client does not list its issuer and subject")
	}
	client.Asymmetric.Uses.TrustedToken.Mark(a.Now())
	return &Caller{Client: client, Method: TrustedToken}, client, nil
}

// refused is the refusal of an assertion.
func refused(cause string) *oauth2.Error {
	return oauth2.InvalidClient.Because("client assertion: " + cause)
}
