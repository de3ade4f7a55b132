package tokenserver

import (
	"sync"
	"time"

	"github.com/kubemint/kubemint/tokenserver/grant"
)

// MaxReuse is the longest window of reuse.
const MaxReuse = time.Minute

// maxReused bounds the tokens that are kept in a window. Beyond, each request has one of its own.
const maxReused = 10_000

// signedToken is a token as it was issued.
type signedToken struct {
	text   string
	claims *grant.Claims
	keyID  string
}

// reuse gives a client that asks again for the same audience and scopes, within a window, the token that it got before. It is for clients that
// ask for a token with each of their calls. Half of its lifetime is left to it at least. No window means no reuse.
type reuse struct {
	window time.Duration

	mu sync.Mutex
	// recent tokens, and those of the window before, which are forgotten at the next.
	recent, old map[reuseKey]*signedToken
	began       time.Time // of recent
}

// reuseKey tells what must be the same. A client has another revision when its OAuthClient or its secret has changed, so that nothing
// that was issued before is found.
type reuseKey struct {
	client           string
	revision         uint64
	audience, scopes string
	confirmation     grant.Confirmation
	keyID            string
}

func reuseKeyOf(c *grant.Claims, keyID string) reuseKey {
	return reuseKey{c.Client.ID, c.Client.Revision, c.Access.Audience, c.Scopes.String(), c.Confirmation, keyID}
}

// find returns the token for what was granted now, or nil.
func (r *reuse) find(granted *grant.Claims, keyID string) *signedToken {
	if r.window == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(granted.IssuedAt)
	key := reuseKeyOf(granted, keyID)
	token := r.recent[key]
	if token == nil {
		token = r.old[key]
	}
	if token == nil || granted.IssuedAt.Sub(token.claims.IssuedAt) >= min(r.window, granted.Access.Lifetime/2) {
		return nil
	}
	return token
}

// keep keeps a token that was issued now.
func (r *reuse) keep(token *signedToken) {
	if r.window == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(token.claims.IssuedAt)
	if len(r.recent) < maxReused {
		r.recent[reuseKeyOf(token.claims, token.keyID)] = token
	}
}

// turn begins a new window when it is time.
func (r *reuse) turn(now time.Time) {
	if r.recent == nil || now.Sub(r.began) >= r.window {
		r.recent, r.old, r.began = map[reuseKey]*signedToken{}, r.recent, now
	}
}
