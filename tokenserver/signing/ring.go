package signing

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Ring is the keys of an issuer. A ring that was parsed or made by NewRing has exactly one active key, and is never changed.
type Ring struct {
	Keys []Key
	// Followed is what administrators have asked for and got.
	Followed Followed

	active    *Key
	published []byte
	handover
}

// Followed is the last requests that a ring followed, each by the value that was asked with. They are stored with the keys, so that
// none is followed twice.
type Followed struct {
	// Rotate is a request for a new key.
	Rotate string `json:"rotate,omitempty"`
	// Revoke is the kid of a key that was to be taken out.
	Revoke string `json:"revoke,omitempty"`
}

// storedRing is the ring as its Secret holds it.
type storedRing struct {
	Keys     []storedKey `json:"keys"`
	Followed Followed    `json:"followed,omitzero"`
}

// keySet is a JWK Set (RFC 7517, section 5).
type keySet struct {
	Keys []jwk `json:"keys"`
}

// NewRing returns a ring of keys, of which exactly one must be active.
func NewRing(keys ...Key) (*Ring, error) {
	ring := &Ring{Keys: keys}
	set := keySet{Keys: make([]jwk, 0, len(keys))}
	seen := map[string]bool{}
	for i := range keys {
		key := &keys[i]
		if seen[key.ID] {
			return nil, fmt.Errorf("signing key %s stands in the ring twice", key.ID)
		}
		seen[key.ID] = true
		switch key.State {
		case Active:
			if ring.active != nil {
				return nil, errors.New("the ring has more than one active signing key")
			}
			ring.active = key
		case Prepared, Retired:
		default:
			// Without quoting it: what stands there by mistake might be the key.
			return nil, fmt.Errorf("signing key %s: state must be %s, %s or %s", key.ID, Prepared, Active, Retired)
		}
		public, err := key.jwk()
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", key.ID, err)
		}
		set.Keys = append(set.Keys, public)
	}
	if ring.active == nil {
		return nil, errors.New("the ring has no active signing key")
	}
	var err error
	ring.published, err = json.Marshal(set)
	return ring, err
}

// NewRingWithKey returns a ring with one new key, which is active at once: as nobody has seen a key set of this issuer yet,
// there is none to publish it in beforehand.
func NewRingWithKey(algorithm Algorithm, now time.Time) (*Ring, error) {
	key, err := NewKey(algorithm, now)
	if err != nil {
		return nil, err
	}
	key.Activate(now)
	return NewRing(key)
}

// ParseRing parses what Marshal wrote. The error says what is wrong without quoting a key.
func ParseRing(stored []byte) (*Ring, error) {
	var parsed storedRing
	if err := json.Unmarshal(stored, &parsed); err != nil {
		return nil, errors.New("the ring is not valid JSON of the form {\"keys\": [...]}")
	}
	keys := make([]Key, len(parsed.Keys))
	for i, s := range parsed.Keys {
		key, err := s.load()
		if err != nil {
			return nil, fmt.Errorf("key %d of the ring: %w", i+1, err)
		}
		keys[i] = key
	}
	ring, err := NewRing(keys...)
	if err != nil {
		return nil, err
	}
	ring.Followed = parsed.Followed
	return ring, nil
}

// Marshal returns the ring as its Secret holds it, private keys included.
func (r *Ring) Marshal() ([]byte, error) {
	stored := storedRing{Keys: make([]storedKey, len(r.Keys)), Followed: r.Followed}
	for i := range r.Keys {
		var err error
		if stored.Keys[i], err = r.Keys[i].store(); err != nil {
			return nil, err
		}
	}
	return json.Marshal(stored)
}

// Active returns the key that signs, on every replica that has published it for long enough (see TakeOver).
func (r *Ring) Active() *Key { return r.active }

// JWKS returns the key set that verifiers fetch: the public halves of all keys (RFC 7517, section 5).
func (r *Ring) JWKS() []byte { return r.published }

// Algorithms returns the algorithms of the published keys, each once.
func (r *Ring) Algorithms() []Algorithm {
	var algorithms []Algorithm
	for _, candidate := range []Algorithm{ES256, RS256} {
		for i := range r.Keys {
			if r.Keys[i].Algorithm == candidate {
				algorithms = append(algorithms, candidate)
				break
			}
		}
	}
	return algorithms
}
