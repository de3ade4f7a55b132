package v1alpha1

import (
	"cmp"

	"k8s.io/apimachinery/pkg/types"
)

// ResourceRequest is the scopes that a client asks for at one API.
type ResourceRequest struct {
	// The API.
	//
	// +required
	ResourceServer ResourceServerReference `json:"resourceServer"`

	// The scopes, of those that the ResourceServer lists.
	//
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +required
	Scopes []Scope `json:"scopes"`
}

// ResourceServerReference names a ResourceServer.
type ResourceServerReference struct {
	// The ResourceServer's name.
	//
	// +required
	Name ObjectName `json:"name"`

	// The ResourceServer's namespace. Unset: the OAuthClient's own.
	//
	// +optional
	Namespace NamespaceName `json:"namespace,omitempty"`
}

// ResourceStatus is what became of the scopes that a client asks for at one API.
type ResourceStatus struct {
	// The API. Its namespace is always there.
	//
	// +required
	ResourceServer ResourceServerReference `json:"resourceServer"`

	// The audience of the tokens, which is also the value of the parameter resource. Unset while there is no such
	// ResourceServer, or another one has its audience.
	//
	// +optional
	Audience Audience `json:"audience,omitempty"`

	// Each scope that spec.resources lists.
	//
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Scopes []ScopeStatus `json:"scopes,omitempty"`
}

// ScopeStatus is what became of one scope.
type ScopeStatus struct {
	// The scope.
	//
	// +required
	Name Scope `json:"name"`

	// Granted, Denied (by who owns the API, or the administrators) or Pending (until there is the ResourceServer or the scope).
	//
	// +required
	State ScopeState `json:"state"`

	// Allowed; ClientNotAllowed; ResourceServerNotFound, ScopeNotDeclared, AudienceConflict or AudienceReserved.
	//
	// +kubebuilder:validation:MaxLength=64
	// +required
	Reason string `json:"reason"`

	// Who can change it, and how. Unset where it is granted.
	//
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// ScopeState is what became of a scope that a client asks for.
//
// +kubebuilder:validation:Enum=Granted;Denied;Pending
type ScopeState string

// States of a scope.
const (
	ScopeGranted ScopeState = "Granted"
	ScopeDenied  ScopeState = "Denied"
	ScopePending ScopeState = "Pending"
)

// In returns the name of the ResourceServer that an OAuthClient of a namespace refers to.
func (r ResourceServerReference) In(namespace string) types.NamespacedName {
	return types.NamespacedName{Namespace: cmp.Or(string(r.Namespace), namespace), Name: string(r.Name)}
}
