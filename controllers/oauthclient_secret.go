package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers/rotation"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// outcome is what became of an OAuthClient's Secret.
type outcome struct {
	// secretName is the Secret that holds the credentials now; empty where there is none.
	secretName string
	// companion is the Secret that Kubemint writes beside a provided one; empty where it generates the client secret.
	companion string
	// record is what it says of its client secrets, use who uses them, and next when to look at them again; zero where nothing is due.
	record *credential.Record
	use    rotation.SecretUse
	next   time.Time
	// key is what became of the private key that Kubemint makes; nil where it makes none.
	key *keyOutcome
	// message tells what was written, and event is the reason under which an event tells it; empty where nothing was. A first
	// creation is worth no event: the condition Ready says the same.
	event, message string
}

// ready says in words what there is.
func (o outcome) ready() string {
	if o.record == nil && o.companion == "" && o.key == nil {
		return fmt.Sprintf("Secret %q holds all that a program needs beside its own proof of who it is", o.secretName)
	}
	if o.companion != "" {
		return fmt.Sprintf("Secret %q holds a working client secret, and Secret %q what goes with it", o.secretName, o.companion)
	}
	return fmt.Sprintf("Secret %q holds working credentials", o.secretName)
}

// syncSecret makes the Secret of an OAuthClient what it should be. The cache decides whether anything needs doing; what is
// then done rests on a live read, so that no stale cache can make a second secret or overwrite somebody's change.
func (r *OAuthClientReconciler) syncSecret(ctx context.Context, c *v1alpha1.OAuthClient) (outcome, error) {
	if isProvided(c) {
		return r.syncProvided(ctx, c)
	}
	desired, err := r.desiredSecret(ctx, c)
	if err != nil {
		return outcome{secretName: c.Status.SecretName}, err
	}
	cached, err := r.cachedSecrets(ctx, c)
	if err != nil {
		return outcome{}, err
	}
	followed := c.Status.ObservedGeneration == c.Generation
	if followed && len(cached) == 1 {
		if standing, inSync, err := r.cachedOutcome(ctx, c, desired, &cached[0]); err != nil || inSync {
			return standing, err
		}
	}

	if c.Status.ObservedGeneration == 0 && c.Generation == 1 && len(cached) == 0 {
		if result, err := r.createFirst(ctx, c, desired); !apierrors.IsAlreadyExists(err) {
			return result, err
		}
	}

	current, former, err := r.liveSecrets(ctx, c)
	if err != nil {
		return outcome{}, err
	}
	// After the Secrets were read: whoever follows a later change then makes our writes conflict.
	if err := r.confirm(ctx, c); err != nil {
		return outcome{}, err
	}
	var result outcome
	if current == nil {
		result, err = r.createSecret(ctx, c, desired, former)
	} else {
		result, err = r.updateSecret(ctx, c, desired, current, former)
	}
	if err != nil {
		if len(former) > 0 { // The credential stays where it was until the new name can be had.
			result.secretName = standing(c, former).secretName
		}
		return result, err
	}
	return result, r.deleteSecrets(ctx, former)
}

// cachedOutcome says of a Secret from the cache whether it is what it should be, and nothing in it is due to change.
func (r *OAuthClientReconciler) cachedOutcome(ctx context.Context, c *v1alpha1.OAuthClient, desired *desiredSecret, cached *corev1.Secret) (result outcome, inSync bool, err error) {
	record, inSync := desired.inSync(cached)
	if !inSync {
		return outcome{}, false, nil
	}
	result = outcome{secretName: desired.name, record: record}
	if record != nil {
		if result.use, err = r.secretUse(ctx, c, record); err != nil {
			return outcome{}, false, err
		}
		due, next := rotation.Due(*record, rotationPolicy(c), result.use, r.Now())
		if due {
			return outcome{}, false, nil
		}
		result.next = r.nextLook(next, result.use)
	}
	key, inSync, err := r.cachedKey(ctx, c, desired, cached)
	return result.with(r, key), inSync, err
}

// with returns the outcome with what became of the private key.
func (o outcome) with(r *OAuthClientReconciler, key *keyOutcome) outcome {
	o.key = key
	if key != nil {
		o.next = sooner(o.next, r.nextLook(key.decision.Next, key.use))
	}
	return o
}

// sooner returns the earlier of two times, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// liveSecrets returns the Secret of the wanted name, or nil, and those that the OAuthClient owns under former names.
func (r *OAuthClientReconciler) liveSecrets(ctx context.Context, c *v1alpha1.OAuthClient) (current *corev1.Secret, former []corev1.Secret, err error) {
	name := writtenName(c)
	current = &corev1.Secret{}
	err = r.Live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, current)
	if apierrors.IsNotFound(err) {
		current, err = nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read Secret %q: %w", name, err)
	}
	if c.Generation == 1 {
		return current, nil, nil // The spec never changed, so that there is no former name.
	}
	var labelled corev1.SecretList
	if err := r.Live.List(ctx, &labelled, client.InNamespace(c.Namespace),
		client.MatchingLabels{v1alpha1.LabelClientUID: string(c.UID)}); err != nil {
		return nil, nil, fmt.Errorf("list the OAuthClient's Secrets: %w", err)
	}
	former = slices.DeleteFunc(labelled.Items, func(s corev1.Secret) bool {
		return s.Name == name || !metav1.IsControlledBy(&s, c) || !s.DeletionTimestamp.IsZero()
	})
	return current, former, nil
}

