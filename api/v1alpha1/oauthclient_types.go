package v1alpha1

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Scope is a scope token as RFC 6749, section 3.3 spells it: printable ASCII without space, double quote and backslash.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches(r'^[!#-\\[\\]-~]+$')",message="a scope is printable ASCII without spaces, double quotes and backslashes, for example invoices:read; write several scopes as several list items"
type Scope string

// ClaimValue is the value of an extra claim, a string.
//
// +kubebuilder:validation:MaxLength=256
type ClaimValue string

// ExtraClaims are claims with constant values, by name.
//
// +kubebuilder:validation:MaxProperties=16
// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 128 && k.matches('^[A-Za-z][A-Za-z0-9_.:/-]*$'))",message="the name of a claim is letters, digits and '_ . : / -', begins with a letter and has at most 128 characters"
// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.lowerAscii() in ['iss','sub','aud','exp','nbf','iat','jti','client_id','scope','scp','azp','cnf','act','may_act','auth_time','acr','amr','nonce','sid','typ','events','token_use','authorization_details','roles','groups','entitlements','permissions','email','email_verified','preferred_username','username','user','upn','uid','oid','tid','name','kubernetes','kubernetes.io'] || k.lowerAscii().startsWith('kubernetes.io/'))",message="this claim is reserved: the issuer sets it, or APIs take it for an identity or a permission; choose another name, for example team"
type ExtraClaims map[string]ClaimValue

// LabelValue is the value of a label.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches(r'^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",message="a label value is letters, digits, '-', '_' and '.', and begins and ends with a letter or digit"
type LabelValue string

// AnnotationValue is the value of an annotation.
//
// +kubebuilder:validation:MaxLength=1024
type AnnotationValue string

// SecretKey is a key in a Secret's data.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",message="a key of a Secret is letters, digits, '-', '_' and '.', for example CLIENT_ID"
type SecretKey string

