// Package assertion verifies JWTs that prove who a caller is without a shared secret: client assertions (RFC 7523, as
// rfc7523bis tightens it), and the service account tokens of Kubernetes. It holds the keys to verify them with, given or
// fetched (KeySets), and remembers which client assertions were used (Replays). DPoP proofs, which say that a caller has a key,
// are JWTs of the same make (Proofs).
//
// Replays remembers on one replica. Beside N replicas, an assertion that somebody has read can be used once on each that
// has not seen it, until it expires: N-1 times at most. What keeps that small is Expectation.MaxAge. Across replicas only TLS,
// and the one audience, protect it.
//
// Errors are causes for the audit log: they begin with what is wrong, say what to do, and quote nothing that a caller sent.
package assertion

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Assertion is a JWT taken apart. Nothing of it is verified.
type Assertion struct {
	jws    *jws
	claims Claims
}

// Claims are the claims of a JWT that were verified.
type Claims struct {
	Issuer, Subject string
	// Audience is the one audience of the JWT.
	Audience string
	// ID is the jti, empty where there is none and none is needed.
	ID      string
	Expires time.Time
	// KeyID is the kid of the key that signed it, empty where that has none.
	KeyID string
	// IssuedAt and NotBefore are zero where the JWT does not say.
	IssuedAt, NotBefore time.Time
	// AcceptedUntil is from when on the JWT is refused: Expires and the leeway. Its ID must be remembered until then.
	AcceptedUntil time.Time

	kubernetes any // The claim kubernetes.io.
}

var (
	errIdentity = errors.New("its iss and sub must be there, as text")
	errAudience = errors.New("its aud must be one text: a token for several audiences can be used by each of them at the others")
	errID       = fmt.Errorf("its jti must be text of 1 to %d bytes", maxName)
	errNoExpiry = errors.New("it has no exp")
	errTime     = errors.New("its exp, iat and nbf must be whole seconds since 1970, as numbers without exponent")
)

// Parse takes a JWT apart, and checks what can be checked without knowing whose it is: its form, its media type, and the form of
// its claims.
func Parse(token string) (*Assertion, error) {
	parsed, err := parseJWS(token)
	if err != nil {
		return nil, err
	}
	if err := parsed.checkType(); err != nil {
		return nil, err
	}
	members, err := parseObject(parsed.payload)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	claims, err := parseClaims(members)
	if err != nil {
		return nil, err
	}
	return &Assertion{jws: parsed, claims: claims}, nil
}

// KeyID is the kid that the JWT names, or empty. It says which key to look for, and proves nothing.
func (a *Assertion) KeyID() string { return a.jws.keyID }

// Claimed is who the JWT says it is from, and about whom. It says what to expect of it, and proves nothing.
func (a *Assertion) Claimed() (issuer, subject string) { return a.claims.Issuer, a.claims.Subject }

func parseClaims(members object) (Claims, error) {
	claims := Claims{kubernetes: members["kubernetes.io"]}
	var ok, ok2 bool
	claims.Issuer, ok = members["iss"].(string)
	claims.Subject, ok2 = members["sub"].(string)
	if !ok || !ok2 || claims.Issuer == "" || claims.Subject == "" {
		return Claims{}, errIdentity
	}
	if claims.Audience, ok = soleAudience(members["aud"]); !ok {
		return Claims{}, errAudience
	}
	var err error
	if claims.ID, err = optionalText(members, "jti"); err != nil {
		return Claims{}, errID
	}
	if _, ok := members["exp"]; !ok {
		return Claims{}, errNoExpiry
	}
	for name, at := range map[string]*time.Time{"exp": &claims.Expires, "iat": &claims.IssuedAt, "nbf": &claims.NotBefore} {
		if *at, ok = optionalTime(members, name); !ok {
			return Claims{}, errTime
		}
	}
	return claims, nil
}

// soleAudience returns the one audience of a JWT. A list of one is the same (RFC 7519, section 4.1.3).
func soleAudience(value any) (string, bool) {
	if list, ok := value.([]any); ok && len(list) == 1 {
		value = list[0]
	}
	audience, ok := value.(string)
	return audience, ok && audience != ""
}

