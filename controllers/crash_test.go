package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// story is something that happens to an OAuthClient, and how Kubemint follows it when nothing goes wrong.
type story struct {
	// fresh is whether the OAuthClient is new, instead of having been issued its credential before it happens.
	fresh   bool
	happens func(*testing.T, *v1alpha1.OAuthClient)
	// later is how long after it was issued it happens.
	later  time.Duration
	writes []string
	newOne bool // whether it ends with another credential
	// revokes is whether the credential from before is valid no more then; otherwise it is.
	revokes bool
	// keyed is whether the credential is a private key, without a client secret beside it.
	keyed bool
}

// client returns the OAuthClient that it happens to, to be created.
func (s story) client(namespace, name string) *v1alpha1.OAuthClient {
	c := newClient(namespace, name)
	if s.keyed {
		c.Spec.Secret.Source = v1alpha1.SecretNone
		c.Spec.Authentication.PrivateKeyJWT = &v1alpha1.PrivateKeyJWTSpec{Generated: &v1alpha1.GeneratedKeySpec{}}
	}
	return c
}

func (s story) created(t *testing.T) *v1alpha1.OAuthClient {
	t.Helper()
	c := s.client(newNamespace(t), "worker")
	must(t, suite.admin.Create(t.Context(), c))
	return c
}

func specChange(how func(*v1alpha1.OAuthClient)) func(*testing.T, *v1alpha1.OAuthClient) {
	return func(t *testing.T, c *v1alpha1.OAuthClient) { change(t, c, how) }
}

func renameSecret(c *v1alpha1.OAuthClient) { c.Spec.Secret.Name = c.Name + "-renamed" }
func askToRotate(c *v1alpha1.OAuthClient) {
	c.Annotations = map[string]string{v1alpha1.AnnotationRotate: "now"}
}
func renameKey(c *v1alpha1.OAuthClient) { c.Spec.Secret.Keys.ClientSecret = "CLIENT_SECRET" }

func spoil(how func(data map[string][]byte)) func(*testing.T, *v1alpha1.OAuthClient) {
	return func(t *testing.T, c *v1alpha1.OAuthClient) {
		changeSecret(t, c.Namespace, c.SecretName(), func(s *corev1.Secret) { how(s.Data) })
	}
}

const (
	makeSecret, updateSecret, deleteSecret = "POST secrets", "PUT secrets", "DELETE secrets"
	writeStatus                            = "PATCH oauthclients/status"
)

var stories = map[string]story{
	"first creation": {fresh: true, writes: []string{makeSecret, writeStatus}, newOne: true},
	"Secret renamed": {
		happens: specChange(renameSecret),
		writes:  []string{makeSecret, deleteSecret, writeStatus},
	},
	"key renamed": {
		happens: specChange(renameKey),
		writes:  []string{updateSecret, writeStatus},
	},
	"Secret and key renamed": {
		happens: specChange(func(c *v1alpha1.OAuthClient) { renameSecret(c); renameKey(c) }),
		writes:  []string{makeSecret, deleteSecret, writeStatus},
	},
	"value spoilt": {
		happens: spoil(func(data map[string][]byte) { data["issuer"] = []byte("https://evil.example") }),
		writes:  []string{updateSecret},
	},
	"credential lost": {
		happens: spoil(func(data map[string][]byte) { delete(data, "client_secret") }),
		writes:  []string{updateSecret, writeStatus}, newOne: true,
	},
	"rotation asked for": {
		happens: specChange(askToRotate),
		writes:  []string{updateSecret, writeStatus}, newOne: true,
	},
	"rotation asked for, Secret renamed": {
		happens: specChange(func(c *v1alpha1.OAuthClient) { askToRotate(c); renameSecret(c) }),
		writes:  []string{makeSecret, deleteSecret, writeStatus}, newOne: true,
	},
	"rotation due": {
		happens: specChange(func(c *v1alpha1.OAuthClient) {
			c.Spec.Authentication.ClientSecret.Rotation.Interval = &metav1.Duration{Duration: 2160 * time.Hour}
		}),
		later:  2160 * time.Hour,
		writes: []string{updateSecret, writeStatus}, newOne: true,
	},
	"Secret deleted": {
		happens: func(t *testing.T, c *v1alpha1.OAuthClient) {
			must(t, suite.admin.Delete(t.Context(), getSecret(t, c.Namespace, c.SecretName())))
		},
		writes: []string{makeSecret, writeStatus}, newOne: true, revokes: true,
	},
	"private key, first creation": {keyed: true, fresh: true, writes: []string{makeSecret, writeStatus}, newOne: true},
	"private key, Secret renamed": {
		keyed:   true,
		happens: specChange(renameSecret),
		writes:  []string{makeSecret, deleteSecret, writeStatus},
	},
	"private key as PEM spoilt": { // The JWK beside it is the same key.
		keyed:   true,
		happens: spoil(func(data map[string][]byte) { data["private_key_pem"] = []byte("spoilt") }),
		writes:  []string{updateSecret},
	},
	"private key lost": {
		keyed:   true,
		happens: spoil(func(data map[string][]byte) { delete(data, "private_key_pem"); delete(data, "private_key_jwk") }),
		writes:  []string{updateSecret, writeStatus}, newOne: true,
	},
	"private key, rotation asked for": {
		keyed:   true,
		happens: specChange(askToRotate),
		writes:  []string{updateSecret, writeStatus}, newOne: true,
	},
	"private key, rotation due": {
		keyed: true,
		happens: specChange(func(c *v1alpha1.OAuthClient) {
			c.Spec.Authentication.PrivateKeyJWT.Generated.Rotation.Interval = &metav1.Duration{Duration: 2160 * time.Hour}
		}),
		later:  2160 * time.Hour,
		writes: []string{updateSecret, writeStatus}, newOne: true,
	},
}

