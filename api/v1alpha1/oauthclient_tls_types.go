package v1alpha1

// TLSAuthenticationSpec is what the TLS client certificate of a client says of it (RFC 8705, section 2.1.2): one thing, by which the client
// is known.
//
// +kubebuilder:validation:XValidation:rule="[has(self.subjectDN), has(self.sanDNS), has(self.sanURI), has(self.sanIP), has(self.sanEmail)].filter(given, given).size() == 1",message="a certificate is known by one thing: set exactly one of subjectDN, sanDNS, sanURI, sanIP and sanEmail"
type TLSAuthenticationSpec struct {
	// The certificate's subject, as a string by RFC 4514: CN=worker,OU=billing,O=Example. It is the whole subject, its last part
	// first, as openssl x509 -nameopt RFC2253 prints it. There are no spaces around "," and "=". A character out of , + " \ < > ; in
	// a value is written after a backslash, any other byte as \ and two hexadecimal digits. Values count as they are written,
	// upper and lower case too; names of attributes do not: CN, L, ST, O, OU, C, STREET, DC, UID, SERIALNUMBER, POSTALCODE,
	// EMAILADDRESS, or an OID in dots.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="(self + ',').matches(r'^((?i:CN|L|ST|O|OU|C|STREET|DC|UID|SERIALNUMBER|POSTALCODE|EMAILADDRESS|[0-2](\\.(0|[1-9][0-9]{0,8}))+)=(#([0-9A-Fa-f]{2})+|([^\\x00-\\x1f\\x7f \"#+,;<>\\\\]|\\\\([ \"#+,;<=>\\\\]|[0-9A-Fa-f]{2}))( *([^\\x00-\\x1f\\x7f \"+,;<>\\\\]|\\\\([ \"#+,;<=>\\\\]|[0-9A-Fa-f]{2})))*)[,+])+$')",message="subjectDN is a distinguished name as RFC 4514 writes it, without spaces around commas, for example CN=worker,OU=billing,O=Example; openssl x509 -noout -subject -nameopt RFC2253 prints a certificate's"
	// +optional
	SubjectDN string `json:"subjectDN,omitempty"`

	// A DNS name among the certificate's subject alternative names, in lower case: worker.billing.svc. It is no pattern, and a
	// certificate for *.billing.svc has not the name worker.billing.svc.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9_]([-a-z0-9_]*[a-z0-9])?(\\.[a-z0-9_]([-a-z0-9_]*[a-z0-9])?)*$')",message="sanDNS is a DNS name in lower case without a dot at the end, for example worker.billing.svc; there are no patterns, as in *.billing.svc"
	// +optional
	SANDNS string `json:"sanDNS,omitempty"`

	// A URI among the certificate's subject alternative names, character by character. A SPIFFE ID,
	// spiffe://example.org/ns/billing/sa/worker, must be the certificate's only one.
	//
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z][a-z0-9+.-]*:[A-Za-z0-9._~:/?\\[\\]@!$&()*+,;=%\\x27-]+$')",message="sanURI is an absolute URI without fragment, its scheme in lower case, for example spiffe://example.org/ns/billing/sa/worker"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('spiffe:') || (self.matches(r'^spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+$') && !self.matches(r'/\\.\\.?(/|$)'))",message="a SPIFFE ID is spiffe://, a trust domain in lower case, and a path of letters, digits, '.', '-' and '_', for example spiffe://example.org/ns/billing/sa/worker"
	// +optional
	SANURI string `json:"sanURI,omitempty"`

	// An IP address among the certificate's subject alternative names: 10.0.0.7 or 2001:db8::7.
	//
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="sanIP is an IPv4 or IPv6 address, for example 10.0.0.7"
	// +optional
	SANIP string `json:"sanIP,omitempty"`

	// An email address among the certificate's subject alternative names: worker@example.com. Upper and lower case count before
	// the "@", and not after it.
	//
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=320
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[A-Za-z0-9.!#$%&*+/=?^_`{|}~\\x27-]{1,64}@[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="sanEmail is an email address whose domain is in lower case, for example worker@example.com"
	// +optional
	SANEmail string `json:"sanEmail,omitempty"`
}
