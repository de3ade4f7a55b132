package registry

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// lookForUses is how often the registry looks for uses of client secrets that nobody was told of.
const lookForUses = 10 * time.Second

// telling is how uses are told: no more often than a status is worth a write, and spread where there are many.
type telling struct {
	// after is how much later than the last one in the status a use must be. A status is written once in that time, however many
	// replicas saw the client, and never without a request.
	after time.Duration
	// within is how long it may take until all are told that have become due together.
	within time.Duration
	// atLeast is how many are told at a time where there are that many.
	atLeast int
}

var (
	// whileRotating is for clients of which a secret from before is valid: its last use decides when it is retired.
	whileRotating = telling{after: time.Hour, within: 30 * time.Minute, atLeast: 20}
	// otherwise the last use is for people to read.
	otherwise = telling{after: 24 * time.Hour, within: 6 * time.Hour, atLeast: 5}
)

func tellingOf(entry *grant.Client) telling {
	if len(entry.Credentials) > 1 || entry.Asymmetric != nil && len(entry.Asymmetric.Generated) > 1 {
		return whileRotating
	}
	return otherwise
}

// turn returns how many of so many that are due together are told at a time.
func (t telling) turn(due int) int { return max(t.atLeast, due/int(t.within/lookForUses)) }

// keepTellingUses tells uses until the context ends.
func (r *Registry) keepTellingUses(ctx context.Context) {
	ticker := time.NewTicker(lookForUses)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.tellUses(ctx, lookForUses*9/10)
		}
	}
}

// TellUses reports in the status of OAuthClients when their client secrets were last used, where nobody has lately: of so many that all
// have their turn in time. Run does so all the time.
func (r *Registry) TellUses(ctx context.Context) { r.tellUses(ctx, 0) }

// tellUses spreads the writes over a time: all at once, they would be in the way of token requests.
func (r *Registry) tellUses(ctx context.Context, over time.Duration) {
	for how, untold := range r.clients.withUntoldUses() {
		for _, entry := range untold {
			if err := r.tellUse(ctx, entry, how.after); err != nil {
				if ctx.Err() == nil {
					r.log.Warn("last use of client secrets not reported, trying again later", "client", entry.ID, "error", err)
				}
				return // What stands in the way of one, stands in the way of all.
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(over / time.Duration(len(untold))):
			}
		}
	}
}

// withUntoldUses returns those clients whose turn it is, of which a secret, a key or a way to prove who they are was used long enough after
// the last use that the status tells of.
func (c *clients) withUntoldUses() map[telling][]*grant.Client {
	c.mu.RLock()
	defer c.mu.RUnlock()
	untold := map[telling][]*grant.Client{}
	for how, ids := range c.mayHaveUntoldUses() {
		for _, id := range ids {
			if entry := c.entry(id); entry != nil && isUntoldOf(entry, how.after) {
				untold[how] = append(untold[how], entry)
			}
			if len(untold[how]) == how.turn(len(ids)) {
				break
			}
		}
	}
	return untold
}

// mayHaveUntoldUses returns the identifiers of clients that are worth a closer look, which is made of no more than take their turn.
func (c *clients) mayHaveUntoldUses() map[telling][]string {
	ids := map[telling][]string{}
	for id := range c.proofs {
		entry := c.entry(id)
		if entry == nil {
			continue
		}
		if how := tellingOf(entry); isUntoldOf(entry, how.after) {
			ids[how] = append(ids[how], id)
		}
	}
	seen := map[string]bool{}
	for user, use := range c.table.slots.all() {
		how := otherwise
		if !user.alone {
			how = whileRotating
		}
		if !isUntold(use.Last(), use.Told.Load(), how.after) { // What is untold of a client is so of the one of its secrets that was used last.
			continue
		}
		id := idOf(c.table.pages.from(user.text))
		if c.proofs[id] != nil || seen[id] {
			continue
		}
		ids[how] = append(ids[how], id)
		if !user.alone {
			seen[id] = true
		}
	}
	return ids
}

// isUntoldOf reports whether a use by a client is worth a write.
func isUntoldOf(entry *grant.Client, after time.Duration) bool {
	return anyUntold(secretUses(entry), after) || anyUntold(keyUses(entry), after) || methodUntold(entry, after)
}

// versionUse is the use of one version of a client secret or a private key.
type versionUse struct {
	version int64
	*credential.Use
}

// secretUses returns the uses of a client's secrets, of those that are in a record.
func secretUses(entry *grant.Client) []versionUse {
	uses := make([]versionUse, 0, len(entry.Credentials))
	for _, accepted := range entry.Credentials {
		if accepted.Version > 0 {
			uses = append(uses, versionUse{accepted.Version, accepted.Use})
		}
	}
	return uses
}

