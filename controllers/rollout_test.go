package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

const patchDeployment, patchStatefulSet, patchDaemonSet = "PATCH deployments", "PATCH statefulsets", "PATCH daemonsets"

// rollout is an OAuthClient whose client secret was rotated, and the workloads that are to be restarted for it.
type rollout struct {
	c           *v1alpha1.OAuthClient
	deployment  *appsv1.Deployment
	statefulSet *appsv1.StatefulSet
	daemonSet   *appsv1.DaemonSet
	// rotated is when the client secret was: after the workloads were made.
	rotated time.Time
	version int64
}

func newRollout(t *testing.T) *rollout {
	t.Helper()
	r := &rollout{c: newClient(newNamespace(t), "worker"), version: 2}
	r.c.Spec.Rollout.Restart = []v1alpha1.WorkloadReference{
		{Kind: "Deployment", Name: "web"}, {Kind: "StatefulSet", Name: "db"}, {Kind: "DaemonSet", Name: "agent"},
	}
	must(t, suite.admin.Create(t.Context(), r.c))
	labels := map[string]string{"app": "a"}
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: r.c.Namespace, Name: name} }
	selector := &metav1.LabelSelector{MatchLabels: labels}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{"note": "kept"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "worker", Image: "worker"}}},
	}
	r.deployment = &appsv1.Deployment{ObjectMeta: named("web"), Spec: appsv1.DeploymentSpec{Selector: selector, Template: template, Paused: true}}
	r.statefulSet = &appsv1.StatefulSet{ObjectMeta: named("db"), Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template, ServiceName: "db"}}
	r.daemonSet = &appsv1.DaemonSet{ObjectMeta: named("agent"), Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}}
	for _, workload := range []client.Object{r.deployment, r.statefulSet, r.daemonSet} {
		must(t, suite.admin.Create(t.Context(), workload))
	}
	r.rotated = r.daemonSet.CreationTimestamp.Add(time.Hour)
	return r
}

// restarting returns a process that restarts workloads, at the time of a rotation.
func restarting(t *testing.T, r *rollout) *process {
	t.Helper()
	p := newProcess(t, "kubemint")
	p.clients.RestartWorkloads, p.now = true, r.rotated
	return p
}

// follow has a process do what there is to do after the rotation, and keeps the status that it would write.
func (r *rollout) follow(t *testing.T, p *process) (again time.Duration, restarted metav1.Condition, err error) {
	t.Helper()
	status := v1alpha1.OAuthClientStatus{Credentials: []v1alpha1.CredentialStatus{{Version: r.version, Created: metav1.NewTime(r.rotated)}}}
	if again, err = p.clients.rollOut(t.Context(), r.c, &status); err != nil {
		return again, restarted, err
	}
	r.c.Status = status
	if condition := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionRestarted); condition != nil {
		restarted = *condition
	}
	return again, restarted, nil
}

// mustBeRestarted follows a rotation to its good end.
func (r *rollout) mustBeRestarted(t *testing.T, p *process) {
	t.Helper()
	again, restarted, err := r.follow(t, p)
	if err != nil || again != 0 || restarted.Reason != v1alpha1.ReasonRestarted || r.c.Status.RestartedForVersion != r.version {
		t.Fatalf("again after %v, condition %+v, restarted for %d: %v", again, restarted, r.c.Status.RestartedForVersion, err)
	}
}

// mustHaveRolled checks for how often the pods of each workload were made anew, and for which time.
func (r *rollout) mustHaveRolled(t *testing.T, times int64, at time.Time) {
	t.Helper()
	for _, workload := range []client.Object{r.deployment, r.statefulSet, r.daemonSet} {
		must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(workload), workload))
		if got := workload.GetGeneration() - 1; got != times {
			t.Errorf("%s was restarted %d times, want %d", workload.GetName(), got, times)
		}
	}
	for _, template := range []*corev1.PodTemplateSpec{&r.deployment.Spec.Template, &r.statefulSet.Spec.Template, &r.daemonSet.Spec.Template} {
		if got := template.Annotations; got[annotationRestartedAt] != at.UTC().Format(time.RFC3339) || got["note"] != "kept" {
			t.Errorf("the pod template has the annotations %v", got)
		}
	}
}

