package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

const (
	// lookForUses is how often the registry looks for uses of client secrets that nobody was told of.
	lookForUses = 10 * time.Second
	// tellUseAfter is how much later than the one in the status a use must be to be told: a status is written once in that time,
	// however many replicas saw the client, and never without a request.
	tellUseAfter = time.Hour
	// tellWithin spreads the writes, for when many clients come at once; tellPause is the longest time between two.
	tellWithin = 30 * time.Minute
	tellPause  = 200 * time.Millisecond
)

// keepTellingUses tells uses until the context ends.
func (r *Registry) keepTellingUses(ctx context.Context) {
	ticker := time.NewTicker(lookForUses)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.TellUses(ctx)
		}
	}
}

// TellUses reports in the status of OAuthClients when their client secrets were last used, where nobody has for an hour. Run does so
// all the time.
func (r *Registry) TellUses(ctx context.Context) {
	untold := r.clients.withUntoldUses()
	pause := min(tellPause, tellWithin/time.Duration(max(len(untold), 1)))
	for i, entry := range untold {
		if i > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		if err := r.tellUse(ctx, entry); err != nil {
			if ctx.Err() == nil {
				r.log.Warn("last use of client secrets not reported, trying again later", "client", entry.ID, "error", err)
			}
			return // What stands in the way of one, stands in the way of all.
		}
	}
}

// withUntoldUses returns the clients of which a secret was used long enough after the last use that the status tells of.
func (c *clients) withUntoldUses() []*grant.Client {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var untold []*grant.Client
	for _, entry := range c.entries {
		last, told := int64(0), int64(0)
		for _, accepted := range entry.Credentials {
			if accepted.Version > 0 {
				last, told = max(last, accepted.Use.Last()), max(told, accepted.Use.Told.Load())
			}
		}
		if isUntold(last, told) {
			untold = append(untold, entry)
		}
	}
	return untold
}

// isUntold reports whether the last use of any of a client's secrets is so much later than the last one that the status tells of,
// both in Unix seconds, that it is worth a write.
func isUntold(last, told int64) bool { return last-told >= int64(tellUseAfter.Seconds()) }

// tellUse reports the uses of one client's secrets, unless another replica has. The status is read live, and applied as a whole with
// the field manager of the controllers: none of them undoes what the other one wrote.
func (r *Registry) tellUse(ctx context.Context, entry *grant.Client) error {
	var object v1alpha1.OAuthClient
	key := client.ObjectKey{Namespace: entry.Namespace, Name: entry.Name}
	if err := r.api.Get(ctx, key, &object); err != nil {
		return client.IgnoreNotFound(err)
	}
	if object.UID != types.UID(entry.UID) {
		return nil
	}
	status := object.Status.DeepCopy()
	if noteUses(status.Credentials, entry.Credentials) {
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
	noteTold(status.Credentials, entry.Credentials)
	return nil
}

// noteUses brings the last uses in a status up to date if they are too far behind, and reports whether they were.
func noteUses(status []v1alpha1.CredentialStatus, accepted []credential.Accepted) bool {
	last, told := int64(0), int64(0)
	updated := slices.Clone(status)
	for i := range updated {
		use := int64(0)
		if updated[i].LastUsed != nil {
			use = updated[i].LastUsed.Unix()
			told = max(told, use)
		}
		for j := range accepted {
			if accepted[j].Version == updated[i].Version {
				use = max(use, accepted[j].Use.Last())
			}
		}
		if use > 0 {
			updated[i].LastUsed = &metav1.Time{Time: time.Unix(use, 0)}
			last = max(last, use)
		}
	}
	if !isUntold(last, told) {
		return false
	}
	copy(status, updated)
	return true
}

// noteTold remembers which uses the status tells of. A version that is not in it yet has its turn later.
func noteTold(status []v1alpha1.CredentialStatus, accepted []credential.Accepted) {
	for _, told := range status {
		for _, a := range accepted {
			if a.Version == told.Version && told.LastUsed != nil {
				a.Use.Told.Store(told.LastUsed.Unix())
			}
		}
	}
}