// maxTimeDigits admits every time up to the year 9999.
const maxTimeDigits = 12

// optionalTime returns a time of the claims, zero if there is none. It is stricter than NumericDate, which may be a fraction:
// where a number overflows, or is rounded, depends on the parser.
func optionalTime(members object, name string) (time.Time, bool) {
	value, ok := members[name]
	if !ok {
		return time.Time{}, true
	}
	number, ok := value.(json.Number)
	if !ok || len(number) > maxTimeDigits || strings.Trim(number.String(), "0123456789") != "" {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(number.String(), 10, 64)
	return time.Unix(seconds, 0), err == nil
}

// Expectation is what a JWT must say to be accepted. One that is left empty accepts none.
type Expectation struct {
	// Issuer and Subject are whom the JWT must be from and about. For a client assertion both are the client_id.
	Issuer, Subject string
	// Audiences are those of which its one audience must be one, compared byte by byte: the issuer's URL (rfc7523bis), and the
	// token endpoint's where clients are to be admitted that know RFC 7523 only.
	Audiences []string
	// Now is the time.
	Now time.Time
	// MaxAge is how far ahead it may expire, and how long ago it may have been issued if it says so: how long whoever reads it can
	// use it.
	MaxAge time.Duration
	// Leeway is how much the clock of who made it may differ.
	Leeway time.Duration
	// Reusable admits a JWT without jti: a service account token, which is shown again and again until it expires.
	Reusable bool
}

var (
	errWrongIssuer   = errors.New("its iss is not who it should be from: for a client assertion, iss, sub and client_id must be the same")
	errWrongSubject  = errors.New("its sub is not whom it should be about: for a client assertion, iss, sub and client_id must be the same")
	errWrongAudience = errors.New("its aud is not this issuer, byte by byte: use the issuer of the server's metadata")
	errNoID          = errors.New("it has no jti: give each assertion its own")
	errExpired       = errors.New("it has expired: make a new one for each request, and check the clocks")
	errLongLived     = errors.New("it lives too long: let it expire a minute after it is made")
	errNotYet        = errors.New("it is from the future (iat or nbf): check the clocks")
)

// Verify returns the claims of the JWT if they are what is expected, and a key of the set signed them. A client assertion is
// to be accepted once only: that is Replays.VerifyOnce.
//
// The signature comes last, as it costs more than all else.
func (a *Assertion) Verify(keys *Keys, expected Expectation) (Claims, error) {
	if err := a.claims.are(expected); err != nil {
		return Claims{}, err
	}
	signer, err := keys.verify(a.jws, expected.Now)
	if err != nil {
		return Claims{}, err
	}
	claims := a.claims
	claims.KeyID = signer.id
	claims.AcceptedUntil = claims.Expires.Add(expected.Leeway)
	return claims, nil
}

// are checks that the claims are what is expected.
func (c *Claims) are(expected Expectation) error {
	switch {
	case c.Issuer != expected.Issuer:
		return errWrongIssuer
	case c.Subject != expected.Subject:
		return errWrongSubject
	case !slices.Contains(expected.Audiences, c.Audience):
		return errWrongAudience
	case c.ID == "" && !expected.Reusable:
		return errNoID
	}
	return c.checkTimes(expected)
}

// checkTimes checks that now is within the life of the JWT, and that its life is short. Without iat, its end alone is bounded.
func (c *Claims) checkTimes(expected Expectation) error {
	longest := expected.MaxAge + expected.Leeway
	switch earliest, latest := expected.Now.Add(-expected.Leeway), expected.Now.Add(expected.Leeway); {
	case !c.Expires.After(earliest):
		return errExpired
	case c.Expires.After(expected.Now.Add(longest)):
		return errLongLived
	case c.IssuedAt.After(latest), c.NotBefore.After(latest):
		return errNotYet
	case !c.IssuedAt.IsZero() && c.IssuedAt.Before(expected.Now.Add(-longest)):
		return errLongLived
	default:
		return nil
	}
}
