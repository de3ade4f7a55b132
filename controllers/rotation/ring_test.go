package rotation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver/signing"
)

var policy = RingPolicy{Algorithm: signing.ES256, Interval: 90 * day, Lead: time.Hour, Keep: 26 * time.Hour}

// keyAt makes a key that entered its state some time from start.
func keyAt(t *testing.T, algorithm signing.Algorithm, state signing.State, at time.Duration) signing.Key {
	t.Helper()
	key, err := signing.NewKey(algorithm, start.Add(at))
	if err != nil {
		t.Fatal(err)
	}
	if state != signing.Prepared {
		key.Activate(start.Add(at))
	}
	if state == signing.Retired {
		key.Retire(start.Add(at))
	}
	return key
}

func ringOf(t *testing.T, keys ...signing.Key) *signing.Ring {
	t.Helper()
	ring, err := signing.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// names are what the keys of a test are called in what it expects; any other key is "new".
type names map[string]signing.Key

func (n names) of(kid string) string {
	for name, key := range n {
		if key.ID == kid {
			return name
		}
	}
	return "new"
}

func (n names) changes(d RingDecision) string {
	var all []string
	for _, change := range d.Changes {
		all = append(all, string(change.Action)+" "+n.of(change.Key.ID))
	}
	return strings.Join(all, ", ")
}

func (n names) ring(ring *signing.Ring) string {
	var all []string
	for i := range ring.Keys {
		all = append(all, n.of(ring.Keys[i].ID)+" "+string(ring.Keys[i].State))
	}
	return strings.Join(all, ", ")
}

func TestRing(t *testing.T) {
	active, retired := keyAt(t, signing.ES256, signing.Active, 0), keyAt(t, signing.ES256, signing.Retired, 0)
	prepared, later := keyAt(t, signing.ES256, signing.Prepared, 0), keyAt(t, signing.ES256, signing.Prepared, time.Minute)
	other := keyAt(t, signing.RS256, signing.Prepared, 0)
	known := names{"active": active, "retired": retired, "prepared": prepared, "later": later, "other": other}
	undated := active
	undated.Activated = time.Time{}
	manual, rs256 := policy, policy
	manual.Interval = 0
	rs256.Algorithm = signing.RS256
	asking := func(rotate, revoke string) signing.Followed { return signing.Followed{Rotate: rotate, Revoke: revoke} }

	for name, test := range map[string]struct {
		keys          []signing.Key
		policy        RingPolicy
		followed, ask signing.Followed
		at            time.Duration
		changes       string
		ring          string // afterwards; empty: it is not changed
		next          time.Duration
	}{
		"new":                   {keys: []signing.Key{active}, next: 90*day - time.Hour},
		"just before it is due": {keys: []signing.Key{active}, at: 90*day - time.Hour - time.Second, next: 90*day - time.Hour},
		"due": {keys: []signing.Key{active}, at: 90*day - time.Hour,
			changes: "prepare new", ring: "active active, new prepared", next: 90 * day},
		"never by schedule":         {keys: []signing.Key{active}, policy: manual, at: 9000 * day, next: -1},
		"prepared, not long enough": {keys: []signing.Key{active, prepared}, at: time.Hour - time.Second, next: time.Hour},
		"prepared for long enough": {keys: []signing.Key{active, prepared}, at: time.Hour,
			changes: "activate prepared", ring: "active retired, prepared active", next: 27 * time.Hour},
		"prepared, without a schedule": {keys: []signing.Key{active, prepared}, policy: manual, at: time.Hour,
			changes: "activate prepared", ring: "active retired, prepared active", next: 27 * time.Hour},
		"retired, tokens may be valid": {keys: []signing.Key{active, retired}, at: 26*time.Hour - time.Second, next: 26 * time.Hour},
		"retired, no token is valid": {keys: []signing.Key{active, retired}, at: 26 * time.Hour,
			changes: "remove retired", ring: "active active", next: 90*day - time.Hour},
		"two prepared": {keys: []signing.Key{active, later, prepared}, at: time.Minute,
			changes: "remove later", ring: "active active, prepared prepared", next: time.Hour},
		"without its time": {keys: []signing.Key{undated}, policy: policy, at: day, ring: "active active", next: 91*day - time.Hour},

		"another algorithm": {keys: []signing.Key{active}, policy: rs256,
			changes: "prepare new", ring: "active active, new prepared", next: time.Hour},
		"another algorithm, on its way": {keys: []signing.Key{active, other}, policy: rs256, at: time.Minute, next: time.Hour},
		"another algorithm, published": {keys: []signing.Key{active, other}, policy: rs256, at: time.Hour,
			changes: "activate other", ring: "active retired, other active", next: 27 * time.Hour},
		"the algorithm changed back": {keys: []signing.Key{active, other}, at: time.Minute,
			changes: "remove other", ring: "active active", next: 90*day - time.Hour},

		"asked for": {keys: []signing.Key{active}, ask: asking("1", ""), at: time.Minute,
			changes: "prepare new", ring: "active active, new prepared", next: time.Hour + time.Minute},
		"asked for, followed":           {keys: []signing.Key{active}, followed: asking("1", ""), ask: asking("1", ""), next: 90*day - time.Hour},
		"no longer asked for":           {keys: []signing.Key{active}, followed: asking("1", ""), next: 90*day - time.Hour},
		"asked for again":               {keys: []signing.Key{active}, followed: asking("1", ""), ask: asking("2", ""), changes: "prepare new", ring: "active active, new prepared", next: time.Hour},
		"asked for, when on its way":    {keys: []signing.Key{active, prepared}, ask: asking("1", ""), at: time.Minute, ring: "active active, prepared prepared", next: time.Hour},
		"asked for, without a schedule": {keys: []signing.Key{active}, policy: manual, ask: asking("1", ""), changes: "prepare new", ring: "active active, new prepared", next: time.Hour},

		"active revoked": {keys: []signing.Key{active, retired}, ask: asking("", active.ID), at: time.Minute,
			changes: "revoke active, activate new", ring: "retired retired, new active", next: 26 * time.Hour},
		"active revoked, another prepared": {keys: []signing.Key{active, prepared}, ask: asking("", active.ID), at: time.Minute,
			changes: "revoke active, activate prepared", ring: "prepared active", next: 90*day - time.Hour + time.Minute},
		"prepared revoked": {keys: []signing.Key{active, prepared}, ask: asking("", prepared.ID), at: time.Minute,
			changes: "revoke prepared", ring: "active active", next: 90*day - time.Hour},
		"retired revoked": {keys: []signing.Key{active, retired}, ask: asking("", retired.ID), at: time.Minute,
			changes: "revoke retired", ring: "active active", next: 90*day - time.Hour},
		"unknown revoked":         {keys: []signing.Key{active}, ask: asking("", "typo"), changes: "ignore new", ring: "active active", next: 90*day - time.Hour},
		"revoked before":          {keys: []signing.Key{active}, followed: asking("", "gone"), ask: asking("", "gone"), next: 90*day - time.Hour},
		"revoked, and brought in": {keys: []signing.Key{active, retired}, followed: asking("", retired.ID), ask: asking("", retired.ID), at: time.Minute, changes: "revoke retired", ring: "active active", next: 90*day - time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			if test.policy == (RingPolicy{}) {
				test.policy = policy
			}
			ring := ringOf(t, test.keys...)
			ring.Followed = test.followed
			before, now := known.ring(ring), start.Add(test.at)
			got, err := Ring(ring, test.policy, test.ask, now)
			if err != nil {
				t.Fatal(err)
			}
			if changes := known.changes(got); changes != test.changes {
				t.Errorf("changes: %q, want %q", changes, test.changes)
			}
			if known.ring(ring) != before {
				t.Error("the ring itself was changed")
			}
			want := start.Add(test.next)
			if test.next < 0 {
				want = time.Time{}
			}
			if !got.Next.Equal(want) {
				t.Errorf("next at %v, want %v", got.Next, want)
			}
			if got.Ring == nil {
				if test.ring != "" {
					t.Errorf("nothing is to do, want %q", test.ring)
				}
				return
			}
			if after := known.ring(got.Ring); after != test.ring {
				t.Errorf("the ring is %q, want %q", after, test.ring)
			}
			if active := got.Ring.Active(); strings.Contains(test.changes, "new") && strings.Contains(test.ring, "new active") && active.Algorithm != test.policy.Algorithm {
				t.Errorf("the new key is %v", active)
			}
			if again, err := Ring(got.Ring, test.policy, test.ask, now); err != nil || again.Ring != nil {
				t.Errorf("called again, it makes %v (%v)", known.changes(again), err)
			}
		})
	}
}

