// Package controllers reconciles OAuthClients into Secrets, and keeps the issuer's signing keys and serving certificate.
package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/consent"
)

// +kubebuilder:rbac:groups=oauth.kubemint.dev,resources=oauthclients,verbs=get;list;watch
// +kubebuilder:rbac:groups=oauth.kubemint.dev,resources=oauthclients/status,verbs=patch
// +kubebuilder:rbac:groups=oauth.kubemint.dev,resources=resourceservers,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// OAuthClientReconciler gives every OAuthClient a Secret with credentials, and reports in its status.
type OAuthClientReconciler struct {
	// Client reads from the cache, in which Secrets are sealed (see CacheOptions), and writes.
	Client client.Client
	// Live reads from the API server. What is overwritten is read live first, and of what is generated the OAuthClient; that
	// there is no Secret yet, creating it tells.
	Live client.Reader
	// Provided reads from the cache of Secrets that others make, sealed too. SetupWithManager sets it.
	Provided client.Reader
	Events   events.EventRecorder
	// Namespace is Kubemint's own.
	Namespace string
	// Watched are the namespaces whose OAuthClients are reconciled; none: all (see CacheOptions).
	Watched []string
	// Issuer is what every client's Secret says of the issuer.
	Issuer Issuer
	// Policy is what the administrators decide of what clients may ask for.
	Policy consent.Policy
	// WatchPods is whether to see which pods run with a client secret from before. It needs the right to watch pods, without which
	// it is turned off when the reconciler is set up.
	WatchPods bool
	// KeySets are those that clients publish, TrustedIssuers the further issuers whose tokens may prove clients, and MutualTLS is whether
	// certificates may.
	KeySets        *assertion.KeySets
	TrustedIssuers []string
	MutualTLS      bool
	// RestartWorkloads is whether to restart the workloads of spec.rollout, which needs the right to patch them.
	RestartWorkloads bool
	// Workers is how many OAuthClients are reconciled at once.
	Workers int
	// Tracer makes the spans of reconciliations. Nil means that there are none.
	Tracer trace.Tracer
	Now    func() time.Time
}

// Issuer is what every client's Secret says of the issuer.
type Issuer struct {
	URL      string
	TokenURL string
	// CACert is the CA that clients verify the token endpoint with, in PEM; empty where they need none. It is nil where
	// Kubemint's own CA signs: then its certificate is read from the CA's Secret.
	CACert []byte
}

// Reconcile makes one OAuthClient's Secret what it should be, and then says so in the status, in one write; where both are
// as they should be it writes nothing.
func (r *OAuthClientReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var oauthClient v1alpha1.OAuthClient
	if err := r.Client.Get(ctx, req.NamespacedName, &oauthClient); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !oauthClient.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // The garbage collector removes the Secret by its owner reference.
	}

	outcome, err := r.syncSecret(ctx, &oauthClient)
	defer r.tellWritten(ctx, &oauthClient, outcome) // Also where the status cannot be written: the next try finds the Secret as it should be.
	var obstacle *problem
	if err != nil && !errors.As(err, &obstacle) {
		return ctrl.Result{}, err
	}
	decision, err := r.decideScopes(ctx, &oauthClient)
	if err != nil {
		return ctrl.Result{}, err
	}
	keys, keysAgain := r.checkKeys(&oauthClient)
	status := r.statusFor(&oauthClient, decision, keys, outcome, obstacle)
	restartAgain, err := r.rollOut(ctx, &oauthClient, &status)
	if err != nil {
		return ctrl.Result{}, err
	}
	changed := !equality.Semantic.DeepEqual(status, oauthClient.Status)
	if changed {
		if err := r.applyStatus(ctx, &oauthClient, status); err != nil {
			return ctrl.Result{}, err
		}
	}
	if obstacle != nil {
		if changed {
			r.tellProblem(ctx, &oauthClient, obstacle)
		}
		return ctrl.Result{RequeueAfter: r.retryAfter(status, v1alpha1.ConditionReady)}, nil
	}
	return ctrl.Result{RequeueAfter: r.again(outcome.next, restartAgain, keysAgain)}, nil
}

