package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// Indexes of the cache.
const (
	// indexOwner finds Secrets by the UID of the OAuthClient that controls them.
	indexOwner = "owner"
	// indexSecretName finds OAuthClients by the name of the Secret that they want.
	indexSecretName = "secretName"
)

// reconcileTimeout bounds one reconciliation, waiting for the cache to see its own writes included.
const reconcileTimeout = time.Minute

// CacheOptions limits the cache to what the controllers read: of the Secrets, only Kubemint's own by label. The values of
// those that hold client credentials are sealed: no client secret stays in memory, and none can be written back from it.
func CacheOptions(namespace string) cache.Options {
	ours, err := labels.NewRequirement(v1alpha1.LabelComponent, selection.Exists, nil)
	if err != nil {
		panic("controllers: a constant label selector is invalid: " + err.Error())
	}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: {Transform: stripPod},
			&corev1.Secret{}: {
				Label: labels.NewSelector().Add(*ours),
				Transform: func(object any) (any, error) {
					if secret, ok := object.(*corev1.Secret); ok {
						secret.ManagedFields = nil
						if secret.Namespace != namespace || secret.Labels[v1alpha1.LabelComponent] == v1alpha1.ComponentClientCredentials {
							secret.Data = credential.SealData(secret.Data)
						}
					}
					return object, nil
				},
			},
		},
	}
}

// SetupWithManager starts reconciling OAuthClients: when one changes, when its Secret does, when the name it wants becomes
// free, when pods that use its Secret come and go, if they are watched, and all of them when the CA changes.
func (r *OAuthClientReconciler) SetupWithManager(ctx context.Context, manager ctrl.Manager) error {
	if err := addIndexes(ctx, manager.GetFieldIndexer()); err != nil {
		return err
	}
	controller := ctrl.NewControllerManagedBy(manager).
		For(&v1alpha1.OAuthClient{}).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.clientsOfSecret)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.allClients), caChanged(r.Namespace)).
		WithOptions(controllerOptions(r.Workers))
	if r.WatchPods {
		if err := r.watchPods(ctx, manager, controller); err != nil {
			return err
		}
	}
	return controller.Complete(r)
}

// addIndexes adds to the cache the indexes that reconciling OAuthClients needs.
func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &corev1.Secret{}, indexOwner, func(object client.Object) []string {
		if owner := controllingClient(object); owner != nil {
			return []string{string(owner.UID)}
		}
		return nil
	}); err != nil {
		return err
	}
	return indexer.IndexField(ctx, &v1alpha1.OAuthClient{}, indexSecretName, func(object client.Object) []string {
		return []string{object.(*v1alpha1.OAuthClient).SecretName()}
	})
}

// controllerOptions are the options of every controller here. The names need not be unique, as the manager with its
// controllers is made anew each time that leadership was lost.
func controllerOptions(workers int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: workers,
		SkipNameValidation:      ptr.To(true),
		ReconciliationTimeout:   reconcileTimeout,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](20*time.Millisecond, maxRetry),
	}
}

// clientsOfSecret returns the OAuthClient that owns a Secret, and those that want its name.
func (r *OAuthClientReconciler) clientsOfSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	var requests []reconcile.Request
	if owner := controllingClient(secret); owner != nil {
		requests = append(requests, requestFor(secret.GetNamespace(), owner.Name))
	}
	var wanting v1alpha1.OAuthClientList
	// It reads from the cache, which does not fail.
	_ = r.Client.List(ctx, &wanting, client.InNamespace(secret.GetNamespace()),
		client.MatchingFields{indexSecretName: secret.GetName()}, client.DisableReadYourWritesConsistency)
	return append(requests, requestsFor(wanting)...)
}

func (r *OAuthClientReconciler) allClients(ctx context.Context, _ client.Object) []reconcile.Request {
	var all v1alpha1.OAuthClientList
	_ = r.Client.List(ctx, &all, client.DisableReadYourWritesConsistency)
	return requestsFor(all)
}

func requestsFor(list v1alpha1.OAuthClientList) []reconcile.Request {
	requests := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		requests[i] = requestFor(list.Items[i].Namespace, list.Items[i].Name)
	}
	return requests
}

func requestFor(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// controllingClient returns the controller owner reference of an object if it names an OAuthClient.
func controllingClient(object client.Object) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(object)
	if owner == nil || owner.Kind != "OAuthClient" || owner.APIVersion != v1alpha1.GroupVersion.String() {
		return nil
	}
	return owner
}

// caChanged lets through events of Kubemint's CA by which its certificate becomes another.
func caChanged(namespace string) builder.Predicates {
	isCA := func(object client.Object) bool {
		return object.GetNamespace() == namespace && object.GetName() == v1alpha1.CertificateAuthoritySecretName
	}
	return builder.WithPredicates(predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return isCA(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := e.ObjectOld.(*corev1.Secret), e.ObjectNew.(*corev1.Secret)
			return isCA(after) && string(before.Data[v1alpha1.CACertificateKey]) != string(after.Data[v1alpha1.CACertificateKey])
		},
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	})
}

// ownSecret lets through events of one of Kubemint's own Secrets.
func ownSecret(namespace string, names ...string) builder.Predicates {
	return builder.WithPredicates(predicate.NewPredicateFuncs(func(object client.Object) bool {
		if object.GetNamespace() != namespace {
			return false
		}
		for _, name := range names {
			if object.GetName() == name {
				return true
			}
		}
		return false
	}))
}

// once triggers a controller when it starts, for what does not exist yet and so has no event.
func once(name types.NamespacedName) source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(reconcile.Request{NamespacedName: name})
		return nil
	})
}
