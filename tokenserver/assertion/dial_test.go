package assertion

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestAddresses(t *testing.T) {
	services := []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "2a00:1450:4001::1": true, "64:ff9b::8.8.8.8": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "127.8.8.8": false, "0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.168.1.1": false, "169.254.169.254": false, "168.63.129.16": false, "100.64.0.1": false, "100.100.100.200": false,
		"198.18.0.1": false, "192.0.0.192": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
		"fec0::1": false, "2001:db8::1": false, "2001::1": false, "2002:a00:1::": false, "::ffff:127.0.0.1": false,
		"::ffff:169.254.169.254": false, "64:ff9b::127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b:1::1": false,
		"::7f00:1": false, "100::1": false, "4000::1": false,
		"10.96.0.1": true, "10.111.255.255": true, "10.112.0.0": false, "::ffff:10.96.0.1": true, "64:ff9b::10.96.0.1": true,
	} {
		if got := mayDial(netip.MustParseAddr(address), services); got != want {
			t.Errorf("may dial %s: %v, want %v", address, got, want)
		}
	}
}

// The address is looked at when it is dialled: a name that resolves to a private one is refused as the address itself is.
func TestPrivateAddressesAreNotDialled(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	connected := make(chan struct{})
	go func() {
		if _, err := listener.Accept(); err == nil {
			close(connected)
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	sets := NewKeySets(FetchOptions{})
	for _, name := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"} {
		address := fmt.Sprintf("https://%s:%d/jwks", name, port)
		_, err := sets.Keys(t.Context(), address, "")
		if !errors.Is(err, errAddress) {
			t.Errorf("%s: %v, want %v", name, err, errAddress)
		} else if strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("the error tells the address: %v", err)
		}
	}
	select {
	case <-connected:
		t.Error("it was dialled")
	default:
	}
}

// A proxy would be dialled in place of the host, whatever the host's address.
func TestNoProxyIsTakenFromTheEnvironment(t *testing.T) {
	transport := newClient(nil, nil, time.Second).Transport.(*http.Transport)
	if transport.Proxy != nil {
		t.Error("the transport has a proxy")
	}
}