// statusFor returns the status of an OAuthClient after its Secret was seen to.
func (r *OAuthClientReconciler) statusFor(c *v1alpha1.OAuthClient, decision *consent.Decision, keys *metav1.Condition, outcome outcome, obstacle *problem) v1alpha1.OAuthClientStatus {
	status := v1alpha1.OAuthClientStatus{
		ObservedGeneration: c.Generation,
		ClientID:           c.ClientID(),
		SecretName:         outcome.secretName,
		Credentials:        c.Status.Credentials,
		GrantedScopes:      decision.GrantedScopes(),
		Resources:          decision.Resources(),
		Authentication:     authenticationStatus(c),
	}
	switch {
	case outcome.secretName == "" || c.Spec.Secret.Source == v1alpha1.SecretNone:
		status.Credentials = nil
	case outcome.record != nil:
		status.Credentials = credentialsStatus(outcome.record, c.Status.Credentials)
	}
	switch {
	case outcome.key != nil:
		status.PrivateKeys = privateKeysStatus(&outcome.key.decision.Record, c.Status.PrivateKeys)
	case generatedKey(c) != nil && outcome.secretName != "":
		status.PrivateKeys = c.Status.PrivateKeys // The Secret could not be written, and is what it was.
	}
	if outcome.secretName != "" {
		status.Binding = &v1alpha1.BindingReference{Name: outcome.secretName}
	}

	scopes := scopesGranted(c, decision, status.Resources)
	nowise, why := r.nowise(c, keys)
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue,
		Reason: v1alpha1.ReasonIssued, Message: outcome.ready()}
	switch {
	case obstacle != nil:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, obstacle.reason, obstacle.message
	case c.Spec.Suspend:
		ready.Status, ready.Reason = metav1.ConditionFalse, v1alpha1.ReasonSuspended
		ready.Message = "no token is issued while spec.suspend is true; the credentials are kept"
	case nowise != "":
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, nowise, why
	case scopes != nil && decision.GrantsNothing():
		ready.Status, ready.Reason = metav1.ConditionFalse, v1alpha1.ReasonNoScopeGranted
		ready.Message = "no token is issued, as no scope is granted; the credentials are kept. " + scopes.Message
	}
	r.setCondition(c, &status, ready)
	if scopes != nil {
		r.setCondition(c, &status, *scopes)
	}
	if keys != nil {
		r.setCondition(c, &status, *keys)
	}
	unknown := outcome.record == nil && outcome.key == nil && outcome.secretName != ""
	if condition := rotating(c, outcome); condition != nil {
		r.setCondition(c, &status, *condition)
	} else if before := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionRotating); before != nil && unknown && obstacle != nil {
		r.setCondition(c, &status, *before)
	}
	if obstacle != nil && obstacle.stalled {
		r.setCondition(c, &status, metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue,
			Reason: obstacle.reason, Message: obstacle.message})
	}
	return status
}

// setCondition adds a condition to a new status.
func (r *OAuthClientReconciler) setCondition(c *v1alpha1.OAuthClient, status *v1alpha1.OAuthClientStatus, condition metav1.Condition) {
	condition.ObservedGeneration = c.Generation
	status.Conditions = append(status.Conditions, since(condition, c.Status.Conditions, r.Now()))
}

// since returns a condition with its transition time: now, or that of the old one where it did not change.
func since(condition metav1.Condition, old []metav1.Condition, now time.Time) metav1.Condition {
	condition.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
	if before := meta.FindStatusCondition(old, condition.Type); before != nil && before.Status == condition.Status {
		condition.LastTransitionTime = before.LastTransitionTime
	}
	return condition
}

// applyStatus writes the status by server-side apply, to the object as it was read.
func (r *OAuthClientReconciler) applyStatus(ctx context.Context, c *v1alpha1.OAuthClient, status v1alpha1.OAuthClientStatus) error {
	patch, err := c.StatusPatch(status)
	if err != nil {
		return err
	}
	return applyStatus(ctx, r.Client, &v1alpha1.OAuthClient{ObjectMeta: metav1.ObjectMeta{Name: c.Name, Namespace: c.Namespace}}, patch)
}

// applyStatus writes a status by server-side apply. That its object is gone is no error.
func applyStatus(ctx context.Context, writer client.Client, target client.Object, patch []byte) error {
	err := writer.Status().Patch(ctx, target, client.RawPatch(types.ApplyPatchType, patch), client.ForceOwnership)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("apply the status: %w", err)
	}
	return nil
}

// tellWritten records what was done to the Secret as a log line, and as an event if it is one.
func (r *OAuthClientReconciler) tellWritten(ctx context.Context, c *v1alpha1.OAuthClient, outcome outcome) {
	if outcome.message != "" {
		log.FromContext(ctx).Info("Secret written", "secret", cmp.Or(outcome.companion, outcome.secretName), "what", outcome.message)
	}
	if outcome.event != "" {
		eventType := corev1.EventTypeNormal
		if outcome.event == v1alpha1.EventSecretRepaired {
			eventType = corev1.EventTypeWarning
		}
		r.Events.Eventf(c, nil, eventType, outcome.event, "WriteSecret", "%s", outcome.message)
	}
}

// tellProblem records a new problem as an event, unless it is a quiet one, and a log line.
func (r *OAuthClientReconciler) tellProblem(ctx context.Context, c *v1alpha1.OAuthClient, obstacle *problem) {
	if !obstacle.quiet {
		r.Events.Eventf(c, nil, corev1.EventTypeWarning, obstacle.reason, "WriteSecret", "%s", obstacle.message)
	}
	log.FromContext(ctx).Info("OAuthClient is not ready", "reason", obstacle.reason, "message", obstacle.message)
}

// again returns after how long to look again: when a client secret or a private key is due to change, or after the first of some times; 0
// where there is neither.
func (r *OAuthClientReconciler) again(rotation time.Time, after ...time.Duration) time.Duration {
	var again time.Duration
	if !rotation.IsZero() {
		after = append(after, max(rotation.Sub(r.Now()), minRetry))
	}
	for _, one := range after {
		if one > 0 && (again == 0 || one < again) {
			again = one
		}
	}
	return again
}

// Bounds of the time between two tries to get past a problem.
const (
	minRetry = time.Second
	maxRetry = time.Minute
)

// retryAfter backs off exponentially without keeping count: the next try comes after as long as the problem that a condition
// tells of has lasted.
func (r *OAuthClientReconciler) retryAfter(status v1alpha1.OAuthClientStatus, conditionType string) time.Duration {
	condition := meta.FindStatusCondition(status.Conditions, conditionType)
	return min(max(r.Now().Sub(condition.LastTransitionTime.Time), minRetry), maxRetry)
}
