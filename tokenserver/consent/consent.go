// Package consent is the one function that says what a client may ask for, from OAuthClients and ResourceServers. The controllers
// call it to report, the token server to decide, so that the two cannot differ, and what an API's owner takes back is gone with the
// controllers down too.
package consent

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// ResourceServers are those of the cluster. Neither they nor what they return may change meanwhile.
type ResourceServers interface {
	// Get returns the ResourceServer of a name, or nil.
	Get(types.NamespacedName) *v1alpha1.ResourceServer
	// Naming returns the ResourceServers whose spec names an audience.
	Naming(v1alpha1.Audience) []*v1alpha1.ResourceServer
}

// Policy is what the administrators of the issuer decide.
type Policy struct {
	// DefaultAudience is the aud of tokens for spec.scopes of OAuthClients.
	DefaultAudience string
	// Reserved are further audiences that no ResourceServer can have: the URLs of the issuer.
	Reserved []string
	// ForbidUnowned is whether spec.scopes of OAuthClients, to which nobody consents, is forbidden but in the namespaces of
	// UnownedIn.
	ForbidUnowned bool
	UnownedIn     []string
	// MaxLifetime is how long a token is valid at most. Zero is no bound but those of the API.
	MaxLifetime time.Duration
}

// reserves reports whether no ResourceServer can have an audience.
func (p Policy) reserves(audience v1alpha1.Audience) bool {
	return string(audience) == p.DefaultAudience || slices.Contains(p.Reserved, string(audience))
}

// unownedForbidden reports whether spec.scopes is forbidden in a namespace.
func (p Policy) unownedForbidden(namespace string) bool {
	return p.ForbidUnowned && !slices.Contains(p.UnownedIn, namespace)
}

// Owner returns the owner among ResourceServers that name one audience: the oldest, and of several from the same second the one with
// the least UID. There is none where there are no ResourceServers. One that is being deleted is the owner until it is gone.
func Owner(naming []*v1alpha1.ResourceServer) *v1alpha1.ResourceServer {
	if len(naming) == 0 {
		return nil
	}
	return slices.MinFunc(naming, func(a, b *v1alpha1.ResourceServer) int {
		if byAge := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); byAge != 0 {
			return byAge
		}
		if a.UID < b.UID {
			return -1
		}
		return 1
	})
}

// Ownership says whether a ResourceServer has its audience: v1alpha1.ReasonAudienceOwned, ReasonAudienceConflict or
// ReasonAudienceReserved. In a conflict it returns who has it.
func (p Policy) Ownership(s *v1alpha1.ResourceServer, servers ResourceServers) (reason string, owner *v1alpha1.ResourceServer) {
	if p.reserves(s.Spec.Audience) {
		return v1alpha1.ReasonAudienceReserved, nil
	}
	if owner := Owner(servers.Naming(s.Spec.Audience)); owner != nil && owner.UID != s.UID {
		return v1alpha1.ReasonAudienceConflict, owner
	}
	return v1alpha1.ReasonAudienceOwned, s
}

// Decision is what became of all that an OAuthClient asks for.
type Decision struct {
	client *v1alpha1.OAuthClient
	policy Policy
	// UnownedForbidden is whether the OAuthClient asks for spec.scopes, and the administrators forbid it.
	UnownedForbidden bool
	resources        []resource
}

// resource is what became of the scopes that an OAuthClient asks for at one ResourceServer.
type resource struct {
	key types.NamespacedName
	// server is nil where there is none.
	server *v1alpha1.ResourceServer
	// owner has the audience in a conflict.
	owner  *v1alpha1.ResourceServer
	scopes []verdict
}

// verdict is what became of one scope, by the reasons of v1alpha1.
type verdict struct {
	scope  v1alpha1.Scope
	reason string
}

// Decide says what an OAuthClient may ask for.
func (p Policy) Decide(c *v1alpha1.OAuthClient, servers ResourceServers) *Decision {
	d := &Decision{client: c, policy: p, UnownedForbidden: len(c.Spec.Scopes) > 0 && p.unownedForbidden(c.Namespace)}
	for i := range c.Spec.Resources {
		d.resources = append(d.resources, p.decideAt(c, &c.Spec.Resources[i], servers))
	}
	return d
}

// decideAt says which of the scopes that an OAuthClient asks for at one ResourceServer it has.
func (p Policy) decideAt(c *v1alpha1.OAuthClient, asked *v1alpha1.ResourceRequest, servers ResourceServers) resource {
	r := resource{key: asked.ResourceServer.In(c.Namespace)}
	obstacle := v1alpha1.ReasonResourceServerNotFound
	if found := servers.Get(r.key); found != nil && found.DeletionTimestamp.IsZero() {
		r.server = found
		obstacle, r.owner = p.Ownership(found, servers)
	}
	for _, scope := range asked.Scopes {
		reason := obstacle
		if reason == v1alpha1.ReasonAudienceOwned {
			reason = consent(r.server, c, scope)
		}
		r.scopes = append(r.scopes, verdict{scope, reason})
	}
	return r
}

// consent says whether the owner of an API lets an OAuthClient have a scope.
func consent(s *v1alpha1.ResourceServer, c *v1alpha1.OAuthClient, scope v1alpha1.Scope) (reason string) {
	if !slices.ContainsFunc(s.Spec.Scopes, func(d v1alpha1.ScopeDefinition) bool { return d.Name == scope }) {
		return v1alpha1.ReasonScopeNotDeclared
	}
	if s.Spec.AllowedClients == nil && s.Namespace == c.Namespace {
		return v1alpha1.ReasonAllowed
	}
	for i := range s.Spec.AllowedClients {
		if allows(&s.Spec.AllowedClients[i], c, scope) {
			return v1alpha1.ReasonAllowed
		}
	}
	return v1alpha1.ReasonClientNotAllowed
}

func allows(allowed *v1alpha1.AllowedClient, c *v1alpha1.OAuthClient, scope v1alpha1.Scope) bool {
	return string(allowed.Namespace) == c.Namespace &&
		(allowed.Name == "" || string(allowed.Name) == c.Name) &&
		(len(allowed.Scopes) == 0 || slices.Contains(allowed.Scopes, scope))
}

// granted returns the scopes that the OAuthClient has.
func (r *resource) granted() []v1alpha1.Scope {
	var scopes []v1alpha1.Scope
	for _, v := range r.scopes {
		if v.reason == v1alpha1.ReasonAllowed {
			scopes = append(scopes, v.scope)
		}
	}
	return scopes
}

// owned reports whether there is a ResourceServer, which has its audience.
func (r *resource) owned() bool { return r.server != nil && r.owner == r.server }
