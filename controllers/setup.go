package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// reconcileTimeout bounds one reconciliation, waiting for the cache to see its own writes included.
const reconcileTimeout = time.Minute

// SetupWithManager starts reconciling OAuthClients: when one changes, when its Secret or the one provided for it does, when the name
// it wants becomes free, when what it may have at a ResourceServer changes, when pods that use its Secret come and go, if they are
// watched, and all of them when the CA changes.
func (r *OAuthClientReconciler) SetupWithManager(ctx context.Context, manager ctrl.Manager) error {
	if err := addIndexes(ctx, manager.GetFieldIndexer()); err != nil {
		return err
	}
	provided, err := r.watchProvided(manager)
	if err != nil {
		return err
	}
	controller := ctrl.NewControllerManagedBy(manager).
		For(&v1alpha1.OAuthClient{}).
		WatchesRawSource(provided).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.clientsOfSecret)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.allClients), caChanged(r.Namespace)).
		Watches(&v1alpha1.ResourceServer{}, handler.EnqueueRequestsFromMapFunc(r.clientsConcerned), decisionsChange()).
		WithOptions(controllerOptions(r.Workers))
	if r.WatchPods {
		if err := r.watchPods(ctx, manager, controller); err != nil {
			return err
		}
	}
	return controller.Complete(traced(r.Tracer, "OAuthClient", r))
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
	// It reads from the cache, which does not fail.
	wanting, _ := r.clientsNaming(ctx, secret.GetNamespace(), secret.GetName())
	return append(requests, requestsFor(wanting)...)
}

func (r *OAuthClientReconciler) allClients(ctx context.Context, _ client.Object) []reconcile.Request {
	var all v1alpha1.OAuthClientList
	_ = r.Client.List(ctx, &all, client.DisableReadYourWritesConsistency)
	return requestsFor(all.Items)
}

// clientsConcerned returns the OAuthClients for which a change of a ResourceServer may change what they have.
func (r *OAuthClientReconciler) clientsConcerned(ctx context.Context, object client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, server := range serversConcerned(ctx, r.Client, object.(*v1alpha1.ResourceServer)) {
		asking, _ := clientsAskingAt(ctx, r.Client, server) // It reads from the cache, which does not fail.
		requests = append(requests, requestsFor(asking)...)
	}
	return requests
}

func requestsFor(clients []v1alpha1.OAuthClient) []reconcile.Request {
	requests := make([]reconcile.Request, len(clients))
	for i := range clients {
		requests[i] = requestFor(clients[i].Namespace, clients[i].Name)
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

// decisionsChange lets through events of OAuthClients and ResourceServers by which what clients have may change: the API server counts
// the changes of spec.
func decisionsChange() builder.Predicates {
	return builder.WithPredicates(predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() || e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
				e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		},
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
