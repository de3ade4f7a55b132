package grant

import (
	"time"

	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// Asymmetric is what proves a client without a shared secret. It is never changed once made, but for its uses.
type Asymmetric struct {
	// Keys verify the assertions that the client signs; nil where there are none, or they are at KeysURL.
	Keys    *assertion.Keys
	KeysURL string
	// Generated are those of Keys that were generated for the client, the present one first; nil where the client makes its own.
	Generated []GeneratedKey
	// ServiceAccounts are the names of those, in the client's own namespace, whose tokens prove it.
	ServiceAccounts []string
	// Trusted are whose tokens prove it, of issuers that the administrators name.
	Trusted []TrustedSubject
	// Certificate is what its TLS client certificate says; nil where none proves it.
	Certificate *CertificateBinding
	// Uses is when each of the ways was last used.
	Uses *Uses
}

// GeneratedKey is a key that was generated for a client.
type GeneratedKey struct {
	// KeyID is its kid, and Version its number.
	KeyID   string
	Version int64
	Use     *credential.Use
}

// TrustedSubject is whose tokens prove a client: a subject of an issuer.
type TrustedSubject struct{ Issuer, Subject string }

// Uses is when a client last proved itself in each way that takes no shared secret.
type Uses struct{ PrivateKey, ServiceAccount, TrustedToken, Certificate credential.Use }

// MarkKey notes that the client proved itself by a key.
func (a *Asymmetric) MarkKey(keyID string, now time.Time) {
	for i := range a.Generated {
		if a.Generated[i].KeyID == keyID {
			a.Generated[i].Use.Mark(now)
		}
	}
	a.Uses.PrivateKey.Mark(now)
}
