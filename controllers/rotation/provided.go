package rotation

import (
	"time"

	"github.com/kubemint/kubemint/tokenserver/credential"
)

// ProvidedSecret decides what the record of a client's secrets is to say where somebody else makes the present one. provided is its
// digest, nil where it is missing or refused. A new value is a rotation: the one before is valid through the overlap. Without one,
// what was valid ends with the overlap from now, unless the same value is back before: who replaces a Secret may delete it
// first. Of the policy, only Overlap and RetireUnused count: whoever makes the secret says when. record is nil where there is
// none yet, and number is then that of the first version. The decision's Secret is empty, and so is its Record where there is
// nothing to say yet.
func ProvidedSecret(provided *credential.Digest, record *credential.Record, number int64, policy SecretPolicy, use SecretUse, now time.Time) Secret {
	now = now.UTC().Truncate(time.Second)
	policy.Interval, policy.Request = 0, ""
	var decision Secret
	switch {
	case record == nil && provided == nil:
		return decision
	case record == nil:
		decision.Record.Present = credential.Version{Number: number, Digest: *provided, Created: now}
	case provided == nil:
		decision.Record = *record
		if record.Present.Expires.IsZero() {
			decision.Record.Present.Replaced, decision.Record.Present.Expires = now, now.Add(policy.Overlap)
		}
	case *provided == record.Present.Digest:
		decision.Record = *record
		decision.Record.Present.Replaced, decision.Record.Present.Expires = time.Time{}, time.Time{}
	default:
		decision.Why = "whoever provides it changed it"
		decision.replaceBy(credential.Version{Digest: *provided}, *record, policy, now)
	}
	decision.retire(policy, use, now)
	_, decision.Next = Due(decision.Record, policy, use, now)
	return decision
}