// keyUses returns the uses of a client's generated private keys.
func keyUses(entry *grant.Client) []versionUse {
	if entry.Asymmetric == nil {
		return nil
	}
	var uses []versionUse
	for _, key := range entry.Asymmetric.Generated {
		uses = append(uses, versionUse{key.Version, key.Use})
	}
	return uses
}

// anyUntold reports whether the last of some uses is so much later than the last one that was told that it is worth a write.
func anyUntold(uses []versionUse, after time.Duration) bool {
	last, told := int64(0), int64(0)
	for _, use := range uses {
		last, told = max(last, use.Last()), max(told, use.Told.Load())
	}
	return isUntold(last, told, after)
}

// isUntold reports whether the last use of any of a client's secrets is so much later than the last one that the status tells of,
// both in Unix seconds, that it is worth a write.
func isUntold(last, told int64, after time.Duration) bool { return last-told >= int64(after.Seconds()) }

// tellUse reports the uses of one client's secrets, unless another replica has. The status is read live, and applied as a whole with
// the field manager of the controllers: none of them undoes what the other one wrote.
func (r *Registry) tellUse(ctx context.Context, entry *grant.Client, after time.Duration) error {
	var object v1alpha1.OAuthClient
	key := client.ObjectKey{Namespace: entry.Namespace, Name: entry.Name}
	if err := r.api.Get(ctx, key, &object); err != nil {
		return client.IgnoreNotFound(err)
	}
	if object.UID != types.UID(entry.UID) {
		return nil
	}
	status := object.Status.DeepCopy()
	if noteAll(status, entry, after) {
		patch, err := object.StatusPatch(*status)
		if err != nil {
			return err
		}
		target := &v1alpha1.OAuthClient{ObjectMeta: metav1.ObjectMeta{Name: entry.Name, Namespace: entry.Namespace}}
		err = r.api.Status().Patch(ctx, target, client.RawPatch(types.ApplyPatchType, patch), client.ForceOwnership, client.FieldOwner(v1alpha1.ManagedBy))
		if apierrors.IsConflict(err) {
			return nil // Next time, as nothing was noted as told.
		}
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("apply the status: %w", err)
		}
	}
	noteAllTold(status, entry)
	return nil
}

// noteAll brings the last uses in a status up to date where they are too far behind, and reports whether any was.
func noteAll(status *v1alpha1.OAuthClientStatus, entry *grant.Client, after time.Duration) bool {
	secrets := noteUses(ofSecrets(status), secretUses(entry), after)
	keys := noteUses(ofKeys(status), keyUses(entry), after)
	methods := noteMethods(status, entry, after)
	return secrets || keys || methods
}

// noteAllTold remembers which uses the status tells of.
func noteAllTold(status *v1alpha1.OAuthClientStatus, entry *grant.Client) {
	noteTold(ofSecrets(status), secretUses(entry))
	noteTold(ofKeys(status), keyUses(entry))
	noteMethodsTold(status, entry)
}

// toldUse is where a status tells of the last use of one version.
type toldUse struct {
	version  int64
	lastUsed **metav1.Time
}

func ofSecrets(status *v1alpha1.OAuthClientStatus) []toldUse {
	told := make([]toldUse, len(status.Credentials))
	for i := range status.Credentials {
		told[i] = toldUse{status.Credentials[i].Version, &status.Credentials[i].LastUsed}
	}
	return told
}

func ofKeys(status *v1alpha1.OAuthClientStatus) []toldUse {
	told := make([]toldUse, len(status.PrivateKeys))
	for i := range status.PrivateKeys {
		told[i] = toldUse{status.PrivateKeys[i].Version, &status.PrivateKeys[i].LastUsed}
	}
	return told
}

// noteUses brings the last uses in a status up to date if they are too far behind, and reports whether they were.
func noteUses(status []toldUse, uses []versionUse, after time.Duration) bool {
	last, told := int64(0), int64(0)
	updated := make([]*metav1.Time, len(status))
	for i, tells := range status {
		latest := int64(0)
		if *tells.lastUsed != nil {
			latest = (*tells.lastUsed).Unix()
			told = max(told, latest)
		}
		for _, use := range uses {
			if use.version == tells.version {
				latest = max(latest, use.Last())
			}
		}
		if latest > 0 {
			updated[i] = &metav1.Time{Time: time.Unix(latest, 0)}
			last = max(last, latest)
		}
	}
	if !isUntold(last, told, after) {
		return false
	}
	for i, tells := range status {
		*tells.lastUsed = updated[i]
	}
	return true
}

// noteTold remembers which uses the status tells of. A version that is not in it yet has its turn later.
func noteTold(status []toldUse, uses []versionUse) {
	for _, tells := range status {
		for _, use := range uses {
			if use.version == tells.version && *tells.lastUsed != nil {
				use.Told.Store((*tells.lastUsed).Unix())
			}
		}
	}
}
