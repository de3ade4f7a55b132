package consent

import (
	"slices"
	"time"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/scope"
)

// Accesses returns what the OAuthClient may get, at each audience.
func (d *Decision) Accesses() scope.Accesses {
	spec := &d.client.Spec
	accesses := make(scope.Accesses, 0, 1+len(d.resources))
	if len(spec.Scopes) > 0 && !d.UnownedForbidden {
		accesses = append(accesses, d.access(spec.Scopes, spec.Scopes))
		atIssuer := &accesses[0]
		atIssuer.Audience, atIssuer.AtIssuer = d.policy.DefaultAudience, true
		atIssuer.Claims = allowedClaims(spec.Token.Claims)
	}
	for _, r := range d.merged() {
		accesses = append(accesses, d.accessAt(&r))
	}
	return accesses
}

// merged returns the resources with each ResourceServer once: one of the OAuthClient's own namespace may be listed with its
// namespace and without.
func (d *Decision) merged() []resource {
	merged := make([]resource, 0, len(d.resources))
	for _, r := range d.resources {
		i := slices.IndexFunc(merged, func(other resource) bool { return other.key == r.key })
		if i < 0 {
			merged = append(merged, r)
			continue
		}
		merged[i].scopes = slices.Concat(merged[i].scopes, r.scopes)
	}
	return merged
}

// accessAt returns what the OAuthClient may get at a ResourceServer's audience.
func (d *Decision) accessAt(r *resource) scope.Access {
	listed := make([]v1alpha1.Scope, len(r.scopes))
	for i, v := range r.scopes {
		listed[i] = v.scope
	}
	access := d.access(listed, r.granted())
	if !r.owned() {
		return access
	}
	access.Audience = string(r.server.Spec.Audience)
	access.Claims = claimsAt(r.server, d.client.Spec.Token.Claims)
	if longest := r.server.Spec.MaxTokenLifetime; longest != nil {
		access.Lifetime = min(access.Lifetime, longest.Duration)
	}
	return access
}

// access returns what the OAuthClient may get where it lists some scopes, and has others.
func (d *Decision) access(listed, granted []v1alpha1.Scope) scope.Access {
	defaults := d.client.Spec.DefaultScopes
	access := scope.Access{Grant: scope.Granted(granted, defaults), Lifetime: d.lifetime()}
	access.Listed = access.Granted // Which is the usual case, and takes no more memory.
	if len(listed) != len(granted) {
		access.Listed = scope.NewSet(listed...)
	}
	access.ByDefault = len(defaults) == 0 ||
		slices.ContainsFunc(listed, func(s v1alpha1.Scope) bool { return slices.Contains(defaults, s) })
	return access
}

// lifetime returns how long a token is valid, by the OAuthClient and the issuer.
func (d *Decision) lifetime() time.Duration {
	lifetime := d.client.Spec.Token.Lifetime.Duration
	if d.policy.MaxLifetime > 0 {
		lifetime = min(lifetime, d.policy.MaxLifetime)
	}
	return lifetime
}

// claimsAt returns the extra claims of a client's tokens for an API: those of the client that the API accepts, and its own.
func claimsAt(s *v1alpha1.ResourceServer, ofClient v1alpha1.ExtraClaims) map[string]string {
	claims := v1alpha1.ExtraClaims{}
	for _, name := range s.Spec.Claims.AcceptFromClients {
		if value, given := ofClient[string(name)]; given {
			claims[string(name)] = value
		}
	}
	for name, value := range s.Spec.Claims.Add {
		claims[name] = value
	}
	return allowedClaims(claims)
}

// allowedClaims returns extra claims, less those that an older CRD did not refuse yet.
func allowedClaims(all v1alpha1.ExtraClaims) map[string]string {
	if len(all) == 0 {
		return nil
	}
	claims := make(map[string]string, len(all))
	for name, value := range all {
		if !v1alpha1.ReservedClaim(name) {
			claims[name] = string(value)
		}
	}
	return claims
}
