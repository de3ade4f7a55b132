package assertion

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

var errAddress = errors.New("its host has an address that is private, or for a special purpose: " +
	"use one that is public, or let the operators of the issuer allow the network")

// internal are the networks beside private, loopback, link-local and multicast ones that lead to no public host (RFC 6890), or
// whose addresses hold another address, which is not checked.
var internal = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4", "168.63.129.16/32", // The last is where virtual machines on Azure ask for their credentials.
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// publicIPv6 is all of IPv6 that is given to hosts.
var publicIPv6 = netip.MustParsePrefix("2000::/3")

// nat64 holds IPv4 addresses, in their last four bytes (RFC 6052, section 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(texts ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		parsed[i] = netip.MustParsePrefix(text)
	}
	return parsed
}

// mayDial reports whether keys may be fetched from an address: a public one, or one of a network that was allowed.
func mayDial(address netip.Addr, allowed []netip.Prefix) bool {
	address = address.Unmap().WithZone("")
	if nat64.Contains(address) {
		bytes := address.As16()
		address = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	within := func(network netip.Prefix) bool { return network.Contains(address) }
	switch {
	case slices.ContainsFunc(allowed, within):
		return true
	case address.IsPrivate(), !address.IsGlobalUnicast(), slices.ContainsFunc(internal, within):
		return false
	default:
		return address.Is4() || publicIPv6.Contains(address)
	}
}

// newClient returns an HTTP client that gets to the addresses of mayDial only, and has a timeout for connecting. It looks at the
// address that is dialled, not at what the name resolved to before, which may have changed since. So it takes no proxy from the
// environment, which would be dialled in place of the host. It follows no redirect.
func newClient(allowed []netip.Prefix, roots *x509.CertPool, timeout time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: timeout, Control: func(_, dialled string, _ syscall.RawConn) error {
		address, err := netip.ParseAddrPort(dialled)
		if err != nil || !mayDial(address.Addr(), allowed) {
			return errAddress
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    timeout, // A connection is made to its end, even when the request that wanted it is over.
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true, // Keys are fetched every few minutes, from hosts that tenants choose.
			DisableCompression:     true, // What is read is bounded, and so is what it takes to read it.
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
