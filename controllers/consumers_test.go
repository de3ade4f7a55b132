package controllers

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// Every way in which a pod can have a Secret's values.
var usages = map[string]func(*corev1.PodSpec){
	"volume": func(s *corev1.PodSpec) {
		s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "used"}}}}
	},
	"projected volume": func(s *corev1.PodSpec) {
		s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "other"}}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "used"}}},
		}}}}}
	},
	"variable":                      func(s *corev1.PodSpec) { s.Containers[0].Env = []corev1.EnvVar{{Name: "A"}, variableFrom("used")} },
	"all variables":                 func(s *corev1.PodSpec) { s.Containers[0].EnvFrom = allVariablesFrom("used") },
	"variable of an init container": func(s *corev1.PodSpec) { s.InitContainers = []corev1.Container{container(variableFrom("used"))} },
	"all variables of init container": func(s *corev1.PodSpec) {
		s.InitContainers = []corev1.Container{container()}
		s.InitContainers[0].EnvFrom = allVariablesFrom("used")
	},
}

func container(env ...corev1.EnvVar) corev1.Container {
	return corev1.Container{Name: fmt.Sprintf("c%d", len(env)), Image: "worker", Env: env}
}

func variableFrom(secret string) corev1.EnvVar {
	return corev1.EnvVar{Name: "SECRET", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: "client_secret",
	}}}
}

func allVariablesFrom(secret string) []corev1.EnvFromSource {
	return []corev1.EnvFromSource{
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "other"}}},
		{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}},
	}
}

// newPod returns a pod that mounts the Secret "used".
func newPod(namespace, name string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "worker", Image: "worker"}},
		// There is no controller that would make the default service account.
		AutomountServiceAccountToken: ptr.To(false),
	}}
	usages["volume"](&pod.Spec)
	return pod
}

// started creates a pod, and has it run since some time, as a kubelet would.
func started(t *testing.T, pod *corev1.Pod, phase corev1.PodPhase, since time.Time) {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: "default"}}
	if err := suite.admin.Create(t.Context(), account); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	must(t, suite.admin.Create(t.Context(), pod))
	pod.Status.Phase = phase
	if !since.IsZero() {
		pod.Status.StartTime = ptr.To(metav1.NewTime(since))
	}
	must(t, suite.admin.Status().Update(t.Context(), pod))
}

// controlledBy makes a pod that of a workload.
func controlledBy(apiVersion, kind, name, hash string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "ConfigMap", Name: "other", UID: "2"},
			{APIVersion: apiVersion, Kind: kind, Name: name, UID: "1", Controller: ptr.To(true)},
		}
		if hash != "" {
			pod.Labels = map[string]string{"pod-template-hash": hash}
		}
	}
}

// watching returns a process that watches pods.
func watching(t *testing.T) *process {
	t.Helper()
	p := newProcess(t, "kubemint")
	must(t, indexPods(t.Context(), p.parts.GetFieldIndexer()))
	p.clients.WatchPods = true
	return p
}

// The cache holds pods without what nobody asks for: a cluster has many.
func TestPodsInTheCacheAreStripped(t *testing.T) {
	p, pod := watching(t), newPod(newNamespace(t), "web")
	pod.Spec.Containers[0].Command = []string{"long"}
	started(t, pod, corev1.PodRunning, noon)
	var cached corev1.Pod
	await(t, "the cache to show the pod", func() error {
		return p.clients.Client.Get(t.Context(), client.ObjectKeyFromObject(pod), &cached, client.DisableReadYourWritesConsistency)
	})
	if len(cached.Spec.Containers) > 0 && len(cached.Spec.Containers[0].Command) > 0 {
		t.Errorf("it holds %+v", cached.Spec)
	}
}

// mustBeHeldBy waits until a process sees who runs with the Secret "used" as it was at noon.
func mustBeHeldBy(t *testing.T, p *process, namespace, want string) {
	t.Helper()
	await(t, "the holders to be "+want, func() error {
		got, err := p.clients.holders(t.Context(), namespace, "used", noon)
		if got := strings.Join(got, " "); err == nil && got != want {
			err = fmt.Errorf("they are %s", got)
		}
		return err
	})
}

