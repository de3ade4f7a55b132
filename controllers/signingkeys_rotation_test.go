package controllers

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

const keysName = v1alpha1.SigningKeysSecretName

// mustKeepKeys has the signing keys seen to until nothing is left to do, and returns the ring and when to look again.
func mustKeepKeys(t *testing.T, p *process) (*signing.Ring, time.Duration) {
	t.Helper()
	for range 10 {
		before := len(p.wire.written())
		result, err := p.keepSigningKeys()
		must(t, err)
		if len(p.wire.written()) == before {
			return ringIn(t, p.signingKeys.Namespace), result.RequeueAfter
		}
	}
	t.Fatal("it writes without end")
	return nil, 0
}

// states returns what is in a ring.
func states(ring *signing.Ring) string {
	var all []string
	for i := range ring.Keys {
		all = append(all, fmt.Sprintf("%s %s", ring.Keys[i].Algorithm, ring.Keys[i].State))
	}
	return strings.Join(all, ", ")
}

// signingKeysStory is a rotation that was asked for.
func signingKeysStory(t *testing.T, namespace string) rotationStory {
	seen := map[string]time.Time{} // When each key was first published.
	var active string
	story := rotationStory{
		moments: []time.Duration{0, signingKeyLead, signingKeyLead + signingKeyKeep},
		keep:    (*process).keepSigningKeys,
		begin: func(p *process) {
			ring, _ := mustKeepKeys(t, p)
			active = ring.Active().ID
			seen[active] = noon.Add(-signingKeyLead)
			ask(t, namespace, keysName, v1alpha1.AnnotationRotate, "1")
		},
		observe: func(now time.Time) {
			ring := ringIn(t, namespace)
			for i := range ring.Keys {
				if id := ring.Keys[i].ID; seen[id].IsZero() {
					seen[id] = now
				}
			}
			if signs := ring.Active().ID; now.Sub(seen[signs]) < signingKeyLead {
				t.Errorf("key %s signs %v after it was published", signs, now.Sub(seen[signs]))
			}
		},
		end: func() {
			ring := ringIn(t, namespace)
			if got := states(ring); got != "ES256 active" || ring.Active().ID == active || ring.Followed.Rotate != "1" {
				t.Errorf("the ring is %s, having followed %q", got, ring.Followed.Rotate)
			}
			if len(seen) != 2 {
				t.Errorf("%d keys were seen", len(seen))
			}
		},
	}
	return story
}

func TestSigningKeysRotateBySchedule(t *testing.T) {
	namespace := newNamespace(t)
	p := newProcess(t, namespace)
	ring, next := mustKeepKeys(t, p)
	first, interval := ring.Active().ID, p.signingKeys.Policy.Interval
	if next != interval-signingKeyLead {
		t.Errorf("the first look is in %v", next)
	}
	for _, moment := range []struct {
		at     time.Duration
		states string
		next   time.Duration
		event  string
	}{
		{interval - signingKeyLead - time.Second, "ES256 active", time.Second, ""},
		{interval - signingKeyLead, "ES256 active, ES256 prepared", signingKeyLead, v1alpha1.EventSigningKeyPrepared},
		{interval - time.Second, "ES256 active, ES256 prepared", time.Second, ""},
		{interval, "ES256 retired, ES256 active", signingKeyKeep, v1alpha1.EventSigningKeyActivated},
		{interval + signingKeyKeep - time.Second, "ES256 retired, ES256 active", time.Second, ""},
		{interval + signingKeyKeep, "ES256 active", interval - signingKeyLead - signingKeyKeep, v1alpha1.EventSigningKeyRemoved},
	} {
		told, from := len(p.events.all()), len(p.wire.written())
		p.now = noon.Add(moment.at)
		ring, next := mustKeepKeys(t, p)
		if got := states(ring); got != moment.states || next != moment.next {
			t.Errorf("after %v: %s, and next in %v", moment.at, got, next)
		}
		if events := p.events.all()[told:]; strings.Count(events, "Normal") != min(1, len(moment.event)) || !strings.Contains(events, moment.event) {
			t.Errorf("after %v: events %q", moment.at, events)
		}
		// Keys, times and what is said of them change together.
		if writes := len(p.wire.written()) - from; writes != min(1, len(moment.event)) {
			t.Errorf("after %v: %d writes", moment.at, writes)
		}
		for i := range ring.Keys {
			if status := statusOf(t, namespace, keysName); !strings.Contains(status, ring.Keys[i].ID) || strings.Count(status, "\n") != len(ring.Keys)-1 {
				t.Errorf("after %v: status %q", moment.at, status)
			}
		}
	}
	if ringIn(t, namespace).Active().ID == first {
		t.Error("the first key still signs")
	}
	restarted := newProcess(t, namespace)
	restarted.now = p.now
	before := versions(t, namespace)
	mustKeepKeys(t, restarted)
	mustBeUntouched(t, namespace, before)
}

