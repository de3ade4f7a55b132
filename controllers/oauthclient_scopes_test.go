package controllers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// The Secret names the scopes of one audience: those at the issuer's, or those at the only ResourceServer.
func TestScopesInSecret(t *testing.T) {
	orders, stock := newServer("shop", "orders", "https://orders"), newServer("shop", "stock", "https://stock")
	own, ownInFull := request(newServer("", "orders", "https://orders"), "a"), request(newServer("billing", "orders", "https://orders"), "b", "a")
	for name, test := range map[string]struct {
		scopes    []v1alpha1.Scope
		resources []v1alpha1.ResourceRequest
		want      string
	}{
		"at the issuer":                     {[]v1alpha1.Scope{"b", "a"}, nil, "a b"},
		"at the issuer and elsewhere":       {[]v1alpha1.Scope{"a"}, []v1alpha1.ResourceRequest{request(orders, "read")}, "a"},
		"at one ResourceServer":             {nil, []v1alpha1.ResourceRequest{request(orders, "write", "read")}, "read write"},
		"at several":                        {nil, []v1alpha1.ResourceRequest{request(orders, "read"), request(stock, "read")}, ""},
		"at one of the own, named two ways": {nil, []v1alpha1.ResourceRequest{own, ownInFull}, "a b"},
		"at one name in two namespaces":     {nil, []v1alpha1.ResourceRequest{own, request(orders, "a")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient("billing", "worker")
			c.Spec.Scopes, c.Spec.Resources = test.scopes, test.resources
			c.Spec.Secret.Keys.Scope = "scope"
			desired, err := (&OAuthClientReconciler{Issuer: Issuer{CACert: []byte{}}}).desiredSecret(t.Context(), c)
			must(t, err)
			if got := string(desired.data["scope"]); got != test.want {
				t.Errorf("it says %q, want %q", got, test.want)
			}
		})
	}
}

// However many scopes are not granted, the condition tells of a few, those first that somebody refuses, and where the others are.
func TestScopesGrantedIsShort(t *testing.T) {
	c := newClient("billing", "worker")
	resource := v1alpha1.ResourceStatus{ResourceServer: v1alpha1.ResourceServerReference{Namespace: "shop", Name: "orders"}}
	for i := range 6 {
		state := v1alpha1.ScopePending
		if i >= 4 {
			state = v1alpha1.ScopeDenied
		}
		resource.Scopes = append(resource.Scopes, v1alpha1.ScopeStatus{Name: v1alpha1.Scope(fmt.Sprint("s", i)), State: state, Message: "do this"})
	}
	condition := scopesGranted(c, policy.Decide(c, nil), []v1alpha1.ResourceStatus{resource})
	const want = "s4 at shop/orders: do this; s5 at shop/orders: do this; s0 at shop/orders: do this; and 3 more; see status.resources"
	if condition.Reason != v1alpha1.ReasonSomeDenied || condition.Message != want {
		t.Errorf("%s: %q", condition.Reason, condition.Message)
	}

	forbidding := policy
	forbidding.ForbidUnowned = true
	c.Spec.Scopes = []v1alpha1.Scope{"a", "b", "c", "d", "e"}
	condition = scopesGranted(c, forbidding.Decide(c, nil), nil)
	if condition.Reason != v1alpha1.ReasonUnownedScopesForbidden || !strings.HasPrefix(condition.Message, "a, b, c, and 2 more of spec.scopes: the administrators") {
		t.Errorf("%s: %q", condition.Reason, condition.Message)
	}
}

// Who has nothing to do with ResourceServers has no such condition.
func TestScopesGrantedIsAbsent(t *testing.T) {
	c := newClient("billing", "worker")
	if condition := scopesGranted(c, policy.Decide(c, nil), nil); condition != nil {
		t.Errorf("condition %+v", condition)
	}
}
