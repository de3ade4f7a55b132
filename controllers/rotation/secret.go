// Package rotation decides, as pure functions with a clock, what is to be done with client secrets, signing keys and certificates:
// from what is and the time, to what to do, why, and when to look again.
package rotation

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/kubemint/kubemint/tokenserver/credential"
)

// SecretPolicy is how a client secret is to change over time.
type SecretPolicy struct {
	// Interval is how often a new one is made; 0 means only on request.
	Interval time.Duration
	// Overlap is how long one from before is valid at most.
	Overlap time.Duration
	// RetireUnused is after how long without use one from before is retired.
	RetireUnused time.Duration
	// Request asks for one rotation by any value that differs from the one that was followed last; empty asks for none.
	Request string
	// Seed tells clients apart, so that not all of them rotate at once.
	Seed string
}

// SecretUse is what is known of who uses which version of a client secret.
type SecretUse struct {
	// Last is when each version was last used, to within UseResolution; those that were never seen in use are not in it.
	Last map[int64]time.Time
	// Holders are workloads whose running pods may still have a version.
	Holders map[int64][]string
}

// UseResolution is how far the time of the last use of one from before may lag behind: it is told once an hour, and, where there are
// many, within half an hour from then.
const UseResolution = 90 * time.Minute

// Secret is a decision on a client secret.
type Secret struct {
	// Secret is the one to hold: the present one, or a new one.
	Secret string
	// Record says what the Secret is to say of it and of those from before.
	Record credential.Record
	// Why is the reason for a new version; empty where there is none.
	Why string
	// Generated is whether the secret was made here, and Lost whether that is because somebody spoilt or removed the one before.
	Generated, Lost bool
	// Retired are the versions from before that are valid no more.
	Retired []int64
	// Next is when to look again; zero where nothing is due.
	Next time.Time
}

// Due says whether a record of client secrets calls for a change, and otherwise when to look again (zero: not for the time).
func Due(record credential.Record, policy SecretPolicy, use SecretUse, now time.Time) (due bool, next time.Time) {
	if policy.requestedBeyond(record) {
		return true, time.Time{}
	}
	if policy.Interval > 0 {
		next = policy.rotatesAt(record)
	}
	for _, previous := range record.Previous {
		next = earlier(next, policy.retiresAt(previous, use))
	}
	return !next.IsZero() && !now.Before(next), next
}

// kind is a kind of credential that Kubemint makes.
type kind struct {
	usable   func(value string) bool
	version  func(value string) credential.Version // With what follows from the value.
	generate func() string
}

var (
	clientSecrets = kind{
		usable:   credential.WellFormed,
		version:  func(value string) credential.Version { return credential.Version{Digest: credential.DigestOf(value)} },
		generate: credential.Generate,
	}
	privateKeys = kind{
		usable: func(value string) bool { _, err := credential.ParsePrivateKey(value); return err == nil },
		version: func(value string) credential.Version {
			key, _ := credential.ParsePrivateKey(value) // It is usable.
			return credential.Version{Digest: key.Thumbprint, PublicKey: key.Point}
		},
		generate: func() string { return credential.GeneratePrivateKey().PEM() },
	}
)

// ClientSecret decides what a Secret of Kubemint's own is to hold: the present client secret if it can be used, with those from
// before that are still valid; or a new one, because it is asked for, due, or there is none. record is nil where there is none
// yet, and number is then that of the first version.
func ClientSecret(present string, record *credential.Record, number int64, policy SecretPolicy, use SecretUse, now time.Time) Secret {
	return clientSecrets.decide(present, record, number, policy, use, now)
}

// PrivateKey decides the same of a private key in PEM: which is the decision's Secret.
func PrivateKey(present string, record *credential.Record, number int64, policy SecretPolicy, use SecretUse, now time.Time) Secret {
	return privateKeys.decide(present, record, number, policy, use, now)
}

