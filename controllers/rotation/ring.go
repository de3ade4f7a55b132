package rotation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubemint/kubemint/tokenserver/signing"
)

// RingPolicy is how signing keys come and go.
type RingPolicy struct {
	// Algorithm is that of the key that is to sign. Where it is another, a key of this one follows.
	Algorithm signing.Algorithm
	// Interval is how long a key signs; 0 means until somebody asks for another.
	Interval time.Duration
	// Lead is how long a key is published before it signs: longer than signing.PublishedMaxAge, and by as much as replicas take to
	// see a change.
	Lead time.Duration
	// Keep is how long a key stays published after it was retired: the longest lifetime of a token, signing.MaxHandover, and how far
	// clocks may differ.
	Keep time.Duration
}

// RingAction is what becomes of a signing key.
type RingAction string

// The actions, in the order of a key's life.
const (
	Prepare  RingAction = "prepare"  // It is new, published, and does not sign yet.
	Activate RingAction = "activate" // It signs from now on, and the one that did is retired.
	Remove   RingAction = "remove"   // It is no longer published, and nothing that it signed is valid.
	Revoke   RingAction = "revoke"   // It is no longer published, whatever it signed.
	// Ignore a request to revoke a key that is not in the ring. Only the kid of its Key is set.
	Ignore RingAction = "ignore"
)

// RingChange is one change of a ring.
type RingChange struct {
	Action RingAction
	Key    signing.Key
	Why    string
}

// RingDecision is a decision on the signing keys.
type RingDecision struct {
	// Ring is the one to store; nil, the present one is as it should be.
	Ring    *signing.Ring
	Changes []RingChange
	// Next is when to look again; zero means when something changes.
	Next time.Time
}

// Ring moves the keys of a ring on: a key is prepared Lead before it signs, retired when the next one signs, and removed after Keep.
// A new one is due by the interval, for another algorithm, and once for each new value of asked.Rotate. The key that asked.Revoke
// names goes at once, and if it was active, so does another come. The ring itself is not changed.
func Ring(ring *signing.Ring, policy RingPolicy, asked signing.Followed, now time.Time) (RingDecision, error) {
	turn := &ringTurn{keys: slices.Clone(ring.Keys), followed: ring.Followed, policy: policy, now: now}
	turn.date()
	if err := turn.revoke(asked.Revoke); err != nil {
		return RingDecision{}, err
	}
	turn.remove()
	if err := turn.prepare(asked.Rotate); err != nil {
		return RingDecision{}, err
	}
	turn.activate()
	if !turn.changed {
		return RingDecision{Next: nextTurn(ring, policy)}, nil
	}
	next, err := signing.NewRing(turn.keys...)
	if err != nil {
		return RingDecision{}, fmt.Errorf("rotate the signing keys: %w", err)
	}
	next.Followed = turn.followed
	return RingDecision{Ring: next, Changes: turn.changes, Next: nextTurn(next, policy)}, nil
}

// ringTurn is a ring while it is moved on.
type ringTurn struct {
	keys     []signing.Key
	followed signing.Followed
	policy   RingPolicy
	now      time.Time
	changes  []RingChange
	changed  bool
}

func (t *ringTurn) note(action RingAction, key signing.Key, why string) {
	t.changes = append(t.changes, RingChange{action, key, why})
	t.changed = true
}

// date gives a key that came without the time of its state, from elsewhere, the present one: no key is hurried by what is not known.
func (t *ringTurn) date() {
	for i := range t.keys {
		key := &t.keys[i]
		if since := stateTime(key); since != nil && since.IsZero() {
			*since = t.now.UTC().Truncate(time.Second)
			t.changed = true
		}
	}
}

// stateTime returns when a key entered its state.
func stateTime(key *signing.Key) *time.Time {
	switch key.State {
	case signing.Prepared:
		return &key.Created
	case signing.Active:
		return &key.Activated
	case signing.Retired:
		return &key.Retired
	default:
		return nil
	}
}

// revoke takes a key out. If it signed, the one that is prepared does now, for whatever time it has been published; or a new one.
func (t *ringTurn) revoke(kid string) error {
	if kid == "" {
		return nil
	}
	at := slices.IndexFunc(t.keys, func(key signing.Key) bool { return key.ID == kid })
	if at < 0 {
		if kid != t.followed.Revoke {
			t.followed.Revoke = kid
			t.note(Ignore, signing.Key{ID: kid}, "no key of the ring has this kid")
		}
		return nil
	}
	revoked := t.keys[at]
	t.keys = slices.Delete(t.keys, at, at+1)
	t.followed.Revoke = kid
	t.note(Revoke, revoked, "it was asked for")
	if revoked.State != signing.Active {
		return nil
	}
	successor := t.prepared()
	if successor == nil {
		key, err := signing.NewKey(t.policy.Algorithm, t.now)
		if err != nil {
			return err
		}
		t.keys = append(t.keys, key)
		successor = &t.keys[len(t.keys)-1]
	}
	successor.Activate(t.now)
	t.note(Activate, *successor, "the active key was revoked")
	return nil
}

