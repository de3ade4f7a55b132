package v1alpha1

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AuthenticationSpec is how a client proves who it is. Each way that is named here works beside the client secret, so that a team moves
// from one to another workload by workload; spec.secret.source None ends the secret.
type AuthenticationSpec struct {
	// The client secret in the Secret.
	//
	// +kubebuilder:default={}
	// +optional
	ClientSecret ClientSecretSpec `json:"clientSecret,omitzero"`

	// A private key with which the client signs an assertion for each token request (private_key_jwt, RFC 7523).
	//
	// +optional
	PrivateKeyJWT *PrivateKeyJWTSpec `json:"privateKeyJWT,omitempty"`

	// Service accounts of the OAuthClient's namespace whose tokens prove the client, so that its pods need no secret at all: a pod mounts
	// a projected token with the issuer's URL as audience, and sends it as client_assertion; where several OAuthClients list one
	// service account, with client_id. See docs/authentication.md.
	//
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	ServiceAccounts []ServiceAccountReference `json:"serviceAccounts,omitempty"`

	// Tokens of other issuers that prove the client, of other clusters or of a CI system: of those that the administrators trust
	// (--trusted-issuers-file). The request sends the token as client_assertion, and client_id.
	//
	// +listType=map
	// +listMapKey=issuer
	// +listMapKey=subject
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	TrustedTokens []TrustedTokenReference `json:"trustedTokens,omitempty"`

	// The TLS client certificate that proves the client (mutual TLS, RFC 8705), signed by a CA that the administrators name
	// (--client-ca-file). Tokens that it gets this way are bound to the certificate. See docs/configuration.md.
	//
	// +optional
	TLS *TLSAuthenticationSpec `json:"tls,omitempty"`
}

// ClientSecretSpec is how a client secret changes over time.
type ClientSecretSpec struct {
	// When the client secret is replaced, and how long the one before stays valid. See docs/rotation.md.
	//
	// +kubebuilder:default={}
	// +optional
	Rotation RotationSpec `json:"rotation,omitzero"`
}

// PrivateKeyJWTSpec says with which keys the client signs. Exactly one of its fields is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.jwks), has(self.jwksURI), has(self.generated)].filter(x, x).size() == 1",message="say where the client's keys are, in one way: jwks (public keys in the manifest), jwksURI (public keys at a URL), or generated (Kubemint makes the key)"
type PrivateKeyJWTSpec struct {
	// The public keys of the client, as a JWK Set (RFC 7517). Paste it as the JSON that it is, or quote the names "y" and "n", which YAML
	// takes for booleans. To replace a key, list the new one beside it before the client signs with it.
	//
	// +optional
	JWKS *JWKSet `json:"jwks,omitempty"`

	// The https URL at which the client publishes its public keys as a JWK Set. It is fetched when it is needed, without following
	// redirects, and kept as long as its Cache-Control says, from a minute to an hour. Addresses that are not public are
	// refused unless the administrators allow their network (--key-set-networks). The condition KeysAvailable says whether it can be had.
	//
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() == 'https' && url(self).getHostname() != '' && !self.contains('#') && !self.contains('@')",message="jwksURI begins with https:// and a host, and has no user and no fragment, for example https://worker.example.com/jwks.json"
	// +optional
	JWKSURI string `json:"jwksURI,omitempty"`

	// Kubemint makes the key, for ES256, and writes it to the Secret: as a private JWK, as PEM (PKCS #8), and its kid. It is replaced as
	// client secrets are. Nothing that is secret is published.
	//
	// +optional
	Generated *GeneratedKeySpec `json:"generated,omitempty"`
}

// GeneratedKeySpec is how a generated private key changes over time.
type GeneratedKeySpec struct {
	// When the key is replaced, and how long the one before stays valid.
	//
	// +kubebuilder:default={}
	// +optional
	Rotation RotationSpec `json:"rotation,omitzero"`
}

// JWKSet is a JWK Set (RFC 7517, section 5) of public keys.
type JWKSet struct {
	// The keys. Where there are several for one algorithm, each has a kid, which assertions name.
	//
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(k, !has(k.kid) || self.exists_one(o, has(o.kid) && o.kid == k.kid))",message="two keys have one kid: give each its own"
	// +required
	Keys []JWK `json:"keys"`
}

