package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers/rotation"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// companionSuffix makes, of an OAuthClient's name, that of the Secret of Kubemint's own beside a provided one.
const companionSuffix = "-kubemint"

func isProvided(c *v1alpha1.OAuthClient) bool { return c.Spec.Secret.Source == v1alpha1.SecretProvided }

// writtenName returns the name of the Secret that Kubemint writes for an OAuthClient.
func writtenName(c *v1alpha1.OAuthClient) string {
	if isProvided(c) {
		return c.Name + companionSuffix
	}
	return c.SecretName()
}

// syncProvided sees to an OAuthClient whose client secret somebody else makes, in a Secret that is only ever read. What Kubemint
// writes is the companion: it holds everything else that a program needs, and the record by which the token server knows the client
// secret. As with generated ones, the caches decide whether anything needs doing, and live reads what.
func (r *OAuthClientReconciler) syncProvided(ctx context.Context, c *v1alpha1.OAuthClient) (outcome, error) {
	desired, err := r.desiredCompanion(ctx, c)
	if err != nil {
		return outcome{secretName: c.Status.SecretName}, err
	}
	cached, err := r.cachedSecrets(ctx, c)
	if err != nil {
		return outcome{}, err
	}
	given, err := r.providedSecret(ctx, r.Provided, c)
	if err == nil && given.problem != nil { // The cache shows neither a Secret without the label, nor what came a moment ago.
		given, err = r.providedSecret(ctx, r.Live, c)
	}
	if err != nil {
		return outcome{}, err
	}
	if followed := c.Status.ObservedGeneration == c.Generation; followed && len(cached) == 1 && desired.restInSync(&cached[0]) {
		record := recordIn(cached[0])
		decision, use, err := r.decideProvided(ctx, c, given, record)
		if err != nil {
			return outcome{}, err
		}
		key, keyInSync, err := r.cachedKey(ctx, c, desired, &cached[0])
		if err != nil {
			return outcome{}, err
		}
		if keyInSync && decision.Record.String() == recorded(record).String() {
			result, err := r.providedOutcome(c, given, decision, use, nil)
			return result.with(r, key), err
		}
	}

	companion, former, err := r.liveSecrets(ctx, c)
	if err != nil {
		return outcome{}, err
	}
	// After the companion, and the OAuthClient after both: whoever follows a later change then makes our writes conflict.
	if given, err = r.providedSecret(ctx, r.Live, c); err != nil {
		return outcome{}, err
	}
	if err := r.confirm(ctx, c); err != nil {
		return outcome{}, err
	}
	return r.writeCompanion(ctx, c, desired, given, companion, former)
}

// writeCompanion makes or updates the companion, and then deletes the Secrets that Kubemint generated before. Until the provided one
// is there and good, the client secret in them counts as the present one: changing over refuses nobody.
func (r *OAuthClientReconciler) writeCompanion(ctx context.Context, c *v1alpha1.OAuthClient, desired *desiredSecret, given provided, companion *corev1.Secret, former []corev1.Secret) (outcome, error) {
	if companion != nil && !metav1.IsControlledBy(companion, c) {
		return standing(c, former), companionTakenBy(c, companion)
	}
	held := former
	if companion != nil {
		held = append([]corev1.Secret{*companion}, former...)
	}
	counting := given
	if given.problem != nil {
		counting.digest = generatedIn(c, former)
	}
	record := recordIn(held...)
	decision, use, err := r.decideProvided(ctx, c, counting, record)
	if err != nil {
		return outcome{}, err
	}

	key, err := r.decideKey(ctx, c, desired, held...)
	if err != nil {
		return outcome{}, err
	}
	written, err := r.bringCompanion(ctx, c, desired, decision, companion, record != nil)
	if err != nil {
		return standing(c, former), err
	}
	result, err := r.providedOutcome(c, given, decision, use, former)
	result = result.with(r, key)
	result.event, result.message = written.event, written.message
	result.tellKey()
	if err != nil {
		return result, err
	}
	return result, r.deleteSecrets(ctx, former)
}

// bringCompanion makes the companion, or brings it to what it should be, and says what was written. known is whether there was a record.
func (r *OAuthClientReconciler) bringCompanion(ctx context.Context, c *v1alpha1.OAuthClient, desired *desiredSecret, decision rotation.Secret, live *corev1.Secret, known bool) (outcome, error) {
	if live == nil {
		return r.createCompanion(ctx, c, desired, decision)
	}
	if !live.DeletionTimestamp.IsZero() {
		return outcome{}, fmt.Errorf("secret %q is being deleted", live.Name) // Tried again when it is gone.
	}
	updated, changes := desired.bring(live, decision)
	if len(changes.names) == 0 {
		return outcome{}, nil
	}
	// The resourceVersion of the live read makes a write in between a conflict, and so another try.
	if err := r.Client.Update(ctx, updated); err != nil {
		return outcome{}, writeFailed(desired.name, err)
	}
	written := outcome{message: fmt.Sprintf("Secret %q updated: %s", desired.name, strings.Join(changes.names, ", "))}
	event, message := rotationTold("client secret", decision, known)
	switch {
	case event != "":
		written.event, written.message = event, message
	case slices.Equal(changes.names, []string{"annotation " + v1alpha1.AnnotationCredentials}):
		// The provided one came, went or came back, which the condition Ready tells.
	case changes.byHand && c.Status.ObservedGeneration == c.Generation:
		written.event = v1alpha1.EventSecretRepaired
	default:
		written.event = v1alpha1.EventSecretUpdated
	}
	return written, nil
}

