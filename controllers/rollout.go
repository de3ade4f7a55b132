package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// annotationRestartedAt of a pod template is that of kubectl rollout restart: a new value makes new pods.
const annotationRestartedAt = "kubectl.kubernetes.io/restartedAt"

// rotated is the present version of a client secret or private key that followed another one.
type rotated struct {
	what    string
	version int64
	at      time.Time
	// restartedFor is where a status tells for which version workloads were last restarted.
	restartedFor *int64
}

// rotations returns what has rotated of what a new status tells of. Where a count began anew, with the Secret, no version of it was
// restarted for.
func rotations(status *v1alpha1.OAuthClientStatus) []rotated {
	var all []rotated
	add := func(what string, version int64, at time.Time, restartedFor *int64) {
		if *restartedFor > version {
			*restartedFor = 0
		}
		if version > 1 {
			all = append(all, rotated{what, version, at, restartedFor})
		}
	}
	if len(status.Credentials) > 0 {
		present := &status.Credentials[0]
		add("client secret", present.Version, present.Created.Time, &status.RestartedForVersion)
	}
	if len(status.PrivateKeys) > 0 {
		present := &status.PrivateKeys[0]
		add("private key", present.Version, present.Created.Time, &status.RestartedForKeyVersion)
	}
	return all
}

// described says in words what rotated.
func described(all []rotated) string {
	texts := make([]string, len(all))
	for i, one := range all {
		texts[i] = fmt.Sprintf("version %d of the %s", one.version, one.what)
	}
	return strings.Join(texts, " and ")
}

// rollOut restarts the workloads of spec.rollout once after each rotation, and says so in a new status, whose credentials are known.
// It returns after how long to try again, 0 where there is nothing to try.
func (r *OAuthClientReconciler) rollOut(ctx context.Context, c *v1alpha1.OAuthClient, status *v1alpha1.OAuthClientStatus) (time.Duration, error) {
	status.RestartedForVersion, status.RestartedForKeyVersion = c.Status.RestartedForVersion, c.Status.RestartedForKeyVersion
	all := rotations(status)
	if len(c.Spec.Rollout.Restart) == 0 || len(all) == 0 {
		return 0, nil
	}
	due := slices.DeleteFunc(slices.Clone(all), func(one rotated) bool { return *one.restartedFor == one.version })
	if len(due) == 0 {
		r.setCondition(c, status, restarted(all))
		return 0, nil
	}

	condition, err := r.restart(ctx, c, due)
	if err != nil {
		return 0, err
	}
	r.setCondition(c, status, condition)
	switch {
	case condition.Status == metav1.ConditionTrue:
		for _, one := range due {
			*one.restartedFor = one.version
		}
		return 0, nil
	case !r.RestartWorkloads:
		return 0, nil // Until Kubemint is started otherwise, and looks at all OAuthClients.
	}
	return r.retryAfter(*status, v1alpha1.ConditionRestarted), nil
}

func restarted(all []rotated) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.ConditionRestarted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonRestarted,
		Message: "the workloads of spec.rollout.restart were restarted for " + described(all)}
}

// restart restarts the workloads of spec.rollout that have not been since the last of some rotations, all that it can, and
// returns the condition Restarted; when it is True, all are.
func (r *OAuthClientReconciler) restart(ctx context.Context, c *v1alpha1.OAuthClient, due []rotated) (metav1.Condition, error) {
	last := slices.MaxFunc(due, func(a, b rotated) int { return a.at.Compare(b.at) })
	if !r.RestartWorkloads {
		return notRestarted(v1alpha1.ReasonRestartForbidden, fmt.Sprintf(
			"Kubemint is not set to restart workloads: start it with --restart-workloads (Helm: restartWorkloads), and restart them yourself until then: kubectl rollout restart -n %s %s",
			c.Namespace, strings.ToLower(workloadNames(c.Spec.Rollout.Restart)))), nil
	}
	var reason string
	var messages []string
	for _, reference := range c.Spec.Rollout.Restart {
		err := r.restartWorkload(ctx, c, reference, described(due), last.at)
		var obstacle *problem
		switch {
		case err == nil:
		case errors.As(err, &obstacle):
			if reason == "" {
				reason = obstacle.reason
			}
			messages = append(messages, obstacle.message)
		default:
			return metav1.Condition{}, err
		}
	}
	if reason != "" {
		return notRestarted(reason, strings.Join(messages, "; ")), nil
	}
	return restarted(due), nil
}