// begin tells a story up to the moment when a process is to follow, and sees what happened.
func (s story) begin(t *testing.T, p *process, c *v1alpha1.OAuthClient) (before string) {
	t.Helper()
	if !s.fresh {
		settle(t, p, c)
		before = mustBeIssued(t, c)
		s.happens(t, c)
	}
	p.now = noon.Add(s.later)
	p.awaitSight(t, c)
	return before
}

// end checks how a story ended, with one Secret and one credential, and returns all credentials that ever were (L2).
func (s story) end(t *testing.T, c *v1alpha1.OAuthClient, before string) (all []string) {
	t.Helper()
	now := mustBeIssued(t, c)
	if (now != before) != s.newOne {
		t.Errorf("%s: a new credential: %t, want %t", c.Name, now != before, s.newOne)
	}
	if before != "" && before != now {
		all = append(all, before)
		if valid := isValid(t, c, before, noon.Add(s.later)); valid == s.revokes {
			t.Errorf("%s: the credential from before is valid: %t", c.Name, valid)
		}
	}
	return append(all, now)
}

// isValid reports whether a credential from before is valid still.
func isValid(t *testing.T, c *v1alpha1.OAuthClient, before string, now time.Time) bool {
	t.Helper()
	secret := getSecret(t, c.Namespace, c.SecretName())
	if generatedKey(c) == nil {
		return credential.Match(before, recordIn(*secret).Accepted(), now) != nil
	}
	former, err := credential.ParsePrivateKey(before)
	must(t, err)
	return slices.ContainsFunc(recordAt(v1alpha1.AnnotationPrivateKeys, *secret).Versions(), func(v credential.Version) bool {
		return v.Digest == former.Thumbprint && (v.Expires.IsZero() || now.Before(v.Expires))
	})
}

// mustHaveSeen checks that no other credentials were ever in a Secret.
func mustHaveSeen(t *testing.T, seen *history, want []string) {
	t.Helper()
	got := seen.credentials(t)
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("%d credentials were seen, want %d", len(got), len(want))
	}
}

// Whichever write it crashes at, and whether or not that write was done, the next run brings it to the same end (L2).
func TestCrashAtAnyWrite(t *testing.T) {
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			t.Run("undisturbed", func(t *testing.T) { s.undisturbed(t) })
			for n, write := range s.writes {
				for _, done := range []bool{false, true} {
					t.Run(fmt.Sprintf("crash, %s done %t", write, done), func(t *testing.T) { s.crash(t, n+1, done) })
					t.Run(fmt.Sprintf("connection lost, %s done %t", write, done), func(t *testing.T) { s.lose(t, n+1, done) })
				}
			}
		})
	}
}

func (s story) undisturbed(t *testing.T) {
	c := s.created(t)
	seen, p := follow(t, c.Namespace), newProcess(t, "kubemint")
	before := s.begin(t, p, c)
	from := len(p.wire.written())
	settle(t, p, c)
	if got := p.wire.written()[from:]; !slices.Equal(got, s.writes) {
		t.Errorf("it wrote %v, want %v", got, s.writes)
	}
	all := s.end(t, c, before)
	mustHaveSeen(t, seen, all)
	for _, value := range all {
		if strings.Contains(p.events.all(), value) {
			t.Error("a credential stands in an event")
		}
	}
}