// K05, K06: whenever it is called, and whichever of its decisions gets lost: no key signs before it was published for Lead, and none that signed
// is removed before Keep (L7); each request makes one key (L2); what Next says is when something happens.
func TestK05K06RingAtAnyTime(t *testing.T) {
	for seed := range uint64(200) {
		t.Logf("seed %d", seed)
		walk(t, rand.New(rand.NewPCG(seed, 0)))
	}
}

// life is what was seen of a key.
type life struct{ published, signed time.Time }

func walk(t *testing.T, random *rand.Rand) {
	ring, err := signing.NewRingWithKey(signing.ES256, start)
	if err != nil {
		t.Fatal(err)
	}
	policy := RingPolicy{Algorithm: signing.ES256, Interval: 2 * day, Lead: time.Hour, Keep: 26 * time.Hour}
	lives := map[string]*life{ring.Active().ID: {start, start}}
	var asked signing.Followed
	now, requests, prepared := start, 0, 0
	for range 200 {
		decision, err := Ring(ring, policy, asked, now)
		if err != nil {
			t.Fatal(err)
		}
		lives[ring.Active().ID].signed = now            // Until now, at least.
		if decision.Ring != nil && random.IntN(4) > 0 { // Else the write failed.
			mustObserveL7(t, policy, ring, decision.Ring, lives, now)
			for _, change := range decision.Changes {
				if change.Action == Prepare && change.Why == "a rotation was asked for" {
					prepared++
				}
			}
			ring = decision.Ring
		} else if decision.Ring == nil {
			mustRestUntil(t, ring, policy, asked, now, decision.Next)
		}
		if random.IntN(20) == 0 {
			requests++
			asked.Rotate = fmt.Sprint(requests)
		}
		switch random.IntN(3) {
		case 0:
			now = now.Add(time.Duration(random.IntN(3600)) * time.Second)
		case 1:
			now = now.Add(time.Duration(random.IntN(60)) * time.Hour)
		case 2:
			if decision.Next.After(now) {
				now = decision.Next
			}
		}
	}
	if prepared > requests {
		t.Errorf("%d requests made %d keys", requests, prepared)
	}
}