func (r *OAuthClientReconciler) createCompanion(ctx context.Context, c *v1alpha1.OAuthClient, desired *desiredSecret, decision rotation.Secret) (outcome, error) {
	if rival, err := r.olderRival(ctx, c); err != nil {
		return outcome{}, err
	} else if rival != "" {
		return outcome{}, companionConflict(desired.name, fmt.Sprintf("is wanted by OAuthClient %q, which is older", rival))
	}
	if err := r.Client.Create(ctx, desired.build(decision)); err != nil {
		return outcome{}, writeFailed(desired.name, err)
	}
	return outcome{message: fmt.Sprintf("Secret %q made for client %s", desired.name, c.ClientID())}, nil
}

// desiredCompanion works out what the companion should be: what a generated Secret would be, but for the client secret.
func (r *OAuthClientReconciler) desiredCompanion(ctx context.Context, c *v1alpha1.OAuthClient) (*desiredSecret, error) {
	desired, err := r.desiredSecret(ctx, c)
	if err != nil {
		return nil, err
	}
	if desired.envFileKey != "" { // Without the client secret, it is a value like the others.
		desired.data[desired.envFileKey] = desired.envFile(nil)
	}
	desired.name, desired.secretKey, desired.envFileKey = writtenName(c), "", ""
	return desired, nil
}

// decideProvided says what the companion is to record, and who uses the versions of which it knew before.
func (r *OAuthClientReconciler) decideProvided(ctx context.Context, c *v1alpha1.OAuthClient, given provided, record *credential.Record) (rotation.Secret, rotation.SecretUse, error) {
	use, err := r.secretUse(ctx, c, record)
	return rotation.ProvidedSecret(given.digest, record, nextVersion(c), rotationPolicy(c), use, r.Now()), use, err
}

// recorded returns a record as a decision has it: empty where there is none.
func recorded(record *credential.Record) credential.Record {
	if record == nil {
		return credential.Record{}
	}
	return *record
}

// providedOutcome says what the status is to tell: of what is valid, and of what stands in the way of the provided one. former are the
// Secrets that Kubemint generated before.
func (r *OAuthClientReconciler) providedOutcome(c *v1alpha1.OAuthClient, given provided, decision rotation.Secret, use rotation.SecretUse, former []corev1.Secret) (outcome, error) {
	result := outcome{secretName: c.SecretName(), companion: writtenName(c), use: use, next: r.nextLook(decision.Next, use)}
	present := decision.Record.Present
	if present.Number > 0 {
		result.record = &decision.Record
	}
	if given.problem == nil {
		return result, nil
	}
	obstacle := *given.problem
	switch {
	case len(former) > 0:
		result.secretName = former[0].Name
		obstacle.message += fmt.Sprintf("; until then, the generated one in Secret %q stays valid", former[0].Name)
	case r.Now().Before(present.Expires):
		obstacle.message += fmt.Sprintf("; version %d of the client secret stays valid until %s", present.Number, present.Expires.Format(time.RFC3339))
	case len(decision.Record.Previous) == 0:
		result.secretName = "" // None holds a valid client secret.
		obstacle.quiet = obstacle.reason == v1alpha1.ReasonWaitingForSecret
	}
	return result, &obstacle
}

// generatedIn returns the digest of the client secret that Kubemint generated before, or nil.
func generatedIn(c *v1alpha1.OAuthClient, former []corev1.Secret) *credential.Digest {
	value := credentialIn(string(c.Spec.Secret.Keys.ClientSecret), former...)
	if value == "" {
		return nil
	}
	return ptr.To(credential.DigestOf(value))
}

// standing names the Secret that goes on holding the credentials where the one that is wanted cannot be had.
func standing(c *v1alpha1.OAuthClient, former []corev1.Secret) outcome {
	for i := range former {
		if !isCompanion(c, &former[i]) {
			return outcome{secretName: former[i].Name}
		}
	}
	return outcome{secretName: c.Status.SecretName}
}

func isCompanion(c *v1alpha1.OAuthClient, secret *corev1.Secret) bool {
	return secret.Name == c.Name+companionSuffix
}

// generatedAgain tells that Kubemint made the client secret of an OAuthClient whose one was provided before.
func generatedAgain(name string, decision rotation.Secret) string {
	message := fmt.Sprintf("client secret version %d was generated, in Secret %q", decision.Record.Present.Number, name)
	if former := decision.Record.Previous; len(former) > 0 {
		message += fmt.Sprintf("; version %d, which was provided, is valid until %s at the latest", former[0].Number, former[0].Expires.Format(time.RFC3339))
	}
	return message
}

// companionTakenBy says whose a Secret is that has the companion's name.
func companionTakenBy(c *v1alpha1.OAuthClient, live *corev1.Secret) *problem {
	if owner := controllingClient(live); owner != nil && owner.Name == c.Name {
		return takenBy(c, live)
	}
	return companionConflict(live.Name, "exists and is not this OAuthClient's")
}

func companionConflict(name, why string) *problem {
	return secretConflict("Secret %q, in which Kubemint writes what goes with the provided one, %s: delete it if nothing uses it, or give the OAuthClient another name", name, why)
}
