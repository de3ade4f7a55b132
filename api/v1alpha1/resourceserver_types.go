package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Audience is a resource identifier as RFC 8707, section 2 spells it: an absolute URI without fragment.
//
// +kubebuilder:validation:MinLength=3
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:XValidation:rule="self.matches(r'^[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?\\[\\]@!$&()*+,;=%\\x27-]+$')",message="an audience is an absolute URI without fragment, for example https://orders.shop.svc or urn:example:orders"
type Audience string

// NamespaceName is the name of a namespace.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="the name of a namespace is lower case letters, digits and '-', and begins and ends with a letter or digit; there are no patterns, as in shop-*"
type NamespaceName string

// ObjectName is the name of an OAuthClient or ResourceServer.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="a name is lower case letters, digits, '-' and '.', and begins and ends with a letter or digit; there are no patterns, as in worker-*"
type ObjectName string

// ClaimName is the name of an extra claim.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z][A-Za-z0-9_.:/-]*$')",message="the name of a claim is letters, digits and '_ . : / -', and begins with a letter"
type ClaimName string

// ResourceServerSpec is what an API's owner says of it.
type ResourceServerSpec struct {
	// The aud of the access tokens for this API: an absolute URI without fragment (RFC 8707, section 2), for example
	// https://orders.shop.svc. The API compares it exactly, so that a slash at the end makes another one. An audience has one owner
	// in the cluster, the oldest ResourceServer that names it; it cannot be changed, so that nobody becomes the owner of
	// another's audience: make a new ResourceServer.
	//
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="audience cannot be changed, as it has one owner, the oldest ResourceServer: make a new ResourceServer for the new audience"
	// +required
	Audience Audience `json:"audience"`

	// The scopes that there are at this API.
	//
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +required
	Scopes []ScopeDefinition `json:"scopes"`

	// The OAuthClients that may be granted scopes here, by namespace and name. One that is taken off gets no new tokens within
	// seconds. Unset: all of the ResourceServer's own namespace, for all scopes. The empty list: none.
	//
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +optional
	AllowedClients []AllowedClient `json:"allowedClients,omitzero"`

	// The longest that an access token for this API is valid, from 60s to 24h, in the units h, m and s: 15m. The shortest of this, the
	// client's spec.token.lifetime and the issuer's --max-token-lifetime counts.
	//
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('60s') && duration(self) <= duration('24h')",message="maxTokenLifetime is a duration from 60s to 24h in the units h, m and s, for example 15m"
	// +optional
	MaxTokenLifetime *metav1.Duration `json:"maxTokenLifetime,omitempty"`

	// The extra claims of access tokens for this API.
	//
	// +optional
	Claims ResourceServerClaims `json:"claims,omitzero"`

	// What is published of this API as protected resource metadata (RFC 9728), by the token endpoint's server, under
	// /.well-known/oauth-protected-resource/NAMESPACE/NAME: audience, issuer, names of scopes, and the following. Everyone who
	// reaches the token endpoint can read it. Unset: nothing is published.
	//
	// +optional
	Metadata *ResourceMetadata `json:"metadata,omitempty"`
}

// ScopeDefinition is a scope that there is at an API.
type ScopeDefinition struct {
	// The scope, by convention resource:action, for example orders:read.
	//
	// +required
	Name Scope `json:"name"`

	// What it allows, in a sentence for those who ask for it.
	//
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Description string `json:"description,omitempty"`
}

// AllowedClient is whom an API's owner allows which scopes: all OAuthClients of a namespace, or one.
type AllowedClient struct {
	// The OAuthClient's namespace, exactly. There are no label selectors: whoever owns a namespace could set its labels.
	//
	// +required
	Namespace NamespaceName `json:"namespace"`

	// The OAuthClient's name. Unset: all of the namespace.
	//
	// +optional
	Name ObjectName `json:"name,omitempty"`

	// The scopes that it may be granted, among spec.scopes. Unset: all of them.
	//
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`
}

// ResourceServerClaims are the extra claims of access tokens for an API.
type ResourceServerClaims struct {
	// The names of claims in a client's spec.token.claims that this API wants. A client chooses their values, so that they are no
	// proof of anything. Unset: none; the others are left out.
	//
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +optional
	AcceptFromClients []ClaimName `json:"acceptFromClients,omitempty"`

	// Claims with constant string values, added to every access token for this API: {environment: production}. One of the same
	// name that a client gives is replaced. At most 16.
	//
	// +optional
	Add ExtraClaims `json:"add,omitempty"`
}

// ResourceMetadata is what protected resource metadata says beside audience, issuer and scopes (RFC 9728, section 2).
type ResourceMetadata struct {
	// The API's name, for people: resource_name.
	//
	// +kubebuilder:validation:MaxLength=256
	// +optional
	ResourceName string `json:"resourceName,omitempty"`

	// The URL of a page for developers who use the API: resource_documentation.
	//
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self == '' || (isURL(self) && url(self).getScheme() in ['https', 'http'])",message="documentation is the URL of a page, for example https://docs.example.com/orders"
	// +optional
	Documentation string `json:"documentation,omitempty"`
}

// ResourceServerStatus is what Kubemint last saw.
type ResourceServerStatus struct {
	// The metadata.generation that this status speaks of.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Ready: clients can get tokens for the audience. Reason when True: AudienceOwned. Reasons when False: AudienceConflict (an
	// older ResourceServer, which the message names, has the audience), AudienceReserved (it is the issuer's own default
	// audience).
	// Stalled is there, and True, when nothing will change until somebody acts. Reasons: AudienceConflict, AudienceReserved.
	//
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// The scopes that clients can be granted: those of spec.scopes, while this ResourceServer has its audience.
	//
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`

	// The OAuthClients that hold scopes here, by namespace and name; the first 64 of them.
	//
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Clients []GrantedClient `json:"clients,omitempty"`

	// How many OAuthClients hold scopes here.
	//
	// +optional
	ClientCount int64 `json:"clientCount"`
}

// GrantedClient is an OAuthClient that holds scopes at an API.
type GrantedClient struct {
	// The OAuthClient's namespace.
	//
	// +required
	Namespace NamespaceName `json:"namespace"`

	// The OAuthClient's name.
	//
	// +required
	Name ObjectName `json:"name"`

	// The scopes that it holds.
	//
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +required
	Scopes []Scope `json:"scopes"`
}

// ResourceServer declares an API: the audience of its access tokens, its scopes, and which OAuthClients may be granted them. It
// lives in the namespace of the API's owner, so that consent lies with who owns the API and not with who calls it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=resourceservers,singular=resourceserver,shortName=oars,categories=kubemint
// +kubebuilder:printcolumn:name="Audience",type=string,JSONPath=`.spec.audience`,description="The aud of access tokens for this API"
// +kubebuilder:printcolumn:name="Scopes",type=string,JSONPath=`.status.scopes`,description="The scopes that clients can be granted"
// +kubebuilder:printcolumn:name="Clients",type=integer,JSONPath=`.status.clientCount`,description="How many OAuthClients hold scopes here"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether clients can get tokens for the audience"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why it is ready or not"
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,description="What the Ready condition says"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ResourceServer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// What the API is.
	//
	// +required
	Spec ResourceServerSpec `json:"spec"`

	// What Kubemint last saw.
	//
	// +optional
	Status ResourceServerStatus `json:"status,omitzero"`
}

// ResourceServerList is a list of ResourceServers.
//
// +kubebuilder:object:root=true
type ResourceServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ResourceServer `json:"items"`
}
