package tokenserver

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/clientauth"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// document is the authorization server's metadata (RFC 8414, section 2). response_types_supported is left out, though it
// is named as required there: this server has no authorization endpoint, and section 3.2 forbids an empty list.
type document struct {
	Issuer                string                `json:"issuer"`
	TokenEndpoint         string                `json:"token_endpoint"`
	JWKSURI               string                `json:"jwks_uri"`
	GrantTypes            []string              `json:"grant_types_supported"`
	TokenEndpointMethods  []clientauth.Method   `json:"token_endpoint_auth_methods_supported"`
	AssertionAlgorithms   []assertion.Algorithm `json:"token_endpoint_auth_signing_alg_values_supported"`
	IDTokenSigningMethods []signing.Algorithm   `json:"id_token_signing_alg_values_supported"`
	// CertificateBound is of RFC 8705, section 3.3. There are no mtls_endpoint_aliases (section 5): the one endpoint takes certificates.
	CertificateBound bool `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	// DPoPAlgorithms is there only where proofs are looked at (RFC 9449, section 5.1).
	DPoPAlgorithms []assertion.Algorithm `json:"dpop_signing_alg_values_supported,omitempty"`
}

// metadata returns the document, which is the same where RFC 8414 and where OpenID Connect Discovery look for it. The server
// issues no ID tokens, but verifiers that know only the latter (kube-apiserver, go-oidc) learn there which algorithms the
// tokens may have.
func (s *Server) metadata(ring *signing.Ring) []byte {
	body, err := json.Marshal(document{
		Issuer:                s.Issuer.URL,
		TokenEndpoint:         s.Issuer.Endpoint(TokenPath),
		JWKSURI:               s.Issuer.Endpoint(JWKSPath),
		GrantTypes:            []string{grant.ClientCredentials},
		TokenEndpointMethods:  s.methods(),
		AssertionAlgorithms:   assertion.Algorithms,
		IDTokenSigningMethods: ring.Algorithms(),
		CertificateBound:      s.ClientCAs != nil,
		DPoPAlgorithms:        s.DPoP.algorithms(),
	})
	if err != nil {
		panic("tokenserver: the metadata did not encode: " + err.Error())
	}
	return body
}

// published serves a public document that follows from the signing keys.
func (s *Server) published(contentType string, content func(*signing.Ring) []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !allow(w, r, http.MethodGet, http.MethodHead) {
			return
		}
		ring := s.Registry.Ring()
		if ring == nil {
			oauth2.Unavailable.Write(w)
			return
		}
		publish(w, r, contentType, content(ring))
	}
}

// publish writes a public document that may be cached; its body is left out where the caller has it.
func publish(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	digest := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(digest[:12]) + `"`
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(signing.PublishedMaxAge.Seconds())))
	header.Set("ETag", etag)
	header.Set("X-Content-Type-Options", "nosniff")
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}