func notRestarted(reason, message string) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.ConditionRestarted, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

func workloadNames(references []v1alpha1.WorkloadReference) string {
	names := make([]string, len(references))
	for i, reference := range references {
		names[i] = workloadName(reference)
	}
	return strings.Join(names, " ")
}

func workloadName(reference v1alpha1.WorkloadReference) string {
	return reference.Kind + "/" + reference.Name
}

// restartWorkload restarts one workload, unless it was restarted since the rotation: by us before a crash, or by somebody else. Its
// time is that of the rotation, so that two replicas at once restart it once; one that is paused is restarted when it goes on.
func (r *OAuthClientReconciler) restartWorkload(ctx context.Context, c *v1alpha1.OAuthClient, reference v1alpha1.WorkloadReference, what string, rotated time.Time) error {
	patched := false
	// Its controller writes the workload's status all the time while its pods are replaced.
	err := retry.RetryOnConflict(retry.DefaultRetry, func() (err error) {
		patched, err = r.annotateTemplate(ctx, types.NamespacedName{Namespace: c.Namespace, Name: reference.Name}, reference.Kind, rotated)
		return err
	})
	switch {
	case apierrors.IsConflict(err):
		return fmt.Errorf("restart %s: %w", workloadName(reference), err)
	case err != nil:
		return restartFailed(reference, err)
	}
	if patched {
		log.FromContext(ctx).Info("workload restarted", "workload", workloadName(reference), "for", what)
		r.Events.Eventf(c, nil, corev1.EventTypeNormal, v1alpha1.EventWorkloadRestarted, "RestartWorkload",
			"%s restarted for %s", workloadName(reference), what)
	}
	return nil
}

// annotateTemplate has a workload make new pods, and reports whether it had to. The resourceVersion keeps it from replacing a
// later restart by an earlier one, which would be another restart.
func (r *OAuthClientReconciler) annotateTemplate(ctx context.Context, key types.NamespacedName, kind string, rotated time.Time) (bool, error) {
	workload := &unstructured.Unstructured{}
	workload.SetAPIVersion("apps/v1")
	workload.SetKind(kind)
	if err := r.Live.Get(ctx, key, workload); err != nil {
		return false, err
	}
	if startedSince(workload, rotated) {
		return false, nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": workload.GetResourceVersion()},
		"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{
			"annotations": map[string]any{annotationRestartedAt: rotated.UTC().Format(time.RFC3339)},
		}}},
	})
	if err != nil {
		return false, fmt.Errorf("encode the patch: %w", err)
	}
	// To wait for its own write would need a cache of workloads, and the right to watch them.
	return true, r.Client.Patch(ctx, workload, client.RawPatch(types.MergePatchType, patch), client.DisableReadYourWritesConsistency)
}

// startedSince reports whether a workload was made or restarted since the rotation, so that its pods have the new client secret.
func startedSince(workload *unstructured.Unstructured, rotated time.Time) bool {
	created := workload.GetCreationTimestamp()
	if created.After(rotated) {
		return true
	}
	// What has another form there is none of anybody's restarts.
	annotation, _, _ := unstructured.NestedString(workload.Object, "spec", "template", "metadata", "annotations", annotationRestartedAt)
	at, err := time.Parse(time.RFC3339, annotation)
	return err == nil && !at.Before(rotated.Truncate(time.Second))
}

// restartFailed classes the API server's refusal to restart a workload.
func restartFailed(reference v1alpha1.WorkloadReference, err error) *problem {
	name := workloadName(reference)
	switch {
	case apierrors.IsNotFound(err):
		return &problem{reason: v1alpha1.ReasonWorkloadNotFound,
			message: name + " does not exist: correct spec.rollout.restart, or create it"}
	case apierrors.IsForbidden(err):
		return &problem{reason: v1alpha1.ReasonRestartForbidden, message: fmt.Sprintf(
			"Kubemint may not restart %s: bind the ClusterRole kubemint-workload-restarter to its service account (or see to the admission policy; %v)", name, err)}
	default:
		return &problem{reason: v1alpha1.ReasonRestartFailed, message: fmt.Sprintf(
			"%s could not be restarted, and is tried again; if it lasts, see to what the API server says, or restart it yourself: %v", name, err)}
	}
}
