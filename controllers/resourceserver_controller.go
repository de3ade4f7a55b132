package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
)

// +kubebuilder:rbac:groups=oauth.kubemint.dev,resources=resourceservers,verbs=get;list;watch
// +kubebuilder:rbac:groups=oauth.kubemint.dev,resources=resourceservers/status,verbs=patch

// ResourceServerReconciler says in the status of every ResourceServer whether it has its audience, and which OAuthClients hold scopes
// there. It writes nothing else: what they hold, the token server finds out by itself.
type ResourceServerReconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	Events events.EventRecorder
	// Policy is what the administrators decide of what clients may ask for.
	Policy consent.Policy
	// Workers is how many ResourceServers are reconciled at once.
	Workers int
	// Tracer makes the spans of reconciliations. Nil means that there are none.
	Tracer trace.Tracer
	Now    func() time.Time
}

// clientsDelay is how long after a change of an OAuthClient its ResourceServers are looked at. Each look is at all OAuthClients that
// ask for scopes there, which may be 10,000 that change one after the other: whatever changes within the delay is one look.
const clientsDelay = time.Second

// maxClientsTold is how many OAuthClients the status lists.
const maxClientsTold = 64

// SetupWithManager starts reconciling ResourceServers: when one changes, when another one that had its audience does, and a little
// after its status or the OAuthClients that ask for its scopes do. The OAuthClientReconciler adds the indexes.
func (r *ResourceServerReconciler) SetupWithManager(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).
		For(&v1alpha1.ResourceServer{}, decisionsChange()).
		Watches(&v1alpha1.ResourceServer{}, statusWritten()).
		Watches(&v1alpha1.ResourceServer{}, handler.EnqueueRequestsFromMapFunc(r.concerned), decisionsChange()).
		Watches(&v1alpha1.OAuthClient{}, askedServers(), decisionsChange()).
		WithOptions(controllerOptions(r.Workers)).
		Complete(traced(r.Tracer, "ResourceServer", r))
}

// concerned returns the ResourceServers for which a change of one may change whether they have their audience.
func (r *ResourceServerReconciler) concerned(ctx context.Context, object client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, server := range serversConcerned(ctx, r.Client, object.(*v1alpha1.ResourceServer)) {
		requests = append(requests, reconcile.Request{NamespacedName: server})
	}
	return requests
}

// statusWritten enqueues a ResourceServer after clientsDelay where it changed in something else than what decides. That is nearly always
// its status, by our own write: a look at once would count the OAuthClients that have come meanwhile, and write again.
func statusWritten() handler.EventHandler {
	return handler.Funcs{
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if e.ObjectOld.GetGeneration() == e.ObjectNew.GetGeneration() {
				queue.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(e.ObjectNew)}, clientsDelay)
			}
		},
	}
}

// askedServers enqueues the ResourceServers of which an OAuthClient asks for scopes, or did before a change, after clientsDelay.
func askedServers() handler.EventHandler {
	enqueue := func(queue workqueue.TypedRateLimitingInterface[reconcile.Request], object client.Object) {
		for _, server := range serversAsked(object.(*v1alpha1.OAuthClient)) {
			queue.AddAfter(reconcile.Request{NamespacedName: server}, clientsDelay)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			enqueue(queue, e.Object)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			enqueue(queue, e.ObjectOld)
			enqueue(queue, e.ObjectNew)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			enqueue(queue, e.Object)
		},
	}
}

// Reconcile says in one ResourceServer's status what is so now, in one write; where the status says so already it writes nothing.
func (r *ResourceServerReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var server v1alpha1.ResourceServer
	if err := r.Client.Get(ctx, req.NamespacedName, &server); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !server.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // It grants nothing any more, and will soon be gone.
	}
	status, err := r.statusFor(ctx, &server)
	if err != nil {
		return ctrl.Result{}, err
	}
	if equality.Semantic.DeepEqual(status, server.Status) {
		return ctrl.Result{}, nil
	}
	patch, err := server.StatusPatch(status)
	if err != nil {
		return ctrl.Result{}, err
	}
	target := &v1alpha1.ResourceServer{ObjectMeta: metav1.ObjectMeta{Name: server.Name, Namespace: server.Namespace}}
	if err := applyStatus(ctx, r.Client, target, patch); err != nil {
		return ctrl.Result{}, err
	}
	r.tell(ctx, &server, status.Conditions[0])
	return ctrl.Result{}, nil
}

