package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// mustWaitFor checks that an OAuthClient is not ready for a reason, and that the message names the remedy.
func mustWaitFor(t *testing.T, c *v1alpha1.OAuthClient, reason string, remedy ...string) {
	t.Helper()
	ready := readyOf(t, c)
	if ready.Status != metav1.ConditionFalse || ready.Reason != reason {
		t.Fatalf("condition %+v", ready)
	}
	for _, words := range remedy {
		if !strings.Contains(ready.Message, words) {
			t.Errorf("the message has no %q: %s", words, ready.Message)
		}
	}
	stalled := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionStalled)
	if want := reason != v1alpha1.ReasonWaitingForSecret; (stalled != nil) != want {
		t.Errorf("stalled: %+v", stalled)
	}
}

// Every way in which the Secret can be missing or not be meant is told apart, with what to do; what is refused comes into no record.
func TestProvidedSecretIsWaitedFor(t *testing.T) {
	c, p := toProvided(t), newProcess(t, "kubemint")
	if got := p.follow(t, c); !slices.Equal(got, []string{makeSecret, writeStatus}) {
		t.Errorf("it wrote %v", got)
	}
	mustWaitFor(t, c, v1alpha1.ReasonWaitingForSecret, `nobody has made Secret "worker"`, "oauth.kubemint.dev/client=worker", `"client_secret"`)
	if c.Status.SecretName != "" || len(c.Status.Credentials) > 0 || p.events.all() != "" {
		t.Errorf("status %+v, events %s", c.Status, p.events.all())
	}
	p.mustRest(t, c)

	provide(t, c, theirs)
	with := func(how func(*corev1.Secret)) func() {
		return func() { changeSecret(t, c.Namespace, c.Name, how) }
	}
	for _, step := range []struct {
		name   string
		do     func()
		reason string
		words  string
	}{
		{"no label", with(func(s *corev1.Secret) { s.Labels = nil }), v1alpha1.ReasonWaitingForSecret, "does not carry the label oauth.kubemint.dev/client=worker"},
		{"another's label", with(func(s *corev1.Secret) { s.Labels = map[string]string{v1alpha1.LabelClient: "other"} }), v1alpha1.ReasonWaitingForSecret, `names OAuthClient "other": it must be worker`},
		{"another key", with(func(s *corev1.Secret) {
			s.Labels = map[string]string{v1alpha1.LabelClient: "worker"}
			s.Data = map[string][]byte{"password": []byte(theirs)}
		}), v1alpha1.ReasonWaitingForSecret, `no key "client_secret"`},
		{"weak", with(func(s *corev1.Secret) { s.Data = map[string][]byte{"client_secret": []byte("hunter2")} }), v1alpha1.ReasonWeakSecret, "shorter than 32 bytes; make another"},
		{"with a line break", with(func(s *corev1.Secret) { s.Data["client_secret"] = []byte(theirs + "\n") }), v1alpha1.ReasonWeakSecret, "printf or echo -n"},
		{"another client's", with(func(s *corev1.Secret) {
			s.Data["client_secret"] = []byte(theirs)
			s.OwnerReferences = []metav1.OwnerReference{ownerReference(&v1alpha1.OAuthClient{ObjectMeta: metav1.ObjectMeta{Name: "other", UID: "2"}})}
		}), v1alpha1.ReasonSecretConflict, `belongs to OAuthClient "other"`},
	} {
		step.do()
		before := getSecret(t, c.Namespace, c.Name)
		if got := p.follow(t, c); !slices.Equal(got, []string{writeStatus}) {
			t.Errorf("%s: it wrote %v", step.name, got)
		}
		mustWaitFor(t, c, step.reason, step.words)
		p.mustRest(t, c)
		mustBeUnwritten(t, before)
	}
	changeSecret(t, c.Namespace, c.Name, func(s *corev1.Secret) { s.OwnerReferences = nil })
	before := getSecret(t, c.Namespace, c.Name)
	if got := p.follow(t, c); !slices.Equal(got, []string{updateSecret, writeStatus}) {
		t.Errorf("when it is good, it wrote %v", got)
	}
	mustBeProvided(t, c, theirs)
	if ready := readyOf(t, c); !strings.Contains(ready.Message, `"worker"`) || !strings.Contains(ready.Message, `"worker-kubemint"`) || len(c.Status.Conditions) != 1 {
		t.Errorf("conditions %+v", c.Status.Conditions)
	}
	if got := c.Status.Credentials; len(got) != 1 || got[0].Version != 1 {
		t.Errorf("what was refused has become a version: %+v", got)
	}
	p.mustRest(t, c)
	mustBeUnwritten(t, before)
	for _, value := range []string{"hunter2", theirs} {
		if strings.Contains(p.events.all(), value) || strings.Contains(fmt.Sprint(c.Status), value) {
			t.Error("a client secret stands in an event or the status")
		}
	}
}

