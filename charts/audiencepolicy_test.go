package charts_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubemint/kubemint/hack/localcluster"
)

// The audience policy, as the chart renders it, on a real API server.
func TestAudiencePolicy(t *testing.T) {
	c := startCluster(t)
	for _, namespace := range []string{"shop", "a", "platform"} {
		c.must(t, "create", "namespace", namespace)
	}
	const before = "https://from-before.example"
	if err := c.create(t, "shop", before, false); err != nil {
		t.Fatal(err)
	}

	const otherPattern = `https://{namespace}.example.com|urn:{namespace}:[a-z']+`
	for _, policy := range []struct {
		name                string
		set                 []string
		namespace           string
		accepted, forbidden []string
	}{
		{
			"by default", nil, "shop",
			[]string{"https://orders.shop.svc", "https://orders.shop.svc/v1", "https://orders.shop.svc:8443/"},
			[]string{
				"https://orders.billing.svc", "https://orders.shop2.svc", "https://orders.a-shop.svc", "https://shop.svc", "https://ordersshop.svc",
				"https://orders.shop.svc.evil.example", "https://orders.shop.svc@evil.example", "https://evil.example/orders.shop.svc", "https://evil.example?.shop.svc",
				"xhttps://orders.shop.svc", "http://orders.shop.svc", "https://orders.billing.svc.shop.svc", "urn:example:orders",
			},
		},
		{
			"another pattern", []string{"audiencePolicy.pattern=" + otherPattern}, "a",
			[]string{"https://a.example.com", "urn:a:orders", "urn:a:the'orders"},
			[]string{
				"https://a.example.com.evil", "https://b.example.com", "https://shop.example.com", "https://aa.example.com", "https://a.example.com/",
				"xhttps://a.example.com", "urn:b:orders", "xurn:a:orders", "urn:a:orders1", "https://a.example.comurn:a:orders",
			},
		},
		{
			"excepted namespaces", []string{"audiencePolicy.exemptNamespaces={platform,a}"}, "platform",
			[]string{"https://login.example.com", "https://orders.shop.svc"}, nil,
		},
		{
			"beside excepted namespaces", []string{"audiencePolicy.exemptNamespaces={platform,a}"}, "shop",
			[]string{"https://orders.shop.svc"}, []string{"https://login.example.com"},
		},
	} {
		t.Run(policy.name, func(t *testing.T) {
			remove := c.install(t, policy.set...)
			defer remove()
			for _, audience := range policy.accepted {
				if err := c.create(t, policy.namespace, audience, true); err != nil {
					t.Errorf("%s: %v", audience, err)
				}
			}
			for _, audience := range policy.forbidden {
				err := c.create(t, policy.namespace, audience, true)
				if err == nil {
					t.Errorf("%s was accepted", audience)
				} else if want := "in namespace " + policy.namespace + ", an audience must match https://"; !strings.Contains(err.Error(), want) ||
					!strings.Contains(err.Error(), "ask the cluster's administrators, who set the pattern https://") {
					t.Errorf("%s: %v", audience, err)
				}
			}
			// Its owner can take a consent back.
			if err := c.forbidAll(t, "shop", before); err != nil {
				t.Errorf("what was there before cannot be changed: %v", err)
			}
		})
	}

	t.Run("a warning", func(t *testing.T) {
		defer c.install(t, "audiencePolicy.failureAction=Warn")()
		c.warnings.reset()
		if err := c.create(t, "shop", "https://orders.billing.svc", true); err != nil {
			t.Error(err)
		}
		if got := c.warnings.text(); !strings.Contains(got, "in namespace shop, an audience must match") {
			t.Errorf("warnings: %s", got)
		}
	})
}

// apiServer is a real one, with Kubemint's CRDs.
type apiServer struct {
	cluster  *localcluster.Cluster
	servers  dynamic.NamespaceableResourceInterface
	warnings warnings
}

func startCluster(t *testing.T) *apiServer {
	t.Helper()
	cluster, err := localcluster.Start(t.Context(), localcluster.Options{CRDs: []string{"../config/crd/bases"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &apiServer{cluster: cluster}
	config := cluster.Config()
	config.WarningHandlerWithContext = &c.warnings
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	c.servers = client.Resource(schema.GroupVersionResource{Group: "oauth.kubemint.dev", Version: "v1alpha1", Resource: "resourceservers"})
	return c
}

// install applies the chart's audience policy with further values, and waits until the API server goes by it. It returns what removes it.
func (c *apiServer) install(t *testing.T, set ...string) (remove func()) {
	t.Helper()
	args := append(templateArgs(append([]string{"audiencePolicy.enabled=true"}, set...)), "--show-only", "templates/audiencepolicy.yaml")
	manifest := run(t, helm, args...)
	if _, err := c.cluster.ApplyYAML(t.Context(), manifest); err != nil {
		t.Fatal(err)
	}
	c.awaitPolicy(t, true)
	return func() {
		c.must(t, "delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "kubemint-audience-policy")
		c.awaitPolicy(t, false)
	}
}

// awaitPolicy waits until the API server goes by a policy, or by none any more: by an audience in the namespace default that every
// policy here is against.
func (c *apiServer) awaitPolicy(t *testing.T, there bool) {
	t.Helper()
	bound := func() bool {
		c.warnings.reset()
		err := c.create(t, "default", "urn:probe", true)
		return err != nil || c.warnings.text() != ""
	}
	for deadline := time.Now().Add(time.Minute); bound() != there; {
		if time.Now().After(deadline) {
			t.Fatalf("the policy is in effect: %t", !there)
		}
	}
}

// create makes a ResourceServer, or asks whether it could.
func (c *apiServer) create(t *testing.T, namespace, audience string, dry bool) error {
	t.Helper()
	metadata := map[string]any{"name": "orders"}
	options := metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}
	if dry {
		metadata = map[string]any{"generateName": "orders-"}
		options.DryRun = []string{metav1.DryRunAll}
	}
	_, err := c.servers.Namespace(namespace).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "oauth.kubemint.dev/v1alpha1",
		"kind":       "ResourceServer",
		"metadata":   metadata,
		"spec":       map[string]any{"audience": audience, "scopes": []any{map[string]any{"name": "orders:read"}}},
	}}, options)
	return err
}

// forbidAll takes back all consent at a ResourceServer.
func (c *apiServer) forbidAll(t *testing.T, namespace, audience string) error {
	t.Helper()
	server, err := c.servers.Namespace(namespace).Get(t.Context(), "orders", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if got, _, _ := unstructured.NestedString(server.Object, "spec", "audience"); got != audience {
		return fmt.Errorf("its audience is %s", got)
	}
	if err := unstructured.SetNestedSlice(server.Object, []any{}, "spec", "allowedClients"); err != nil {
		return err
	}
	_, err = c.servers.Namespace(namespace).Update(t.Context(), server, metav1.UpdateOptions{})
	return err
}

// must runs kubectl.
func (c *apiServer) must(t *testing.T, args ...string) {
	t.Helper()
	if _, err := c.cluster.Kubectl(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

// warnings are what the API server warned of. It implements rest.WarningHandlerWithContext.
type warnings struct {
	mu  sync.Mutex
	all []string
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

func (w *warnings) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = nil
}

func (w *warnings) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.all, "\n")
}
