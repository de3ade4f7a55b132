package controllers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

func toSource(source v1alpha1.SecretSource, name string) func(*v1alpha1.OAuthClient) {
	return func(c *v1alpha1.OAuthClient) { c.Spec.Secret.Source, c.Spec.Secret.Name = source, name }
}

// From generated to provided and back, with a Secret of another name. The former client secret is valid through the overlap each
// time, and the generated Secret stays until the provided one is there and good.
func TestGeneratedToProvidedAndBack(t *testing.T) {
	c, p := created(t), newProcess(t, "kubemint")
	p.awaitSight(t, c)
	settle(t, p, c)
	first := mustBeIssued(t, c)
	change(t, c, toSource(v1alpha1.SecretProvided, "theirs"))
	p.follow(t, c)
	mustWaitFor(t, c, v1alpha1.ReasonWaitingForSecret, `nobody has made Secret "theirs"`, `the generated one in Secret "worker" stays valid`)
	p.now = noon.Add(1000 * time.Hour)
	p.mustRest(t, c)
	mustBeValid(t, p, c, map[string]bool{first: true})
	if c.Status.SecretName != "worker" || len(c.Status.Credentials) != 1 || c.Status.Credentials[0].Expires != nil {
		t.Errorf("status %+v", c.Status)
	}
	provide(t, c, "hunter2")
	p.follow(t, c)
	mustWaitFor(t, c, v1alpha1.ReasonWeakSecret, `the generated one in Secret "worker" stays valid`)
	mustBeValid(t, p, c, map[string]bool{first: true, "hunter2-": false})
	provideAnother(t, c, theirs)
	if got := p.follow(t, c); !slices.Equal(got, []string{updateSecret, deleteSecret, writeStatus}) {
		t.Errorf("when it is good, it wrote %v", got)
	}
	mustBeProvided(t, c, theirs)
	mustBeValid(t, p, c, map[string]bool{first: true, theirs: true})
	p.mustRest(t, c)

	given := getSecret(t, c.Namespace, "theirs")
	change(t, c, toSource(v1alpha1.SecretGenerated, "theirs"))
	p.follow(t, c)
	mustWaitFor(t, c, v1alpha1.ReasonSecretConflict, `Secret "theirs" exists and is not this OAuthClient's`)
	mustBeValid(t, p, c, map[string]bool{theirs: true})
	if c.Status.SecretName != "theirs" {
		t.Errorf("the client secret is in Secret %q", c.Status.SecretName)
	}
	change(t, c, toSource(v1alpha1.SecretGenerated, ""))
	if got := p.follow(t, c); !slices.Equal(got, []string{makeSecret, deleteSecret, writeStatus}) {
		t.Errorf("back, it wrote %v", got)
	}
	second := mustBeIssued(t, c)
	mustBeValid(t, p, c, map[string]bool{first: true, theirs: true, second: true})
	if !strings.Contains(p.events.all(), "SecretRotated client secret version 3 was generated, in Secret \"worker\"; version 2, which was provided, is valid until") {
		t.Errorf("events: %s", p.events.all())
	}
	mustBeUnwritten(t, given)
	settle(t, p, c)
}

// The provided Secret is to have the name that the generated one has: the user is told to delete it, and that refuses nobody.
func TestGeneratedToProvidedOfTheSameName(t *testing.T) {
	c, p := created(t), newProcess(t, "kubemint")
	p.awaitSight(t, c)
	settle(t, p, c)
	generated := mustBeIssued(t, c)
	change(t, c, toSource(v1alpha1.SecretProvided, ""))
	p.follow(t, c)
	mustWaitFor(t, c, v1alpha1.ReasonWaitingForSecret, `Secret "worker" is still the one that Kubemint generated`, "delete it and then make yours", "stays valid")
	p.mustRest(t, c)
	takeAway(t, c)
	p.follow(t, c)
	mustWaitFor(t, c, v1alpha1.ReasonWaitingForSecret, "version 1 of the client secret stays valid until")
	mustBeValid(t, p, c, map[string]bool{generated: true})
	provide(t, c, theirs)
	p.follow(t, c)
	mustBeProvided(t, c, theirs)
	mustBeValid(t, p, c, map[string]bool{generated: true, theirs: true})
	p.mustRest(t, c)

	// And back: the name is not free, until the user gives it.
	change(t, c, toSource(v1alpha1.SecretGenerated, ""))
	before := getSecret(t, c.Namespace, c.Name)
	p.follow(t, c)
	mustWaitFor(t, c, v1alpha1.ReasonSecretConflict, "delete the Secret if nothing uses it")
	mustBeUnwritten(t, before)
	takeAway(t, c)
	p.awaitSight(t, c)
	settle(t, p, c)
	mustBeValid(t, p, c, map[string]bool{theirs: true, mustBeIssued(t, c): true})
}

