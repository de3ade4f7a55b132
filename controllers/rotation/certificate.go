package rotation

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Certificate is a decision on a serving certificate.
type Certificate struct {
	// Renew is whether to make a new one, and Why the reason.
	Renew bool
	Why   string
	// Next is when to look again, if it is kept; zero means when something changes.
	Next time.Time
}

// ServingCertificate renews a serving certificate when two thirds of its life have passed, when it is not for exactly these hosts, when
// ca did not sign it, or when it is asked to. A nil certificate is a missing one. One that lives as long as its CA is not renewed for
// its age: a new one would not live longer.
func ServingCertificate(cert, ca *x509.Certificate, hosts []string, asked bool, now time.Time) Certificate {
	switch {
	case cert == nil:
		return Certificate{Renew: true, Why: "there is none"}
	case !slices.Equal(sorted(hosts), hostsOf(cert)):
		return Certificate{Renew: true, Why: "it is for other hosts"}
	case !bytes.Equal(cert.RawIssuer, ca.RawSubject) || cert.CheckSignatureFrom(ca) != nil:
		return Certificate{Renew: true, Why: "another CA signed it"}
	case asked:
		return Certificate{Renew: true, Why: "a rotation was asked for"}
	case !cert.NotAfter.Before(ca.NotAfter):
		return Certificate{}
	}
	due := renewalOf(cert)
	if now.Before(due) {
		return Certificate{Next: due}
	}
	return Certificate{Renew: true, Why: "its renewal is due"}
}

// ServingStatus says in words what a serving certificate is and what happens next.
func ServingStatus(cert, ca *x509.Certificate) string {
	renewal := stamp(renewalOf(cert))
	if !cert.NotAfter.Before(ca.NotAfter) {
		renewal = "with its CA"
	}
	return fmt.Sprintf("for %s, signed by %s; expires %s, is renewed %s",
		strings.Join(hostsOf(cert), ", "), ca.Subject, stamp(cert.NotAfter), renewal)
}

func renewalOf(cert *x509.Certificate) time.Time { return cert.NotBefore.Add(lifeOf(cert) / 3 * 2) }

func lifeOf(cert *x509.Certificate) time.Duration { return cert.NotAfter.Sub(cert.NotBefore) }

// Authority is a CA, with the one that is to follow it and the one that it follows. Clients trust all three.
type Authority struct {
	// Signing is the one that signs, Next the one that is to, Previous the one that did; the latter two may be nil.
	Signing, Next, Previous *x509.Certificate
	// Prepared is when clients were first given Next; it outlasts one that got lost. Switched is when Signing took the place of
	// Previous.
	Prepared, Switched time.Time
	// Followed is the last request for a rotation that was followed.
	Followed string
	// Provided is whether somebody else made it. Then it is theirs to replace.
	Provided bool
}

// AuthorityDecision is a decision on a CA. The steps are to be taken together, in this order.
type AuthorityDecision struct {
	// Drop is whether clients need not trust Previous any more.
	Drop bool
	// Switch is whether Next is to sign.
	Switch bool
	// Prepare is whether to make another Next, and Why the reason.
	Prepare bool
	Why     string
	// Follow is whether the request for a rotation is met by this, or by what is on its way.
	Follow bool
	// Ending is whether it is time to tell that a provided CA ends.
	Ending bool
	// Next is when to look again, if there is nothing to do.
	Next time.Time
}

// CertificateAuthority replaces a CA by one with another key: for lead, clients are given the next one beside the one that signs; then
// it signs, and for lead again they are given the former one, too. So what the server serves verifies with what a client was given up to
// lead ago. It begins when half of a CA's life has passed, and once for each new value of asked.
func CertificateAuthority(ca Authority, lead time.Duration, asked string, now time.Time) AuthorityDecision {
	if ca.Provided {
		return providedAuthority(ca, lead, now)
	}
	decision := AuthorityDecision{
		Drop:   ca.Previous != nil && !now.Before(dropOf(ca, lead)),
		Switch: ca.Next != nil && !now.Before(switchOf(ca, lead)),
		Follow: asked != "" && asked != ca.Followed,
	}
	if ca.Next == nil {
		decision.Why = whyPrepare(ca, decision.Follow, now)
		decision.Prepare = decision.Why != ""
	}
	if decision == (AuthorityDecision{}) {
		decision.Next = switchOrPrepareOf(ca, lead)
		if ca.Previous != nil {
			decision.Next = earlier(decision.Next, dropOf(ca, lead))
		}
	}
	return decision
}

func whyPrepare(ca Authority, asked bool, now time.Time) string {
	switch {
	case asked:
		return "a rotation was asked for"
	case !ca.Prepared.IsZero():
		return "the one that was prepared cannot be read"
	case !now.Before(halfLifeOf(ca.Signing)):
		return "half of the life of the one that signs has passed"
	}
	return ""
}

func halfLifeOf(cert *x509.Certificate) time.Time { return cert.NotBefore.Add(lifeOf(cert) / 2) }

// switchOf returns when Next is to sign: after lead, or, having been made late, shortly before there is nothing left to sign with.
func switchOf(ca Authority, lead time.Duration) time.Time {
	return earlier(ca.Prepared.Add(lead), ca.Signing.NotAfter.Add(-lifeOf(ca.Signing)/1000))
}

// dropOf returns when clients need not trust Previous any more.
func dropOf(ca Authority, lead time.Duration) time.Time {
	return earlier(ca.Switched.Add(lead), ca.Previous.NotAfter)
}

func switchOrPrepareOf(ca Authority, lead time.Duration) time.Time {
	if ca.Next != nil {
		return switchOf(ca, lead)
	}
	return halfLifeOf(ca.Signing)
}

// providedAuthority leaves a CA alone that somebody else made, and has it told in time, once a day, that it ends.
func providedAuthority(ca Authority, lead time.Duration, now time.Time) AuthorityDecision {
	warning := ca.Signing.NotAfter.Add(-2 * lead)
	if now.Before(warning) {
		return AuthorityDecision{Next: warning}
	}
	return AuthorityDecision{Ending: true, Next: now.Add(24 * time.Hour)}
}

// AuthorityStatus says in words which CAs clients are given and what happens next, one line for each.
func AuthorityStatus(ca Authority, lead time.Duration) string {
	if ca.Provided {
		return fmt.Sprintf("%s was provided, and Kubemint does not renew it; expires %s: replace tls.crt, tls.key and ca.crt in time",
			ca.Signing.Subject, stamp(ca.Signing.NotAfter))
	}
	signing := fmt.Sprintf("%s signs", ca.Signing.Subject)
	if !ca.Switched.IsZero() {
		signing += " since " + stamp(ca.Switched)
	}
	if ca.Next == nil {
		signing += "; the next one is prepared " + stamp(halfLifeOf(ca.Signing))
	} else {
		signing += ", until " + stamp(switchOf(ca, lead))
	}
	lines := []string{signing + "; expires " + stamp(ca.Signing.NotAfter)}
	if ca.Next != nil {
		lines = append(lines, fmt.Sprintf("%s stands in ca.crt since %s, signs from %s", ca.Next.Subject, stamp(ca.Prepared), stamp(switchOf(ca, lead))))
	}
	if ca.Previous != nil {
		lines = append(lines, fmt.Sprintf("%s signed until %s, stands in ca.crt until %s", ca.Previous.Subject, stamp(ca.Switched), stamp(dropOf(ca, lead))))
	}
	return strings.Join(lines, "\n")
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