// mustBeUnwritten checks that nobody, and so not Kubemint, has written to a Secret since.
func mustBeUnwritten(t *testing.T, before *corev1.Secret) {
	t.Helper()
	now := getSecret(t, before.Namespace, before.Name)
	if now.ResourceVersion != before.ResourceVersion || !equality.Semantic.DeepEqual(now.ManagedFields, before.ManagedFields) || len(now.OwnerReferences) != len(before.OwnerReferences) {
		t.Errorf("the user's Secret was written: %+v", now.ObjectMeta)
	}
}

// providedBy creates an OAuthClient with a provided Secret, and has a process see to it.
func providedBy(t *testing.T, p *process) *v1alpha1.OAuthClient {
	t.Helper()
	c := toProvided(t)
	provide(t, c, theirs)
	p.follow(t, c)
	mustBeProvided(t, c, theirs)
	return c
}

// A change is a rotation: both values are valid, and the one before ends when it is no longer used. Neither the interval nor a
// request makes Kubemint rotate, or write.
func TestProvidedSecretChanges(t *testing.T) {
	p := newProcess(t, "kubemint")
	c := providedBy(t, p)
	change(t, c, func(c *v1alpha1.OAuthClient) {
		askToRotate(c)
		c.Spec.Authentication.ClientSecret.Rotation.Interval = &metav1.Duration{Duration: 200 * time.Hour}
	})
	p.now = noon.Add(1000 * time.Hour)
	if got := p.follow(t, c); !slices.Equal(got, []string{writeStatus}) { // observedGeneration
		t.Errorf("asked to rotate, it wrote %v", got)
	}
	provideAnother(t, c, theirsLater)
	if got := p.follow(t, c); !slices.Equal(got, []string{updateSecret, writeStatus}) {
		t.Errorf("it wrote %v", got)
	}
	mustBeProvided(t, c, theirsLater)
	mustBeValid(t, p, c, map[string]bool{theirs: true, theirsLater: true})
	if !strings.Contains(p.events.all(), "SecretRotated client secret version 2 (whoever provides it changed it); version 1 is valid until") || rotationOf(c) == nil {
		t.Errorf("events: %s, status %+v", p.events.all(), c.Status)
	}
	p.mustRest(t, c)
	p.now = p.now.Add(24 * time.Hour)
	if got := p.follow(t, c); !slices.Equal(got, []string{updateSecret, writeStatus}) {
		t.Errorf("unused for long enough: it wrote %v", got)
	}
	mustBeValid(t, p, c, map[string]bool{theirs: false, theirsLater: true})
	p.mustRest(t, c)
}

// What takes a Secret away to make it again causes no outage; a Secret that stays away ends. A weak value is no better than none.
func TestProvidedSecretGoes(t *testing.T) {
	for name, gone := range map[string]struct {
		goes, comesBack func(*testing.T, *v1alpha1.OAuthClient, string)
		reason          string
	}{
		"deleted": {func(t *testing.T, c *v1alpha1.OAuthClient, _ string) { takeAway(t, c) }, provide, v1alpha1.ReasonWaitingForSecret},
		"weak":    {func(t *testing.T, c *v1alpha1.OAuthClient, _ string) { provideAnother(t, c, "hunter2") }, provideAnother, v1alpha1.ReasonWeakSecret},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProcess(t, "kubemint")
			c := providedBy(t, p)
			gone.goes(t, c, "")
			if got := p.follow(t, c); !slices.Equal(got, []string{updateSecret, writeStatus}) {
				t.Errorf("it wrote %v", got)
			}
			mustWaitFor(t, c, gone.reason, "version 1 of the client secret stays valid until 2030-01-08T12:00:00Z")
			mustBeValid(t, p, c, map[string]bool{theirs: true})
			if c.Status.SecretName != c.Name || len(c.Status.Credentials) != 1 || c.Status.Credentials[0].Expires == nil || !strings.Contains(p.events.all(), gone.reason) {
				t.Errorf("status %+v, events %s", c.Status, p.events.all())
			}
			p.mustRest(t, c)

			gone.comesBack(t, c, theirs)
			p.follow(t, c)
			mustBeProvided(t, c, theirs)
			if got := c.Status.Credentials; len(got) != 1 || got[0].Version != 1 || got[0].Expires != nil {
				t.Errorf("the same value came back as %+v", got)
			}
			p.mustRest(t, c)

			gone.goes(t, c, "")
			p.follow(t, c)
			p.now = noon.Add(7 * 24 * time.Hour)
			mustBeValid(t, p, c, map[string]bool{theirs: false})
			if got := p.follow(t, c); !slices.Equal(got, []string{writeStatus}) {
				t.Errorf("after its end, it wrote %v", got)
			}
			mustWaitFor(t, c, gone.reason)
			if len(c.Status.Credentials) > 0 || c.Status.SecretName != "" {
				t.Errorf("status %+v", c.Status)
			}
			p.mustRest(t, c)
			gone.comesBack(t, c, theirsLater)
			p.follow(t, c)
			mustBeProvided(t, c, theirsLater)
			mustBeValid(t, p, c, map[string]bool{theirs: false, theirsLater: true})
			if got := c.Status.Credentials; len(got) != 1 || got[0].Version != 2 {
				t.Errorf("after the end of the first, there is %+v", got)
			}
		})
	}
}

