package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

func rotationOf(c *v1alpha1.OAuthClient) *metav1.Condition {
	return meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionRotating)
}

// used has the status say, as the token server does, that a version was used.
func used(t *testing.T, c *v1alpha1.OAuthClient, version int64, at time.Time) {
	t.Helper()
	_ = readyOf(t, c) // As it is now.
	for i := range c.Status.Credentials {
		if c.Status.Credentials[i].Version == version {
			c.Status.Credentials[i].LastUsed = &metav1.Time{Time: at}
		}
	}
	must(t, suite.admin.Status().Update(t.Context(), c))
}

// A rotation is told of once, also where the status cannot be written after it.
func TestRotationIsTold(t *testing.T) {
	c, p := created(t), newProcess(t, "kubemint")
	p.awaitSight(t, c)
	settle(t, p, c)
	change(t, c, askToRotate)
	p.awaitSight(t, c)
	p.wire.stepIn(func(n int) error {
		if n == 2 { // After the Secret.
			return errors.New("no connection")
		}
		return nil
	}, nil)
	if _, err := p.reconcile(c); err == nil {
		t.Fatal("the status was written")
	}
	settle(t, p, c)
	if told := strings.Count(p.events.all(), v1alpha1.EventSecretRotated); told != 1 {
		t.Errorf("told of %d times: %s", told, p.events.all())
	}
}

// One rotation from end to end: both secrets are valid, the status says what the old one waits for, its use keeps it, and when it
// is no longer used it is retired. Each step is one write of the Secret and one of the status, and between them there is none.
func TestRotation(t *testing.T) {
	c, p := created(t), newProcess(t, "kubemint")
	p.awaitSight(t, c)
	settle(t, p, c)
	first := mustBeIssued(t, c)
	change(t, c, askToRotate)
	p.awaitSight(t, c)
	p.now = noon.Add(time.Hour)
	from := len(p.wire.written())
	settle(t, p, c)
	second := mustBeIssued(t, c)
	if first == second {
		t.Fatal("it did not rotate")
	}
	if got := p.wire.written()[from:]; !slices.Equal(got, []string{updateSecret, writeStatus}) {
		t.Errorf("it wrote %v", got)
	}
	rotating := rotationOf(c)
	if rotating == nil || rotating.Reason != v1alpha1.ReasonWaitingForLastUse || !strings.Contains(rotating.Message, "version 1 of the client secret is valid until 2030-01-08T13:00:00Z") {
		t.Errorf("condition %+v", rotating)
	}
	if !strings.Contains(p.events.all(), v1alpha1.EventSecretRotated) || strings.Contains(p.events.all(), v1alpha1.EventSecretRepaired) {
		t.Errorf("events: %s", p.events.all())
	}

	mustWrite := func(what string, want ...string) {
		t.Helper()
		p.awaitSight(t, c)
		from := len(p.wire.written())
		settle(t, p, c)
		if got := p.wire.written()[from:]; !slices.Equal(got, want) {
			t.Errorf("%s: it wrote %v, want %v", what, got, want)
		}
	}
	valid := func(secret string) bool {
		record := recordIn(*getSecret(t, c.Namespace, c.Name))
		return credential.Match(secret, record.Accepted(), p.now) != nil
	}
	used(t, c, 1, noon.Add(20*time.Hour))
	p.now = noon.Add(26 * time.Hour)
	mustWrite("used since")
	p.now = noon.Add(45*time.Hour + 28*time.Minute)
	mustWrite("just before it has been unused for long enough")
	if !valid(first) || !valid(second) {
		t.Error("one of the two is not valid")
	}
	result, err := p.reconcile(c)
	if err != nil || result.RequeueAfter != 2*time.Minute {
		t.Errorf("it looks again after %v, %v", result.RequeueAfter, err)
	}
	p.now = noon.Add(45*time.Hour + 30*time.Minute)
	mustWrite("unused for long enough", updateSecret, writeStatus)
	if valid(first) || !valid(second) || mustBeIssued(t, c) != second {
		t.Error("the first is still valid, or the second is not")
	}
	if rotationOf(c) != nil || len(c.Status.Credentials) != 1 || !strings.Contains(p.events.all(), v1alpha1.EventSecretRetired) {
		t.Errorf("status %+v, events: %s", c.Status, p.events.all())
	}
	p.now = noon.Add(10000 * time.Hour)
	mustWrite("ever after")
}

// A Secret that an earlier version of Kubemint made has no record. It gets one, and keeps its credential; nobody is told of a repair.
func TestSecretWithoutRecord(t *testing.T) {
	c, p := created(t), newProcess(t, "kubemint")
	p.awaitSight(t, c)
	settle(t, p, c)
	was := mustBeIssued(t, c)
	secret := getSecret(t, c.Namespace, c.Name)
	delete(secret.Annotations, v1alpha1.AnnotationCredentials)
	must(t, suite.admin.Update(t.Context(), secret))
	p.awaitSight(t, c)
	settle(t, p, c)
	if mustBeIssued(t, c) != was || strings.Contains(p.events.all(), v1alpha1.EventSecretRepaired) {
		t.Errorf("another credential, or told as a repair: %s", p.events.all())
	}
}