func (k kind) decide(present string, record *credential.Record, number int64, policy SecretPolicy, use SecretUse, now time.Time) Secret {
	now = now.UTC().Truncate(time.Second)
	decision := Secret{Secret: present}
	switch {
	case record == nil:
		if !k.usable(present) {
			decision.generate(k, "there was none")
		}
		decision.Record = credential.Record{Request: policy.Request, Present: k.version(decision.Secret)}
		decision.Record.Present.Number, decision.Record.Present.Created = number, now
	case !k.usable(present):
		decision.generate(k, "the one before was lost")
		decision.Lost = true
		decision.replace(k, *record, policy, now)
	case k.version(present).Digest != record.Present.Digest:
		decision.Why = "somebody else put it there"
		decision.replace(k, *record, policy, now)
	case policy.requestedBeyond(*record):
		decision.generate(k, "asked for")
		decision.replace(k, *record, policy, now)
	case policy.Interval > 0 && !now.Before(policy.rotatesAt(*record)):
		decision.generate(k, "due by its interval")
		decision.replace(k, *record, policy, now)
	default:
		decision.Record = *record
	}
	decision.retire(policy, use, now)
	_, decision.Next = Due(decision.Record, policy, use, now)
	return decision
}

// Usable reports whether a value can serve as a generated client secret: the token server takes no other.
func Usable(value string) bool { return clientSecrets.usable(value) }

func (d *Secret) generate(k kind, why string) {
	d.Secret, d.Generated, d.Why = k.generate(), true, why
}

// replace makes the decision's secret the present one of a record. The one before is valid through the overlap.
func (d *Secret) replace(k kind, record credential.Record, policy SecretPolicy, now time.Time) {
	d.replaceBy(k.version(d.Secret), record, policy, now)
}

func (d *Secret) replaceBy(present credential.Version, record credential.Record, policy SecretPolicy, now time.Time) {
	former := record.Present
	if former.Expires.IsZero() { // Otherwise it was taken away before, and ends as it was to end then.
		former.Replaced, former.Expires = now, now.Add(policy.Overlap)
	}
	present.Number, present.Created = former.Number+1, now
	d.Record = credential.Record{
		Present:  present,
		Request:  record.Request,
		Previous: append([]credential.Version{former}, record.Previous...),
	}
	// One from before that came back is the present one, and does not end as another.
	d.Record.Previous = slices.DeleteFunc(d.Record.Previous, func(v credential.Version) bool { return v.Digest == present.Digest })
	if policy.Request != "" {
		d.Record.Request = policy.Request
	}
	if len(d.Record.Previous) > credential.MaxPrevious {
		for _, version := range d.Record.Previous[credential.MaxPrevious:] {
			d.Retired = append(d.Retired, version.Number)
		}
		d.Record.Previous = d.Record.Previous[:credential.MaxPrevious]
	}
}

// retire takes the versions out of the record whose time has come.
func (d *Secret) retire(policy SecretPolicy, use SecretUse, now time.Time) {
	d.Record.Previous = slices.DeleteFunc(slices.Clone(d.Record.Previous), func(version credential.Version) bool {
		ends := !now.Before(policy.retiresAt(version, use))
		if ends {
			d.Retired = append(d.Retired, version.Number)
		}
		return ends
	})
}

// requestedBeyond reports whether a rotation is asked for that a record has not followed yet.
func (p SecretPolicy) requestedBeyond(record credential.Record) bool {
	return p.Request != "" && p.Request != record.Request
}

// rotatesAt returns when the present version is to be replaced: up to a tenth of the interval early, in whole seconds
// as all times of a record.
func (p SecretPolicy) rotatesAt(record credential.Record) time.Time {
	hash := fnv.New64a()
	_, _ = fmt.Fprint(hash, p.Seed, record.Present.Number)                      // A hash takes everything.
	fraction := float64(binary.BigEndian.Uint16(hash.Sum(nil)[6:])) / (1 << 16) // Of FNV's bits, the last ones are mixed best.
	return record.Present.Created.Add(p.Interval - time.Duration(fraction*float64(p.Interval/10)).Truncate(time.Second))
}

// retiresAt returns when a version from before ends: with its overlap, or earlier when nobody has used it for long enough and no
// running workload has it.
func (p SecretPolicy) retiresAt(version credential.Version, use SecretUse) time.Time {
	if len(use.Holders[version.Number]) > 0 {
		return version.Expires
	}
	lastUse := use.Last[version.Number].Add(UseResolution)
	if lastUse.Before(version.Replaced) {
		lastUse = version.Replaced
	}
	return earlier(version.Expires, lastUse.Add(p.RetireUnused))
}