// OAuthClientSpec is what a workload's OAuth 2.0 client is to be.
//
// +kubebuilder:validation:XValidation:rule="!has(self.secret) || !has(self.secret.source) || self.secret.source != 'None' || (has(self.authentication) && (has(self.authentication.privateKeyJWT) || has(self.authentication.serviceAccounts) || has(self.authentication.trustedTokens) || has(self.authentication.tls)))",message="with secret.source None the client has no client secret: say in spec.authentication how else it proves who it is (privateKeyJWT, serviceAccounts, trustedTokens or tls)",fieldPath=".secret.source"
// +kubebuilder:validation:XValidation:rule="has(self.scopes) || has(self.resources)",message="the client asks for nothing: list scopes at the issuer's default audience in spec.scopes, or scopes of ResourceServers in spec.resources"
// +kubebuilder:validation:XValidation:rule="!has(self.defaultScopes) || self.defaultScopes.all(s, (has(self.scopes) && s in self.scopes) || (has(self.resources) && self.resources.exists(r, s in r.scopes)))",message="defaultScopes may only name scopes that spec.scopes or spec.resources lists: add the missing scope there or remove it here",fieldPath=".defaultScopes"
type OAuthClientSpec struct {
	// The scopes that this client may ask for in a token request, at the issuer's default audience.
	// Each is a scope token of RFC 6749, section 3.3; by convention resource:action, for example invoices:read.
	// A request for any other scope is refused with invalid_scope. Nobody has to consent to these scopes; administrators can
	// forbid them (--unowned-scopes), so that every scope has an owner (spec.resources).
	//
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`

	// The scopes that this client may ask for at APIs that other teams own. Each is granted while the API's owner allows it
	// (spec.allowedClients of the ResourceServer); status.resources says so. A token is for one of them: the request names it with
	// the parameter resource (RFC 8707), unless its scopes are listed for one only.
	//
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(r, self.exists_one(o, o.resourceServer == r.resourceServer))",message="a ResourceServer is listed twice: write all its scopes in one item"
	// +optional
	Resources []ResourceRequest `json:"resources,omitempty"`

	// The scopes of a token when the request names none, at the audience that the token is for. They must be among spec.scopes or
	// those of spec.resources. Unset, such a request gets all that is granted there.
	//
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +optional
	DefaultScopes []Scope `json:"defaultScopes,omitempty"`

	// How this client's access tokens are made.
	//
	// +kubebuilder:default={}
	// +optional
	Token TokenSpec `json:"token,omitzero"`

	// How the client proves who it is, and how that changes over time.
	//
	// +kubebuilder:default={}
	// +optional
	Authentication AuthenticationSpec `json:"authentication,omitzero"`

	// Where the client's credentials are written: name, keys and metadata of the Secret.
	//
	// +kubebuilder:default={}
	// +optional
	Secret SecretSpec `json:"secret,omitzero"`

	// What happens to the workloads that use the Secret when its client secret or generated private key has changed.
	//
	// +optional
	Rollout RolloutSpec `json:"rollout,omitzero"`

	// The kill switch: while true, token requests of this client are refused with unauthorized_client.
	// Nothing is deleted; set it back to false and the same credentials work again. Tokens that were issued before stay
	// valid until they expire.
	//
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// TokenSpec is how a client's access tokens are made.
type TokenSpec struct {
	// How long an access token is valid, from 60s to 24h, in the units h, m and s: 15m, 1h30m. Unset: 1h.
	// A token cannot be recalled before it expires, so choose it as short as your callers can bear.
	//
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('60s') && duration(self) <= duration('24h')",message="lifetime is a duration from 60s to 24h in the units h, m and s, for example 15m or 1h30m"
	// +optional
	Lifetime metav1.Duration `json:"lifetime,omitzero"`

	// Extra claims with constant string values, added to every access token of this client: {team: billing}.
	// At most 16. A name is letters, digits and "_ . : / -", begins with a letter and has at most 128 characters.
	// Names that the issuer sets itself, or that APIs take for an identity or a permission (sub, scope, roles, groups,
	// email, ...), are refused.
	//
	// +optional
	Claims ExtraClaims `json:"claims,omitempty"`
}

// RotationSpec is when a client secret is replaced, and how long the one before stays valid.
//
// +kubebuilder:validation:XValidation:rule="!has(self.interval) || duration(self.interval) >= duration(self.overlap)",message="interval must be at least overlap (168h if unset), so that a secret is not replaced before the one before it has ended: write a longer interval or a shorter overlap"
type RotationSpec struct {
	// How often a new client secret is made, from 1h to 87600h, in the units h, m and s: 2160h is 90 days. Up to a tenth of it is
	// taken off, differently for each client and time, so that not all rotate at once. Unset: only on demand, with
	//
	//	kubectl annotate oauthclient NAME --overwrite oauth.kubemint.dev/rotate="$(date)"
	//
	// where any value that differs from the one before asks for one rotation. With secret.source Provided, whoever makes the
	// Secret rotates it.
	//
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('1h') && duration(self) <= duration('87600h')",message="interval is a duration from 1h to 87600h in the units h, m and s, for example 2160h"
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`

	// How long the client secret from before stays valid at most, from 0s to 8760h. It ends earlier when it has been seen to be
	// no longer used. Unset: 168h, a week.
	//
	// +kubebuilder:default="168h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) <= duration('8760h')",message="overlap is a duration from 0s to 8760h in the units h, m and s, for example 24h"
	// +optional
	Overlap metav1.Duration `json:"overlap,omitzero"`

	// After how long without a token request the client secret from before is retired, before its overlap has passed; from 2h to
	// 8760h. Choose it longer than the time between two token requests of a program. It is not retired while a running pod
	// still has it, where Kubemint may look (docs/rotation.md). Unset: 24h.
	//
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('2h') && duration(self) <= duration('8760h')",message="retireUnusedAfter is a duration from 2h to 8760h in the units h, m and s, for example 24h"
	// +optional
	RetireUnusedAfter metav1.Duration `json:"retireUnusedAfter,omitzero"`
}

// RolloutSpec is what happens to workloads after a rotation.
type RolloutSpec struct {
	// Workloads in the OAuthClient's namespace that are restarted when the client secret or the generated private key has changed, as by
	// kubectl rollout restart: for programs that read it only once, when they start. Kubemint needs to be allowed to (--restart-workloads).
	//
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Restart []WorkloadReference `json:"restart,omitempty"`
}