func TestSigningKeysFollowTheAlgorithm(t *testing.T) {
	namespace := newNamespace(t)
	p := newProcess(t, namespace)
	mustKeepKeys(t, p)
	p.signingKeys.Policy.Algorithm = signing.RS256
	for at, want := range []string{"ES256 active, RS256 prepared", "ES256 retired, RS256 active"} {
		p.now = noon.Add(time.Duration(at) * signingKeyLead)
		if ring, _ := mustKeepKeys(t, p); states(ring) != want {
			t.Errorf("after %d h: %s", at, states(ring))
		}
	}
}

func TestRevokeSigningKey(t *testing.T) {
	namespace := newNamespace(t)
	p := newProcess(t, namespace)
	ring, _ := mustKeepKeys(t, p)
	first := ring.Active().ID

	ask(t, namespace, keysName, v1alpha1.AnnotationRevoke, first)
	ring, _ = mustKeepKeys(t, p)
	if got := states(ring); got != "ES256 active" || ring.Active().ID == first {
		t.Fatalf("the ring is %s", got)
	}
	if events := p.events.all(); !strings.Contains(events, "Warning "+v1alpha1.EventSigningKeyRevoked) || !strings.Contains(events, v1alpha1.EventSigningKeyActivated) {
		t.Errorf("events: %s", events)
	}

	t.Run("it does not come back", func(t *testing.T) {
		before := versions(t, namespace)
		p.now = p.now.Add(24 * time.Hour)
		mustKeepKeys(t, p)
		mustKeepKeys(t, newProcess(t, namespace))
		mustBeUntouched(t, namespace, before)
	})
	t.Run("an unknown one is told of once", func(t *testing.T) {
		ask(t, namespace, keysName, v1alpha1.AnnotationRevoke, "no such key")
		before := ringIn(t, namespace)
		for range 3 {
			mustKeepKeys(t, p)
		}
		after := ringIn(t, namespace)
		if events := p.events.all(); strings.Count(events, "Warning "+v1alpha1.EventSigningKeyUnknown) != 1 || strings.Contains(events, "no such key") {
			t.Errorf("events: %s", events)
		}
		if before.Active().ID != after.Active().ID || len(after.Keys) != 1 {
			t.Errorf("the ring is %s", states(after))
		}
	})
}

// Two leaders that both find a rotation to do make one key; the one that comes second is refused, and finds it done.
func TestTwoLeadersRotateSigningKeys(t *testing.T) {
	namespace := newNamespace(t)
	leaders := []*process{newProcess(t, namespace), newProcess(t, namespace)}
	mustKeepKeys(t, leaders[0])
	ask(t, namespace, keysName, v1alpha1.AnnotationRotate, "now")
	var won atomic.Int32
	collide(t, leaders, func(p *process) error {
		_, err := p.keepSigningKeys()
		if err == nil {
			won.Add(1)
		}
		return err
	})
	if won.Load() != 1 {
		t.Errorf("%d leaders wrote a key", won.Load())
	}
	for _, p := range leaders {
		if ring, _ := mustKeepKeys(t, p); states(ring) != "ES256 active, ES256 prepared" {
			t.Errorf("the ring is %s", states(ring))
		}
	}
}

// A cache that is behind does not make another key.
func TestSigningKeysWithAStaleCache(t *testing.T) {
	namespace := newNamespace(t)
	stale := newProcess(t, namespace)
	mustKeepKeys(t, stale)
	ask(t, namespace, keysName, v1alpha1.AnnotationRotate, "1")
	stale.awaitSight(t, newClient(namespace, "none"))
	stale.freeze()
	mustKeepKeys(t, newProcess(t, namespace))
	before := versions(t, namespace)
	_, err := stale.keepSigningKeys()
	must(t, err)
	mustBeUntouched(t, namespace, before)
}
