package oauth2

// ProtectedResource is the metadata of an API (RFC 9728, section 2).
type ProtectedResource struct {
	// Resource is the API's audience.
	Resource string `json:"resource"`
	// AuthorizationServers is the issuer. The server fills it in.
	AuthorizationServers []string `json:"authorization_servers"`
	Scopes               []string `json:"scopes_supported"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	Name                 string   `json:"resource_name,omitempty"`
	Documentation        string   `json:"resource_documentation,omitempty"`
}