func TestHolders(t *testing.T) {
	p, namespace := watching(t), newNamespace(t)
	before := noon.Add(-time.Hour)
	pod := func(name string, phase corev1.PodPhase, since time.Time, how func(*corev1.Pod)) {
		t.Helper()
		pod := newPod(namespace, name)
		if how != nil {
			how(pod)
		}
		started(t, pod, phase, since)
	}
	// These have it.
	pod("bare", corev1.PodRunning, before, nil)
	pod("within-the-second", corev1.PodRunning, noon, nil)
	pod("starting", corev1.PodPending, before, nil)
	pod("a-6b7c-1", corev1.PodRunning, before, controlledBy("apps/v1", "ReplicaSet", "web-6b7c", "6b7c"))
	pod("a-6b7c-2", corev1.PodRunning, before, controlledBy("apps/v1", "ReplicaSet", "web-6b7c", "6b7c"))
	pod("a-9999-1", corev1.PodRunning, before, controlledBy("apps/v1", "ReplicaSet", "web-9999", "9999"))
	pod("set-1", corev1.PodRunning, before, controlledBy("apps/v1", "ReplicaSet", "own-set", ""))
	pod("set-2", corev1.PodRunning, before, controlledBy("apps/v1", "ReplicaSet", "other-set", "6b7c"))
	pod("db-0", corev1.PodRunning, before, controlledBy("apps/v1", "StatefulSet", "db", ""))
	pod("agent-x", corev1.PodRunning, before, controlledBy("apps/v1", "DaemonSet", "agent", ""))
	pod("job-x", corev1.PodRunning, before, controlledBy("batch/v1", "Job", "nightly-1", ""))
	// These do not.
	pod("later", corev1.PodRunning, noon.Add(time.Second), nil)
	pod("succeeded", corev1.PodSucceeded, before, nil)
	pod("failed", corev1.PodFailed, before, nil)
	pod("waits-for-a-node", corev1.PodPending, time.Time{}, nil)
	pod("no-secret", corev1.PodRunning, before, func(pod *corev1.Pod) { pod.Spec.Volumes = nil })
	pod("another-secret", corev1.PodRunning, before, func(pod *corev1.Pod) { pod.Spec.Volumes[0].Secret.SecretName = "other" })
	elsewhere := newPod(newNamespace(t), "elsewhere")
	started(t, elsewhere, corev1.PodRunning, before)

	mustBeHeldBy(t, p, namespace, "DaemonSet/agent Deployment/web Job/nightly-1 Pod/bare Pod/starting Pod/within-the-second "+
		"ReplicaSet/other-set ReplicaSet/own-set StatefulSet/db")

	// Where pods are not to be watched, none are read.
	p.clients.WatchPods, p.clients.Client = false, nil
	if got, err := p.clients.holders(t.Context(), namespace, "used", noon); err != nil || got != nil {
		t.Errorf("without a watch: %v, %v", got, err)
	}
}

func TestHoldersUseTheSecretInAnyWay(t *testing.T) {
	p, namespace := watching(t), newNamespace(t)
	var want []string
	for name, use := range usages {
		pod := newPod(namespace, strings.ReplaceAll(name, " ", "-"))
		pod.Spec.Volumes = nil
		use(&pod.Spec)
		started(t, pod, corev1.PodRunning, noon)
		want = append(want, "Pod/"+pod.Name)
	}
	slices.Sort(want)
	mustBeHeldBy(t, p, namespace, strings.Join(want, " "))
}

// A pod that is being deleted runs until it is gone; but not for ever, where its node is lost.
func TestHoldersBeingDeleted(t *testing.T) {
	p, pod := watching(t), newPod(newNamespace(t), "worker")
	pod.Finalizers = []string{"example.com/held"}
	started(t, pod, corev1.PodRunning, noon)
	must(t, suite.admin.Delete(t.Context(), pod))
	must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
	p.now = pod.DeletionTimestamp.Add(lostAfter)
	mustBeHeldBy(t, p, pod.Namespace, "Pod/worker")
	p.now = p.now.Add(time.Second)
	mustBeHeldBy(t, p, pod.Namespace, "")
	pod.Finalizers = nil
	must(t, suite.admin.Update(t.Context(), pod))
}

