package assertion

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Limits bound how many assertions are remembered: Clients*Own + Lent at most, at about 100 bytes each.
type Limits struct {
	// Clients is how many clients may have assertions remembered at a time.
	Clients int
	// Own is how many assertions of each client there is always room for, whatever others do.
	Own int
	// Lent is how many there is room for beyond, for whichever client comes first.
	Lent int
	// PerClient is how many one client may have remembered in all.
	PerClient int
}

// DefaultLimits take 32 MiB when exhausted. With assertions that live for a minute, a client can use 17 a second.
var DefaultLimits = Limits{Clients: 16_384, Own: 16, Lent: 131_072, PerClient: 1024}

// Replays remembers which client assertions were used, so that none is used twice (RFC 7523, section 3, point 7). It forgets
// one only once it is refused for its age. Where there is no room left, the client is refused: to forget would be to accept
// twice.
type Replays struct {
	now    func() time.Time
	limits Limits

	mu   sync.Mutex
	used map[use]struct{}
	// clients are those that have assertions remembered.
	clients map[string]*usage
	// lent is how many assertions are remembered beyond what is their client's own.
	lent int
	// ends are the remembered assertions by the time of their end.
	ends ends
	// forgotten is the latest end of those that were forgotten: whatever ends no later might be one of them, should the clock have
	// been set back.
	forgotten time.Time
}

// use is an assertion of a client, or a proof by a key, hashed: so that it has one size.
type use [16]byte

// usage is how many assertions of a client are remembered.
type usage struct {
	client string
	count  int
}

// NewReplays returns a memory without assertions.
func NewReplays(limits Limits, now func() time.Time) *Replays {
	return &Replays{now: now, limits: limits, used: map[use]struct{}{}, clients: map[string]*usage{}}
}

var (
	errReplayed    = errors.New("its jti was used before: make a new one for each request")
	errOwnRoom     = errors.New("its client has too many that are unexpired: let them live shorter, and keep access tokens for reuse")
	errAllRoom     = fmt.Errorf("%w (all clients together have used up what is lent beyond each one's share)", errOwnRoom)
	errClientsRoom = errors.New("too many clients have unexpired ones at once: raise the limit, or let them live shorter")
)

// VerifyOnce verifies a client assertion as Assertion.Verify does, and if all else is right notes it: it is accepted once, and one
// that is refused uses up no jti.
func (r *Replays) VerifyOnce(a *Assertion, keys *Keys, expected Expectation) (Claims, error) {
	expected.Reusable = false
	claims, err := a.Verify(keys, expected)
	if err != nil {
		return Claims{}, err
	}
	if err := r.Use(claims.Subject, claims.ID, claims.AcceptedUntil); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

// Use notes that an assertion of a client was used, which is accepted until a time (Claims.AcceptedUntil). It returns an error if
// it was used before, or if there is no room to note it, and then it must not be accepted.
func (r *Replays) Use(client, id string, until time.Time) error {
	return r.note(client, hash(client, id), until)
}

// note notes what was used until a time, where the client has room for it.
func (r *Replays) note(client string, used use, until time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.forget(now)
	if !until.After(now) || !until.After(r.forgotten) {
		return errExpired
	}
	if _, ok := r.used[used]; ok {
		return errReplayed
	}
	usage, err := r.admit(client)
	if err != nil {
		return err
	}
	r.used[used] = struct{}{}
	heap.Push(&r.ends, remembered{until: until, use: used, usage: usage})
	return nil
}

// Len is how many assertions are remembered.
func (r *Replays) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.used)
}

// admit counts one more assertion of a client, if there is room.
func (r *Replays) admit(client string) (*usage, error) {
	counted, ok := r.clients[client]
	switch {
	case !ok && len(r.clients) >= r.limits.Clients:
		return nil, errClientsRoom
	case !ok:
		counted = &usage{client: client}
	case counted.count >= r.limits.PerClient:
		return nil, errOwnRoom
	}
	if counted.count >= r.limits.Own {
		if r.lent >= r.limits.Lent {
			return nil, errAllRoom
		}
		r.lent++
	}
	counted.count++
	r.clients[client] = counted
	return counted, nil
}

// forget forgets the assertions whose end has come.
func (r *Replays) forget(now time.Time) {
	for len(r.ends) > 0 && !r.ends[0].until.After(now) {
		ended := heap.Pop(&r.ends).(remembered)
		r.forgotten = ended.until
		delete(r.used, ended.use)
		if ended.usage.count > r.limits.Own {
			r.lent--
		}
		if ended.usage.count--; ended.usage.count == 0 {
			delete(r.clients, ended.usage.client)
		}
	}
}

// hash returns who made something, and its jti, hashed. The length of the first goes before, so that no two pairs are written the same.
func hash(maker, id string) use {
	written := binary.AppendUvarint(make([]byte, 0, 128), uint64(len(maker)))
	digest := sha256.Sum256(append(append(written, maker...), id...))
	return use(digest[:len(use{})])
}

// remembered is an assertion in the order of its end.
type remembered struct {
	until time.Time
	use   use
	usage *usage
}

// ends is a heap (package heap): the first ends next.
type ends []remembered

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].until.Before(e[j].until) }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *ends) Push(x any) { *e = append(*e, x.(remembered)) }

// Pop implements heap.Interface.
func (e *ends) Pop() any {
	last := len(*e) - 1
	popped := (*e)[last]
	(*e)[last] = remembered{}
	*e = (*e)[:last]
	return popped
}