// remove takes out keys whose last token has expired, and prepared ones that will never sign.
func (t *ringTurn) remove() {
	successor := t.prepared()
	var keep []signing.Key
	for i := range t.keys {
		key := &t.keys[i]
		switch {
		case key.State == signing.Retired && !t.now.Before(key.Retired.Add(t.policy.Keep)):
			t.note(Remove, *key, "its last token has expired")
		case key.State == signing.Prepared && key != successor:
			t.note(Remove, *key, "it never signed, and another one is to follow")
		default:
			keep = append(keep, *key)
		}
	}
	t.keys = keep
}

// prepare publishes a new key where one is due and none is on its way.
func (t *ringTurn) prepare(asked string) error {
	why := t.due()
	if asked != "" && asked != t.followed.Rotate {
		why = "a rotation was asked for"
		t.followed.Rotate = asked // By the key that is on its way, if there is one.
		t.changed = true
	}
	if why == "" || t.prepared() != nil {
		return nil
	}
	key, err := signing.NewKey(t.policy.Algorithm, t.now)
	if err != nil {
		return err
	}
	t.keys = append(t.keys, key)
	t.note(Prepare, key, why)
	return nil
}

// due says why a key should follow the active one; empty, none should yet.
func (t *ringTurn) due() string {
	active := t.active()
	switch {
	case active.Algorithm != t.policy.Algorithm:
		return "the configured algorithm is another"
	case t.policy.Interval > 0 && !t.now.Before(active.Activated.Add(t.policy.Interval-t.policy.Lead)):
		return "the active key's interval ends"
	}
	return ""
}

// activate has the prepared key sign once it has been published for long enough.
func (t *ringTurn) activate() {
	successor := t.prepared()
	if successor == nil || t.now.Before(successor.Created.Add(t.policy.Lead)) {
		return
	}
	t.active().Retire(t.now)
	successor.Activate(t.now)
	t.note(Activate, *successor, "it has been published for "+t.policy.Lead.String())
}

// active returns the key that signs. Every ring has one.
func (t *ringTurn) active() *signing.Key {
	return &t.keys[slices.IndexFunc(t.keys, func(key signing.Key) bool { return key.State == signing.Active })]
}

// prepared returns the key that signs next: the one that has been published for longest.
func (t *ringTurn) prepared() *signing.Key { return successor(t.keys, t.policy.Algorithm) }

func successor(keys []signing.Key, algorithm signing.Algorithm) (oldest *signing.Key) {
	for i := range keys {
		key := &keys[i]
		if key.State == signing.Prepared && key.Algorithm == algorithm && (oldest == nil || key.Created.Before(oldest.Created)) {
			oldest = key
		}
	}
	return oldest
}

// NextSigningKey returns when another key is to sign; zero, no such time is known.
func NextSigningKey(ring *signing.Ring, policy RingPolicy) time.Time {
	if successor := successor(ring.Keys, policy.Algorithm); successor != nil {
		return successor.Created.Add(policy.Lead)
	}
	if policy.Interval > 0 {
		return ring.Active().Activated.Add(policy.Interval)
	}
	return time.Time{}
}

// nextTurn returns when there is something to do; zero means when something changes.
func nextTurn(ring *signing.Ring, policy RingPolicy) time.Time {
	next := NextSigningKey(ring, policy)
	if !next.IsZero() && successor(ring.Keys, policy.Algorithm) == nil {
		next = next.Add(-policy.Lead)
	}
	for i := range ring.Keys {
		if key := &ring.Keys[i]; key.State == signing.Retired {
			next = earlier(next, key.Retired.Add(policy.Keep))
		}
	}
	return next
}

// earlier returns the earlier of two times, of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// RingStatus says in words what the keys of a ring are and what happens next, one line for each. It stays the same until one of them
// or the policy changes.
func RingStatus(ring *signing.Ring, policy RingPolicy) string {
	var lines []string
	for i := range ring.Keys {
		key := &ring.Keys[i]
		line := fmt.Sprintf("%s %s (%s) ", key.ID, key.State, key.Algorithm)
		switch key.State {
		case signing.Active:
			line += "signs since " + stamp(key.Activated)
			if next := NextSigningKey(ring, policy); next.IsZero() {
				line += ", until a rotation is asked for"
			} else {
				line += ", until " + stamp(next)
			}
		case signing.Prepared:
			line += "is published since " + stamp(key.Created) + ", signs from " + stamp(key.Created.Add(policy.Lead))
		case signing.Retired:
			line += "signed until " + stamp(key.Retired) + ", is published until " + stamp(key.Retired.Add(policy.Keep))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