// Each rotation restarts each workload once, and says so. What is done is neither written nor read again (L8).
func TestRollOut(t *testing.T) {
	r := newRollout(t)
	p := restarting(t, r)
	r.version = 1
	if again, restarted, err := r.follow(t, p); err != nil || again != 0 || restarted.Type != "" || len(p.wire.written()) > 0 {
		t.Fatalf("before any rotation: %v, %+v, %v", again, restarted, err)
	}

	r.version = 2
	r.mustBeRestarted(t, p)
	r.mustHaveRolled(t, 1, r.rotated)
	if !r.deployment.Spec.Paused {
		t.Error("the paused Deployment goes on")
	}
	if events := p.events.all(); strings.Count(events, v1alpha1.EventWorkloadRestarted) != 3 || !strings.Contains(events, "Deployment/web restarted for version 2") {
		t.Errorf("the events are\n%s", events)
	}
	before, written := r.c.Status.DeepCopy(), len(p.wire.written())
	live := p.clients.Live
	p.clients.Live = nil // A read would end the test.
	r.mustBeRestarted(t, p)
	p.clients.Live = live
	if len(p.wire.written()) != written || fmt.Sprint(before.Conditions) != fmt.Sprint(r.c.Status.Conditions) {
		t.Errorf("a second time, it wrote %v, and the status is %+v", p.wire.written()[written:], r.c.Status)
	}

	r.version, r.rotated = 3, r.rotated.Add(time.Hour)
	r.mustBeRestarted(t, p)
	r.mustHaveRolled(t, 2, r.rotated)

	// The Secret was lost, and the count began anew.
	r.version, r.rotated = 1, r.rotated.Add(time.Hour)
	if _, restarted, err := r.follow(t, p); err != nil || restarted.Type != "" || r.c.Status.RestartedForVersion != 0 {
		t.Errorf("condition %+v, status %+v: %v", restarted, r.c.Status, err)
	}
	for r.version = 2; r.version <= 3; r.version++ {
		r.rotated = r.rotated.Add(time.Hour)
		r.mustBeRestarted(t, p)
	}
	r.mustHaveRolled(t, 4, r.rotated)
}

// Whichever write it crashes at, and whether or not that write was done, each workload is restarted once.
func TestRollOutCrash(t *testing.T) {
	for n, write := range []string{patchDeployment, patchStatefulSet, patchDaemonSet} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s done %t", write, done), func(t *testing.T) {
				r := newRollout(t)
				p := restarting(t, r)
				reached := cut(p, func(write int) bool { return write > n }, func(write int) bool { return done && write == n+1 })
				_, restarted, err := r.follow(t, p)
				if err != nil || !*reached || restarted.Reason != v1alpha1.ReasonRestartFailed || r.c.Status.RestartedForVersion != 0 {
					t.Fatalf("condition %+v: %v", restarted, err)
				}
				p.freeze()
				r.c.Status = v1alpha1.OAuthClientStatus{} // It was not written.
				r.mustBeRestarted(t, restarting(t, r))
				r.mustHaveRolled(t, 1, r.rotated)
			})
		}
	}
	t.Run("all done, but not the status", func(t *testing.T) {
		r := newRollout(t)
		r.mustBeRestarted(t, restarting(t, r))
		r.c.Status = v1alpha1.OAuthClientStatus{}
		p := restarting(t, r)
		r.mustBeRestarted(t, p)
		r.mustHaveRolled(t, 1, r.rotated)
		if len(p.wire.written()) > 0 || p.events.all() != "" {
			t.Errorf("it wrote %v, and told %s", p.wire.written(), p.events.all())
		}
	})
}

// What somebody else restarts is not restarted once more.
func TestRollOutAfterSomebodyElse(t *testing.T) {
	restartAt := func(t *testing.T, r *rollout, at string) {
		must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(r.deployment), r.deployment))
		r.deployment.Spec.Template.Annotations[annotationRestartedAt] = at
		must(t, suite.admin.Update(t.Context(), r.deployment))
	}
	for name, test := range map[string]struct {
		after time.Duration
		zone  *time.Location
		ours  bool
	}{
		"a second before":                 {-time.Second, time.UTC, true},
		"in the same second":              {0, time.UTC, false},
		"since":                           {time.Minute, time.UTC, false},
		"since, by a clock further west":  {time.Minute, time.FixedZone("", -8*3600), false},
		"before, by a clock further east": {-time.Minute, time.FixedZone("", 8*3600), true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRollout(t)
			r.rotated = r.rotated.Add(300 * time.Millisecond)
			p := restarting(t, r)
			restartAt(t, r, r.rotated.Add(test.after).In(test.zone).Format(time.RFC3339))
			r.mustBeRestarted(t, p)
			if ours := slices.Contains(p.wire.written(), patchDeployment); ours != test.ours {
				t.Errorf("it was restarted: %t", ours)
			}
		})
	}
	t.Run("while it is about to be", func(t *testing.T) {
		r := newRollout(t)
		p, theirs := restarting(t, r), r.rotated.Add(time.Second).UTC().Format(time.RFC3339)
		p.wire.stepIn(func(n int) error {
			if n == 1 {
				restartAt(t, r, theirs)
			}
			return nil
		}, nil)
		r.mustBeRestarted(t, p)
		must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(r.deployment), r.deployment))
		if got := r.deployment.Spec.Template.Annotations[annotationRestartedAt]; got != theirs {
			t.Errorf("their restart at %s was replaced by one at %s", theirs, got)
		}
	})
	t.Run("in words", func(t *testing.T) {
		r := newRollout(t)
		restartAt(t, r, "yesterday")
		p := restarting(t, r)
		if r.mustBeRestarted(t, p); !slices.Contains(p.wire.written(), patchDeployment) {
			t.Error("it was not restarted")
		}
	})
	t.Run("who made it since", func(t *testing.T) {
		r := newRollout(t)
		p := restarting(t, r)
		r.rotated = r.deployment.CreationTimestamp.Add(-2 * time.Second)
		if r.mustBeRestarted(t, p); slices.Contains(p.wire.written(), patchDeployment) {
			t.Error("it was restarted")
		}
	})
}

