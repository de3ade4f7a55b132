package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// provided is what is known of the client secret that somebody else makes: its digest, or why there is none to be used.
type provided struct {
	digest  *credential.Digest
	problem *problem
}

// providedSecret reads the Secret that somebody else makes, from the cache or live.
func (r *OAuthClientReconciler) providedSecret(ctx context.Context, reader client.Reader, c *v1alpha1.OAuthClient) (provided, error) {
	var secret corev1.Secret
	err := reader.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: c.SecretName()}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return provided{problem: waitingForSecret("nobody has made Secret %q yet: make it with the label %s=%s and a client secret under the key %q",
			c.SecretName(), v1alpha1.LabelClient, c.Name, c.Spec.Secret.Keys.ClientSecret)}, nil
	case err != nil:
		return provided{}, fmt.Errorf("read the provided Secret %q: %w", c.SecretName(), err)
	}
	secret.Data = credential.SealData(secret.Data) // One that was read live is plain.
	if obstacle := notProvided(c, &secret); obstacle != nil {
		return provided{problem: obstacle}, nil
	}
	digest, weakness := credential.UnsealProvided(secret.Data[string(c.Spec.Secret.Keys.ClientSecret)])
	if weakness != nil {
		return provided{problem: &problem{reason: v1alpha1.ReasonWeakSecret, stalled: true,
			message: fmt.Sprintf("the client secret in Secret %q is refused: %v; make another, for example with openssl rand -hex 32", secret.Name, weakness)}}, nil
	}
	return provided{digest: &digest}, nil
}

// notProvided says why a Secret does not hold the client secret of an OAuthClient, or nil if it does.
func notProvided(c *v1alpha1.OAuthClient, secret *corev1.Secret) *problem {
	key := string(c.Spec.Secret.Keys.ClientSecret)
	agreed, labelled := secret.Labels[v1alpha1.LabelClient]
	_, there := secret.Data[key]
	owner := controllingClient(secret)
	switch {
	case metav1.IsControlledBy(secret, c):
		return waitingForSecret("Secret %q is still the one that Kubemint generated: name another in spec.secret.name, or delete it and then make yours", secret.Name)
	case owner != nil:
		return secretConflict("Secret %q belongs to OAuthClient %q, and two must not share a client secret: choose another spec.secret.name", secret.Name, owner.Name)
	case !secret.DeletionTimestamp.IsZero():
		return waitingForSecret("Secret %q is being deleted: make it again", secret.Name)
	case !labelled:
		return waitingForSecret("Secret %q does not carry the label %s=%s, by which it agrees to hold this client secret: add the label where the Secret is made",
			secret.Name, v1alpha1.LabelClient, c.Name)
	case agreed != c.Name:
		return waitingForSecret("the label %s of Secret %q names OAuthClient %q: it must be %s, or choose another spec.secret.name",
			v1alpha1.LabelClient, secret.Name, agreed, c.Name)
	case !there:
		return waitingForSecret("Secret %q has no key %q: put the client secret there, or name its key in spec.secret.keys.clientSecret", secret.Name, key)
	}
	return nil
}

func waitingForSecret(format string, args ...any) *problem {
	return &problem{reason: v1alpha1.ReasonWaitingForSecret, message: fmt.Sprintf(format, args...)}
}

// providedCacheOptions limits a cache to the Secrets that agree by label to hold a client secret. All values are sealed.
func providedCacheOptions(scheme *runtime.Scheme, watched ...string) cache.Options {
	agreed, err := labels.NewRequirement(v1alpha1.LabelClient, selection.Exists, nil)
	if err != nil {
		panic("controllers: a constant label selector is invalid: " + err.Error())
	}
	return cache.Options{
		Scheme:            scheme,
		DefaultNamespaces: inNamespaces(watched),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {
				Label: labels.NewSelector().Add(*agreed),
				Transform: func(object any) (any, error) {
					if secret, ok := object.(*corev1.Secret); ok {
						secret.ManagedFields = nil
						secret.Annotations = nil // kubectl's last-applied-configuration repeats the values.
						secret.Data = credential.SealData(secret.Data)
					}
					return object, nil
				},
			},
		},
	}
}

// watchProvided adds to a manager the cache of provided Secrets, and returns it as a source of the OAuthClients that they name. It is
// apart from the manager's own cache because a kind of object has one label selector in each.
func (r *OAuthClientReconciler) watchProvided(manager ctrl.Manager) (source.Source, error) {
	secrets, err := cache.New(manager.GetConfig(), providedCacheOptions(manager.GetScheme(), r.Watched...))
	if err != nil {
		return nil, fmt.Errorf("set up the cache of provided Secrets: %w", err)
	}
	if err := manager.Add(secrets); err != nil {
		return nil, fmt.Errorf("add the cache of provided Secrets: %w", err)
	}
	r.Provided = secrets
	return source.Kind(secrets, &corev1.Secret{}, handler.TypedEnqueueRequestsFromMapFunc(clientNamedBy)), nil
}

// clientNamedBy returns the OAuthClient that a provided Secret names.
func clientNamedBy(_ context.Context, secret *corev1.Secret) []reconcile.Request {
	return []reconcile.Request{requestFor(secret.Namespace, secret.Labels[v1alpha1.LabelClient])}
}
