package consent

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// GrantedScopes returns the scopes that the OAuthClient has at the issuer's default audience.
func (d *Decision) GrantedScopes() []v1alpha1.Scope {
	var scopes []v1alpha1.Scope
	for _, access := range d.Accesses() {
		if access.AtIssuer {
			for _, token := range access.Granted.Tokens() {
				scopes = append(scopes, v1alpha1.Scope(token))
			}
		}
	}
	return scopes
}

// GrantsNothing reports whether the OAuthClient has no scope anywhere.
func (d *Decision) GrantsNothing() bool {
	for _, access := range d.Accesses() {
		if !access.Granted.Empty() {
			return false
		}
	}
	return true
}

// GrantedAt returns the scopes that the OAuthClient has at a ResourceServer, in order.
func (d *Decision) GrantedAt(server types.NamespacedName) []v1alpha1.Scope {
	var granted []v1alpha1.Scope
	for _, r := range d.resources {
		if r.key == server {
			granted = append(granted, r.granted()...)
		}
	}
	slices.Sort(granted)
	return slices.Compact(granted)
}

// Resources returns what became of spec.resources, in its order.
func (d *Decision) Resources() []v1alpha1.ResourceStatus {
	var all []v1alpha1.ResourceStatus
	for i := range d.resources {
		r := &d.resources[i]
		status := v1alpha1.ResourceStatus{ResourceServer: v1alpha1.ResourceServerReference{
			Namespace: v1alpha1.NamespaceName(r.key.Namespace), Name: v1alpha1.ObjectName(r.key.Name)}}
		if r.owned() {
			status.Audience = r.server.Spec.Audience
		}
		for _, v := range r.scopes {
			status.Scopes = append(status.Scopes, v1alpha1.ScopeStatus{
				Name: v.scope, State: stateOf(v.reason), Reason: v.reason, Message: d.message(r, v)})
		}
		all = append(all, status)
	}
	return all
}

// stateOf returns the state that a reason stands for.
func stateOf(reason string) v1alpha1.ScopeState {
	switch reason {
	case v1alpha1.ReasonAllowed:
		return v1alpha1.ScopeGranted
	case v1alpha1.ReasonResourceServerNotFound, v1alpha1.ReasonScopeNotDeclared:
		return v1alpha1.ScopePending
	default:
		return v1alpha1.ScopeDenied
	}
}

// message says who can change what became of a scope, and how.
func (d *Decision) message(r *resource, v verdict) string {
	switch v.reason {
	case v1alpha1.ReasonResourceServerNotFound:
		return fmt.Sprintf("there is no ResourceServer %s: correct the name in spec.resources, or ask the owners of namespace %s for it", r.key, r.key.Namespace)
	case v1alpha1.ReasonScopeNotDeclared:
		return fmt.Sprintf("ResourceServer %s has no such scope: correct it in spec.resources, or ask the owners of namespace %s to add it to spec.scopes", r.key, r.key.Namespace)
	case v1alpha1.ReasonClientNotAllowed:
		return fmt.Sprintf("the owners of namespace %s can allow it, in spec.allowedClients of ResourceServer %s: {namespace: %s, name: %s, scopes: [%q]}",
			r.key.Namespace, r.key.Name, d.client.Namespace, d.client.Name, v.scope)
	case v1alpha1.ReasonAudienceConflict:
		return fmt.Sprintf("ResourceServer %s has not its audience %s, which ResourceServer %s had before it: name that one in spec.resources", r.key, r.server.Spec.Audience, keyOf(r.owner))
	case v1alpha1.ReasonAudienceReserved:
		return fmt.Sprintf("ResourceServer %s names the issuer's own audience %s: the owners of namespace %s must choose another", r.key, r.server.Spec.Audience, r.key.Namespace)
	default:
		return ""
	}
}

func keyOf(s *v1alpha1.ResourceServer) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}
