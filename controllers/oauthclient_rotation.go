package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers/rotation"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// rotationPolicy returns how an OAuthClient's client secret is to change over time.
func rotationPolicy(c *v1alpha1.OAuthClient) rotation.SecretPolicy {
	return policyOf(c, c.Spec.Authentication.ClientSecret.Rotation, string(c.UID))
}

func policyOf(c *v1alpha1.OAuthClient, spec v1alpha1.RotationSpec, seed string) rotation.SecretPolicy {
	policy := rotation.SecretPolicy{
		Overlap:      spec.Overlap.Duration,
		RetireUnused: spec.RetireUnusedAfter.Duration,
		Request:      c.Annotations[v1alpha1.AnnotationRotate],
		Seed:         seed,
	}
	if spec.Interval != nil {
		policy.Interval = spec.Interval.Duration
	}
	return policy
}

// secretUse returns what is known of who uses which version of the client secret, of those in a record and in the status.
func (r *OAuthClientReconciler) secretUse(ctx context.Context, c *v1alpha1.OAuthClient, record *credential.Record) (rotation.SecretUse, error) {
	last := map[int64]time.Time{}
	for _, status := range c.Status.Credentials {
		if status.LastUsed != nil {
			last[status.Version] = status.LastUsed.Time
		}
	}
	return r.useOf(ctx, c.Namespace, c.SecretName(), record, last)
}

// useOf returns who uses which version, of those in a record, of what a Secret holds; last is when each was last used.
func (r *OAuthClientReconciler) useOf(ctx context.Context, namespace, secretName string, record *credential.Record, last map[int64]time.Time) (rotation.SecretUse, error) {
	use := rotation.SecretUse{Last: last, Holders: map[int64][]string{}}
	if record == nil {
		return use, nil
	}
	for _, previous := range record.Previous {
		holders, err := r.holders(ctx, namespace, secretName, previous.Replaced)
		if err != nil {
			return rotation.SecretUse{}, err
		}
		use.Holders[previous.Number] = holders
	}
	return use, nil
}

// nextLook returns when to look at client secrets again that are due next at some time (zero: never). Of a pod that is lost on its
// node nobody says when it ceases to count.
func (r *OAuthClientReconciler) nextLook(next time.Time, use rotation.SecretUse) time.Time {
	for _, holders := range use.Holders {
		if again := r.Now().Add(holdersAgain); len(holders) > 0 && again.Before(next) {
			return again
		}
	}
	return next
}

// holdersAgain is how often to look whether pods are still there, besides when one is seen to go.
const holdersAgain = time.Hour

// nextVersion is the number of the first version of a client secret of which there is no record: one that was not used before.
func nextVersion(c *v1alpha1.OAuthClient) int64 {
	number := int64(1)
	for _, status := range c.Status.Credentials {
		number = max(number, status.Version+1)
	}
	return number
}

// recordIn returns the first record of client secrets among Secrets, or nil. One that somebody spoilt is none.
func recordIn(secrets ...corev1.Secret) *credential.Record {
	return recordAt(v1alpha1.AnnotationCredentials, secrets...)
}

func recordAt(annotation string, secrets ...corev1.Secret) *credential.Record {
	for i := range secrets {
		if record, err := credential.ParseRecord(secrets[i].Annotations[annotation]); err == nil {
			return &record
		}
	}
	return nil
}

// credentialsStatus reports the versions of a client secret, with their last uses as far as they were known before.
func credentialsStatus(record *credential.Record, before []v1alpha1.CredentialStatus) []v1alpha1.CredentialStatus {
	var status []v1alpha1.CredentialStatus
	for _, version := range record.Versions() {
		entry := v1alpha1.CredentialStatus{Version: version.Number, Created: metav1.NewTime(version.Created)}
		if !version.Expires.IsZero() {
			expires := metav1.NewTime(version.Expires)
			entry.Expires = &expires
		}
		known := slices.IndexFunc(before, func(b v1alpha1.CredentialStatus) bool {
			return b.Version == entry.Version && b.Created.Equal(&entry.Created)
		})
		if known >= 0 {
			entry.LastUsed = before[known].LastUsed
		}
		status = append(status, entry)
	}
	return status
}

// rotating returns the condition that names what the client secrets and private keys from before wait for; nil where there are none.
func rotating(c *v1alpha1.OAuthClient, o outcome) *metav1.Condition {
	condition := &metav1.Condition{Type: v1alpha1.ConditionRotating, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWaitingForLastUse}
	var messages []string
	add := func(what string, record *credential.Record, policy rotation.SecretPolicy, use rotation.SecretUse) {
		for _, version := range record.Previous {
			message := fmt.Sprintf("version %d of the %s is valid until %s", version.Number, what, version.Expires.Format(time.RFC3339))
			if holders := use.Holders[version.Number]; len(holders) > 0 {
				condition.Reason = v1alpha1.ReasonWaitingForWorkloads
				message += ": Waiting for " + listed(holders)
			} else {
				message += fmt.Sprintf(", or until it has not been used for %s", policy.RetireUnused)
			}
			messages = append(messages, message)
		}
	}
	if o.record != nil {
		add("client secret", o.record, rotationPolicy(c), o.use)
	}
	if o.key != nil {
		add("private key", &o.key.decision.Record, keyPolicy(c), o.key.use)
	}
	if len(messages) == 0 {
		return nil
	}
	condition.Message = strings.Join(messages, "; ")
	return condition
}

// maxListed bounds how many names a message has.
const maxListed = 8

func listed(names []string) string {
	if len(names) > maxListed {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), len(names)-maxListed)
	}
	return strings.Join(names, ", ")
}

// rotationTold says in words, and as the reason of an event, what a decision on a client secret or a private key changed; empty where it
// changed nothing.
func rotationTold(what string, decision rotation.Secret, known bool) (event, message string) {
	present := decision.Record.Present.Number
	switch {
	case decision.Why != "" && known:
		former := decision.Record.Previous
		event = v1alpha1.EventSecretRotated
		if decision.Lost {
			event = v1alpha1.EventSecretRepaired
		}
		message = fmt.Sprintf("%s version %d (%s)", what, present, decision.Why)
		if len(former) > 0 {
			message += fmt.Sprintf("; version %d is valid until %s at the latest", former[0].Number, former[0].Expires.Format(time.RFC3339))
		}
	case len(decision.Retired) > 0:
		event, message = v1alpha1.EventSecretRetired, what+" version "+strings.Trim(fmt.Sprint(decision.Retired), "[]")+
			" is no longer valid: its overlap has passed, or nobody used it"
	}
	return event, message
}
