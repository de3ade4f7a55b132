package v1alpha1

// SecretSource is who makes the Secret.
//
// +kubebuilder:validation:Enum=Generated;Provided;None
type SecretSource string

// Who makes the Secret.
const (
	SecretGenerated SecretSource = "Generated"
	SecretProvided  SecretSource = "Provided"
	SecretNone      SecretSource = "None"
)

// SecretSpec is where a client's credentials are written.
type SecretSpec struct {
	// Who makes the Secret. Generated: Kubemint makes it, with a new client secret. Provided: somebody else does (Sealed Secrets,
	// External Secrets, Vault, SOPS): Kubemint waits for it (condition Ready, reason WaitingForSecret) and never writes to it or
	// deletes it. Such a Secret agrees by the label oauth.kubemint.dev/client: NAME, with the OAuthClient's name, and holds the
	// client secret under keys.clientSecret: 32 to 256 characters out of A-Z a-z 0-9 - . _ ~, made at random (condition Ready, reason
	// WeakSecret, where it is not). When it changes, or the Secret is deleted, the value from before stays valid through the overlap.
	// Everything else that a program needs is written to a Secret of Kubemint's own, NAME-kubemint. See docs/provided-secrets.md.
	// None: the client has no client secret, and proves who it is as spec.authentication says. The Secret holds all else. A client secret
	// that it had is refused from then on.
	//
	// +kubebuilder:default=Generated
	// +optional
	Source SecretSource `json:"source,omitempty"`

	// The name of the Secret, in the OAuthClient's namespace. Unset, it is the OAuthClient's own name.
	// With source Generated or None, renaming it moves the credential: a Secret with the new name is made, with the same client_secret, and the old one
	// is deleted. A Secret that exists already and is not this OAuthClient's is never touched (condition SecretConflict).
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="the name of a Secret is lower case letters, digits, '-' and '.', and begins and ends with a letter or digit, for example invoice-worker-oauth"
	// +optional
	Name string `json:"name,omitempty"`

	// The keys under which the Secret holds each value. Rename any of them to what your program reads.
	//
	// +kubebuilder:default={clientID: "client_id", clientSecret: "client_secret", issuer: "issuer", tokenURL: "token_url", scope: "scope", caCert: "ca.crt", type: "type", provider: "provider", privateKeyJWK: "private_key_jwk", privateKeyPEM: "private_key_pem", privateKeyID: "private_key_id"}
	// +optional
	Keys SecretKeys `json:"keys,omitzero"`

	// Labels and annotations for the Secret, beside Kubemint's own.
	//
	// +optional
	Template SecretTemplate `json:"template,omitzero"`
}