// The companion is made good as any Secret of Kubemint's. A Secret that is not, of its name, is never touched.
func TestCompanion(t *testing.T) {
	p := newProcess(t, "kubemint")
	t.Run("spoilt", func(t *testing.T) {
		c := providedBy(t, p)
		changeSecret(t, c.Namespace, "worker-kubemint", func(s *corev1.Secret) { s.Data["token_url"] = []byte("https://evil.example") })
		if got := p.follow(t, c); !slices.Equal(got, []string{updateSecret}) || !strings.Contains(p.events.all(), v1alpha1.EventSecretRepaired) {
			t.Errorf("it wrote %v, events %s", got, p.events.all())
		}
		if companion := mustBeProvided(t, c, theirs); string(companion.Data["token_url"]) != "https://kubemint.svc/oauth2/token" {
			t.Errorf("token_url is %s", companion.Data["token_url"])
		}
	})
	t.Run("deleted", func(t *testing.T) {
		c := providedBy(t, p)
		must(t, suite.admin.Delete(t.Context(), getSecret(t, c.Namespace, "worker-kubemint")))
		p.follow(t, c)
		mustBeProvided(t, c, theirs)
		p.mustRest(t, c)
	})
	t.Run("of somebody else", func(t *testing.T) {
		c := toProvided(t)
		provide(t, c, theirs)
		foreignSecret(t, c.Namespace, "worker-kubemint")
		before := versions(t, c.Namespace)
		p.follow(t, c)
		mustWaitFor(t, c, v1alpha1.ReasonSecretConflict, `Secret "worker-kubemint"`, "give the OAuthClient another name")
		mustBeUntouched(t, c.Namespace, before)
	})
	t.Run("wanted by an older one", func(t *testing.T) {
		namespace := newNamespace(t)
		older := newClient(namespace, "worker-kubemint")
		must(t, suite.admin.Create(t.Context(), older))
		c := newClient(namespace, "worker")
		c.Spec.Secret.Source = v1alpha1.SecretProvided
		c.UID = "" // The API server gives it.
		time.Sleep(time.Until(older.CreationTimestamp.Add(1100 * time.Millisecond)))
		must(t, suite.admin.Create(t.Context(), c))
		p.follow(t, c)
		mustWaitFor(t, c, v1alpha1.ReasonSecretConflict, `OAuthClient "worker-kubemint", which is older`)
		settle(t, p, older)
		mustBeIssued(t, older)
		p.follow(t, c)
		mustWaitFor(t, c, v1alpha1.ReasonSecretConflict)
		mustBeIssued(t, older)
	})
	t.Run("after its OAuthClient", func(t *testing.T) {
		c := providedBy(t, p)
		if owner := metav1.GetControllerOf(getSecret(t, c.Namespace, "worker-kubemint")); owner == nil || owner.UID != c.UID {
			t.Error("the garbage collector would not remove it")
		}
		must(t, suite.admin.Delete(t.Context(), c))
		p.awaitSight(t, c)
		before := versions(t, c.Namespace)
		_, err := p.reconcile(c)
		must(t, err)
		mustBeUntouched(t, c.Namespace, before)
	})
}

// Neither a client secret nor kubectl's copy of it stays in memory.
func TestProvidedCacheIsSealed(t *testing.T) {
	c, p := toProvided(t), newProcess(t, "kubemint")
	secret := newProvidedSecret(c, theirs)
	secret.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: theirs}
	must(t, suite.admin.Create(t.Context(), secret))
	foreignSecret(t, c.Namespace, "unlabelled")
	p.awaitSight(t, c)
	var cached corev1.SecretList
	must(t, p.clients.Provided.List(t.Context(), &cached, client.InNamespace(c.Namespace)))
	if len(cached.Items) != 1 || strings.Contains(fmt.Sprint(cached.Items), theirs) {
		t.Fatalf("the cache holds %v", cached.Items)
	}
	digest, weakness := credential.UnsealProvided(cached.Items[0].Data["client_secret"])
	if weakness != nil || digest != credential.DigestOf(theirs) {
		t.Errorf("%x, %v", digest, weakness)
	}
	if got := clientNamedBy(t.Context(), &cached.Items[0]); len(got) != 1 || got[0] != requestFor(c.Namespace, c.Name) {
		t.Errorf("its events go to %v", got)
	}
}

// A process whose cache of provided Secrets has stayed behind does not take back a value that has been replaced.
func TestStaleProvidedSecret(t *testing.T) {
	stale, other := newProcess(t, "kubemint"), newProcess(t, "kubemint")
	c := providedBy(t, other)
	change(t, c, labelSecret) // Something to do, at which the stale process sees the former value.
	stale.awaitSight(t, c)
	stale.freeze()
	provideAnother(t, c, theirsLater)
	other.follow(t, c)
	before := versions(t, c.Namespace)
	_, _ = stale.reconcile(c) // It may fail, or find that all is done.
	mustBeUntouched(t, c.Namespace, before)
	if written := stale.wire.written(); slices.Contains(written, updateSecret) {
		t.Errorf("it tried to write: %v", written)
	}
	mustBeProvided(t, c, theirsLater)
}
