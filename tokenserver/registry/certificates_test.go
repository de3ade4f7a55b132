package registry

import (
	"testing"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

func TestCertificateOfClient(t *testing.T) {
	for _, row := range []struct {
		name string
		spec *v1alpha1.TLSAuthenticationSpec
		want *grant.CertificateBinding
	}{
		{"none", nil, nil},
		{"subject", &v1alpha1.TLSAuthenticationSpec{SubjectDN: "CN=worker"}, &grant.CertificateBinding{Kind: grant.SubjectDN, Value: "CN=worker"}},
		{"DNS name", &v1alpha1.TLSAuthenticationSpec{SANDNS: "worker.test"}, &grant.CertificateBinding{Kind: grant.SANDNS, Value: "worker.test"}},
		{"URI", &v1alpha1.TLSAuthenticationSpec{SANURI: "spiffe://test/worker"}, &grant.CertificateBinding{Kind: grant.SANURI, Value: "spiffe://test/worker"}},
		{"IP address", &v1alpha1.TLSAuthenticationSpec{SANIP: "10.0.0.7"}, &grant.CertificateBinding{Kind: grant.SANIP, Value: "10.0.0.7"}},
		{"email address", &v1alpha1.TLSAuthenticationSpec{SANEmail: "worker@test"}, &grant.CertificateBinding{Kind: grant.SANEmail, Value: "worker@test"}},
		{"nothing, which the API server refuses", &v1alpha1.TLSAuthenticationSpec{}, nil},
		{"two names, which the API server refuses", &v1alpha1.TLSAuthenticationSpec{SANDNS: "worker.test", SANIP: "10.0.0.7"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			object := oauthClient("worker", "uid-1", "read")
			object.Spec.Authentication.TLS = row.spec
			c := newClients(consent.Policy{}, newResourceServers())
			c.set(object)
			asymmetric := c.get("billing.worker").Asymmetric
			switch {
			case row.want == nil:
				if asymmetric != nil && asymmetric.Certificate != nil {
					t.Errorf("it is known by %v", *asymmetric.Certificate)
				}
			case asymmetric == nil || asymmetric.Uses == nil || asymmetric.Certificate == nil || *asymmetric.Certificate != *row.want:
				t.Errorf("it is known by %+v, want %v", asymmetric, *row.want)
			}
		})
	}
	t.Run("taken away", func(t *testing.T) {
		object := oauthClient("worker", "uid-1", "read")
		object.Spec.Authentication.TLS = &v1alpha1.TLSAuthenticationSpec{SANDNS: "worker.test"}
		c := newClients(consent.Policy{}, newResourceServers())
		c.set(object)
		c.set(oauthClient("worker", "uid-1", "read"))
		if asymmetric := c.get("billing.worker").Asymmetric; asymmetric != nil && asymmetric.Certificate != nil {
			t.Errorf("it is still known by %v", *asymmetric.Certificate)
		}
	})
}