// statusFor returns the status of a ResourceServer, whose first condition is Ready.
func (r *ResourceServerReconciler) statusFor(ctx context.Context, s *v1alpha1.ResourceServer) (v1alpha1.ResourceServerStatus, error) {
	servers := newCachedServers(ctx, r.Client)
	servers.byName[client.ObjectKeyFromObject(s)] = s // The status is of this state.
	reason, owner := r.Policy.Ownership(s, servers)
	status := v1alpha1.ResourceServerStatus{ObservedGeneration: s.Generation}
	if reason == v1alpha1.ReasonAudienceOwned {
		granted, err := r.grantedClients(ctx, s, servers)
		if err != nil {
			return status, err
		}
		for _, scope := range s.Spec.Scopes {
			status.Scopes = append(status.Scopes, scope.Name)
		}
		status.ClientCount = int64(len(granted))
		status.Clients = slices.Clone(granted[:min(len(granted), maxClientsTold)])
	}
	for _, condition := range ownershipConditions(s, reason, owner) {
		condition.ObservedGeneration = s.Generation
		status.Conditions = append(status.Conditions, since(condition, s.Status.Conditions, r.Now()))
	}
	return status, servers.err
}

// grantedClients returns the OAuthClients that hold scopes at a ResourceServer, in order.
func (r *ResourceServerReconciler) grantedClients(ctx context.Context, s *v1alpha1.ResourceServer, servers consent.ResourceServers) ([]v1alpha1.GrantedClient, error) {
	key := client.ObjectKeyFromObject(s)
	asking, err := clientsAskingAt(ctx, r.Client, key)
	if err != nil {
		return nil, err
	}
	var granted []v1alpha1.GrantedClient
	for i := range asking {
		c := &asking[i]
		if scopes := r.Policy.Decide(c, servers).GrantedAt(key); len(scopes) > 0 && c.DeletionTimestamp.IsZero() {
			granted = append(granted, v1alpha1.GrantedClient{
				Namespace: v1alpha1.NamespaceName(c.Namespace), Name: v1alpha1.ObjectName(c.Name), Scopes: scopes})
		}
	}
	slices.SortFunc(granted, func(a, b v1alpha1.GrantedClient) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return granted, nil
}

// ownershipConditions returns the condition Ready, and Stalled where somebody must act.
func ownershipConditions(s *v1alpha1.ResourceServer, reason string, owner *v1alpha1.ResourceServer) []metav1.Condition {
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason}
	switch reason {
	case v1alpha1.ReasonAudienceOwned:
		ready.Status = metav1.ConditionTrue
		ready.Message = fmt.Sprintf("clients that spec.allowedClients allows get tokens for audience %s", s.Spec.Audience)
		return []metav1.Condition{ready}
	case v1alpha1.ReasonAudienceConflict:
		ready.Message = fmt.Sprintf("ResourceServer %s had audience %s before, so that this one grants nothing: make a new ResourceServer for another audience, or have the owners of namespace %s delete theirs",
			client.ObjectKeyFromObject(owner), s.Spec.Audience, owner.Namespace)
	case v1alpha1.ReasonAudienceReserved:
		ready.Message = fmt.Sprintf("audience %s is the issuer's own, so that this ResourceServer grants nothing: make a new one for another audience", s.Spec.Audience)
	}
	stalled := ready
	stalled.Type, stalled.Status = v1alpha1.ConditionStalled, metav1.ConditionTrue
	return []metav1.Condition{ready, stalled}
}

// tell records as an event and a log line that a ResourceServer has its audience now, or has it no more.
func (r *ResourceServerReconciler) tell(ctx context.Context, s *v1alpha1.ResourceServer, ready metav1.Condition) {
	if before := meta.FindStatusCondition(s.Status.Conditions, ready.Type); before != nil && before.Reason == ready.Reason {
		return
	}
	eventType := corev1.EventTypeNormal
	if ready.Status != metav1.ConditionTrue {
		eventType = corev1.EventTypeWarning
	}
	r.Events.Eventf(s, nil, eventType, ready.Reason, "DecideOwnership", "%s", ready.Message)
	log.FromContext(ctx).Info("audience decided", "audience", s.Spec.Audience, "reason", ready.Reason, "message", ready.Message)
}
