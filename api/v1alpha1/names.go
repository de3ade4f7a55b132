package v1alpha1

import corev1 "k8s.io/api/core/v1"

// Labels on the Secrets that Kubemint makes.
const (
	// LabelComponent says what a Secret is for, with one of the Component values. Kubemint watches only Secrets that
	// carry it.
	LabelComponent = "oauth.kubemint.dev/component"
	// LabelClientUID is the UID of the OAuthClient whose credentials a Secret holds. It finds a client's Secrets; it
	// proves nothing: ownership is decided by the controller owner reference alone.
	LabelClientUID = "oauth.kubemint.dev/client-uid"
	// LabelManagedBy is the conventional label for the tool that manages an object.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is Kubemint's value of LabelManagedBy, and its field manager.
	ManagedBy = "kubemint"
)

// LabelClient is the label by which a Secret that somebody else makes agrees to hold the client secret of the OAuthClient that it
// names (spec.secret.source Provided).
const LabelClient = "oauth.kubemint.dev/client"

// Annotations.
const (
	// AnnotationRotate asks for one rotation, of an OAuthClient's client secret or of what one of Kubemint's own Secrets holds, by
	// any value that differs from the one before.
	AnnotationRotate = "oauth.kubemint.dev/rotate"
	// AnnotationRevoke, on the Secret of the signing keys, names the kid of a key that is taken out at once.
	AnnotationRevoke = "oauth.kubemint.dev/revoke"
	// AnnotationStatus, on one of Kubemint's own Secrets, says in words what it holds and what happens next.
	AnnotationStatus = "oauth.kubemint.dev/status"
	// AnnotationCredentials, on the Secret of an OAuthClient, is the record of its client secrets: versions, times and digests.
	AnnotationCredentials = "oauth.kubemint.dev/credentials"
	// AnnotationPrivateKeys, on the same Secret, is the record of its generated private keys: versions, times and public keys.
	AnnotationPrivateKeys = "oauth.kubemint.dev/private-keys"
)

// Values of LabelComponent.
const (
	ComponentClientCredentials    = "client-credentials"
	ComponentSigningKeys          = "signing-keys"
	ComponentCertificateAuthority = "certificate-authority"
	ComponentServingCertificate   = "serving-certificate"
)

// Secrets in Kubemint's own namespace.
const (
	SigningKeysSecretName          = "kubemint-signing-keys"
	CertificateAuthoritySecretName = "kubemint-ca"
	ServingCertificateSecretName   = "kubemint-serving-cert"

	// SigningKeysKey is the key under which the signing keys Secret holds the ring.
	SigningKeysKey = "ring.json"
	// CACertificateKey is the conventional key of a CA certificate beside tls.crt and tls.key. While the CA changes, it holds several.
	CACertificateKey = "ca.crt"
	// NextCertificateKey and NextPrivateKeyKey are, beside those of the CA that signs, the keys of the one that is to follow it.
	NextCertificateKey = "next.crt"
	NextPrivateKeyKey  = "next.key"
	// PreviousCertificateKey is the key of the certificate of the CA that signed before.
	PreviousCertificateKey = "previous.crt"
	// RotationKey is the key of what is remembered of a certificate's rotation: when it came, and which request was followed.
	RotationKey = "rotation.json"
)

// Secret types. A Secret's type is immutable.
const (
	SecretTypeClientCredentials corev1.SecretType = "oauth.kubemint.dev/client-credentials"
	SecretTypeSigningKeys       corev1.SecretType = "oauth.kubemint.dev/signing-keys"
)
