package main_test

import (
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// With the rights that Kubemint is installed with, what the status says is what the token endpoint does.
func TestStatusOfResourceServer(t *testing.T) {
	shop, billing := newNamespace(t), newNamespace(t)
	orders := &v1alpha1.ResourceServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "orders"},
		Spec: v1alpha1.ResourceServerSpec{
			Audience:       v1alpha1.Audience("https://orders." + shop + ".svc"),
			Scopes:         []v1alpha1.ScopeDefinition{{Name: "orders:read"}},
			AllowedClients: []v1alpha1.AllowedClient{},
		},
	}
	c := newClient(billing, "worker")
	c.Spec.Scopes, c.Spec.Resources = nil, []v1alpha1.ResourceRequest{{
		ResourceServer: v1alpha1.ResourceServerReference{Namespace: v1alpha1.NamespaceName(shop), Name: "orders"}, Scopes: []v1alpha1.Scope{"orders:read"},
	}}
	create(t, orders)
	create(t, c)
	awaitReason(t, c, v1alpha1.ReasonNoScopeGranted)
	secret := secretOf(t, c)
	awaitRefusal(t, secret, 400, "invalid_scope")
	awaitEvent(t, orders, v1alpha1.ReasonAudienceOwned)

	change(t, orders, func(s *v1alpha1.ResourceServer) {
		s.Spec.AllowedClients = []v1alpha1.AllowedClient{{Namespace: v1alpha1.NamespaceName(billing), Name: "worker"}}
	})
	awaitReason(t, c, v1alpha1.ReasonIssued)
	awaitToken(t, secret)
	if answer := mustGetToken(t, secret); answer.Scope != "orders:read" || string(secret.Data["scope"]) != answer.Scope {
		t.Errorf("the token is for %q, the Secret says %q", answer.Scope, secret.Data["scope"])
	}
	await(t, "the ResourceServer to list its client", func() error {
		if err := suite.admin.Get(t.Context(), client.ObjectKeyFromObject(orders), orders); err != nil {
			return err
		}
		listed := slices.ContainsFunc(orders.Status.Clients, func(g v1alpha1.GrantedClient) bool { return string(g.Namespace) == billing })
		if !listed || orders.Status.ClientCount != 1 || !meta.IsStatusConditionTrue(orders.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("status %+v", orders.Status)
		}
		return nil
	})
}
