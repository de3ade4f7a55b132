// Package rotation decides, as pure functions with a clock, what is to be done with secrets and certificates: from what is and
// the time, to what to do, why, and when to look again.
package rotation

import (
	"bytes"
	"crypto/x509"
	"net"
	"slices"
	"time"
)

// Certificate is a decision on a certificate.
type Certificate struct {
	// Renew is whether to make a new one, and Why the reason.
	Renew bool
	Why   string
	// Next is when to look again, if it is kept.
	Next time.Time
}

// ServingCertificate renews a serving certificate when two thirds of its life have passed, when it is not for exactly these
// hosts, or when ca did not sign it. A nil certificate is a missing one.
func ServingCertificate(cert, ca *x509.Certificate, hosts []string, now time.Time) Certificate {
	switch {
	case cert == nil:
		return Certificate{Renew: true, Why: "there is none"}
	case !slices.Equal(sorted(hosts), hostsOf(cert)):
		return Certificate{Renew: true, Why: "it is for other hosts"}
	case !bytes.Equal(cert.RawIssuer, ca.RawSubject) || cert.CheckSignatureFrom(ca) != nil:
		return Certificate{Renew: true, Why: "another CA signed it"}
	}
	return renewFrom(cert.NotBefore.Add(lifeOf(cert)/3*2), now)
}

// CertificateAuthority renews a CA certificate when half of its life has passed: what trusts the old certificate then has the
// other half to learn of the new one.
func CertificateAuthority(cert *x509.Certificate, now time.Time) Certificate {
	return renewFrom(cert.NotBefore.Add(lifeOf(cert)/2), now)
}

func lifeOf(cert *x509.Certificate) time.Duration { return cert.NotAfter.Sub(cert.NotBefore) }

// renewFrom renews a certificate from the time that it is due.
func renewFrom(due, now time.Time) Certificate {
	if now.Before(due) {
		return Certificate{Next: due}
	}
	return Certificate{Renew: true, Why: "its renewal is due"}
}

// hostsOf returns the hosts that a certificate is for, sorted.
func hostsOf(cert *x509.Certificate) []string {
	hosts := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return sorted(hosts)
}

func sorted(hosts []string) []string {
	canonical := make([]string, len(hosts))
	for i, host := range hosts {
		canonical[i] = host
		if ip := net.ParseIP(host); ip != nil {
			canonical[i] = ip.String()
		}
	}
	slices.Sort(canonical)
	return slices.Compact(canonical)
}
