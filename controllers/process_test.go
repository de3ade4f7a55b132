package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// process is one run of Kubemint: the reconcilers, wired as in cmd, with a cache of their own, and nothing that calls them.
type process struct {
	clients      *OAuthClientReconciler
	servers      *ResourceServerReconciler
	certificates *CertificatesReconciler
	signingKeys  *SigningKeysReconciler
	parts        cluster.Cluster
	wire         *wire
	events       *recorder
	// now is what its clock shows.
	now time.Time
	// freeze ends the cache's watches: it goes on answering with what it has seen.
	freeze func()
}

func newProcess(t *testing.T, namespace string) *process {
	t.Helper()
	p := &process{wire: &wire{}, events: &recorder{}, now: noon}
	config := rest.CopyConfig(suite.config)
	config.Wrap(p.wire.wrap)
	ctx, cancel := context.WithCancel(context.Background())
	parts, err := cluster.New(config, func(o *cluster.Options) {
		o.Scheme = suite.scheme
		o.Cache = CacheOptions(namespace)
		o.Client = client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}}
	})
	must(t, err)
	p.parts = parts
	must(t, addIndexes(ctx, parts.GetFieldIndexer()))
	provided := newProvidedCache(ctx, t, config)
	caches := []interface{ Start(context.Context) error }{parts, provided}
	ended := make(chan error, len(caches))
	for _, c := range caches {
		go func() { ended <- c.Start(ctx) }()
	}
	p.freeze = sync.OnceFunc(func() {
		cancel()
		for range caches {
			if err := <-ended; err != nil {
				t.Errorf("the cache ended: %v", err)
			}
		}
	})
	t.Cleanup(p.freeze)
	if !parts.GetCache().WaitForCacheSync(ctx) || !provided.WaitForCacheSync(ctx) {
		t.Fatal("the cache did not sync")
	}
	// The first such read begins to watch for the client's own writes, which a frozen cache would refuse.
	for _, object := range []client.Object{&v1alpha1.OAuthClient{}, &v1alpha1.ResourceServer{}, &corev1.Secret{}} {
		must(t, client.IgnoreNotFound(parts.GetClient().Get(ctx, client.ObjectKey{Namespace: "none", Name: "none"}, object)))
	}

	writer := client.WithFieldOwner(parts.GetClient(), v1alpha1.ManagedBy)
	clock := func() time.Time { return p.now }
	p.clients = &OAuthClientReconciler{
		Client: writer, Live: parts.GetAPIReader(), Provided: provided, Events: p.events, Namespace: namespace, Now: clock,
		Issuer: Issuer{URL: "https://kubemint.svc", TokenURL: "https://kubemint.svc/oauth2/token", CACert: []byte{}},
	}
	p.servers = &ResourceServerReconciler{Client: writer, Events: p.events, Now: clock}
	p.certificates = &CertificatesReconciler{Client: writer, Live: parts.GetAPIReader(), Events: p.events, Namespace: namespace, Hosts: hosts, Now: clock}
	p.signingKeys = &SigningKeysReconciler{
		Client: writer, Live: parts.GetAPIReader(), Events: p.events, Namespace: namespace, Now: clock,
		Policy: SigningKeyPolicy(signing.ES256, 90*24*time.Hour),
	}
	return p
}

func (p *process) reconcile(c *v1alpha1.OAuthClient) (ctrl.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), reconcileTimeout)
	defer cancel()
	return p.clients.Reconcile(ctx, requestFor(c.Namespace, c.Name))
}

// awaitSight waits until the process sees an OAuthClient, and all Secrets of its namespace that are for Kubemint's cache, as
// they are now.
func (p *process) awaitSight(t *testing.T, c *v1alpha1.OAuthClient) {
	t.Helper()
	want := map[string]string{}
	for name, secret := range secretsIn(t, c.Namespace) {
		if secret.Labels[v1alpha1.LabelComponent] != "" {
			want[name] = secret.ResourceVersion
		}
	}
	var live v1alpha1.OAuthClient
	must(t, client.IgnoreNotFound(suite.admin.Get(t.Context(), client.ObjectKeyFromObject(c), &live)))
	await(t, "the cache to catch up", func() error {
		var list corev1.SecretList
		must(t, p.clients.Client.List(t.Context(), &list, client.InNamespace(c.Namespace), client.DisableReadYourWritesConsistency))
		seen := map[string]string{}
		for i := range list.Items {
			seen[list.Items[i].Name] = list.Items[i].ResourceVersion
		}
		var cached v1alpha1.OAuthClient
		must(t, client.IgnoreNotFound(p.clients.Client.Get(t.Context(), client.ObjectKeyFromObject(c), &cached, client.DisableReadYourWritesConsistency)))
		if err := p.seesProvided(t, c.Namespace); err != nil {
			return err
		}
		if cached.ResourceVersion != live.ResourceVersion || !maps.Equal(seen, want) {
			return fmt.Errorf("it shows %q and %v", cached.ResourceVersion, seen)
		}
		return nil
	})
}