// SecretKeys names the keys of the Secret.
//
// +kubebuilder:validation:XValidation:rule="([self.clientID, self.clientSecret, self.issuer, self.tokenURL, self.scope, self.caCert, self.type, self.provider, self.privateKeyJWK, self.privateKeyPEM, self.privateKeyID] + (has(self.envFile) ? [self.envFile] : [])).all(k, ([self.clientID, self.clientSecret, self.issuer, self.tokenURL, self.scope, self.caCert, self.type, self.provider, self.privateKeyJWK, self.privateKeyPEM, self.privateKeyID] + (has(self.envFile) ? [self.envFile] : [])).exists_one(other, other == k))",message="two values would share one key of the Secret: give each its own (defaults: client_id, client_secret, issuer, token_url, scope, ca.crt, type, provider, private_key_jwk, private_key_pem, private_key_id)"
// +kubebuilder:validation:XValidation:rule="!has(self.envFile) || [[self.clientID, self.clientSecret, self.issuer, self.tokenURL, self.scope, self.type, self.provider].map(k, (k.matches('^[0-9]') ? '_' + k : k).upperAscii().replace('-', '_').replace('.', '_'))].all(names, names.all(n, names.exists_one(other, other == n)))",message="two values would share one name in the env file, where keys are in upper case with '_' for '-' and '.': choose keys that differ in more, or leave envFile out",fieldPath=".envFile"
type SecretKeys struct {
	// The key of the client identifier. Unset: client_id.
	//
	// +kubebuilder:default=client_id
	// +optional
	ClientID SecretKey `json:"clientID,omitempty"`

	// The key of the client secret. Unset: client_secret.
	//
	// +kubebuilder:default=client_secret
	// +optional
	ClientSecret SecretKey `json:"clientSecret,omitempty"`

	// The key of the issuer's URL, the iss of every token. Unset: issuer.
	//
	// +kubebuilder:default=issuer
	// +optional
	Issuer SecretKey `json:"issuer,omitempty"`

	// The key of the token endpoint's URL. Unset: token_url.
	//
	// +kubebuilder:default=token_url
	// +optional
	TokenURL SecretKey `json:"tokenURL,omitempty"`

	// The key of the scopes, separated by spaces as in a token request: spec.scopes, or where there are none, those that spec.resources
	// lists, if it lists one ResourceServer only; of several the value is empty, as a token is for one of them. Unset: scope.
	//
	// +kubebuilder:default=scope
	// +optional
	Scope SecretKey `json:"scope,omitempty"`

	// The key of the CA certificate (PEM) to verify the token endpoint with. The value is there when Kubemint's own CA,
	// or one that its administrator names, signs the endpoint's certificate. Unset: ca.crt.
	//
	// +kubebuilder:default="ca.crt"
	// +optional
	CACert SecretKey `json:"caCert,omitempty"`

	// The key of the kind of service, oauth2, by which Service Binding tools tell bindings apart. Unset: type.
	//
	// +kubebuilder:default=type
	// +optional
	Type SecretKey `json:"type,omitempty"`

	// The key of the service's provider, kubemint, for Service Binding tools. Unset: provider.
	//
	// +kubebuilder:default=provider
	// +optional
	Provider SecretKey `json:"provider,omitempty"`

	// The key of the generated private key as a JWK (RFC 7517), with its kid. Unset: private_key_jwk.
	//
	// +kubebuilder:default=private_key_jwk
	// +optional
	PrivateKeyJWK SecretKey `json:"privateKeyJWK,omitempty"`

	// The key of the generated private key as PEM (PKCS #8). Unset: private_key_pem.
	//
	// +kubebuilder:default=private_key_pem
	// +optional
	PrivateKeyPEM SecretKey `json:"privateKeyPEM,omitempty"`

	// The key of the kid of the generated private key, for the header of assertions. Unset: private_key_id.
	//
	// +kubebuilder:default=private_key_id
	// +optional
	PrivateKeyID SecretKey `json:"privateKeyID,omitempty"`

	// The key of a file of environment variables, oauth.env say, with all values but the CA certificate and the private key, one NAME=value a line. Each
	// is named after its key in upper case, with "_" for "-" and ".", and before a digit that it begins with:
	// CLIENT_ID=billing.invoice-worker. A value with a space is quoted, SCOPE='invoices:read invoices:write', as the shell, dotenv and
	// systemd read it; docker run --env-file takes the quotes for part of the value. Unset: there is none.
	//
	// +optional
	EnvFile SecretKey `json:"envFile,omitempty"`
}

// SecretTemplate is extra metadata for the Secret.
type SecretTemplate struct {
	// Labels to add to the Secret. Those under oauth.kubemint.dev/ and app.kubernetes.io/managed-by are Kubemint's.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && k.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="the key of a label is letters, digits, '-', '_' and '.', at most 63 of them, after an optional DNS prefix and '/', for example example.com/team"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.startsWith('oauth.kubemint.dev/') || k == 'app.kubernetes.io/managed-by')",message="labels under oauth.kubemint.dev/ and app.kubernetes.io/managed-by are set by Kubemint itself: choose another key"
	// +optional
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// Annotations to add to the Secret, for example reloader.stakater.com/match: "true".
	// Those under oauth.kubemint.dev/ are Kubemint's.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && k.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="the key of an annotation is letters, digits, '-', '_' and '.', at most 63 of them, after an optional DNS prefix and '/', for example example.com/owner"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.startsWith('oauth.kubemint.dev/'))",message="annotations under oauth.kubemint.dev/ are set by Kubemint itself: choose another key"
	// +optional
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}