// confirm fails where the cache is behind: the OAuthClient is another by now, or its spec, or what it asks for. To follow what it
// was would make a second credential, or undo what another replica did.
func (r *OAuthClientReconciler) confirm(ctx context.Context, c *v1alpha1.OAuthClient) error {
	var live v1alpha1.OAuthClient
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(c), &live); err != nil {
		return fmt.Errorf("read the OAuthClient: %w", err)
	}
	if live.UID != c.UID || live.Generation != c.Generation || !live.DeletionTimestamp.IsZero() ||
		live.Annotations[v1alpha1.AnnotationRotate] != c.Annotations[v1alpha1.AnnotationRotate] {
		return errors.New("the OAuthClient changed meanwhile") // Tried again when the cache has it.
	}
	return nil
}

// createFirst makes the Secret of an OAuthClient that is new. Nearly always nothing has its name, which the API server tells
// when it creates it or not: reading it before would only be slower.
func (r *OAuthClientReconciler) createFirst(ctx context.Context, c *v1alpha1.OAuthClient, desired *desiredSecret) (outcome, error) {
	if err := r.confirm(ctx, c); err != nil {
		return outcome{}, err
	}
	return r.createSecret(ctx, c, desired, nil)
}

// createSecret makes the Secret, with the credential of a former one where the name changed. Creating never overwrites: if
// the name was taken in the meantime, the API server refuses, and nothing is lost but the attempt.
func (r *OAuthClientReconciler) createSecret(ctx context.Context, c *v1alpha1.OAuthClient, desired *desiredSecret, former []corev1.Secret) (outcome, error) {
	if rival, err := r.olderRival(ctx, c); err != nil {
		return outcome{}, err
	} else if rival != "" {
		return outcome{}, secretConflict("Secret %q is also wanted by OAuthClient %q, which is older: choose another spec.secret.name", desired.name, rival)
	}
	decision, use, err := r.decide(ctx, c, desired, former)
	if err != nil {
		return outcome{}, err
	}
	key, err := r.decideKey(ctx, c, desired, former...)
	if err != nil {
		return outcome{}, err
	}
	secret := desired.build(decision)
	if err := r.Client.Create(ctx, secret); err != nil {
		return outcome{}, writeFailed(desired.name, err)
	}
	result := r.decided(desired, decision, use, key)
	switch {
	case len(former) > 0 && isCompanion(c, &former[0]) && decision.Lost:
		result.event, result.message = v1alpha1.EventSecretRotated, generatedAgain(desired.name, decision)
	case len(former) > 0:
		result.event = v1alpha1.EventSecretRenamed
		result.message = fmt.Sprintf("the credentials moved from Secret %q to %q", former[0].Name, desired.name)
	case c.Status.SecretName == desired.name:
		result.event = v1alpha1.EventSecretRepaired
		result.message = fmt.Sprintf("Secret %q was gone: made again with %s; what has read the former one must read it again", desired.name, desired.newCredentials())
	default:
		result.message = fmt.Sprintf("Secret %q made for client %s", desired.name, c.ClientID())
	}
	return result, nil
}

// updateSecret brings an existing Secret of the OAuthClient to what it should be. Somebody else's is never touched.
func (r *OAuthClientReconciler) updateSecret(ctx context.Context, c *v1alpha1.OAuthClient, desired *desiredSecret, live *corev1.Secret, former []corev1.Secret) (outcome, error) {
	if !metav1.IsControlledBy(live, c) {
		return outcome{}, takenBy(c, live)
	}
	if !live.DeletionTimestamp.IsZero() {
		return outcome{}, fmt.Errorf("secret %q is being deleted", live.Name) // Tried again when it is gone.
	}
	held := append([]corev1.Secret{*live}, former...)
	record := recordIn(held...)
	decision, use, err := r.decide(ctx, c, desired, held)
	if err != nil {
		return outcome{}, err
	}
	key, err := r.decideKey(ctx, c, desired, held...)
	if err != nil {
		return outcome{}, err
	}
	updated, changes := desired.bring(live, decision)
	result := r.decided(desired, decision, use, key)
	if len(changes.names) == 0 {
		return result, nil
	}
	// The resourceVersion of the live read makes a write in between a conflict, and so another try.
	if err := r.Client.Update(ctx, updated); err != nil {
		return outcome{secretName: desired.name}, writeFailed(desired.name, err)
	}
	result.event, result.message = rotationTold("client secret", decision, record != nil)
	if result.event == "" {
		result.event, result.message = updatedBy(c, desired, changes, record != nil || desired.secretKey == "")
	}
	result.tellKey()
	return result, nil
}

