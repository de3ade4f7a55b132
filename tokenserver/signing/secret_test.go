package signing

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

func secretsOf(t *testing.T, ring *Ring, purpose string) [][]byte {
	t.Helper()
	secrets, err := ring.Secrets(purpose)
	if err != nil {
		t.Fatal(err)
	}
	return secrets
}

func knows(secrets [][]byte, secret []byte) bool {
	return slices.ContainsFunc(secrets, func(s []byte) bool { return bytes.Equal(s, secret) })
}

// Replicas read the same ring from its Secret, in whatever order it stands there.
func TestSecretsAreTheSameOnEveryReplica(t *testing.T) {
	first, second := newKey(t, ES256, Active), newKey(t, RS256, Prepared)
	second.Created = first.Created.Add(time.Hour)
	here := secretsOf(t, newRing(t, first, second), "a")
	stored, err := newRing(t, second, first).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := ParseRing(stored)
	if err != nil {
		t.Fatal(err)
	}
	for i, secret := range secretsOf(t, ring, "a") {
		if !bytes.Equal(secret, here[i]) || len(secret) != secretSize {
			t.Errorf("secret %d is %x, and %x elsewhere", i, secret, here[i])
		}
	}
	if bytes.Equal(here[0], here[1]) {
		t.Error("two keys have one secret")
	}
}

func TestSecretsOfAnotherPurposeAreOthers(t *testing.T) {
	ring := newRing(t, newKey(t, ES256, Active))
	if knows(secretsOf(t, ring, "a"), secretsOf(t, ring, "b")[0]) {
		t.Error("a secret serves two purposes")
	}
}

// While a key is being replaced, each replica knows what the others make with the first of their secrets, one step ahead or behind. Only
// what was made with a key that is taken out is no longer known, as it must be.
func TestSecretsThroughARotation(t *testing.T) {
	former, latter := newKey(t, ES256, Active), newKey(t, ES256, Prepared)
	latter.Created = former.Created.Add(time.Hour)
	alone := newRing(t, former)
	prepared := newRing(t, former, latter)
	active := newRing(t, in(latter, Active), in(former, Retired))
	last := newRing(t, in(latter, Active))
	for _, test := range []struct {
		name         string
		maker, other *Ring
		want         bool
	}{
		{"made before the next key is there, known after", alone, prepared, true},
		{"made after the next key is there, known before", prepared, alone, true},
		{"made before the next key signs, known after", prepared, active, true},
		{"made after the next key signs, known before", active, prepared, true},
		{"made after the key is taken out, known before", last, active, true},
		{"made before the key is taken out, unknown after", active, last, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := knows(secretsOf(t, test.other, "a"), secretsOf(t, test.maker, "a")[0]); got != test.want {
				t.Errorf("known: %t", got)
			}
		})
	}
}

func in(key Key, state State) Key {
	key.State = state
	return key
}
