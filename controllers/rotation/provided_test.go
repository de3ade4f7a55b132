package rotation

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver/credential"
)

func digest(value string) *credential.Digest {
	d := credential.DigestOf(value)
	return &d
}

func accepts(record credential.Record, value string, now time.Time) bool {
	return credential.Match(value, record.Accepted(), now) != nil
}

// providing tells a decision after the other, as whoever provides the secret changes it; "" takes it away.
func providing(t *testing.T, record *credential.Record, policy SecretPolicy, steps ...any) credential.Record {
	t.Helper()
	now := start
	for _, step := range steps {
		switch step := step.(type) {
		case time.Duration:
			now = now.Add(step)
		case string:
			provided := digest(step)
			if step == "" {
				provided = nil
			}
			decision := ProvidedSecret(provided, record, 1, policy, SecretUse{}, now)
			again := ProvidedSecret(provided, &decision.Record, 1, policy, SecretUse{}, now)
			if again.Record.String() != decision.Record.String() {
				t.Errorf("having decided, it decides on: %s, then %s", decision.Record, again.Record)
			}
			record = &decision.Record
		}
	}
	return *record
}

func numbers(record credential.Record) []int64 {
	all := []int64{record.Present.Number}
	for _, version := range record.Previous {
		all = append(all, version.Number)
	}
	return all
}

func TestProvidedSecretDecides(t *testing.T) {
	policy := with(onDemand, func(p *SecretPolicy) { p.RetireUnused = 30 * day })
	for name, test := range map[string]struct {
		steps    []any
		versions []int64
		valid    map[string]time.Duration // since start, until when; 0 is for ever
	}{
		"first seen": {[]any{"a"}, []int64{1}, map[string]time.Duration{"a": 0}},
		"changed":    {[]any{"a", hour, "b"}, []int64{2, 1}, map[string]time.Duration{"a": 7*day + hour, "b": 0}},
		"changed twice": {[]any{"a", hour, "b", hour, "c"}, []int64{3, 2, 1},
			map[string]time.Duration{"a": 7*day + hour, "b": 7*day + 2*hour, "c": 0}},
		"changed back":                        {[]any{"a", hour, "b", hour, "a"}, []int64{3, 2}, map[string]time.Duration{"a": 0, "b": 7*day + 2*hour}},
		"taken away":                          {[]any{"a", hour, ""}, []int64{1}, map[string]time.Duration{"a": 7*day + hour}},
		"taken away for long":                 {[]any{"a", hour, "", 8 * day, ""}, []int64{1}, map[string]time.Duration{"a": -1}},
		"taken away, then new":                {[]any{"a", hour, "", hour, "b"}, []int64{2, 1}, map[string]time.Duration{"a": 7*day + hour, "b": 0}},
		"deleted and made anew with the same": {[]any{"a", hour, "", hour, "a"}, []int64{1}, map[string]time.Duration{"a": 0}},
		"back after its end":                  {[]any{"a", hour, "", 8 * day, "a"}, []int64{1}, map[string]time.Duration{"a": 0}},
		"new after its end":                   {[]any{"a", hour, "", 8 * day, "b"}, []int64{2}, map[string]time.Duration{"a": -1, "b": 0}},
		"the overlap passes":                  {[]any{"a", hour, "b", 7 * day, "b"}, []int64{2}, map[string]time.Duration{"a": -1, "b": 0}},
	} {
		record := providing(t, nil, policy, test.steps...)
		if got := numbers(record); !slices.Equal(got, test.versions) {
			t.Errorf("%s: versions %v, want %v", name, got, test.versions)
		}
		for value, until := range test.valid {
			switch {
			case until < 0:
				if accepts(record, value, start.Add(9*day)) {
					t.Errorf("%s: %s is still valid", name, value)
				}
			case until == 0:
				if !accepts(record, value, start.Add(1000*day)) {
					t.Errorf("%s: %s is not valid for ever", name, value)
				}
			case !accepts(record, value, start.Add(until-1)) || accepts(record, value, start.Add(until)):
				t.Errorf("%s: %s is not valid until %v, or beyond it", name, value, until)
			}
		}
	}
}

func TestProvidedSecretNothingYet(t *testing.T) {
	if got := ProvidedSecret(nil, nil, 1, onDemand, SecretUse{}, start); !reflect.DeepEqual(got, Secret{}) {
		t.Errorf("%+v", got)
	}
	// A record that was lost is begun anew, with a number that was not used before.
	if got := ProvidedSecret(digest("a"), nil, 4, onDemand, SecretUse{}, start); got.Record.Present.Number != 4 {
		t.Errorf("%+v", got)
	}
}

