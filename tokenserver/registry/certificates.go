package registry

import (
	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// certificateOf returns what an OAuthClient's TLS client certificate must say; nil where none proves it, or where that is ambiguous,
// which the API server refuses.
func certificateOf(object *v1alpha1.OAuthClient) *grant.CertificateBinding {
	spec := object.Spec.Authentication.TLS
	if spec == nil {
		return nil
	}
	var binding *grant.CertificateBinding
	for kind, value := range map[grant.CertificateName]string{
		grant.SubjectDN: spec.SubjectDN, grant.SANDNS: spec.SANDNS, grant.SANURI: spec.SANURI,
		grant.SANIP: spec.SANIP, grant.SANEmail: spec.SANEmail,
	} {
		switch {
		case value == "":
		case binding != nil:
			return nil
		default:
			binding = &grant.CertificateBinding{Kind: kind, Value: value}
		}
	}
	return binding
}