// One workload that cannot be restarted keeps no other from it. It is tried again, after as long as it has lasted.
func TestRollOutWithoutAWorkload(t *testing.T) {
	r := newRollout(t)
	p := restarting(t, r)
	must(t, suite.admin.Delete(t.Context(), r.deployment))
	for _, lasted := range []time.Duration{0, 10 * time.Second, time.Hour} {
		p.now = r.rotated.Add(lasted)
		again, restarted, err := r.follow(t, p)
		if err != nil || again != min(max(lasted, minRetry), maxRetry) || r.c.Status.RestartedForVersion != 0 {
			t.Errorf("after %v: again after %v: %v", lasted, again, err)
		}
		if restarted.Reason != v1alpha1.ReasonWorkloadNotFound || !strings.Contains(restarted.Message, "Deployment/web does not exist: correct spec.rollout.restart") {
			t.Errorf("condition %+v", restarted)
		}
	}
	if written := p.wire.written(); !slices.Equal(written, []string{patchStatefulSet, patchDaemonSet}) {
		t.Errorf("it wrote %v", written)
	}
	r.deployment.ResourceVersion, r.deployment.UID = "", ""
	must(t, suite.admin.Create(t.Context(), r.deployment))
	r.mustBeRestarted(t, p)
}

// Without the flag, or the right, the condition says how to get it.
func TestRollOutForbidden(t *testing.T) {
	r := newRollout(t)
	p := restarting(t, r)
	p.clients.RestartWorkloads = false
	again, restarted, err := r.follow(t, p)
	if err != nil || again != 0 || restarted.Reason != v1alpha1.ReasonRestartForbidden || !strings.Contains(restarted.Message, "--restart-workloads") ||
		!strings.HasSuffix(restarted.Message, "kubectl rollout restart -n "+r.c.Namespace+" deployment/web statefulset/db daemonset/agent") {
		t.Errorf("without the flag: again after %v, condition %+v: %v", again, restarted, err)
	}

	config := rest.CopyConfig(suite.config)
	config.Impersonate.UserName = "nobody"
	nobody, err := client.New(config, client.Options{Scheme: suite.scheme})
	must(t, err)
	p.clients.RestartWorkloads = true
	for name, forbid := range map[string]func(){
		"patch": func() { p.clients.Client = nobody },
		"get":   func() { p.clients.Live = nobody },
	} {
		client, live := p.clients.Client, p.clients.Live
		forbid()
		again, restarted, err = r.follow(t, p)
		if err != nil || again != minRetry || restarted.Reason != v1alpha1.ReasonRestartForbidden || !strings.Contains(restarted.Message, "kubemint-workload-restarter") {
			t.Errorf("without the right to %s: again after %v, condition %+v: %v", name, again, restarted, err)
		}
		p.clients.Client, p.clients.Live = client, live
	}
	r.mustBeRestarted(t, p)
}

// What is not asked for is not done.
func TestNoRollOut(t *testing.T) {
	r := newRollout(t)
	p := restarting(t, r)
	p.clients.Live = nil // A read would end the test.
	r.c.Spec.Rollout.Restart = nil
	if again, restarted, err := r.follow(t, p); err != nil || again != 0 || restarted.Type != "" {
		t.Errorf("again after %v, condition %+v: %v", again, restarted, err)
	}
}
