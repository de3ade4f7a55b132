package clientauth

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// maxCertificates bounds what a caller shows: its certificate, and those between it and the CA.
const maxCertificates = 5

// readCertificate reads the credentials of a request that has none but a TLS client certificate: who the client says it is (RFC 8705,
// section 2). That it has the certificate's key, the handshake has shown.
func readCertificate(connection *tls.ConnectionState, clientID string) (Credentials, *oauth2.Error) {
	if clientID == "" {
		return Credentials{Method: TLSClientAuth}, refusedCertificate("the request has no client_id: send it")
	}
	return Credentials{Method: TLSClientAuth, ClientID: clientID, connection: connection}, nil
}

// hasCertificate reports whether a caller showed a certificate, where it was asked for one.
func hasCertificate(connection *tls.ConnectionState) bool {
	return connection != nil && len(connection.PeerCertificates) > 0
}

// byCertificate verifies a TLS client certificate (RFC 8705, section 2.1): at each request, as a connection outlives certificates and
// CAs, and so does a session that is resumed. Tokens are bound to it (section 3).
func (a *Authenticator) byCertificate(c Credentials) (*Caller, *grant.Client, *oauth2.Error) {
	client, now := a.client(c.ClientID), a.Now()
	shown := c.connection.PeerCertificates
	if err := verifyChain(shown, a.ClientCAs(), now); err != nil {
		return nil, client, refusedCertificate(err.Error())
	}
	if client.Asymmetric == nil || client.Asymmetric.Certificate == nil {
		return nil, client, refusedCertificate("the client is unknown, or has no spec.authentication.tls")
	}
	if binding := client.Asymmetric.Certificate; !isNamed(shown[0], *binding) {
		return nil, client, refusedCertificate("it has not the name in spec.authentication.tls." + string(binding.Kind))
	}
	client.Asymmetric.Uses.Certificate.Mark(now)
	return &Caller{Client: client, Method: TLSClientAuth, Confirmation: grant.Confirmation{Certificate: thumbprint(shown[0])}}, client, nil
}

// verifyChain verifies that the first certificate of those that were shown is one of a client, signed by a CA, if need be by way of the
// others, and valid now. An error quotes none of them.
func verifyChain(shown []*x509.Certificate, authorities *x509.CertPool, now time.Time) error {
	if len(shown) > maxCertificates {
		return errors.New("too many certificates come with it: send those between it and the CA, and no others")
	}
	leaf, between := shown[0], x509.NewCertPool()
	if leaf.IsCA {
		return errors.New("it is a CA's own, and no client's")
	}
	names := map[string]bool{}
	for _, certificate := range shown[1:] {
		if !certificate.IsCA {
			return errors.New("another client's certificate comes with it: send one, and those of the CAs that signed it")
		}
		// Among CAs of one name there may be very many chains, all of which would be tried.
		if names[string(certificate.RawSubject)] {
			return errors.New("two CAs of one name come with it: send those that signed it, each once")
		}
		names[string(certificate.RawSubject)] = true
		between.AddCert(certificate)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: authorities, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return chainError(leaf, err, now)
	}
	return nil
}

// chainError says why a chain does not verify. The errors of crypto/x509 quote names in certificates.
func chainError(leaf *x509.Certificate, err error, now time.Time) error {
	var invalid x509.CertificateInvalidError
	switch {
	case now.After(leaf.NotAfter):
		return errors.New("it has expired")
	case now.Before(leaf.NotBefore):
		return errors.New("it is not valid yet")
	case !errors.As(err, &invalid):
		return errors.New("no CA in --client-ca-file has signed it, by way of those that come with it, with an algorithm that is safe")
	case invalid.Reason == x509.Expired:
		return errors.New("a CA between it and one in --client-ca-file has expired, or is not valid yet")
	case invalid.Reason == x509.IncompatibleUsage:
		return errors.New("it is not for clients: its extended key usage must be clientAuth")
	default:
		return errors.New("a CA between it and one in --client-ca-file does not allow it")
	}
}

// isNamed reports whether a certificate has the name by which a client is known. A common name is no alternative name, and a wildcard
// has not the names that it stands for.
func isNamed(leaf *x509.Certificate, known grant.CertificateBinding) bool {
	switch known.Kind {
	case grant.SubjectDN:
		want, err := parseDN(known.Value)
		subject, ok := subjectOf(leaf.RawSubject)
		return err == nil && ok && subject.equal(want)
	case grant.SANDNS:
		return slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return strings.EqualFold(name, known.Value) })
	case grant.SANURI:
		return hasURI(leaf, known.Value)
	case grant.SANIP:
		return hasIP(leaf, known.Value)
	case grant.SANEmail:
		return slices.ContainsFunc(leaf.EmailAddresses, func(address string) bool { return sameMailbox(address, known.Value) })
	}
	return false
}

// hasURI compares URIs character by character. A SPIFFE ID counts only where there is no other URI (X509-SVID, section 2).
func hasURI(leaf *x509.Certificate, want string) bool {
	if strings.HasPrefix(want, "spiffe:") && len(leaf.URIs) != 1 {
		return false
	}
	for _, uri := range leaf.URIs {
		if uri.String() == want {
			return true
		}
	}
	return false
}

func hasIP(leaf *x509.Certificate, want string) bool {
	address, err := netip.ParseAddr(want)
	if err != nil {
		return false
	}
	for _, ip := range leaf.IPAddresses {
		if got, ok := netip.AddrFromSlice(ip); ok && got == address {
			return true
		}
	}
	return false
}

// sameMailbox compares two email addresses: case counts before the @, and not after it (RFC 5280, section 7.5).
func sameMailbox(a, b string) bool {
	at := strings.LastIndexByte(a, '@')
	return at > 0 && at == strings.LastIndexByte(b, '@') && a[:at] == b[:at] && strings.EqualFold(a[at:], b[at:])
}

// thumbprint is x5t#S256 of a certificate (RFC 8705, section 3.1).
func thumbprint(certificate *x509.Certificate) string {
	digest := sha256.Sum256(certificate.Raw)
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// refusedCertificate is the refusal of a TLS client certificate.
func refusedCertificate(cause string) *oauth2.Error {
	return oauth2.InvalidClient.Because("client certificate: " + cause)
}
