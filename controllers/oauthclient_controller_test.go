package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// A Secret that appears, or changes, between the live read and the write is not overwritten. Having come too late is no
// problem of the user's: it is tried again, and only what is then found becomes a condition.
func TestSomebodyElseWritesFirst(t *testing.T) {
	p := newProcess(t, "kubemint")
	firstWrite := func(do func()) {
		p.wire.stepIn(func(n int) error {
			if n == 1 {
				do()
			}
			return nil
		}, nil)
	}

	t.Run("makes a Secret of the name", func(t *testing.T) {
		c := created(t)
		p.awaitSight(t, c)
		var before map[string]string
		firstWrite(func() {
			foreignSecret(t, c.Namespace, c.Name)
			before = versions(t, c.Namespace)
		})
		if result, err := p.reconcile(c); err != nil || result.RequeueAfter != minRetry {
			t.Errorf("%v, %v", result, err)
		}
		if ready := readyOf(t, c); ready.Reason != v1alpha1.ReasonSecretConflict {
			t.Errorf("condition %+v", ready)
		}
		mustBeUntouched(t, c.Namespace, before)
	})
	t.Run("changes the Secret", func(t *testing.T) {
		c := created(t)
		p.awaitSight(t, c)
		settle(t, p, c)
		was := mustBeIssued(t, c)
		change(t, c, labelSecret)
		p.awaitSight(t, c)
		firstWrite(func() {
			changeSecret(t, c.Namespace, c.Name, func(s *corev1.Secret) { s.Data["extra"] = []byte("theirs") })
		})
		if _, err := p.reconcile(c); !apierrors.IsConflict(err) {
			t.Fatalf("error %v", err)
		}
		if ready := readyOf(t, c); ready.Reason != v1alpha1.ReasonIssued || ready.ObservedGeneration == c.Generation {
			t.Errorf("condition %+v", ready)
		}
		settle(t, p, c)
		if secret := getSecret(t, c.Namespace, c.Name); string(secret.Data["extra"]) != "theirs" || secret.Labels["team"] != "billing" {
			t.Errorf("the Secret has the labels %v", secret.Labels)
		}
		if mustBeIssued(t, c) != was {
			t.Error("the credential changed")
		}
	})
}

// The holder of a Secret keeps it, whoever is older; of those who want one that nobody holds, the older one makes it.
func TestRivals(t *testing.T) {
	p := newProcess(t, "kubemint")
	mustConflict := func(t *testing.T, c *v1alpha1.OAuthClient, with string) {
		t.Helper()
		p.awaitSight(t, c)
		before := versions(t, c.Namespace)
		if _, err := p.reconcile(c); err != nil {
			t.Fatal(err)
		}
		if ready := readyOf(t, c); ready.Reason != v1alpha1.ReasonSecretConflict || !strings.Contains(ready.Message, `"`+with+`"`) {
			t.Errorf("condition %+v", ready)
		}
		if len(c.Status.Conditions) != 2 {
			t.Errorf("it is not stalled: %v", c.Status.Conditions)
		}
		mustBeUntouched(t, c.Namespace, before)
	}
	// pair makes two OAuthClients. Creation times have a resolution of a second: of equal ones the UID decides.
	pair := func(t *testing.T, names ...string) (elder, younger *v1alpha1.OAuthClient) {
		t.Helper()
		namespace := newNamespace(t)
		elder, younger = newClient(namespace, "a"), newClient(namespace, "b")
		elder.Spec.Secret.Name, younger.Spec.Secret.Name = names[0], names[1]
		must(t, suite.admin.Create(t.Context(), elder))
		must(t, suite.admin.Create(t.Context(), younger))
		if older(younger, elder) {
			elder, younger = younger, elder
		}
		return elder, younger
	}

	t.Run("the younger one holds it", func(t *testing.T) {
		elder, younger := pair(t, "own", "own-too")
		p.awaitSight(t, elder)
		p.awaitSight(t, younger)
		settle(t, p, elder)
		settle(t, p, younger)
		was := mustBeIssued(t, younger)
		change(t, elder, func(c *v1alpha1.OAuthClient) { c.Spec.Secret.Name = younger.SecretName() })
		mustConflict(t, elder, younger.Name)
		// Meanwhile the elder keeps its credential where it was.
		if elder.Status.SecretName == younger.SecretName() || secretsIn(t, elder.Namespace)[elder.Status.SecretName] == nil {
			t.Errorf("its Secret is said to be %q", elder.Status.SecretName)
		}
		settle(t, p, younger)
		if mustBeIssued(t, younger) != was {
			t.Error("the holder's credential changed")
		}
		// And follows as soon as the name is free.
		change(t, younger, renameSecret)
		p.awaitSight(t, younger)
		settle(t, p, younger)
		settle(t, p, elder)
		mustBeIssued(t, elder)
	})
	t.Run("nobody holds it", func(t *testing.T) {
		elder, younger := pair(t, "shared", "shared")
		p.awaitSight(t, elder)
		mustConflict(t, younger, elder.Name)
		settle(t, p, elder)
		mustConflict(t, younger, elder.Name)
		mustBeIssued(t, elder)
		// One that is on its way out claims nothing.
		must(t, suite.admin.Delete(t.Context(), elder))
		must(t, suite.admin.Delete(t.Context(), getSecret(t, elder.Namespace, "shared")))
		p.awaitSight(t, elder)
		settle(t, p, younger)
		mustBeIssued(t, younger)
	})
}

