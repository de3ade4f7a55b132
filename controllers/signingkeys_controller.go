package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// SigningKeysReconciler sees to it that the issuer has signing keys, in a Secret of Kubemint's own namespace.
type SigningKeysReconciler struct {
	Client    client.Client
	Events    events.EventRecorder
	Namespace string
	// Algorithm is that of a key that is made.
	Algorithm signing.Algorithm
	Now       func() time.Time
}

// SetupWithManager starts keeping the signing keys.
func (r *SigningKeysReconciler) SetupWithManager(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).
		Named("signingkeys").
		WatchesRawSource(once(r.key())).
		Watches(&corev1.Secret{}, &handler.EnqueueRequestForObject{}, ownSecret(r.Namespace, v1alpha1.SigningKeysSecretName)).
		WithOptions(controllerOptions(1)).
		Complete(r)
}

func (r *SigningKeysReconciler) key() types.NamespacedName {
	return types.NamespacedName{Namespace: r.Namespace, Name: v1alpha1.SigningKeysSecretName}
}

// Reconcile makes the ring if there is none. One that cannot be read is left alone: tokens may be out that only its keys
// verify, and the token servers go on with the last good one.
func (r *SigningKeysReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	var secret corev1.Secret
	err := r.Client.Get(ctx, r.key(), &secret)
	if apierrors.IsNotFound(err) {
		return ctrl.Result{}, r.create(ctx)
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("read the signing keys: %w", err)
	}
	ring, err := signing.ParseRing(secret.Data[v1alpha1.SigningKeysKey])
	if err != nil {
		r.Events.Eventf(&secret, nil, corev1.EventTypeWarning, "SigningKeysInvalid", "ReadSigningKeys",
			"the signing keys cannot be read (%v): restore the Secret from a backup, or delete it to have a new key made; tokens that were issued before will then no longer verify", err)
		log.FromContext(ctx).Error(err, "signing keys cannot be read", "secret", secret.Name)
		return ctrl.Result{RequeueAfter: maxRetry}, nil
	}
	if active := ring.Active(); active.Algorithm != r.Algorithm {
		log.FromContext(ctx).Info("active signing key is of another algorithm than configured and stays in use",
			"kid", active.ID, "algorithm", active.Algorithm, "configured", r.Algorithm)
	}
	return ctrl.Result{}, nil
}

// create makes the ring with a first key. Creating never overwrites a ring that another replica made meanwhile.
func (r *SigningKeysReconciler) create(ctx context.Context) error {
	ring, err := signing.NewRingWithKey(r.Algorithm, r.Now())
	if err != nil {
		return err
	}
	stored, err := ring.Marshal()
	if err != nil {
		return err
	}
	secret := ownedSecret(r.key(), v1alpha1.ComponentSigningKeys, v1alpha1.SecretTypeSigningKeys)
	secret.Data = map[string][]byte{v1alpha1.SigningKeysKey: stored}
	if err := r.Client.Create(ctx, secret); err != nil {
		return explainUnlabelled(secret, err)
	}
	log.FromContext(ctx).Info("signing key made", "kid", ring.Active().ID, "algorithm", r.Algorithm)
	return nil
}

// ownedSecret returns one of Kubemint's own Secrets, still without data.
func ownedSecret(key types.NamespacedName, component string, secretType corev1.SecretType) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Labels: map[string]string{
			v1alpha1.LabelManagedBy: v1alpha1.ManagedBy,
			v1alpha1.LabelComponent: component,
		}},
		Type: secretType,
	}
}

// explainUnlabelled adds the remedy where a Secret cannot be made because one without Kubemint's label has its name.
func explainUnlabelled(secret *corev1.Secret, err error) error {
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("secret %s/%s exists but is not seen yet: if this lasts, it lacks the label %s=%s: %w",
			secret.Namespace, secret.Name, v1alpha1.LabelComponent, secret.Labels[v1alpha1.LabelComponent], err)
	}
	return fmt.Errorf("create Secret %s/%s: %w", secret.Namespace, secret.Name, err)
}
