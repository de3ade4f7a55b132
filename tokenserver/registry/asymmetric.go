package registry

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// proof is what proves an OAuthClient without a shared secret, as its manifest has it. Only those that have any are remembered.
type proof struct {
	uid string
	grant.Asymmetric
	// generated is whether the private keys in the client's own Secrets prove it.
	generated bool
	// now is what proves the client as its Secrets are.
	now *grant.Asymmetric
}

// proofOf returns what proves an OAuthClient without a shared secret, or nil. What is known of its uses goes on, unless it is of another
// one that had its name.
func proofOf(object *v1alpha1.OAuthClient, before *proof) *proof {
	spec := &object.Spec.Authentication
	if spec.PrivateKeyJWT == nil && len(spec.ServiceAccounts) == 0 && len(spec.TrustedTokens) == 0 && spec.TLS == nil {
		return nil
	}
	p := &proof{uid: string(object.UID)}
	if p.Uses = new(grant.Uses); before != nil && before.uid == p.uid {
		p.Uses = before.Uses
	}
	if own := spec.PrivateKeyJWT; own != nil {
		p.KeysURL, p.generated = own.JWKSURI, own.Generated != nil
		if own.JWKS != nil {
			p.Keys, _ = assertion.ParseKeys(own.JWKS.JSON()) // The controller tells the client's owners what is wrong with them.
		}
	}
	p.Certificate = certificateOf(object)
	for _, account := range spec.ServiceAccounts {
		p.ServiceAccounts = append(p.ServiceAccounts, string(account.Name))
	}
	for _, token := range spec.TrustedTokens {
		p.Trusted = append(p.Trusted, grant.TrustedSubject{Issuer: token.Issuer, Subject: token.Subject})
	}
	return p
}

// with returns what proves the client, with the private keys of its own Secrets.
func (p *proof) with(keys []heldKey) *grant.Asymmetric {
	proofs := p.Asymmetric
	if !p.generated {
		return &proofs
	}
	var dated []assertion.DatedKey
	for _, key := range keys {
		if slices.ContainsFunc(dated, func(other assertion.DatedKey) bool { return other.ID == key.dated.ID }) {
			continue // While a Secret is being renamed, two hold it.
		}
		dated = append(dated, key.dated)
		proofs.Generated = append(proofs.Generated, key.GeneratedKey)
	}
	if len(dated) > 0 {
		proofs.Keys, _ = assertion.NewDatedKeys(dated...) // Those that are no point are left out when they are read.
	}
	return &proofs
}

// keysOf returns the private keys in those of a client's Secrets that the OAuthClient of a UID owns.
func (c *clients) keysOf(k known, uid types.UID) (keys []heldKey) {
	for _, s := range k.secretsOf(uid) {
		keys = append(keys, c.keys[k.key(s)]...)
	}
	return keys
}

// heldKey is a private key that a Secret holds: its public half.
type heldKey struct {
	grant.GeneratedKey
	dated assertion.DatedKey
}

// keysIn returns the private keys of which a Secret's record tells. One that was spoilt tells of none: the controller makes it good.
func keysIn(secret *corev1.Secret, before []heldKey) []heldKey {
	stored, ok := secret.Annotations[v1alpha1.AnnotationPrivateKeys]
	if !ok {
		return nil
	}
	record, err := credential.ParseRecord(stored)
	if err != nil {
		return nil
	}
	var keys []heldKey
	for _, version := range record.Versions() {
		key := heldKey{
			GeneratedKey: grant.GeneratedKey{KeyID: version.Digest.String(), Version: version.Number, Use: new(credential.Use)},
			dated:        assertion.DatedKey{ID: version.Digest.String(), Point: version.PublicKey, Until: until(version.Expires)},
		}
		if _, err := assertion.NewDatedKeys(key.dated); err != nil {
			continue
		}
		for _, former := range before {
			if former.KeyID == key.KeyID {
				key.Use = former.Use
			}
		}
		keys = append(keys, key)
	}
	return keys
}

// until returns the end of a version in whole seconds, as that of client secrets counts; zero where it has none.
func until(expires time.Time) time.Time {
	if expires.IsZero() {
		return time.Time{}
	}
	return time.Unix(expires.Unix(), 0)
}

// account is a service account.
type account struct{ namespace, name string }

// noteAccounts remembers which service accounts prove a client, and forgets those that did.
func (c *clients) noteAccounts(id, namespace string, before, now *proof) {
	if before != nil {
		for _, name := range before.ServiceAccounts {
			key := account{namespace, name}
			c.accounts[key] = slices.DeleteFunc(slices.Clone(c.accounts[key]), func(other string) bool { return other == id })
			if len(c.accounts[key]) == 0 {
				delete(c.accounts, key)
			}
		}
	}
	if now != nil {
		for _, name := range now.ServiceAccounts {
			key := account{namespace, name}
			c.accounts[key] = append(slices.Clone(c.accounts[key]), id) // Readers may hold the list.
		}
	}
}

// provedBy returns the identifiers of the clients that a service account proves.
func (c *clients) provedBy(namespace, serviceAccount string) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.accounts[account{namespace, serviceAccount}]
}