// A cluster has many pods: the cache keeps little of each.
func TestStripPod(t *testing.T) {
	pod := newPod("billing", "worker")
	controlledBy("apps/v1", "ReplicaSet", "web-6b7c", "6b7c")(pod)
	pod.UID, pod.ResourceVersion, pod.Labels["team"], pod.Annotations = "3", "4", "billing", map[string]string{"a": "b"}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: ptr.To(metav1.NewTime(noon)), PodIP: "192.0.2.1"}
	for _, use := range usages {
		use(&pod.Spec)
	}
	pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Env: []corev1.EnvVar{variableFrom("debugged")}}}}

	stripped, err := stripPod(pod)
	must(t, err)
	got := stripped.(*corev1.Pod)
	if names := strings.Join(secretsOf(&got.Spec), " "); names != "debugged used" || ownerOf(got) != "Deployment/web" || !runs(got) {
		t.Errorf("Secrets %s, owner %s, runs %t", names, ownerOf(got), runs(got))
	}
	if len(got.Labels) != 1 || got.Annotations != nil || got.Spec.Containers != nil || got.Status.PodIP != "" || got.Name != "worker" || got.ResourceVersion != "4" || got.UID != "3" {
		t.Errorf("it keeps %+v", got)
	}
	if again, err := stripPod(got); err != nil || !reflect.DeepEqual(again, stripped) { // A cache may strip twice.
		t.Errorf("stripped again, it is %+v: %v", again, err)
	}
	if pod.Annotations == nil {
		t.Error("the pod that was given has been changed")
	}
}

// Pods that come and go matter only to an OAuthClient of which a client secret from before is valid.
func TestClientsOfPod(t *testing.T) {
	p, namespace := watching(t), newNamespace(t)
	expires := metav1.NewTime(noon.Add(time.Hour))
	rotating := newClient(namespace, "rotating")
	rotating.Spec.Secret.Name = "used"
	steady := newClient(namespace, "steady")
	for c, credentials := range map[*v1alpha1.OAuthClient][]v1alpha1.CredentialStatus{
		rotating: {{Version: 2, Created: metav1.NewTime(noon)}, {Version: 1, Created: metav1.NewTime(noon), Expires: &expires}},
		steady:   {{Version: 2, Created: metav1.NewTime(noon)}},
	} {
		must(t, suite.admin.Create(t.Context(), c))
		c.Status.Credentials = credentials
		must(t, suite.admin.Status().Update(t.Context(), c))
		p.awaitSight(t, c)
	}
	pod := newPod(namespace, "worker")
	pod.Spec.Containers[0].EnvFrom = allVariablesFrom("steady")
	if got := p.clients.clientsOfPod(t.Context(), pod); !slices.Equal(got, requestsFor([]v1alpha1.OAuthClient{*rotating})) {
		t.Errorf("it has %v reconciled", got)
	}
	pod.Spec.Volumes = nil
	if got := p.clients.clientsOfPod(t.Context(), pod); len(got) > 0 {
		t.Errorf("it has %v reconciled", got)
	}
}

func TestPodRuns(t *testing.T) {
	pod := func(phase corev1.PodPhase, since *metav1.Time) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{Phase: phase, StartTime: since}}
	}
	at := ptr.To(metav1.NewTime(noon))
	waiting, starting, running, ended := pod(corev1.PodPending, nil), pod(corev1.PodPending, at), pod(corev1.PodRunning, at), pod(corev1.PodFailed, at)
	for _, test := range []struct {
		before, after *corev1.Pod
		want          bool
	}{{waiting, starting, true}, {starting, running, false}, {running, running, false}, {running, ended, true}, {ended, ended, false}} {
		if got := podRuns.Update(event.UpdateEvent{ObjectOld: test.before, ObjectNew: test.after}); got != test.want {
			t.Errorf("from %+v to %+v: %t", test.before.Status, test.after.Status, got)
		}
	}
	if podRuns.Create(event.CreateEvent{Object: waiting}) || !podRuns.Create(event.CreateEvent{Object: running}) || !podRuns.Delete(event.DeleteEvent{Object: running}) {
		t.Error("a pod that appears or is gone")
	}
}
