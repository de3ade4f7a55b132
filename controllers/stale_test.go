package controllers

import (
	"slices"
	"testing"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// A process whose cache stays behind, as one that becomes the leader after a partition, neither makes a second Secret nor
// overwrites what another process has written since (L2). What it thinks it knows is read live before it writes.
func TestStaleCache(t *testing.T) {
	for name, test := range map[string]struct {
		issued bool // when the cache stopped; else it shows no Secret yet
		since  func(t *testing.T, c *v1alpha1.OAuthClient, other *process)
	}{
		"Secret made":            {since: func(*testing.T, *v1alpha1.OAuthClient, *process) {}},
		"made, Secret renamed":   {since: thenChanged(renameSecret)},
		"made, key renamed":      {since: thenChanged(renameKey)},
		"made, template changed": {since: thenChanged(labelSecret)},
		"made, renamed twice": {since: func(t *testing.T, c *v1alpha1.OAuthClient, other *process) {
			thenChanged(renameSecret)(t, c, other)
			thenChanged(func(c *v1alpha1.OAuthClient) { c.Spec.Secret.Name = "again" })(t, c, other)
		}},
		"Secret renamed":   {issued: true, since: thenChanged(renameSecret)},
		"key renamed":      {issued: true, since: thenChanged(renameKey)},
		"template changed": {issued: true, since: thenChanged(labelSecret)},
	} {
		t.Run(name, func(t *testing.T) {
			c := created(t)
			seen, stale, other := follow(t, c.Namespace), newProcess(t, "kubemint"), newProcess(t, "kubemint")
			if test.issued {
				settle(t, other, c)
			}
			stale.awaitSight(t, c)
			stale.freeze()
			settle(t, other, c)
			test.since(t, c, other)
			value, before := mustBeIssued(t, c), versions(t, c.Namespace)

			_, _ = stale.reconcile(c) // It may fail, or think that all is well.
			mustBeUntouched(t, c.Namespace, before)
			mustBeIssued(t, c)
			// A new OAuthClient's Secret is created without a look before: the API server refuses it where there is one.
			if written := stale.wire.written(); slices.ContainsFunc(written, func(w string) bool { return w != writeStatus && (test.issued || w != makeSecret) }) {
				t.Errorf("it tried to write: %v", written)
			}
			mustHaveSeen(t, seen, []string{value})
		})
	}
}

func labelSecret(c *v1alpha1.OAuthClient) {
	c.Spec.Secret.Template.Labels = map[string]v1alpha1.LabelValue{"team": "billing"}
}

// thenChanged has another process follow a change.
func thenChanged(how func(*v1alpha1.OAuthClient)) func(*testing.T, *v1alpha1.OAuthClient, *process) {
	return func(t *testing.T, c *v1alpha1.OAuthClient, other *process) {
		change(t, c, how)
		other.awaitSight(t, c)
		settle(t, other, c)
	}
}

// The Secret is renamed there and back. A process that has seen only the first renaming takes the Secret in use for the former
// one: it must not delete it.
func TestStaleCacheDeletesNothing(t *testing.T) {
	c := created(t)
	seen, stale, other := follow(t, c.Namespace), newProcess(t, "kubemint"), newProcess(t, "kubemint")
	settle(t, other, c)
	thenChanged(renameSecret)(t, c, other)
	stale.awaitSight(t, c)
	// Something for the stale process to do: without it, it would not look any closer.
	change(t, c, labelSecret)
	stale.awaitSight(t, c)
	stale.freeze()
	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Secret.Name = "" })
	other.awaitSight(t, c)
	cut(other, func(write int) bool { return write >= 2 }, func(int) bool { return false })
	if _, err := other.reconcile(c); err == nil || len(secretsIn(t, c.Namespace)) != 2 {
		t.Fatalf("the other process has not ended between making the one and deleting the other: %v", err)
	}
	before := versions(t, c.Namespace)

	_, _ = stale.reconcile(c)
	mustBeUntouched(t, c.Namespace, before)
	settle(t, newProcess(t, "kubemint"), c)
	mustHaveSeen(t, seen, []string{mustBeIssued(t, c)})
}

// An OAuthClient that was deleted and made anew is another one: what was found out about the first is not told of the second.
func TestOtherUID(t *testing.T) {
	remake := func(t *testing.T, c *v1alpha1.OAuthClient) *v1alpha1.OAuthClient {
		must(t, suite.admin.Delete(t.Context(), c))
		anew := newClient(c.Namespace, c.Name)
		must(t, suite.admin.Create(t.Context(), anew))
		return anew
	}
	mustHaveNoStatus := func(t *testing.T, c *v1alpha1.OAuthClient) {
		t.Helper()
		if ready := readyOf(t, c); ready.Type != "" || c.Status.ClientID != "" {
			t.Errorf("it got the status %+v", c.Status)
		}
	}

	t.Run("made anew before the Secret is written", func(t *testing.T) {
		c, p := created(t), newProcess(t, "kubemint")
		p.awaitSight(t, c)
		p.freeze()
		anew := remake(t, c)
		if _, err := p.reconcile(c); err == nil {
			t.Error("no error")
		}
		mustBeUntouched(t, c.Namespace, map[string]string{})
		mustHaveNoStatus(t, anew)
	})
	t.Run("made anew before the status is written", func(t *testing.T) {
		c, p := created(t), newProcess(t, "kubemint")
		p.awaitSight(t, c)
		var anew *v1alpha1.OAuthClient
		p.wire.stepIn(func(n int) error {
			if n == 2 {
				anew = remake(t, c)
			}
			return nil
		}, nil)
		if _, err := p.reconcile(c); err == nil {
			t.Error("no error")
		}
		mustHaveNoStatus(t, anew)

		// The Secret of the first is not adopted. When it has been garbage collected, the second gets its own.
		p.awaitSight(t, anew)
		before := versions(t, c.Namespace)
		if _, err := p.reconcile(anew); err != nil {
			t.Fatal(err)
		}
		if ready := readyOf(t, anew); ready.Reason != v1alpha1.ReasonSecretConflict {
			t.Errorf("condition %+v", ready)
		}
		mustBeUntouched(t, c.Namespace, before)
		must(t, suite.admin.Delete(t.Context(), getSecret(t, c.Namespace, c.Name)))
		settle(t, p, anew)
		mustBeIssued(t, anew)
	})
}

// A deleted OAuthClient is left to the garbage collector, whatever there would be to do.
func TestBeingDeleted(t *testing.T) {
	p := newProcess(t, "kubemint")
	c := newClient(newNamespace(t), "worker")
	c.Finalizers = []string{"example.com/held"}
	must(t, suite.admin.Create(t.Context(), c))
	settle(t, p, c)
	change(t, c, renameSecret)
	spoil(func(data map[string][]byte) { delete(data, "issuer") })(t, newClient(c.Namespace, c.Name))
	must(t, suite.admin.Delete(t.Context(), c))
	p.awaitSight(t, c)

	from := len(p.wire.written())
	result, err := p.reconcile(c)
	if written := p.wire.written()[from:]; err != nil || result.RequeueAfter != 0 || len(written) > 0 {
		t.Errorf("it wrote %v: %v, %v", written, result, err)
	}
	change(t, c, func(c *v1alpha1.OAuthClient) { c.Finalizers = nil })
}
