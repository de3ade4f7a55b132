package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
)

// decideScopes says what an OAuthClient may ask for. Without spec.resources that takes no read.
func (r *OAuthClientReconciler) decideScopes(ctx context.Context, c *v1alpha1.OAuthClient) (*consent.Decision, error) {
	if len(c.Spec.Resources) == 0 {
		return r.Policy.Decide(c, nil), nil
	}
	servers := newCachedServers(ctx, r.Client)
	decision := r.Policy.Decide(c, servers)
	return decision, servers.err
}

// maxScopesTold is how many scopes a condition tells of; status.resources has them all.
const maxScopesTold = 3

// scopesGranted returns the condition ScopesGranted; nil where nobody has to consent to what the OAuthClient asks for.
func scopesGranted(c *v1alpha1.OAuthClient, decision *consent.Decision, resources []v1alpha1.ResourceStatus) *metav1.Condition {
	if len(resources) == 0 && !decision.UnownedForbidden {
		return nil
	}
	condition := &metav1.Condition{Type: v1alpha1.ConditionScopesGranted, Status: metav1.ConditionFalse}
	var unowned []string
	if decision.UnownedForbidden {
		unowned = append(unowned, unownedForbidden(c))
	}
	denied, pending := scopesIn(resources, v1alpha1.ScopeDenied), scopesIn(resources, v1alpha1.ScopePending)
	switch {
	case len(unowned) > 0:
		condition.Reason = v1alpha1.ReasonUnownedScopesForbidden
	case len(denied) > 0:
		condition.Reason = v1alpha1.ReasonSomeDenied
	case len(pending) > 0:
		condition.Reason = v1alpha1.ReasonSomePending
	default:
		condition.Status, condition.Reason = metav1.ConditionTrue, v1alpha1.ReasonAllGranted
		condition.Message = "every scope that the client asks for is granted"
		return condition
	}
	condition.Message = strings.Join(append(unowned, shortened(slices.Concat(denied, pending), "; see status.resources")...), "; ")
	return condition
}

// unownedForbidden says which scopes the administrators forbid, and what can be done.
func unownedForbidden(c *v1alpha1.OAuthClient) string {
	scopes := make([]string, len(c.Spec.Scopes))
	for i, scope := range c.Spec.Scopes {
		scopes[i] = string(scope)
	}
	return fmt.Sprintf("%s of spec.scopes: the administrators forbid scopes that nobody owns in namespace %s: ask for those of a ResourceServer in spec.resources, or have them allow it (--unowned-scopes-namespaces)",
		strings.Join(shortened(scopes, ""), ", "), c.Namespace)
}

// scopesIn returns the scopes of a state, each with who can change it.
func scopesIn(resources []v1alpha1.ResourceStatus, state v1alpha1.ScopeState) []string {
	var found []string
	for _, resource := range resources {
		server := resource.ResourceServer.In("")
		for _, scope := range resource.Scopes {
			if scope.State == state {
				found = append(found, fmt.Sprintf("%s at %s: %s", scope.Name, server, scope.Message))
			}
		}
	}
	return found
}

// shortened returns the first of several texts, and how many more there are, with where to find them.
func shortened(texts []string, where string) []string {
	if more := len(texts) - maxScopesTold; more > 0 {
		return append(slices.Clone(texts[:maxScopesTold]), fmt.Sprintf("and %d more%s", more, where))
	}
	return texts
}
