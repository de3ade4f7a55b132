package tokenserver

import (
	"math"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// How many client authentications may fail in a minute: for one client from one source, and from one source in all. A client
// of golang.org/x/oauth2, which tries two ways of showing its secret, spends two at a time.
const (
	clientFailures = 30
	sourceFailures = 300
)

// maxAccounts bounds the memory that failures can take.
const maxAccounts = 10_000

// failureBudget slows down those who guess secrets, or try a wrong one in a loop (RFC 6749, section 2.3.1): once their budget
// is spent, they are told to wait, by 429 in place of 401.
//
// Only failures are charged, and only they get the 429: the right secret gets its token however often others failed before, be
// it for the same client or from the same address, which may be that of a node or a proxy. So nobody can lock a client out. That
// leaves guesses unhindered, but those are hopeless at 256 random bits, and one costs no more than a SHA-256.
type failureBudget struct {
	now func() time.Time

	mu sync.Mutex
	// The accounts are in two generations: when the recent ones are half of maxAccounts, they become the old ones, and the old
	// ones are forgotten.
	recent, old map[account]time.Time
}

// account is what failures are charged to: a client's from a source, or the source's in all, which has no client.
type account struct{ source, client string }

func newFailureBudget(now func() time.Time) *failureBudget {
	return &failureBudget{now: now, recent: map[account]time.Time{}}
}

// charge charges a failed authentication to a source and to the client that it claimed to be, if it named one, and returns how
// long to wait: 0 while there is budget. What is refused is not charged, so that somebody who does not wait gets no worse.
func (b *failureBudget) charge(source, client string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	inAll := account{source: source}
	spentInAll, wait := b.spend(inAll, sourceFailures, now)
	if wait > 0 { // Nor can it fill the accounts with clients that it makes up.
		return wait
	}
	if client != "" {
		asClient := account{source, client}
		spent, wait := b.spend(asClient, clientFailures, now)
		if wait > 0 {
			return wait
		}
		b.store(asClient, spent)
	}
	b.store(inAll, spentInAll)
	return 0
}

// spend returns an account less one of its failures per minute, or how long to wait for the next. An account is the time at
// which its budget is whole again; each failure moves that by what it takes to win one back.
func (b *failureBudget) spend(a account, perMinute int, now time.Time) (whole time.Time, wait time.Duration) {
	whole = b.load(a)
	if whole.Before(now) {
		whole = now
	}
	whole = whole.Add(time.Minute / time.Duration(perMinute))
	return whole, max(0, whole.Sub(now)-time.Minute)
}

// load returns an account, which is thereby a recent one.
func (b *failureBudget) load(a account) time.Time {
	if whole, ok := b.recent[a]; ok {
		return whole
	}
	whole, ok := b.old[a]
	if ok {
		b.store(a, whole)
	}
	return whole
}

func (b *failureBudget) store(a account, whole time.Time) {
	if _, ok := b.recent[a]; !ok && len(b.recent) >= maxAccounts/2 {
		b.recent, b.old = map[account]time.Time{}, b.recent
	}
	b.recent[a] = whole
}

// sourceOf returns whom a request's failures are charged to. Whoever has one IPv6 address has its whole /64.
func sourceOf(remoteAddr string) string {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		return remoteAddr
	}
	address, err := netip.ParseAddr(host)
	if err != nil || address.Unmap().Is4() {
		return host
	}
	return netip.PrefixFrom(address.WithZone(""), 64).Masked().String()
}

// tooManyFailures is the answer where the budget is spent. The cause stands in the audit log as before.
func tooManyFailures(wait time.Duration, failure *oauth2.Error) *oauth2.Error {
	refusal := oauth2.TooManyFailures.Because(failure.Cause)
	refusal.RetryAfter = int(math.Ceil(wait.Seconds()))
	return refusal
}