// WorkloadReference names a workload in the OAuthClient's namespace.
type WorkloadReference struct {
	// Deployment, StatefulSet or DaemonSet.
	//
	// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet
	// +required
	Kind string `json:"kind"`

	// The workload's name.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="the name of a workload is lower case letters, digits, '-' and '.', and begins and ends with a letter or digit"
	// +required
	Name string `json:"name"`
}

// OAuthClientStatus is what Kubemint last saw and did.
type OAuthClientStatus struct {
	// The metadata.generation that this status speaks of.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Ready: the credential in the Secret gets a token. Reason when True: Issued. Reasons when False: Suspended (spec.suspend),
	// NoScopeGranted (none of the scopes that the client asks for is granted),
	// SecretConflict (the Secret's name is taken: choose another), WaitingForSecret (nobody has made the provided one yet), WeakSecret
	// (what is provided is no good client secret), WaitingForCertificate, InvalidKeys and KeySetNotFetched (of a client that
	// has nothing but its keys), NoMethodAvailable (spec.authentication names ways that the administrators have not turned on),
	// NamespaceTerminating, Forbidden (RBAC or an admission policy), QuotaExceeded, SecretWriteFailed; the message
	// says what to do.
	// Stalled is there, and True, when nothing will change until somebody acts. Reasons: SecretConflict, WeakSecret.
	// Rotating is there, and True, while a client secret or generated key from before is still valid. Reasons: WaitingForWorkloads (pods that the message
	// names have it), WaitingForLastUse (it was used lately).
	// Restarted says whether the workloads of spec.rollout were restarted after the last rotation. Reasons when False:
	// RestartForbidden, WorkloadNotFound, RestartFailed.
	// ScopesGranted is there where the client asks for scopes of ResourceServers, or for unowned ones that are forbidden: whether it
	// has all of them. Reason when True: AllGranted. Reasons when False: SomeDenied, SomePending, UnownedScopesForbidden.
	// KeysAvailable is there where the client signs with keys of its own: whether its assertions can be verified. Reason when True:
	// KeysValid. Reasons when False: InvalidKeys (a key of jwks), KeySetNotFetched (from jwksURI).
	// Wait for it with: kubectl wait --for=condition=Ready oauthclient/NAME
	//
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// The client secrets that are valid, the newest first. All but the first are from before a rotation, and expire; the first does
	// where it was provided and is missing or refused now.
	//
	// +listType=map
	// +listMapKey=version
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Credentials []CredentialStatus `json:"credentials,omitempty"`

	// The generated private keys that are valid (spec.authentication.privateKeyJWT.generated), the newest first.
	//
	// +listType=map
	// +listMapKey=version
	// +kubebuilder:validation:MaxItems=8
	// +optional
	PrivateKeys []PrivateKeyStatus `json:"privateKeys,omitempty"`

	// The ways in which the client has proved who it is, where it has others than the client secret: the one that was used last first.
	//
	// +listType=map
	// +listMapKey=method
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Authentication []AuthenticationStatus `json:"authentication,omitempty"`

	// The version of the client secret for which the workloads of spec.rollout were last restarted.
	//
	// +optional
	RestartedForVersion int64 `json:"restartedForVersion,omitempty"`

	// The version of the generated private key for which the workloads of spec.rollout were last restarted.
	//
	// +optional
	RestartedForKeyVersion int64 `json:"restartedForKeyVersion,omitempty"`

	// The Secret that holds the credentials, where Service Binding tools look for it (a Provisioned Service of
	// servicebinding.io).
	//
	// +optional
	Binding *BindingReference `json:"binding,omitempty"`

	// The client identifier, NAMESPACE.NAME, which is also the sub of every token.
	//
	// +kubebuilder:validation:MaxLength=317
	// +optional
	ClientID string `json:"clientID,omitempty"`

	// The Secret that holds the credentials.
	//
	// +kubebuilder:validation:MaxLength=253
	// +optional
	SecretName string `json:"secretName,omitempty"`

	// The scopes that a token request of this client may name, at the issuer's default audience.
	//
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +optional
	GrantedScopes []Scope `json:"grantedScopes,omitempty"`

	// What became of spec.resources, in its order.
	//
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Resources []ResourceStatus `json:"resources,omitempty"`
}

