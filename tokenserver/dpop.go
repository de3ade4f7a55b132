package tokenserver

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// DPoP is whether clients may bind their tokens to a key, by a proof that they have it (RFC 9449).
type DPoP string

// The settings of DPoP.
const (
	// DPoPOff leaves proofs alone: whoever sends one gets a bearer token.
	DPoPOff DPoP = "off"
	// DPoPOn binds the token of who sends a proof.
	DPoPOn DPoP = "on"
	// DPoPNonce does so too, and a proof must hold a nonce of the server's.
	DPoPNonce DPoP = "nonce"
)

func (d DPoP) enabled() bool { return d == DPoPOn || d == DPoPNonce }

// algorithms returns those that proofs may be signed with.
func (d DPoP) algorithms() []assertion.Algorithm {
	if !d.enabled() {
		return nil
	}
	return assertion.Algorithms
}

// The headers of DPoP (RFC 9449, sections 4.1 and 8), as package http spells them.
const (
	proofHeader = "Dpop"
	nonceHeader = "Dpop-Nonce"
)

// noncePurpose names the secrets that nonces are made with.
const noncePurpose = "DPoP nonces"

// proofs checks the DPoP proofs of token requests. The nil one leaves them alone.
type proofs struct {
	*assertion.Proofs
	now      func() time.Time
	registry Registry

	needNonce bool
	// latest is the nonces of the ring that was seen last.
	latest atomic.Pointer[ringNonces]
}

// ringNonces are the nonces that follow from a ring.
type ringNonces struct {
	ring *signing.Ring
	*assertion.Nonces
}

func newProofs(config Config) (*proofs, error) {
	if !config.DPoP.enabled() {
		return nil, nil
	}
	verifier, err := assertion.NewProofs(config.Issuer.Endpoint(TokenPath), config.Issuer.Now)
	if err != nil {
		return nil, err
	}
	return &proofs{Proofs: verifier, now: config.Issuer.Now, registry: config.Registry, needNonce: config.DPoP == DPoPNonce}, nil
}

// check returns the thumbprint of the key that a client proves to have, or nothing where its request has no proof. Where nonces are needed,
// whatever the answer to a request with a proof, it holds one for the next.
func (p *proofs) check(w http.ResponseWriter, r *http.Request, client *grant.Client) (thumbprint string, refusal *oauth2.Error) {
	sent := r.Header[proofHeader]
	if p == nil || len(sent) == 0 {
		return "", nil
	}
	var fresh func(nonce string) bool
	if p.needNonce {
		nonces, err := p.nonces()
		if err != nil {
			return "", oauth2.ServerError.Because(err.Error())
		}
		w.Header().Set(nonceHeader, nonces.New(p.now()))
		fresh = func(nonce string) bool { return nonces.Fresh(nonce, p.now()) }
	}
	if len(sent) > 1 {
		return "", oauth2.InvalidDPoPProof.Because("DPoP: the request has more than one proof")
	}
	thumbprint, err := p.Verify(client.ID, r.Method, sent[0], fresh)
	switch {
	case errors.Is(err, assertion.ErrNonce):
		return "", oauth2.UseDPoPNonce.Because("DPoP proof: " + err.Error())
	case err != nil:
		return "", oauth2.InvalidDPoPProof.Because("DPoP proof: " + err.Error())
	}
	return thumbprint, nil
}

// nonces returns those that every replica knows, by the signing keys, which all have.
func (p *proofs) nonces() (*assertion.Nonces, error) {
	ring := p.registry.Ring()
	if latest := p.latest.Load(); latest != nil && latest.ring == ring {
		return latest.Nonces, nil
	}
	secrets, err := ring.Secrets(noncePurpose)
	if err != nil {
		return nil, err
	}
	latest := &ringNonces{ring, assertion.NewNonces(secrets)}
	p.latest.Store(latest)
	return latest.Nonces, nil
}

// tokenType returns the token_type of a token (RFC 9449, section 5). One that is bound to a certificate is a Bearer token by type, too
// (RFC 8705, section 3).
func tokenType(c grant.Confirmation) string {
	if c.Key != "" {
		return "DPoP"
	}
	return "Bearer"
}
