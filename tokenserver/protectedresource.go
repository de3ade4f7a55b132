package tokenserver

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// ProtectedResourcePath is where the metadata of protected resources stands, before the issuer's path and the API's namespace and
// name. An API names its document in its WWW-Authenticate (RFC 9728, section 5.1), or serves a copy of it below its own URL.
const ProtectedResourcePath = "/.well-known/oauth-protected-resource"

// protectedResource serves the metadata of the API that the rest of a path names.
func (s *Server) protectedResource(w http.ResponseWriter, r *http.Request, rest string) {
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	if !s.Registry.Ready() {
		oauth2.Unavailable.Write(w)
		return
	}
	namespace, name, _ := strings.Cut(rest, "/")
	resource := s.Registry.ProtectedResource(namespace, name)
	if resource == nil {
		notFound(w)
		return
	}
	document := *resource
	document.AuthorizationServers, document.BearerMethods = []string{s.Issuer.URL}, []string{"header"}
	body, err := json.Marshal(document)
	if err != nil {
		panic("tokenserver: the metadata of a protected resource did not encode: " + err.Error())
	}
	publish(w, r, "application/json", body)
}