// mustObserveL7 checks one change of a ring by what was seen of its keys.
func mustObserveL7(t *testing.T, policy RingPolicy, before, after *signing.Ring, lives map[string]*life, now time.Time) {
	t.Helper()
	for i := range after.Keys {
		if id := after.Keys[i].ID; lives[id] == nil {
			lives[id] = &life{published: now}
		}
	}
	if active := lives[after.Active().ID]; after.Active().ID != before.Active().ID && now.Sub(active.published) < policy.Lead {
		t.Fatalf("key %s signs %v after it was published", after.Active().ID, now.Sub(active.published))
	}
	for i := range before.Keys {
		id := before.Keys[i].ID
		there := slices.ContainsFunc(after.Keys, func(key signing.Key) bool { return key.ID == id })
		if signed := lives[id].signed; !there && !signed.IsZero() && now.Sub(signed) < policy.Keep {
			t.Fatalf("key %s is gone %v after it signed", id, now.Sub(signed))
		}
	}
}

// mustRestUntil checks that nothing is to do until just before next, and something at next.
func mustRestUntil(t *testing.T, ring *signing.Ring, policy RingPolicy, asked signing.Followed, now, next time.Time) {
	t.Helper()
	if !next.After(now) {
		t.Fatalf("nothing is to do at %v, but next at %v", now, next)
	}
	for at, idle := range map[time.Time]bool{next.Add(-time.Second): true, next: false} {
		if decision, err := Ring(ring, policy, asked, at); err != nil || (decision.Ring == nil) != idle {
			t.Fatalf("at %v, with next at %v: %v, %v", at, next, decision.Changes, err)
		}
	}
}

func TestRingStatus(t *testing.T) {
	prepared, active, retired := keyAt(t, signing.RS256, signing.Prepared, 2*time.Hour), keyAt(t, signing.ES256, signing.Active, 0), keyAt(t, signing.ES256, signing.Retired, 0)
	manual := policy
	manual.Interval = 0
	for name, test := range map[string]struct {
		keys   []signing.Key
		policy RingPolicy
		want   string
	}{
		"one": {[]signing.Key{active}, policy, active.ID + " active (ES256) signs since 2030-01-01T00:00:00Z, until 2030-04-01T00:00:00Z"},
		"never by schedule": {[]signing.Key{active}, manual,
			active.ID + " active (ES256) signs since 2030-01-01T00:00:00Z, until a rotation is asked for"},
		"all": {[]signing.Key{retired, active, prepared}, RingPolicy{Algorithm: signing.RS256, Lead: time.Hour, Keep: 26 * time.Hour},
			retired.ID + " retired (ES256) signed until 2030-01-01T00:00:00Z, is published until 2030-01-02T02:00:00Z\n" +
				active.ID + " active (ES256) signs since 2030-01-01T00:00:00Z, until 2030-01-01T03:00:00Z\n" +
				prepared.ID + " prepared (RS256) is published since 2030-01-01T02:00:00Z, signs from 2030-01-01T03:00:00Z"},
	} {
		if got := RingStatus(ringOf(t, test.keys...), test.policy); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, test.want)
		}
	}
}