// CredentialStatus is what is known of one client secret.
type CredentialStatus struct {
	// The number of the client secret: 1 for the first, one more with each rotation.
	//
	// +required
	Version int64 `json:"version"`

	// When it was made, or first seen.
	//
	// +required
	Created metav1.Time `json:"created"`

	// When it was last used: to within a day, and while a client secret from before is valid, to within about an hour. Unset: not yet.
	//
	// +optional
	LastUsed *metav1.Time `json:"lastUsed,omitempty"`

	// When it ends at the latest. Unset: it is the present one.
	//
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`
}

// BindingReference names a Secret in the OAuthClient's namespace.
type BindingReference struct {
	// The Secret's name.
	//
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
}

// OAuthClient gives a workload an OAuth 2.0 identity. Kubemint writes its client_id and client_secret into a Secret in the
// same namespace; with them the workload gets signed JWT access tokens (RFC 9068) from Kubemint's token endpoint by the
// client credentials grant (RFC 6749, section 4.4), and calls other workloads with them.
//
// +kubebuilder:validation:XValidation:rule="self.spec.secret.source != 'Provided' || self.metadata.name.size() <= 63",message="with spec.secret.source Provided, metadata.name has at most 63 characters, as the label oauth.kubemint.dev/client of the provided Secret must name the OAuthClient: choose a shorter name"
// +kubebuilder:validation:XValidation:rule="self.spec.secret.source != 'Provided' || !has(self.spec.secret.name) || self.spec.secret.name != self.metadata.name + '-kubemint'",message="with spec.secret.source Provided, Kubemint writes a Secret of its own of the name NAME-kubemint: choose another spec.secret.name for the provided one",fieldPath=".spec.secret.name"
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=oauthclients,singular=oauthclient,shortName=oac,categories=kubemint
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the credential in the Secret gets a token"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why it is ready or not"
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.status.secretName`,description="The Secret that holds the credentials"
// +kubebuilder:printcolumn:name="Scopes",type=string,JSONPath=`.status.grantedScopes`,description="The scopes that a token request may name"
// +kubebuilder:printcolumn:name="Last used",type=string,priority=1,JSONPath=`.status.authentication[0].method`,description="The way in which the client last proved who it is, where it has others than the client secret"
// +kubebuilder:printcolumn:name="Client ID",type=string,priority=1,JSONPath=`.status.clientID`,description="The client identifier, the sub of every token"
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,description="What the Ready condition says"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type OAuthClient struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// What the client is to be.
	//
	// +required
	Spec OAuthClientSpec `json:"spec"`

	// What Kubemint last saw and did.
	//
	// +optional
	Status OAuthClientStatus `json:"status,omitzero"`
}

// OAuthClientList is a list of OAuthClients.
//
// +kubebuilder:object:root=true
type OAuthClientList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []OAuthClient `json:"items"`
}

// ClientID returns the client identifier, NAMESPACE.NAME. A namespace has no dot, so that two clients never share one, and
// the characters need no escaping anywhere. It is chosen by the server: nothing that a tenant writes can change it.
func (c *OAuthClient) ClientID() string {
	return c.Namespace + "." + c.Name
}

// SecretName returns the name of the Secret that is to hold the credentials.
func (c *OAuthClient) SecretName() string {
	if c.Spec.Secret.Name != "" {
		return c.Spec.Secret.Name
	}
	return c.Name
}

// reservedClaims are the claims that spec.token.claims may not set: those of the token itself (RFC 7519, RFC 9068 and
// OpenID Connect), those that carry permissions (RFC 9068, section 2.2.3.1), and those that APIs map to a user name.
// The CRD's validation rule repeats the list; a test holds the two together.
var reservedClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "scp", "azp", "cnf", "act", "may_act",
	"auth_time", "acr", "amr", "nonce", "sid", "typ", "events", "token_use", "authorization_details",
	"roles", "groups", "entitlements", "permissions",
	"email", "email_verified", "preferred_username", "username", "user", "upn", "uid", "oid", "tid", "name",
	"kubernetes", "kubernetes.io",
}

// ReservedClaims returns the names of the claims that spec.token.claims may not set.
func ReservedClaims() []string { return slices.Clone(reservedClaims) }

// ReservedClaim reports whether a claim name, in any case, is one that spec.token.claims may not set.
func ReservedClaim(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains(reservedClaims, name) || strings.HasPrefix(name, "kubernetes.io/")
}
