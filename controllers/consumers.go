package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// indexUsedSecret finds pods by the names of the Secrets that they mount or have in their environment.
const indexUsedSecret = "usedSecret"

// lostAfter is how long after its grace period a pod that is being deleted still counts as running. The kubelet kills it when the
// period ends; one that is there for longer is on a node that is gone.
const lostAfter = 5 * time.Minute

// holders returns what runs in a namespace with a Secret as it was at a time or before: the owners of pods that use it and
// started no later than that, as KIND/NAME, sorted. To the second, in which a pod's start is known, a pod counts when in doubt.
// Where pods are not watched, it returns nil. As a pod that is lost on its node ceases to count without an event, ask again.
func (r *OAuthClientReconciler) holders(ctx context.Context, namespace, secretName string, since time.Time) ([]string, error) {
	if !r.WatchPods {
		return nil, nil
	}
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.InNamespace(namespace), client.MatchingFields{indexUsedSecret: secretName},
		client.DisableReadYourWritesConsistency); err != nil {
		return nil, fmt.Errorf("list the pods that use Secret %q: %w", secretName, err)
	}
	var owners []string
	for i := range pods.Items {
		pod := &pods.Items[i]
		if runs(pod) && !r.lost(pod) && !pod.Status.StartTime.After(since) {
			owners = append(owners, ownerOf(pod))
		}
	}
	slices.Sort(owners)
	return slices.Compact(owners), nil
}

// runs reports whether a pod has started, which is before it reads a Secret, and not ended.
func runs(pod *corev1.Pod) bool {
	return pod.Status.StartTime != nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// lost reports whether a pod should have been gone for long. Its deletion timestamp is the end of its grace period.
func (r *OAuthClientReconciler) lost(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil && r.Now().After(pod.DeletionTimestamp.Add(lostAfter))
}

// ownerOf returns what a pod belongs to, as KIND/NAME. The Deployment of a ReplicaSet is told by the name, to which a Deployment adds
// the hash of its pod template.
func ownerOf(pod *corev1.Pod) string {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return "Pod/" + pod.Name
	}
	if hash := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; owner.Kind == "ReplicaSet" && hash != "" {
		if deployment, found := strings.CutSuffix(owner.Name, "-"+hash); found {
			return "Deployment/" + deployment
		}
	}
	return owner.Kind + "/" + owner.Name
}

// stripPod leaves of a pod in the cache what holders needs, for a cluster has many. The Secrets that it uses, wherever it refers to
// them, become its only volumes.
func stripPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	stripped := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			DeletionTimestamp: pod.DeletionTimestamp, OwnerReferences: pod.OwnerReferences,
		},
		Status: corev1.PodStatus{Phase: pod.Status.Phase, StartTime: pod.Status.StartTime},
	}
	if hash, ok := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; ok {
		stripped.Labels = map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: hash}
	}
	for _, name := range secretsOf(&pod.Spec) {
		stripped.Spec.Volumes = append(stripped.Spec.Volumes, corev1.Volume{
			VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}},
		})
	}
	return stripped, nil
}

// secretsOf returns the names of the Secrets that a pod mounts or has in its environment, sorted.
func secretsOf(pod *corev1.PodSpec) []string {
	var names []string
	for i := range pod.Volumes {
		names = append(names, secretsMounted(&pod.Volumes[i])...)
	}
	for i := range pod.InitContainers {
		names = append(names, secretsInEnvironment(pod.InitContainers[i].EnvFrom, pod.InitContainers[i].Env)...)
	}
	for i := range pod.Containers {
		names = append(names, secretsInEnvironment(pod.Containers[i].EnvFrom, pod.Containers[i].Env)...)
	}
	for i := range pod.EphemeralContainers {
		names = append(names, secretsInEnvironment(pod.EphemeralContainers[i].EnvFrom, pod.EphemeralContainers[i].Env)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func secretsMounted(volume *corev1.Volume) (names []string) {
	if volume.Secret != nil {
		names = append(names, volume.Secret.SecretName)
	}
	if volume.Projected != nil {
		for i := range volume.Projected.Sources {
			if secret := volume.Projected.Sources[i].Secret; secret != nil {
				names = append(names, secret.Name)
			}
		}
	}
	return names
}

func secretsInEnvironment(from []corev1.EnvFromSource, variables []corev1.EnvVar) (names []string) {
	for i := range from {
		if secret := from[i].SecretRef; secret != nil {
			names = append(names, secret.Name)
		}
	}
	for i := range variables {
		if source := variables[i].ValueFrom; source != nil && source.SecretKeyRef != nil {
			names = append(names, source.SecretKeyRef.Name)
		}
	}
	return names
}

// watchPods has OAuthClients reconciled when pods that use their Secrets come and go. Without the right to read pods it leaves
// them alone: a watch that never begins would keep the controllers from starting.
func (r *OAuthClientReconciler) watchPods(ctx context.Context, manager ctrl.Manager, controller *builder.Builder) error {
	err := r.mayListPods(ctx)
	if apierrors.IsForbidden(err) {
		manager.GetLogger().Error(err, "pods are not watched: bind the ClusterRole kubemint-pod-reader to kubemint's service account and restart it, or leave out --watch-pods")
		r.WatchPods = false
		return nil
	}
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	if err := indexPods(ctx, manager.GetFieldIndexer()); err != nil {
		return err
	}
	controller.Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.clientsOfPod), builder.WithPredicates(podRuns))
	return nil
}

// mayListPods returns why pods cannot be listed, or nil.
func (r *OAuthClientReconciler) mayListPods(ctx context.Context) error {
	if len(r.Watched) == 0 {
		return r.Live.List(ctx, &corev1.PodList{}, client.Limit(1))
	}
	for _, namespace := range r.Watched {
		if err := r.Live.List(ctx, &corev1.PodList{}, client.InNamespace(namespace), client.Limit(1)); err != nil {
			return err
		}
	}
	return nil
}

func indexPods(ctx context.Context, indexer client.FieldIndexer) error {
	return indexer.IndexField(ctx, &corev1.Pod{}, indexUsedSecret, func(object client.Object) []string {
		return secretsOf(&object.(*corev1.Pod).Spec)
	})
}

// clientsOfPod returns the OAuthClients whose Secrets a pod uses and of which a client secret from before is still valid. For others
// it makes no difference who runs.
func (r *OAuthClientReconciler) clientsOfPod(ctx context.Context, pod client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, secretName := range secretsOf(&pod.(*corev1.Pod).Spec) {
		// It reads from the cache, which does not fail.
		clients, _ := r.clientsNaming(ctx, pod.GetNamespace(), secretName)
		clients = slices.DeleteFunc(clients, func(c v1alpha1.OAuthClient) bool { return len(c.Status.Credentials) < 2 })
		requests = append(requests, requestsFor(clients)...)
	}
	return requests
}

// podRuns lets through events by which a pod begins or ceases to run.
var podRuns = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return runs(e.Object.(*corev1.Pod)) },
	UpdateFunc: func(e event.UpdateEvent) bool {
		return runs(e.ObjectOld.(*corev1.Pod)) != runs(e.ObjectNew.(*corev1.Pod))
	},
	DeleteFunc:  func(event.DeleteEvent) bool { return true },
	GenericFunc: func(event.GenericEvent) bool { return false },
}
