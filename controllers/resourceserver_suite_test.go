package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
)

const issuerAudience = "https://issuer.example"

// newServer returns a ResourceServer with the scopes read and write, which allows its own namespace only.
func newServer(namespace, name string, audience v1alpha1.Audience) *v1alpha1.ResourceServer {
	return &v1alpha1.ResourceServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.ResourceServerSpec{Audience: audience, Scopes: []v1alpha1.ScopeDefinition{{Name: "read"}, {Name: "write"}}},
	}
}

// allowing returns a ResourceServer that allows a namespace some scopes.
func allowing(s *v1alpha1.ResourceServer, namespace string, scopes ...v1alpha1.Scope) *v1alpha1.ResourceServer {
	s.Spec.AllowedClients = []v1alpha1.AllowedClient{{Namespace: v1alpha1.NamespaceName(namespace), Scopes: scopes}}
	return s
}

// asking returns an OAuthClient that asks for scopes at a ResourceServer, and for nothing else.
func asking(c *v1alpha1.OAuthClient, s *v1alpha1.ResourceServer, scopes ...v1alpha1.Scope) *v1alpha1.OAuthClient {
	c.Spec.Scopes = nil
	c.Spec.Resources = []v1alpha1.ResourceRequest{request(s, scopes...)}
	return c
}

func request(s *v1alpha1.ResourceServer, scopes ...v1alpha1.Scope) v1alpha1.ResourceRequest {
	return v1alpha1.ResourceRequest{
		ResourceServer: v1alpha1.ResourceServerReference{Namespace: v1alpha1.NamespaceName(s.Namespace), Name: v1alpha1.ObjectName(s.Name)},
		Scopes:         scopes,
	}
}

// create creates objects as their users do.
func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		must(t, suite.admin.Create(t.Context(), object))
	}
}

// pairOf creates two ResourceServers that name one audience, and returns its owner first: of one second, the UID decides.
func pairOf(t *testing.T, a, b *v1alpha1.ResourceServer) (owner, claimant *v1alpha1.ResourceServer) {
	t.Helper()
	create(t, a, b)
	if consent.Owner([]*v1alpha1.ResourceServer{a, b}) == b {
		return b, a
	}
	return a, b
}

// changeServer changes a ResourceServer as its owner does.
func changeServer(t *testing.T, s *v1alpha1.ResourceServer, how func(*v1alpha1.ResourceServer)) {
	t.Helper()
	must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(s), s))
	how(s)
	must(t, suite.admin.Update(t.Context(), s))
}

// awaitClient waits until an OAuthClient's status is of its present state, and has a condition for a reason.
func awaitClient(t *testing.T, c *v1alpha1.OAuthClient, conditionType, reason string) metav1.Condition {
	t.Helper()
	var found metav1.Condition
	await(t, c.Name+" to be "+conditionType+" "+reason, func() error {
		must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(c), c))
		if condition := meta.FindStatusCondition(c.Status.Conditions, conditionType); condition != nil && condition.Reason == reason && c.Status.ObservedGeneration == c.Generation {
			found = *condition
			return nil
		}
		return fmt.Errorf("the conditions %+v", c.Status.Conditions)
	})
	return found
}

// awaitServer waits until a ResourceServer is Ready, or not, for a reason.
func awaitServer(t *testing.T, s *v1alpha1.ResourceServer, reason string) metav1.Condition {
	t.Helper()
	var found metav1.Condition
	await(t, s.Name+" to be "+reason, func() error {
		must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(s), s))
		if ready := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.Reason == reason && s.Status.ObservedGeneration == s.Generation {
			found = *ready
			return nil
		}
		return fmt.Errorf("the conditions %+v", s.Status.Conditions)
	})
	owned := reason == v1alpha1.ReasonAudienceOwned
	if stalled := meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionStalled); stalled == owned {
		t.Errorf("%s has the conditions %+v", s.Name, s.Status.Conditions)
	}
	if told := len(s.Status.Scopes) == len(s.Spec.Scopes); told != owned {
		t.Errorf("%s has the scopes %v", s.Name, s.Status.Scopes)
	}
	return found
}

// awaitClients waits until a ResourceServer's status lists just these clients, as NAMESPACE/NAME: SCOPES.
func awaitClients(t *testing.T, s *v1alpha1.ResourceServer, want ...string) {
	t.Helper()
	await(t, fmt.Sprintf("%s to list %v", s.Name, want), func() error {
		must(t, suite.admin.Get(t.Context(), client.ObjectKeyFromObject(s), s))
		var got []string
		for _, c := range s.Status.Clients {
			got = append(got, fmt.Sprintf("%s/%s: %s", c.Namespace, c.Name, c.Scopes))
		}
		if !slices.Equal(got, want) || s.Status.ClientCount != int64(len(want)) {
			return fmt.Errorf("it lists %d: %v", s.Status.ClientCount, got)
		}
		return nil
	})
}

// start runs the controllers of OAuthClients and ResourceServers, as cmd does, for some namespaces only: those of other tests are not
// theirs.
func start(t *testing.T, policy consent.Policy, namespaces ...string) (*wire, *recorder) {
	t.Helper()
	lines, events := &wire{}, &recorder{}
	config := rest.CopyConfig(suite.config)
	config.Wrap(lines.wrap)
	options := CacheOptions("kubemint")
	options.DefaultNamespaces = map[string]cache.Config{}
	for _, namespace := range namespaces {
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: suite.scheme, Cache: options, Metrics: metricsserver.Options{BindAddress: "0"},
		Client: client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	writer := client.WithFieldOwner(manager.GetClient(), v1alpha1.ManagedBy)
	must(t, (&OAuthClientReconciler{
		Client: writer, Live: manager.GetAPIReader(), Events: events, Namespace: "kubemint", Policy: policy, Workers: 2, Now: time.Now,
		Issuer: Issuer{URL: issuerAudience, TokenURL: issuerAudience + "/oauth2/token", CACert: []byte{}},
	}).SetupWithManager(ctx, manager))
	must(t, (&ResourceServerReconciler{Client: writer, Events: events, Policy: policy, Workers: 2, Now: time.Now}).SetupWithManager(manager))
	var running sync.WaitGroup
	running.Go(func() {
		if err := manager.Start(ctx); err != nil {
			t.Errorf("the controllers ended: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return lines, events
}

// awaitSightOf waits until a process sees objects, or that they are gone, as it is now.
func (p *process) awaitSightOf(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		live, key := object.DeepCopyObject().(client.Object), client.ObjectKeyFromObject(object)
		live.SetResourceVersion("")
		must(t, client.IgnoreNotFound(suite.admin.Get(t.Context(), key, live)))
		await(t, "the cache to catch up", func() error {
			cached := object.DeepCopyObject().(client.Object)
			cached.SetResourceVersion("")
			must(t, client.IgnoreNotFound(p.clients.Client.Get(t.Context(), key, cached, client.DisableReadYourWritesConsistency)))
			if cached.GetResourceVersion() != live.GetResourceVersion() {
				return fmt.Errorf("it shows %s at %q", key, cached.GetResourceVersion())
			}
			return nil
		})
	}
}

// reconcileAll has a process look at OAuthClients and ResourceServers once.
func (p *process) reconcileAll(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		reconciler := p.clients.Reconcile
		if _, isServer := object.(*v1alpha1.ResourceServer); isServer {
			reconciler = p.servers.Reconcile
		}
		if _, err := reconciler(t.Context(), requestFor(object.GetNamespace(), object.GetName())); err != nil {
			t.Fatalf("%s: %v", object.GetName(), err)
		}
	}
}
