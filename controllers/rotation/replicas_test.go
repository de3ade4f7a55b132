package rotation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver/signing"
)

// How the replicas of a simulation live, and what is made of their key sets.
const (
	tick        = time.Minute
	mostBehind  = 50 * time.Minute // Less than Lead by more than signing.PublishedMaxAge.
	maxLifetime = 24 * time.Hour   // Of a token, by the CRD.
)

// replica is a token server that sees each ring some time after it was written.
type replica struct {
	ring *signing.Ring
	// due is the rings that it has not seen yet, and when it will.
	due []sighting
	// recent is the key sets that verifiers may have from it: those of the last PublishedMaxAge.
	recent []sighting
}

type sighting struct {
	ring *signing.Ring
	at   time.Time
}

func (r *replica) turn(now time.Time) {
	for len(r.due) > 0 && !r.due[0].at.After(now) {
		r.ring = r.due[0].ring.TakeOver(r.ring, now)
		r.due = r.due[1:]
	}
	r.recent = append(r.recent, sighting{r.ring, now})
	r.recent = slices.DeleteFunc(r.recent, func(s sighting) bool { return now.Sub(s.at) > signing.PublishedMaxAge })
}

// learn has it see a ring after some time, and never before an earlier one.
func (r *replica) learn(ring *signing.Ring, at time.Time) {
	if n := len(r.due); n > 0 && r.due[n-1].at.After(at) {
		at = r.due[n-1].at
	}
	r.due = append(r.due, sighting{ring, at})
}

// restart has it begin anew, from what is stored.
func (r *replica) restart(stored *signing.Ring, now time.Time) {
	r.ring, r.due = stored.TakeOver(nil, now), nil
}

func holds(ring *signing.Ring, kid string) bool {
	return slices.ContainsFunc(ring.Keys, func(key signing.Key) bool { return key.ID == kid })
}

// K08: three replicas see each change up to 50 minutes late, restart now and then, and the controllers work when they happen to. All the
// while, each token verifies with whatever key set a verifier may have from any replica, until it expires (L7).
func TestK08ReplicasSeeRotationsAtDifferentTimes(t *testing.T) {
	for seed := range uint64(10) {
		t.Logf("seed %d", seed)
		simulate(t, rand.New(rand.NewPCG(seed, 2)))
	}
}

func simulate(t *testing.T, random *rand.Rand) {
	stored, err := signing.NewRingWithKey(signing.ES256, start)
	if err != nil {
		t.Fatal(err)
	}
	policy := RingPolicy{Algorithm: signing.ES256, Interval: day, Lead: time.Hour, Keep: 26 * time.Hour}
	replicas := []*replica{{}, {}, {}}
	for _, r := range replicas {
		r.restart(stored, start)
	}
	lastSigned, rotations, asked := map[string]time.Time{}, 0, signing.Followed{}
	for now := start; now.Before(start.Add(6 * day)); now = now.Add(tick) {
		if random.IntN(20) == 0 { // The controllers look.
			decision, err := Ring(stored, policy, asked, now)
			if err != nil {
				t.Fatal(err)
			}
			if decision.Ring != nil {
				rotations += len(decision.Changes)
				stored = decision.Ring
				for _, r := range replicas {
					r.learn(stored, now.Add(time.Duration(random.Int64N(int64(mostBehind)))))
				}
			}
		}
		if random.IntN(1000) == 0 {
			asked.Rotate = fmt.Sprint(now)
		}
		if random.IntN(500) == 0 {
			replicas[random.IntN(len(replicas))].restart(stored, now)
		}
		for _, r := range replicas {
			r.turn(now)
			lastSigned[r.ring.Signer(now).ID] = now
		}
		for kid, at := range lastSigned {
			if now.Sub(at) >= maxLifetime {
				continue
			}
			for i, r := range replicas {
				for _, seen := range r.recent {
					if !holds(seen.ring, kid) {
						t.Fatalf("at %v: key %s signed at %v, and the key set that replica %d served at %v lacks it", now, kid, at, i, seen.at)
					}
				}
			}
		}
	}
	if rotations < 10 {
		t.Errorf("%d changes are too few to tell", rotations)
	}
}