// Whoever provides a secret says when it changes: Kubemint neither by interval nor on request, and asks for no time to look again.
func TestProvidedSecretIsNotRotated(t *testing.T) {
	for name, policy := range map[string]SecretPolicy{
		"interval": with(onDemand, func(p *SecretPolicy) { p.Interval = day }),
		"request":  with(onDemand, func(p *SecretPolicy) { p.Request = "now" }),
	} {
		record := providing(t, nil, onDemand, "a")
		got := ProvidedSecret(digest("a"), &record, 1, policy, SecretUse{}, start.Add(1000*day))
		if got.Record.String() != record.String() || !got.Next.IsZero() || got.Why != "" {
			t.Errorf("%s: %+v", name, got)
		}
		// A request of now is left to be followed when Kubemint generates again.
		if got = ProvidedSecret(digest("b"), &record, 1, policy, SecretUse{}, start.Add(hour)); got.Record.Request != "" {
			t.Errorf("%s: it was noted as followed", name)
		}
	}
}

// One from before is retired by its disuse, as a generated one; one that was taken away is not: it may come back.
func TestProvidedSecretRetiresUnused(t *testing.T) {
	record := providing(t, nil, onDemand, "a", hour, "b")
	got := ProvidedSecret(digest("b"), &record, 1, onDemand, SecretUse{}, start.Add(2*hour))
	if want := start.Add(hour + day); !got.Next.Equal(want) {
		t.Errorf("it looks again at %v, want %v", got.Next, want)
	}
	got = ProvidedSecret(digest("b"), &record, 1, onDemand, SecretUse{}, start.Add(hour+day))
	if !slices.Equal(got.Retired, []int64{1}) || accepts(got.Record, "a", start.Add(hour+day)) {
		t.Errorf("retired: %v", got.Retired)
	}
	away := providing(t, nil, onDemand, "a", hour, "", 2*day, "")
	if !accepts(away, "a", start.Add(3*day)) {
		t.Error("the one that was taken away ended early")
	}
}

// From generated to provided and back: the record goes on, and what was valid is so through the overlap.
func TestGeneratedToProvidedAndBack(t *testing.T) {
	generated, record := issued()
	given := providing(t, record, onDemand, hour, "a")
	if !accepts(given, generated, start.Add(2*hour)) || !accepts(given, "a", start.Add(2*hour)) {
		t.Error("one of the two is not valid")
	}
	back := ClientSecret("", &given, 1, onDemand, SecretUse{}, start.Add(2*hour))
	if !back.Generated || back.Record.Present.Number != 3 || !accepts(back.Record, "a", start.Add(7*day)) || !accepts(back.Record, back.Secret, start.Add(1000*day)) {
		t.Errorf("back: %+v", back)
	}
	// What had been taken away before ends no later for it.
	away := providing(t, &given, onDemand, 2*hour, "")
	back = ClientSecret("", &away, 1, onDemand, SecretUse{}, start.Add(6*hour))
	if accepts(back.Record, "a", start.Add(7*day+2*hour)) || !accepts(back.Record, "a", start.Add(7*day+2*hour-1)) {
		t.Errorf("back after it was taken away: %s", back.Record)
	}
}

// Whatever comes, in whatever order: what is provided now is valid, each number stands for one value, and records stay parseable.
func TestProvidedSecretAtRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	values := []string{"", "a", "b", "c", "d", "e", "f", "g"}
	for range 300 {
		var record *credential.Record
		now, meant, last := start, map[int64]credential.Digest{}, int64(0)
		for range 60 {
			now = now.Add(time.Duration(random.Int64N(int64(2 * day))))
			value := values[random.IntN(len(values))]
			provided := digest(value)
			if value == "" {
				provided = nil
			}
			decision := ProvidedSecret(provided, record, 1, onDemand, SecretUse{}, now)
			if decision.Record.Present.Number == 0 {
				continue
			}
			if value != "" && !accepts(decision.Record, value, now.Add(1000*day)) {
				t.Fatalf("%q is provided and not valid: %s", value, decision.Record)
			}
			read, err := credential.ParseRecord(decision.Record.String())
			if err != nil || decision.Record.Present.Number < last {
				t.Fatalf("%v: %s", err, decision.Record)
			}
			for _, version := range append([]credential.Version{read.Present}, read.Previous...) {
				if was, known := meant[version.Number]; known && was != version.Digest {
					t.Fatalf("version %d became another", version.Number)
				}
				meant[version.Number] = version.Digest
			}
			record, last = &read, read.Present.Number
		}
	}
}
