package controllers

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers/rotation"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// SigningKeysReconciler keeps the issuer's signing keys, in a Secret of Kubemint's own namespace: it makes the first one, and has
// others follow it.
type SigningKeysReconciler struct {
	Client client.Client
	// Live reads from the API server, not from the cache.
	Live      client.Reader
	Events    events.EventRecorder
	Namespace string
	Policy    rotation.RingPolicy
	// Tracer makes the spans of reconciliations. Nil means that there are none.
	Tracer trace.Tracer
	Now    func() time.Time
}

// Times in the life of a signing key.
const (
	// signingKeyLead is how long a key is published before it signs. Verifiers need signing.PublishedMaxAge of it; the rest is for replicas
	// that see it late.
	signingKeyLead = time.Hour
	// signingKeyKeep is how long a key stays published after it was retired: the longest lifetime that a token can have (24 h by the
	// CRD), signing.MaxHandover, and an hour for clocks that differ.
	signingKeyKeep = 24*time.Hour + signing.MaxHandover + time.Hour
)

// SigningKeyPolicy is how signing keys come and go, by the algorithm that is configured and how long a key signs; 0 means until
// somebody asks for another.
func SigningKeyPolicy(algorithm signing.Algorithm, interval time.Duration) rotation.RingPolicy {
	return rotation.RingPolicy{Algorithm: algorithm, Interval: interval, Lead: signingKeyLead, Keep: signingKeyKeep}
}

// SetupWithManager starts keeping the signing keys.
func (r *SigningKeysReconciler) SetupWithManager(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).
		Named("signingkeys").
		WatchesRawSource(once(r.key())).
		Watches(&corev1.Secret{}, &handler.EnqueueRequestForObject{}, ownSecret(r.Namespace, v1alpha1.SigningKeysSecretName)).
		WithOptions(controllerOptions(1)).
		Complete(traced(r.Tracer, "signing keys", r))
}

func (r *SigningKeysReconciler) key() types.NamespacedName {
	return types.NamespacedName{Namespace: r.Namespace, Name: v1alpha1.SigningKeysSecretName}
}

// Reconcile makes the ring if there is none, and otherwise moves it on, by one write for each step. A ring that cannot be read is left
// alone: tokens may be out that only its keys verify, and the token servers go on with the last good one.
func (r *SigningKeysReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	secret := ownedSecret(r.key(), v1alpha1.ComponentSigningKeys, v1alpha1.SecretTypeSigningKeys)
	if err := readOwn(ctx, r.Live, secret); err != nil {
		return ctrl.Result{}, err
	}
	if secret.ResourceVersion == "" {
		return r.create(ctx, secret)
	}
	ring, err := signing.ParseRing(secret.Data[v1alpha1.SigningKeysKey])
	if err != nil {
		return r.leaveAlone(ctx, secret, err)
	}
	asked := signing.Followed{
		Rotate: secret.Annotations[v1alpha1.AnnotationRotate], Revoke: secret.Annotations[v1alpha1.AnnotationRevoke],
	}
	decision, err := rotation.Ring(ring, r.Policy, asked, r.Now())
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.store(ctx, secret, ring, decision); err != nil {
		return ctrl.Result{}, err
	}
	r.tell(ctx, secret, decision)
	return lookAgain(decision.Next, r.Now()), nil
}

// create makes the ring with a first key. Creating never overwrites a ring that another replica made meanwhile.
func (r *SigningKeysReconciler) create(ctx context.Context, secret *corev1.Secret) (ctrl.Result, error) {
	ring, err := signing.NewRingWithKey(r.Policy.Algorithm, r.Now())
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.put(secret, ring); err != nil {
		return ctrl.Result{}, err
	}
	if err := writeOwn(ctx, r.Client, secret); err != nil {
		return ctrl.Result{}, err
	}
	log.FromContext(ctx).Info("signing key made", "kid", ring.Active().ID, "algorithm", r.Policy.Algorithm)
	return ctrl.Result{}, nil // It is seen when the cache shows it, and looked at then.
}

