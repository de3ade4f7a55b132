package rotation

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver/credential"
)

const hour = time.Hour

// onDemand is the policy of an OAuthClient that says nothing of rotation.
var onDemand = SecretPolicy{Overlap: 7 * day, RetireUnused: day, Seed: "uid"}

// issued is what a Secret holds that was first made at start.
func issued() (string, *credential.Record) {
	first := ClientSecret("", nil, 1, onDemand, SecretUse{}, start)
	return first.Secret, &first.Record
}

func with(policy SecretPolicy, change func(*SecretPolicy)) SecretPolicy {
	change(&policy)
	return policy
}

func TestClientSecretUnusable(t *testing.T) {
	good, record := issued()
	for name, present := range map[string]string{
		"missing":          "",
		"chosen by a user": "correct horse battery staple",
		"truncated":        good[:len(good)-1],
		"trailing newline": good + "\n",
		"changed":          good[:20] + strings.Map(func(r rune) rune { return r ^ 1 }, good[20:21]) + good[21:],
	} {
		got := ClientSecret(present, nil, 1, onDemand, SecretUse{}, start)
		if !got.Generated || got.Secret == present || !Usable(got.Secret) || got.Record.Present.Digest != credential.DigestOf(got.Secret) {
			t.Errorf("%s: %+v", name, got)
		}
		if again := ClientSecret(present, nil, 1, onDemand, SecretUse{}, start); again.Secret == got.Secret {
			t.Errorf("%s: two generated secrets are the same", name)
		}
		// Whoever has the one that was lost goes on with it through the overlap.
		got = ClientSecret(present, record, 1, onDemand, SecretUse{}, start.Add(hour))
		if !got.Generated || got.Record.Present.Number != 2 || len(got.Record.Previous) != 1 || got.Record.Previous[0].Digest != record.Present.Digest {
			t.Errorf("%s, with a record: %+v", name, got)
		}
	}
}

func TestClientSecretDecides(t *testing.T) {
	secret, record := issued()
	other := credential.Generate()
	every90days := with(onDemand, func(p *SecretPolicy) { p.Interval = 90 * day })
	asked := with(onDemand, func(p *SecretPolicy) { p.Request = "now" })
	due := every90days.rotatesAt(*record)
	followed := *record
	followed.Request = "now"
	for _, test := range []struct {
		name    string
		present string
		record  *credential.Record
		policy  SecretPolicy
		now     time.Time
		why     string // empty: kept
		next    time.Time
	}{
		{"nothing is asked for", secret, record, onDemand, start.Add(1000 * day), "", time.Time{}},
		{"first seen, without record", secret, nil, onDemand, start, "", time.Time{}},
		{"first seen, with an old request", secret, nil, asked, start, "", time.Time{}},
		{"not due yet", secret, record, every90days, due.Add(-time.Second), "", due},
		{"due", secret, record, every90days, due, "due by its interval", time.Time{}},
		{"long due", secret, record, every90days, due.Add(1000 * day), "due by its interval", time.Time{}},
		{"asked for", secret, record, asked, start.Add(hour), "asked for", time.Time{}},
		{"asked for and followed", secret, &followed, asked, start.Add(hour), "", time.Time{}},
		{"request taken back", secret, &followed, onDemand, start.Add(hour), "", time.Time{}},
		{"another request", secret, &followed, with(asked, func(p *SecretPolicy) { p.Request = "again" }), start.Add(hour), "asked for", time.Time{}},
		{"put there by hand", other, record, onDemand, start.Add(hour), "somebody else put it there", time.Time{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ClientSecret(test.present, test.record, 1, test.policy, SecretUse{}, test.now)
			if got.Why != test.why || got.Generated != (test.why != "" && test.present == secret) {
				t.Fatalf("decided %q, generated %t", got.Why, got.Generated)
			}
			if got.Record.Present.Digest != credential.DigestOf(got.Secret) {
				t.Error("the record is of another secret")
			}
			if test.why == "" {
				if got.Secret != test.present || !got.Next.Equal(test.next) || len(got.Record.Previous) > 0 {
					t.Errorf("%+v", got)
				}
			} else {
				previous := got.Record.Previous
				if len(previous) != 1 || previous[0].Digest != record.Present.Digest || !previous[0].Expires.Equal(test.now.Add(7*day)) {
					t.Errorf("from before: %+v", previous)
				}
			}
			if test.record != nil {
				if isDue, next := Due(*test.record, test.policy, SecretUse{}, test.now); test.present == secret &&
					(isDue != (test.why != "") || !isDue && !next.Equal(test.next)) {
					t.Errorf("due %t, next %v", isDue, next)
				}
			}
			// Deciding again on what was decided changes nothing: whatever crashes after the write, there is one new secret.
			again := ClientSecret(got.Secret, &got.Record, 1, test.policy, SecretUse{}, test.now)
			if again.Secret != got.Secret || !reflect.DeepEqual(again.Record, got.Record) || again.Why != "" {
				t.Errorf("and then %+v", again)
			}
		})
	}
}

