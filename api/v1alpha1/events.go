package v1alpha1

// Reasons of the events on Kubemint's own Secrets.
const (
	// EventSigningKeyPrepared: a new signing key is published, and signs when verifiers have had the time to learn of it.
	EventSigningKeyPrepared = "SigningKeyPrepared"
	// EventSigningKeyActivated: another key signs tokens from now on. The one before stays published.
	EventSigningKeyActivated = "SigningKeyActivated"
	// EventSigningKeyRemoved: a key is no longer published. None of its tokens is valid any more.
	EventSigningKeyRemoved = "SigningKeyRemoved"
	// EventSigningKeyRevoked: a key was taken out at once, as somebody asked. Its tokens no longer verify.
	EventSigningKeyRevoked = "SigningKeyRevoked"
	// EventSigningKeyUnknown: the key that was to be revoked is not in the ring.
	EventSigningKeyUnknown = "SigningKeyUnknown"
	// EventSigningKeysInvalid: the signing keys cannot be read. The token servers go on with the last good ones.
	EventSigningKeysInvalid = "SigningKeysInvalid"

	// EventAuthorityPrepared: the ca.crt of all clients holds a new CA, which signs when they have had the time to read it.
	EventAuthorityPrepared = "CertificateAuthorityPrepared"
	// EventAuthorityActivated: another CA signs the serving certificate from now on. The one before stays in ca.crt for a while.
	EventAuthorityActivated = "CertificateAuthorityActivated"
	// EventAuthorityRemoved: a CA of before is no longer in ca.crt.
	EventAuthorityRemoved = "CertificateAuthorityRemoved"
	// EventAuthorityRepaired: what the Secret of the CA holds beside the CA had been changed by somebody else, and was made good.
	EventAuthorityRepaired = "CertificateAuthorityRepaired"
	// EventAuthorityInvalid: the CA cannot be read. The serving certificate stays as it is.
	EventAuthorityInvalid = "CertificateAuthorityInvalid"
	// EventAuthorityEnding: a CA that Kubemint did not make ends soon, and somebody must replace it.
	EventAuthorityEnding = "CertificateAuthorityEnding"
	// EventServingCertificateIssued: there is a new serving certificate.
	EventServingCertificateIssued = "ServingCertificateIssued"
)