// What happens to an OAuthClient with a provided client secret, and how Kubemint follows it when nothing goes wrong.
var providedStories = map[string]struct {
	happens func(*testing.T, *v1alpha1.OAuthClient)
	writes  []string
	present string // empty: generated
	valid   map[string]bool
}{
	"changed": {
		happens: func(t *testing.T, c *v1alpha1.OAuthClient) { provideAnother(t, c, theirsLater) },
		writes:  []string{updateSecret, writeStatus}, present: theirsLater, valid: map[string]bool{theirs: true, theirsLater: true},
	},
	"changed, with the spec": {
		happens: func(t *testing.T, c *v1alpha1.OAuthClient) {
			provideAnother(t, c, theirsLater)
			change(t, c, labelSecret)
		},
		writes: []string{updateSecret, writeStatus}, present: theirsLater, valid: map[string]bool{theirs: true, theirsLater: true},
	},
	"another Secret": {
		happens: func(t *testing.T, c *v1alpha1.OAuthClient) {
			change(t, c, toSource(v1alpha1.SecretProvided, "another"))
			provide(t, c, theirsLater)
		},
		writes: []string{updateSecret, writeStatus}, present: theirsLater, valid: map[string]bool{theirs: true, theirsLater: true},
	},
	"companion deleted": {
		happens: func(t *testing.T, c *v1alpha1.OAuthClient) {
			must(t, suite.admin.Delete(t.Context(), getSecret(t, c.Namespace, c.Name+"-kubemint")))
		},
		writes: []string{makeSecret, writeStatus}, present: theirs, valid: map[string]bool{theirs: true},
	},
	"generated again": {
		happens: specChange(toSource(v1alpha1.SecretGenerated, "again")),
		writes:  []string{makeSecret, deleteSecret, writeStatus}, valid: map[string]bool{theirs: true},
	},
}

// Whichever write it crashes at, done or not, the next run brings it to the same end, with each version counted once (L2).
func TestProvidedCrashAtAnyWrite(t *testing.T) {
	for name, s := range providedStories {
		for n := range len(s.writes) + 1 {
			for _, done := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, write %d done %t", name, n, done), func(t *testing.T) {
					p := newProcess(t, "kubemint")
					c := providedBy(t, p)
					s.happens(t, c)
					p.awaitSight(t, c)
					if n == len(s.writes) { // undisturbed
						if got := p.follow(t, c); !slices.Equal(got, s.writes) {
							t.Errorf("it wrote %v, want %v", got, s.writes)
						}
					} else {
						reached := cut(p, func(write int) bool { return write > n }, func(write int) bool { return done && write == n+1 })
						if _, err := p.reconcile(c); err == nil || !*reached {
							t.Fatalf("it did not crash: %v", err)
						}
						p.freeze()
					}
					next := newProcess(t, "kubemint")
					settle(t, next, c)
					if s.present != "" {
						mustBeProvided(t, c, s.present)
					} else {
						mustBeIssued(t, c)
					}
					mustBeValid(t, next, c, s.valid)
					if last := c.Status.Credentials[0].Version; last > 2 {
						t.Errorf("it came to version %d: %v", last, slices.Sorted(maps.Keys(secretsIn(t, c.Namespace))))
					}
					next.mustRest(t, c)
				})
			}
		}
	}
}

// Two leaders that both follow a change end with one new version.
func TestProvidedTwoLeaders(t *testing.T) {
	leaders := []*process{newProcess(t, "kubemint"), newProcess(t, "kubemint")}
	for range 5 {
		c := providedBy(t, leaders[0])
		provideAnother(t, c, theirsLater)
		leaders[0].awaitSight(t, c)
		leaders[1].awaitSight(t, c)
		collide(t, leaders, func(p *process) error { _, err := p.reconcile(c); return err })
		for _, leader := range leaders {
			leader.wire.stepIn(nil, nil)
			settle(t, leader, c)
		}
		mustBeProvided(t, c, theirsLater)
		mustBeValid(t, leaders[0], c, map[string]bool{theirs: true, theirsLater: true})
		if got := c.Status.Credentials; len(got) != 2 || got[0].Version != 2 {
			t.Errorf("it has the versions %+v", got)
		}
	}
}