var errCut = errors.New("cut off by the test")

// crash has a process end at its n-th write, of which only the API server may know that it was done; another one takes over.
func (s story) crash(t *testing.T, n int, done bool) {
	c := s.created(t)
	seen, p := follow(t, c.Namespace), newProcess(t, "kubemint")
	before := s.begin(t, p, c)
	reached := cut(p, func(write int) bool { return write >= n }, func(write int) bool { return done && write == n })
	if _, err := p.reconcile(c); err == nil || !*reached {
		t.Fatalf("it did not crash: %v", err)
	}
	p.freeze()

	next := newProcess(t, "kubemint")
	next.now = noon.Add(s.later)
	settle(t, next, c)
	mustHaveSeen(t, seen, s.end(t, c, before))
}

// lose has the n-th write fail, or only its answer get lost; the same process, whose cache may be behind, tries again.
func (s story) lose(t *testing.T, n int, done bool) {
	c := s.created(t)
	seen, p := follow(t, c.Namespace), newProcess(t, "kubemint")
	before := s.begin(t, p, c)
	reached := cut(p, func(write int) bool { return write == n }, func(int) bool { return done })
	result, err := p.reconcile(c)
	if !*reached || err == nil && result.RequeueAfter == 0 {
		t.Fatalf("it will not be tried again: %v, %v", result, err)
	}
	settle(t, p, c)
	mustHaveSeen(t, seen, s.end(t, c, before))
}

// cut cuts a process off at some writes, of which some are done nevertheless.
func cut(p *process, at, done func(write int) bool) (reached *bool) {
	reached = new(bool)
	p.wire.stepIn(func(write int) error {
		if at(write) && !done(write) {
			*reached = true
			return errCut
		}
		return nil
	}, func(write int) error {
		if at(write) {
			*reached = true
			return errCut
		}
		return nil
	})
	return reached
}

// Two leaders that both decide to write, before either has, end with one Secret and one credential each (L2). The one that
// comes second is refused by the API server, tries again, and tells the user nothing of it.
func TestTwoLeaders(t *testing.T) {
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			clients := 5
			if s.fresh {
				clients = 20
			}
			namespace := newNamespace(t)
			seen := follow(t, namespace)
			leaders := []*process{newProcess(t, "kubemint"), newProcess(t, "kubemint")}
			later := noon.Add(s.later)
			befores := make([]string, clients)
			for i := range clients {
				leaders[0].now, leaders[1].now = noon, noon
				c := s.client(namespace, fmt.Sprintf("worker-%d", i))
				must(t, suite.admin.Create(t.Context(), c))
				befores[i] = s.begin(t, leaders[i%2], c)
				leaders[0].now, leaders[1].now = later, later
				leaders[(i+1)%2].awaitSight(t, c)
				collide(t, leaders, func(p *process) error { _, err := p.reconcile(c); return err })
				settle(t, leaders[0], c)
				settle(t, leaders[1], c)
			}
			var want []string
			for i := range clients {
				want = append(want, s.end(t, newClient(namespace, fmt.Sprintf("worker-%d", i)), befores[i])...)
			}
			mustHaveSeen(t, seen, want)
		})
	}
}

// collide has two processes do something and hold their first writes until both are about to. One must win; the other one
// must fail for that reason alone, or find what it wanted and say so in the status, having written nothing else.
func collide(t *testing.T, processes []*process, do func(*process) error) {
	t.Helper()
	var about sync.WaitGroup
	about.Add(len(processes))
	both := make(chan struct{})
	go func() { about.Wait(); close(both) }()
	type outcome struct {
		written []string
		err     error
	}
	outcomes := make(chan outcome, len(processes))
	for _, p := range processes {
		from := len(p.wire.written())
		p.wire.stepIn(func(n int) error {
			if n > 1 {
				return nil
			}
			about.Done()
			select {
			case <-both:
				return nil
			case <-time.After(patience):
				return errors.New("the other process writes nothing")
			}
		}, nil)
		go func() {
			err := do(p)
			outcomes <- outcome{p.wire.written()[from:], err}
		}()
	}
	won := 0
	for range processes {
		switch o := <-outcomes; {
		case o.err == nil:
			won++
		case !apierrors.IsConflict(o.err) && !apierrors.IsAlreadyExists(o.err):
			t.Errorf("it failed for another reason: %v", o.err)
		case slices.ContainsFunc(o.written[1:], func(w string) bool { return w != writeStatus }):
			t.Errorf("after being refused it wrote %v", o.written[1:])
		}
	}
	if won == 0 {
		t.Error("neither process won")
	}
}
