package signing

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// dated returns a key as it is in a state, entered at a time.
func dated(key Key, state State, at time.Time) Key {
	switch state {
	case Prepared:
		key.State, key.Created = Prepared, at
	case Active:
		key.Activate(at)
	case Retired:
		key.Retire(at)
	}
	return key
}

// A replica sees rings at some times, and must sign with a key at others.
func TestK05ReplicaSignsWithWhatItHasPublished(t *testing.T) {
	a, b, c := newKey(t, ES256, Prepared), newKey(t, RS256, Prepared), newKey(t, ES256, Prepared)
	names := map[string]string{a.ID: "a", b.ID: "b", c.ID: "c"}
	at := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	old := at(-100) // Long before a replica starts.
	type step struct {
		minute int
		sees   []Key  // Nil: nothing new.
		signs  string // The key that signs from here on.
	}
	first := []Key{dated(a, Active, old)}
	published := []Key{dated(a, Active, old), dated(b, Prepared, at(1))}
	handedOver := []Key{dated(a, Retired, at(61)), dated(b, Active, at(61))}

	for name, steps := range map[string][]step{
		"all is seen in time":             {{0, first, "a"}, {1, published, "a"}, {61, handedOver, "b"}},
		"the new key is seen late":        {{0, first, "a"}, {60, published, "a"}, {61, handedOver, "a"}, {64, nil, "a"}, {65, nil, "b"}},
		"the new key is seen active":      {{0, first, "a"}, {70, handedOver, "a"}, {74, nil, "a"}, {75, nil, "b"}},
		"seen active, and then again":     {{0, first, "a"}, {70, handedOver, "a"}, {74, handedOver, "a"}, {75, nil, "b"}},
		"another one is prepared between": {{0, first, "a"}, {70, handedOver, "a"}, {72, append(handedOver[:2:2], dated(c, Prepared, at(72))), "a"}, {75, nil, "b"}},
		"seen active an hour late":        {{0, first, "a"}, {121, handedOver, "b"}},
		"seen active nearly as late":      {{0, first, "a"}, {118, handedOver, "a"}, {121, nil, "b"}},
		"two handovers are seen as one": {{0, first, "a"},
			{70, []Key{dated(a, Retired, at(61)), dated(b, Retired, at(69)), dated(c, Active, at(69))}, "a"}, {75, nil, "c"}},
		"another handover while one lasts": {{0, first, "a"}, {70, handedOver, "a"},
			{72, []Key{dated(a, Retired, at(61)), dated(b, Retired, at(72)), dated(c, Active, at(72))}, "a"}, {77, nil, "c"}},
		"the former key is revoked": {{0, first, "a"}, {1, []Key{dated(b, Active, at(1))}, "b"}},
		"the former key is revoked while it lasts": {{0, first, "a"}, {70, handedOver, "a"},
			{71, []Key{dated(b, Active, at(61))}, "b"}},
		"back to a key that it has published": {{0, first, "a"}, {1, published, "a"}, {61, handedOver, "b"},
			{62, []Key{dated(a, Active, at(62)), dated(b, Retired, at(62))}, "a"}},
		"started with the first key":              {{0, []Key{dated(a, Active, at(0))}, "a"}},
		"started in time":                         {{61, handedOver, "b"}},
		"started after a hasty handover":          {{3, []Key{dated(a, Retired, at(1)), created(b, at(1))}, "a"}, {5, nil, "a"}, {6, nil, "b"}},
		"started after a key was revoked":         {{3, []Key{dated(a, Retired, at(-30)), created(b, at(1))}, "b"}},
		"started, and what was prepared is hasty": {{61, published, "a"}, {62, handedOver, "a"}, {65, nil, "a"}, {66, nil, "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var ring *Ring
			for _, step := range steps {
				if step.sees != nil {
					keys := append([]Key{}, step.sees...)
					ring = newRing(t, keys...).TakeOver(ring, at(step.minute))
				}
				if got := names[ring.Signer(at(step.minute)).ID]; got != step.signs {
					t.Errorf("in minute %d %s signs, want %s", step.minute, got, step.signs)
				}
			}
		})
	}
}

// created is a key that was made and made active at one time, as when the one before was revoked.
func created(key Key, at time.Time) Key {
	key.Created = at
	return dated(key, Active, at)
}

func TestSignerCostsNothing(t *testing.T) {
	former := newRing(t, dated(newKey(t, ES256, Prepared), Active, now))
	ring := newRing(t, dated(former.Keys[0], Retired, now), created(newKey(t, ES256, Prepared), now)).TakeOver(former.TakeOver(nil, now), now)
	if allocations := testing.AllocsPerRun(100, func() { ring.Signer(now) }); allocations > 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestRingRemembersWhatItFollowed(t *testing.T) {
	ring := newRing(t, newKey(t, ES256, Active))
	for _, followed := range []Followed{{}, {Rotate: "1"}, {Rotate: "1", Revoke: "kid"}} {
		ring.Followed = followed
		parsed := must(ParseRing(must(ring.Marshal())))
		if parsed.Followed != followed {
			t.Errorf("%+v came back as %+v", followed, parsed.Followed)
		}
	}
	// A ring that was stored before there was such a thing.
	old := must(ParseRing(fmt.Appendf(nil, `{"keys":[%s]}`, keyJSON(t, ring))))
	if old.Followed != (Followed{}) || old.Active().ID != ring.Active().ID {
		t.Errorf("a ring without the field has %+v", old.Followed)
	}
}

// keyJSON returns the stored form of a ring's first key.
func keyJSON(t *testing.T, ring *Ring) []byte {
	t.Helper()
	return must(json.Marshal(must(ring.Keys[0].store())))
}