func TestClientSecretRetires(t *testing.T) {
	secret, record := issued()
	asked := with(onDemand, func(p *SecretPolicy) { p.Request = "now" })
	rotated := start.Add(day)
	after := ClientSecret(secret, record, 1, asked, SecretUse{}, rotated)
	last := func(at time.Time) SecretUse { return SecretUse{Last: map[int64]time.Time{1: at}} }
	held := SecretUse{Holders: map[int64][]string{1: {"Deployment/worker"}}}
	for _, test := range []struct {
		name string
		use  SecretUse
		ends time.Time
	}{
		{"never seen in use", SecretUse{}, rotated.Add(day)},
		{"last used before", last(start), rotated.Add(day)},
		{"used since", last(rotated.Add(5 * hour)), rotated.Add(5*hour + UseResolution + day)},
		{"in use to the end", last(rotated.Add(7 * day)), rotated.Add(7 * day)},
		{"held by a workload", held, rotated.Add(7 * day)},
		{"the present one in use", SecretUse{Last: map[int64]time.Time{2: rotated.Add(3 * day)}}, rotated.Add(day)},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := ClientSecret(after.Secret, &after.Record, 1, asked, test.use, test.ends.Add(-time.Second))
			if len(before.Record.Previous) != 1 || len(before.Retired) > 0 || !before.Next.Equal(test.ends) {
				t.Errorf("before: %+v", before)
			}
			then := ClientSecret(after.Secret, &after.Record, 1, asked, test.use, test.ends)
			if len(then.Record.Previous) != 0 || !slices.Equal(then.Retired, []int64{1}) || then.Secret != after.Secret {
				t.Errorf("then: %+v", then)
			}
		})
	}
	t.Run("no overlap", func(t *testing.T) {
		now := ClientSecret(secret, record, 1, with(asked, func(p *SecretPolicy) { p.Overlap = 0 }), SecretUse{}, rotated)
		if len(now.Record.Previous) != 0 || !slices.Equal(now.Retired, []int64{1}) {
			t.Errorf("%+v", now)
		}
	})
}

// Ten thousand clients that were made in one minute do not rotate in one minute, and none later than its interval says.
func TestJitter(t *testing.T) {
	const clients = 10_000
	_, record := issued()
	perDay := map[int]int{}
	for i := range clients {
		policy := SecretPolicy{Interval: 100 * day, Seed: fmt.Sprint("uid-", i)}
		at := policy.rotatesAt(*record).Sub(record.Present.Created)
		if at > 100*day || at < 90*day {
			t.Fatalf("due after %v", at)
		}
		perDay[int(at/day)]++
		if again := policy.rotatesAt(*record).Sub(record.Present.Created); again != at {
			t.Fatal("it wavers")
		}
	}
	for day, count := range perDay {
		if day < 100 && (count < clients/10/2 || count > clients/10*2) {
			t.Errorf("day %d: %d of %d", day, count, clients)
		}
	}
}

// Whatever happens and whenever the controller looks: the present secret and every one from before that was replaced less than the
// overlap ago, and was used or held lately, are valid; and no more than one new secret is made for a request.
func TestClientSecretAtAnyTime(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		policy := SecretPolicy{Interval: 30 * day, Overlap: time.Duration(1+random.IntN(10)) * day, RetireUnused: day, Seed: fmt.Sprint(seed)}
		now, made, requests := start, 1, 0
		d := ClientSecret("", nil, 1, policy, SecretUse{}, now)
		replaced := map[string]time.Time{}
		for range 300 {
			now = now.Add(time.Duration(random.IntN(int(20 * hour))))
			if random.IntN(20) == 0 {
				requests++
				policy.Request = fmt.Sprint(requests)
			}
			use := SecretUse{Last: map[int64]time.Time{}}
			for _, v := range d.Record.Previous {
				use.Last[v.Number] = now.Add(-UseResolution) // All are in use.
			}
			was := d
			wasDue, _ := Due(was.Record, policy, use, now)
			d = ClientSecret(was.Secret, &was.Record, 1, policy, use, now)
			if changed := !reflect.DeepEqual(d.Record, was.Record); changed != wasDue {
				t.Fatalf("seed %d: due %t, changed %t", seed, wasDue, changed)
			}
			if d.Generated {
				made++
				replaced[was.Secret] = now.Truncate(time.Second)
			}
			accepted := d.Record.Accepted()
			for secret, at := range replaced {
				if valid := credential.Match(secret, accepted, now) != nil; now.Before(at.Add(policy.Overlap)) != valid && len(d.Record.Previous) < credential.MaxPrevious {
					t.Fatalf("seed %d: replaced %v ago, valid %t", seed, now.Sub(at), valid)
				}
			}
			if credential.Match(d.Secret, accepted, now) == nil {
				t.Fatalf("seed %d: the present secret is not valid", seed)
			}
		}
		if bySchedule := int(now.Sub(start)/(27*day)) + 1; made > 1+requests+bySchedule {
			t.Errorf("seed %d: %d secrets for %d requests in %v", seed, made, requests, now.Sub(start))
		}
	}
}