func TestOlder(t *testing.T) {
	at := func(second int, uid types.UID) *v1alpha1.OAuthClient {
		return &v1alpha1.OAuthClient{ObjectMeta: metav1.ObjectMeta{UID: uid, CreationTimestamp: metav1.NewTime(noon.Add(time.Duration(second) * time.Second))}}
	}
	for _, test := range []struct {
		a, b *v1alpha1.OAuthClient
		want bool
	}{
		{at(0, "2"), at(1, "1"), true},
		{at(1, "1"), at(0, "2"), false},
		// In the same second somebody must come first, and the same one for both.
		{at(0, "1"), at(0, "2"), true},
		{at(0, "2"), at(0, "1"), false},
	} {
		if got := older(test.a, test.b); got != test.want {
			t.Errorf("older(%v, %v) = %t", test.a.ObjectMeta, test.b.ObjectMeta, got)
		}
	}
}

// The time to the next try is as long as the problem has lasted, from 1 s to 1 min.
func TestRetryAfter(t *testing.T) {
	c, p := created(t), newProcess(t, "kubemint")
	foreignSecret(t, c.Namespace, c.Name)
	p.awaitSight(t, c)
	for _, step := range []struct{ lasted, want time.Duration }{
		{0, time.Second},
		{500 * time.Millisecond, time.Second},
		{1500 * time.Millisecond, 1500 * time.Millisecond},
		{10 * time.Second, 10 * time.Second},
		{time.Minute, time.Minute},
		{time.Hour, time.Minute},
		{-time.Hour, time.Second}, // A clock that was set back, or another replica's.
	} {
		p.now = noon.Add(step.lasted)
		if result, err := p.reconcile(c); err != nil || result.RequeueAfter != step.want {
			t.Errorf("after %v: %v, %v; want %v", step.lasted, result.RequeueAfter, err, step.want)
		}
	}
	if written := p.wire.written(); !slices.Equal(written, []string{makeSecret, writeStatus}) { // Both at the first try.
		t.Errorf("all tries wrote %v", written)
	}
	if events := strings.Count(p.events.all(), v1alpha1.ReasonSecretConflict); events != 1 {
		t.Errorf("%d events", events)
	}
}

// Where Kubemint's own CA signs, its certificate goes into every Secret, and follows when another one is prepared: then both are in it.
func TestCACertificateInSecret(t *testing.T) {
	namespace := newNamespace(t)
	p := newProcess(t, namespace)
	p.clients.Issuer.CACert = nil
	c := newClient(namespace, "worker")
	must(t, suite.admin.Create(t.Context(), c))
	p.awaitSight(t, c)
	if result, err := p.reconcile(c); err != nil || result.RequeueAfter != minRetry {
		t.Fatalf("%v, %v", result, err)
	}
	if ready := readyOf(t, c); ready.Reason != v1alpha1.ReasonWaitingForCertificate {
		t.Errorf("condition %+v", ready)
	}

	mustKeep(t, p)
	p.awaitSight(t, c)
	settle(t, p, c)
	was := mustBeIssued(t, c)
	first := caOf(t, namespace)
	if got := string(getSecret(t, namespace, "worker").Data["ca.crt"]); got != first {
		t.Errorf("ca.crt is %q", got)
	}

	p.now = p.now.Add(defaultLifetimes.Authority / 2)
	mustKeep(t, p)
	p.awaitSight(t, c)
	from := len(p.wire.written())
	settle(t, p, c)
	second := caOf(t, namespace)
	if got := string(getSecret(t, namespace, "worker").Data["ca.crt"]); !strings.HasPrefix(second, first) || second == first || got != second {
		t.Errorf("ca.crt is %q", got)
	}
	if written := p.wire.written()[from:]; len(written) != 1 || mustBeIssued(t, c) != was {
		t.Errorf("it wrote %v, or the credential changed", written)
	}
	if strings.Contains(p.events.all(), v1alpha1.EventSecretRepaired) {
		t.Error("following the CA is told as a repair")
	}

	// Spoilt, it does not reach the clients.
	changeSecret(t, namespace, v1alpha1.CertificateAuthoritySecretName, func(s *corev1.Secret) { s.Data["ca.crt"] = []byte("spoilt") })
	p.awaitSight(t, c)
	if _, err := p.reconcile(c); err == nil || string(getSecret(t, namespace, "worker").Data["ca.crt"]) != second {
		t.Errorf("it went on with a spoilt CA: %v", err)
	}
	mustKeep(t, p)
	p.awaitSight(t, c)
	settle(t, p, c)

	// Configured for a certificate that every system trusts, it would be wrong to go on trusting this one alone.
	p.clients.Issuer.CACert = []byte{}
	settle(t, p, c)
	if got, there := getSecret(t, namespace, "worker").Data["ca.crt"]; there {
		t.Errorf("ca.crt is still %q", got)
	}

	// One that somebody else puts there is theirs.
	changeSecret(t, namespace, "worker", func(s *corev1.Secret) { s.Data["ca.crt"] = []byte("theirs") })
	p.awaitSight(t, c)
	before := versions(t, namespace)
	settle(t, p, c)
	mustBeUntouched(t, namespace, before)
}
