package grant

// CertificateBinding is what the TLS client certificate of a client says (RFC 8705, section 2.1.2): one kind of name, and its value.
type CertificateBinding struct {
	Kind  CertificateName
	Value string
}

// CertificateName is a kind of name in a certificate, as spec.authentication.tls spells it.
type CertificateName string

// The kinds of names that a client can be known by.
const (
	SubjectDN CertificateName = "subjectDN"
	SANDNS    CertificateName = "sanDNS"
	SANURI    CertificateName = "sanURI"
	SANIP     CertificateName = "sanIP"
	SANEmail  CertificateName = "sanEmail"
)