// A well-formed secret that somebody puts there, from a backup say, is the present one from then on, and what it replaced goes on
// being valid.
func TestSecretPutThereByHand(t *testing.T) {
	c, p, mine := created(t), newProcess(t, "kubemint"), credential.Generate()
	p.awaitSight(t, c)
	settle(t, p, c)
	was := mustBeIssued(t, c)
	secret := getSecret(t, c.Namespace, c.Name)
	secret.Data["client_secret"] = []byte(mine)
	must(t, suite.admin.Update(t.Context(), secret))
	p.awaitSight(t, c)
	settle(t, p, c)
	record := recordIn(*getSecret(t, c.Namespace, c.Name))
	if mustBeIssued(t, c) != mine || credential.Match(was, record.Accepted(), p.now) == nil {
		t.Error("it was not taken, or the one before it is not valid")
	}
}

// A process that has seen a request which others have followed, and gone beyond, does not follow it once more (L2).
func TestStaleRequest(t *testing.T) {
	c := created(t)
	seen, stale, other := follow(t, c.Namespace), newProcess(t, "kubemint"), newProcess(t, "kubemint")
	settle(t, other, c)
	first := mustBeIssued(t, c)
	change(t, c, askToRotate)
	stale.awaitSight(t, c)
	stale.freeze()
	other.awaitSight(t, c)
	settle(t, other, c)
	second := mustBeIssued(t, c)
	change(t, c, func(c *v1alpha1.OAuthClient) { c.Annotations[v1alpha1.AnnotationRotate] = "again" })
	other.awaitSight(t, c)
	settle(t, other, c)
	before := versions(t, c.Namespace)
	if _, err := stale.reconcile(c); err == nil {
		t.Error("it thinks that all is well")
	}
	mustBeUntouched(t, c.Namespace, before)
	mustHaveSeen(t, seen, []string{first, second, mustBeIssued(t, c)})
}

// While a pod runs that started with the client secret from before, that one is not retired, however long nobody uses it; the status
// names the workload. When the pod is gone, it is.
func TestRotationWaitsForWorkloads(t *testing.T) {
	c, p := created(t), watching(t)
	p.awaitSight(t, c)
	settle(t, p, c)
	pod := newPod(c.Namespace, "web-5c9-x")
	pod.Spec.Volumes[0].Secret.SecretName = c.Name
	controlledBy("apps/v1", "ReplicaSet", "web-5c9", "5c9")(pod)
	started(t, pod, corev1.PodRunning, noon)

	change(t, c, askToRotate)
	p.awaitSight(t, c)
	p.now = noon.Add(time.Hour)
	await(t, "the pod to count", func() error {
		if got, err := p.clients.holders(t.Context(), c.Namespace, c.Name, p.now); err != nil || len(got) == 0 {
			return fmt.Errorf("held by %v, %v", got, err)
		}
		return nil
	})
	settle(t, p, c)
	p.now = noon.Add(5 * 24 * time.Hour)
	settle(t, p, c)
	mustBeIssued(t, c)
	if rotating := rotationOf(c); rotating == nil || rotating.Reason != v1alpha1.ReasonWaitingForWorkloads || !strings.HasSuffix(rotating.Message, ": Waiting for Deployment/web") {
		t.Errorf("condition %+v", rotating)
	}
	if result, err := p.reconcile(c); err != nil || result.RequeueAfter != holdersAgain {
		t.Errorf("it looks again after %v, %v", result.RequeueAfter, err)
	}

	must(t, suite.admin.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	await(t, "the first version to be retired", func() error {
		if _, err := p.reconcile(c); err != nil {
			return err
		}
		if _ = readyOf(t, c); rotationOf(c) != nil {
			return fmt.Errorf("condition %+v", rotationOf(c))
		}
		return nil
	})
}

// A rotation restarts what spec.rollout names, once.
func TestRotationRestarts(t *testing.T) {
	r := newRollout(t)
	p := restarting(t, r)
	p.awaitSight(t, r.c)
	settle(t, p, r.c)
	change(t, r.c, askToRotate)
	p.awaitSight(t, r.c)
	settle(t, p, r.c)
	rotated := p.now
	r.mustHaveRolled(t, 1, rotated)
	_ = readyOf(t, r.c)
	if restarted := meta.FindStatusCondition(r.c.Status.Conditions, v1alpha1.ConditionRestarted); restarted == nil || restarted.Status != metav1.ConditionTrue || r.c.Status.RestartedForVersion != 2 {
		t.Errorf("status %+v", r.c.Status)
	}
	p.now = p.now.Add(1000 * time.Hour)
	settle(t, p, r.c)
	r.mustHaveRolled(t, 1, rotated)
}