// wire carries a process's requests. It notes the writes, and lets a test step in before and after each: an error before is
// a write that never reached the API server, an error after one whose answer was lost.
type wire struct {
	mu            sync.Mutex
	writes        []string // "POST secrets", "PATCH oauthclients/status"
	before, after func(n int) error
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *wire) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.Method == http.MethodGet {
			return next.RoundTrip(request)
		}
		w.mu.Lock()
		w.writes = append(w.writes, request.Method+" "+resourceOf(request.URL.Path))
		n, before, after := len(w.writes), w.before, w.after
		w.mu.Unlock()
		if before != nil {
			if err := before(n); err != nil {
				return nil, err
			}
		}
		response, err := next.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		if after != nil {
			if err := after(n); err != nil {
				return nil, errors.Join(err, response.Body.Close())
			}
		}
		return response, nil
	})
}

// resourceOf returns the resource, and subresource if any, of a path .../namespaces/NAMESPACE/RESOURCE[/NAME[/SUBRESOURCE]].
func resourceOf(path string) string {
	_, rest, _ := strings.Cut(path, "/namespaces/")
	parts := strings.Split(rest, "/")
	if len(parts) > 3 {
		return parts[1] + "/" + parts[3]
	}
	return parts[min(1, len(parts)-1)]
}

func (w *wire) written() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.writes)
}

// stepIn sets what happens before and after each further write; the first of them has the number 1.
func (w *wire) stepIn(before, after func(n int) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from := len(w.writes)
	renumber := func(f func(int) error) func(int) error {
		if f == nil {
			return nil
		}
		return func(n int) error { return f(n - from) }
	}
	w.before, w.after = renumber(before), renumber(after)
}

// recorder keeps the events.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (r *recorder) Eventf(_, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

func (r *recorder) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.seen, "\n")
}

// marker labels the Secrets by which a history tells how far it has come.
const marker = "marker"

// history is every credential that ever stood in a Secret of a namespace, under any name and key, however briefly.
type history struct {
	namespace string
	reached   chan string // a marker's name
	mu        sync.Mutex
	seen      []string
}

// follow begins a history.
func follow(t *testing.T, namespace string) *history {
	t.Helper()
	watch, err := suite.admin.Watch(context.Background(), &corev1.SecretList{}, client.InNamespace(namespace))
	must(t, err)
	t.Cleanup(watch.Stop)
	h := &history{namespace: namespace, reached: make(chan string, 100)}
	go func() {
		for event := range watch.ResultChan() {
			secret, ok := event.Object.(*corev1.Secret)
			if !ok {
				continue
			}
			if secret.Labels[marker] != "" {
				h.reached <- secret.Name
				continue
			}
			h.mu.Lock()
			for _, value := range credentialsIn(secret) {
				if !slices.Contains(h.seen, value) {
					h.seen = append(h.seen, value)
				}
			}
			h.mu.Unlock()
		}
		close(h.reached)
	}()
	return h
}

// credentials returns all that were seen until now.
func (h *history) credentials(t *testing.T) []string {
	t.Helper()
	mark := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, GenerateName: "marker-", Labels: map[string]string{marker: "true"}}}
	must(t, suite.admin.Create(t.Context(), mark))
	for deadline := time.After(patience); ; {
		select {
		case name, open := <-h.reached:
			if name == mark.Name {
				h.mu.Lock()
				defer h.mu.Unlock()
				return slices.Clone(h.seen)
			}
			if !open {
				t.Fatal("the watch ended")
			}
		case <-deadline:
			t.Fatal("the history does not go on")
		}
	}
}