// updatedBy says in words, and as the reason of an event, by what a Secret was updated. recorded is whether it had its record: one without
// is of an earlier version of Kubemint, and lacks what is new.
func updatedBy(c *v1alpha1.OAuthClient, desired *desiredSecret, changes changes, recorded bool) (event, message string) {
	what := strings.Join(changes.names, ", ")
	if changes.byHand && recorded && c.Status.ObservedGeneration == c.Generation {
		return v1alpha1.EventSecretRepaired, fmt.Sprintf("Secret %q had been changed by somebody else and was made good: %s; its managedFields say who writes to it", desired.name, what)
	}
	return v1alpha1.EventSecretUpdated, fmt.Sprintf("Secret %q updated: %s", desired.name, what)
}

// decided is the outcome of decisions that are written.
func (r *OAuthClientReconciler) decided(desired *desiredSecret, decision rotation.Secret, use rotation.SecretUse, key *keyOutcome) outcome {
	result := outcome{secretName: desired.name}
	if desired.secretKey != "" {
		result.record, result.use, result.next = &decision.Record, use, r.nextLook(decision.Next, use)
	}
	return result.with(r, key)
}

// decide says which client secret an OAuthClient's Secret is to hold, from the Secrets that there are, and who uses those from before then.
// It says nothing where there is to be none.
func (r *OAuthClientReconciler) decide(ctx context.Context, c *v1alpha1.OAuthClient, desired *desiredSecret, held []corev1.Secret) (rotation.Secret, rotation.SecretUse, error) {
	if desired.secretKey == "" {
		return rotation.Secret{}, rotation.SecretUse{}, nil
	}
	record := recordIn(held...)
	use, err := r.secretUse(ctx, c, record)
	if err != nil {
		return rotation.Secret{}, use, err
	}
	decision := rotation.ClientSecret(credentialIn(desired.secretKey, held...), record, nextVersion(c), rotationPolicy(c), use, r.Now())
	if decision.Why == "" {
		return decision, use, nil
	}
	use, err = r.secretUse(ctx, c, &decision.Record) // The one that was just replaced is held too.
	return decision, use, err
}

// deleteSecrets removes Secrets of former names. The preconditions keep it from any that changed hands since they were read.
func (r *OAuthClientReconciler) deleteSecrets(ctx context.Context, secrets []corev1.Secret) error {
	for i := range secrets {
		s := &secrets[i]
		err := r.Client.Delete(ctx, s, client.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete the former Secret %q: %w", s.Name, err)
		}
	}
	return nil
}

// olderRival returns the name of an OAuthClient that wants the same Secret and was created before this one.
func (r *OAuthClientReconciler) olderRival(ctx context.Context, c *v1alpha1.OAuthClient) (string, error) {
	wanting, err := r.clientsNaming(ctx, c.Namespace, writtenName(c))
	if err != nil {
		return "", err
	}
	for i := range wanting {
		if rival := &wanting[i]; rival.UID != c.UID && rival.DeletionTimestamp.IsZero() && writtenName(rival) == writtenName(c) && older(rival, c) {
			return rival.Name, nil
		}
	}
	return "", nil
}

func older(a, b *v1alpha1.OAuthClient) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.UID < b.UID
	}
	return a.CreationTimestamp.Before(&b.CreationTimestamp)
}

// takenBy says whose a Secret is that this OAuthClient wants and does not own.
func takenBy(c *v1alpha1.OAuthClient, live *corev1.Secret) *problem {
	owner := metav1.GetControllerOfNoCopy(live)
	switch {
	case owner == nil:
		return secretConflict("Secret %q exists and is not this OAuthClient's: choose another spec.secret.name, or delete the Secret if nothing uses it", live.Name)
	case owner.Kind == "OAuthClient" && owner.Name == c.Name:
		return secretConflict("Secret %q belongs to a former OAuthClient of the same name: the garbage collector will remove it shortly", live.Name)
	default:
		return secretConflict("Secret %q belongs to %s %q: choose another spec.secret.name", live.Name, owner.Kind, owner.Name)
	}
}

// credentialIn returns the client secret that Secrets hold, or "": the one under key if any does, else one under another key,
// where it stands when the key was renamed. There, what Kubemint wrote comes before what somebody else keeps in the Secret.
func credentialIn(key string, secrets ...corev1.Secret) string {
	return valueIn(rotation.Usable, key, secrets...)
}

// valueIn returns a value of Secrets that is usable, in the same order.
func valueIn(usable func(string) bool, key string, secrets ...corev1.Secret) string {
	var ours, theirs string
	for i := range secrets {
		if value := string(secrets[i].Data[key]); usable(value) {
			return value
		}
		owned := ownedFields(secrets[i].ManagedFields)
		for otherKey, value := range secrets[i].Data {
			if !usable(string(value)) {
				continue
			}
			if _, byUs := owned.Data["f:"+otherKey]; byUs {
				ours = string(value)
			} else {
				theirs = string(value)
			}
		}
	}
	return cmp.Or(ours, theirs)
}

// ownerReference makes the OAuthClient the controller of its Secret, so that the garbage collector deletes it with its owner.
// It does not block the owner's deletion, which would need a right on finalizers.
func ownerReference(c *v1alpha1.OAuthClient) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "OAuthClient", Name: c.Name, UID: c.UID, Controller: ptr.To(true),
	}
}