// JWK is a public key (RFC 7517, section 4): EC with P-256 (ES256), RSA of 2048 bits or more (RS256 or PS256), or OKP with Ed25519 (EdDSA).
//
// +kubebuilder:validation:XValidation:rule="self.kty != 'EC' || (has(self.crv) && self.crv == 'P-256' && has(self.x) && has(self.y) && (!has(self.alg) || self.alg == 'ES256'))",message="a key of kty EC has crv P-256, x and y, and alg ES256 if any"
// +kubebuilder:validation:XValidation:rule="self.kty != 'RSA' || (has(self.n) && has(self.e) && (!has(self.alg) || self.alg in ['RS256', 'PS256']))",message="a key of kty RSA has n and e, and alg RS256 or PS256 if any"
// +kubebuilder:validation:XValidation:rule="self.kty != 'OKP' || (has(self.crv) && self.crv == 'Ed25519' && has(self.x) && (!has(self.alg) || self.alg == 'EdDSA'))",message="a key of kty OKP has crv Ed25519 and x, and alg EdDSA if any"
type JWK struct {
	// The kind of key: EC, RSA or OKP.
	//
	// +kubebuilder:validation:Enum=EC;RSA;OKP
	// +required
	KeyType string `json:"kty"`

	// What the key is for: sig. Unset, it is that.
	//
	// +kubebuilder:validation:Enum=sig
	// +optional
	Use string `json:"use,omitempty"`

	// The one algorithm of the key. Unset: ES256, RS256 or EdDSA, by its kind; an RSA key for PS256 says so.
	//
	// +kubebuilder:validation:Enum=ES256;RS256;PS256;EdDSA
	// +optional
	Algorithm string `json:"alg,omitempty"`

	// The key's identifier, which assertions name in their header.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +optional
	KeyID string `json:"kid,omitempty"`

	// The curve: P-256 or Ed25519.
	//
	// +kubebuilder:validation:Enum=P-256;Ed25519
	// +optional
	Curve string `json:"crv,omitempty"`

	// The x coordinate, or the whole of an Ed25519 key, in base64url.
	//
	// +optional
	X Base64URL `json:"x,omitempty"`

	// The y coordinate, in base64url.
	//
	// +optional
	Y Base64URL `json:"y,omitempty"`

	// The modulus of an RSA key, in base64url.
	//
	// +optional
	Modulus Base64URL `json:"n,omitempty"`

	// The exponent of an RSA key, in base64url: AQAB.
	//
	// +optional
	Exponent Base64URL `json:"e,omitempty"`
}

// Base64URL is bytes in base64url without padding (RFC 7515, section 2).
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=1400
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]+$')",message="write it in base64url without padding, as a JWK has it: letters, digits, '-' and '_'"
type Base64URL string

// ServiceAccountReference names a service account in the OAuthClient's namespace.
//
// +kubebuilder:validation:XValidation:rule="self.name != 'default' || (has(self.sharedWithAllPods) && self.sharedWithAllPods)",message="every pod of the namespace that names no service account runs as default, so that each of them could get this client's tokens: make a service account for the workload, or if that is what you want, add sharedWithAllPods: true"
type ServiceAccountReference struct {
	// The service account's name.
	//
	// +required
	Name ObjectName `json:"name"`

	// Has to be true for the service account default, and is of no use otherwise: that every pod of the namespace which names no service
	// account may be this client is meant so.
	//
	// +optional
	SharedWithAllPods bool `json:"sharedWithAllPods,omitempty"`
}

// TrustedTokenReference names whose tokens prove the client.
type TrustedTokenReference struct {
	// The iss of the tokens, as the administrators list it.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.startsWith('https://')",message="an issuer begins with https://, as the iss of its tokens does"
	// +required
	Issuer string `json:"issuer"`

	// The sub of the tokens, the whole of it: system:serviceaccount:billing:worker of another cluster,
	// repo:example/app:ref:refs/heads/main of a CI system.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +required
	Subject string `json:"subject"`
}

// AuthenticationMethod is a way in which a client proves who it is.
type AuthenticationMethod string

// The ways in which a client proves who it is.
const (
	MethodClientSecret   AuthenticationMethod = "ClientSecret"
	MethodPrivateKeyJWT  AuthenticationMethod = "PrivateKeyJWT"
	MethodServiceAccount AuthenticationMethod = "ServiceAccount"
	MethodTrustedToken   AuthenticationMethod = "TrustedToken"
	MethodTLS            AuthenticationMethod = "TLS"
)

// AuthenticationStatus is what is known of one way in which the client proves who it is.
type AuthenticationStatus struct {
	// The way: ClientSecret, PrivateKeyJWT, ServiceAccount, TrustedToken, or TLS.
	//
	// +kubebuilder:validation:MaxLength=32
	// +required
	Method AuthenticationMethod `json:"method"`

	// When it was last used, to within a day.
	//
	// +required
	LastUsed metav1.Time `json:"lastUsed"`
}

// PrivateKeyStatus is what is known of one generated private key.
type PrivateKeyStatus struct {
	// The number of the key: 1 for the first, one more with each rotation.
	//
	// +required
	Version int64 `json:"version"`

	// Its kid, the thumbprint of the public key (RFC 7638).
	//
	// +kubebuilder:validation:MaxLength=64
	// +required
	KeyID string `json:"keyID"`

	// When it was made.
	//
	// +required
	Created metav1.Time `json:"created"`

	// When it was last used: to within a day, and while a key from before is valid, to within about an hour. Unset: not yet.
	//
	// +optional
	LastUsed *metav1.Time `json:"lastUsed,omitempty"`

	// When it ends at the latest. Unset: it is the present one.
	//
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`
}

// JSON returns the key set as JSON (RFC 7517, section 5).
func (s *JWKSet) JSON() []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic("v1alpha1: a key set of texts did not encode: " + err.Error())
	}
	return text
}

// AuthenticationMethods returns the ways in which the client may prove who it is.
func (c *OAuthClient) AuthenticationMethods() []AuthenticationMethod {
	var methods []AuthenticationMethod
	for _, way := range []struct {
		method AuthenticationMethod
		there  bool
	}{
		{MethodClientSecret, c.Spec.Secret.Source != SecretNone},
		{MethodPrivateKeyJWT, c.Spec.Authentication.PrivateKeyJWT != nil},
		{MethodServiceAccount, len(c.Spec.Authentication.ServiceAccounts) > 0},
		{MethodTrustedToken, len(c.Spec.Authentication.TrustedTokens) > 0},
		{MethodTLS, c.Spec.Authentication.TLS != nil},
	} {
		if way.there {
			methods = append(methods, way.method)
		}
	}
	return methods
}