// put puts a ring into its Secret, with what is to be said of it.
func (r *SigningKeysReconciler) put(secret *corev1.Secret, ring *signing.Ring) error {
	stored, err := ring.Marshal()
	if err != nil {
		return err
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[v1alpha1.SigningKeysKey] = stored
	describe(secret, rotation.RingStatus(ring, r.Policy))
	return nil
}

// store writes what was decided, if anything was, or what is said of the ring, if that is no longer true.
func (r *SigningKeysReconciler) store(ctx context.Context, secret *corev1.Secret, ring *signing.Ring, decision rotation.RingDecision) error {
	if decision.Ring == nil {
		if !describe(secret, rotation.RingStatus(ring, r.Policy)) {
			return nil
		}
	} else if err := r.put(secret, decision.Ring); err != nil {
		return err
	}
	return writeOwn(ctx, r.Client, secret)
}

// leaveAlone says, in an event and once on the Secret, that the ring cannot be read and what to do. The error quotes no key.
func (r *SigningKeysReconciler) leaveAlone(ctx context.Context, secret *corev1.Secret, cause error) (ctrl.Result, error) {
	explanation := fmt.Sprintf("the signing keys cannot be read (%v), and the last good ones are used where they are still known: restore the Secret from a backup, or delete it to have a new key made; tokens that were issued before will then no longer verify", cause)
	if describe(secret, explanation) {
		if err := writeOwn(ctx, r.Client, secret); err != nil {
			return ctrl.Result{}, err
		}
	}
	r.Events.Eventf(secret, nil, corev1.EventTypeWarning, v1alpha1.EventSigningKeysInvalid, "ReadSigningKeys", "%s", explanation)
	log.FromContext(ctx).Error(cause, "signing keys cannot be read", "secret", secret.Name)
	return ctrl.Result{RequeueAfter: maxRetry}, nil
}

// tell tells of each change, after it was written.
func (r *SigningKeysReconciler) tell(ctx context.Context, secret *corev1.Secret, decision rotation.RingDecision) {
	for i := range decision.Changes {
		change := &decision.Changes[i]
		key := change.Key
		event := func(eventType, reason, note string, args ...any) {
			r.Events.Eventf(secret, nil, eventType, reason, "RotateSigningKeys", note, args...)
		}
		switch change.Action {
		case rotation.Prepare:
			event(corev1.EventTypeNormal, v1alpha1.EventSigningKeyPrepared, "signing key %s (%s) is published, and signs from %s: %s",
				key.ID, key.Algorithm, key.Created.Add(r.Policy.Lead).Format(time.RFC3339), change.Why)
		case rotation.Activate:
			event(corev1.EventTypeNormal, v1alpha1.EventSigningKeyActivated, "signing key %s (%s) signs from now on: %s", key.ID, key.Algorithm, change.Why)
		case rotation.Remove:
			event(corev1.EventTypeNormal, v1alpha1.EventSigningKeyRemoved, "signing key %s is no longer published: %s", key.ID, change.Why)
		case rotation.Revoke:
			event(corev1.EventTypeWarning, v1alpha1.EventSigningKeyRevoked, "signing key %s is no longer published: %s. Its tokens are refused once verifiers have fetched the key set again, after %s at most",
				key.ID, change.Why, signing.PublishedMaxAge)
		case rotation.Ignore: // What stands there by mistake might be a secret.
			event(corev1.EventTypeWarning, v1alpha1.EventSigningKeyUnknown, "the annotation %s names no key that is in the ring, and nothing was revoked: the keys are named in %s",
				v1alpha1.AnnotationRevoke, v1alpha1.AnnotationStatus)
			continue
		}
		log.FromContext(ctx).Info("signing key changed", "action", change.Action, "kid", key.ID, "algorithm", key.Algorithm, "why", change.Why)
	}
}
