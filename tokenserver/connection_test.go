package tokenserver_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kubemint/kubemint/tokenserver"
)

// connection is a connection to the server on which a test writes what it likes.
type connection struct {
	net.Conn
	*bufio.Reader
}

// dial opens a connection for HTTP/1.1.
func (s *server) dial(t *testing.T) connection {
	t.Helper()
	conn, err := s.handshake(t, func(*tls.Config) {})
	if err != nil {
		t.Fatal(err)
	}
	return connection{conn, bufio.NewReader(conn)}
}

// handshake opens a TLS connection of some configuration.
func (s *server) handshake(t *testing.T, configure func(*tls.Config)) (*tls.Conn, error) {
	t.Helper()
	config := &tls.Config{RootCAs: s.roots, ServerName: host}
	configure(config)
	conn, err := tls.Dial("tcp", s.address, config)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

func (c connection) write(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		t.Fatal(err)
	}
}

// answer reads the next answer, and checks it as one of the token endpoint.
func (c connection) answer(t *testing.T) answer {
	t.Helper()
	response, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := read(t, response)
	a.check(t, http.MethodPost)
	if a.status == http.StatusOK {
		keepTokenOutOfLogs(a.token(t).AccessToken)
	}
	return a
}

// raw returns a token request as it stands on the wire, with further headers.
func raw(version, body string, headers ...string) string {
	return fmt.Sprintf("POST %s %s\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n%s\r\n%s",
		tokenPath, version, host, basic(worker, secret), strings.Join(append(headers, ""), "\r\n"), body)
}

var contentLength = fmt.Sprintf("Content-Length: %d", len(grantType))

func TestWire(t *testing.T) {
	s := start(t, newCluster(t, nil))
	for _, test := range []struct {
		name, request string
		answers       int
	}{
		{"T18 chunked", raw("HTTP/1.1", fmt.Sprintf("6\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", grantType[:6], len(grantType)-6, grantType[6:]),
			"Transfer-Encoding: chunked"), 1},
		{"T18 HTTP/1.0", raw("HTTP/1.0", grantType, contentLength), 1},
		{"T18 pipelined", strings.Repeat(raw("HTTP/1.1", grantType, contentLength), 3), 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := s.dial(t)
			c.write(t, test.request)
			for range test.answers {
				got := c.answer(t).outcome()
				if attest(t, issued, got); got != issued {
					t.Errorf("answer %s", got)
				}
			}
		})
	}
	t.Run("T18 Expect: 100-continue", func(t *testing.T) {
		c := s.dial(t)
		c.write(t, raw("HTTP/1.1", "", contentLength, "Expect: 100-continue"))
		interim, err := http.ReadResponse(c.Reader, nil)
		if err != nil || interim.StatusCode != http.StatusContinue {
			t.Fatalf("answer %v, %v", interim, err)
		}
		c.write(t, grantType)
		got := c.answer(t).outcome()
		if attest(t, issued, got); got != issued {
			t.Errorf("answer %s", got)
		}
	})
	// These are answered by net/http before there is a request, so that they have headers of its own.
	for name, header := range map[string]string{
		"T15 headers above the limit": "X-Padding: " + strings.Repeat("x", 32<<10),
		"T15 3 000 tiny cookies":      "Cookie: " + strings.Repeat("abcd=1; ", 3_000),
	} {
		t.Run(name, func(t *testing.T) {
			s.untouched(t, func() {
				c := s.dial(t)
				c.write(t, raw("HTTP/1.1", grantType, contentLength, header))
				response, err := http.ReadResponse(c.Reader, nil)
				if err != nil {
					t.Fatal(err)
				}
				if attest(t, "431", fmt.Sprint(response.StatusCode)); response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
					t.Errorf("answer %s", response.Status)
				}
			})
		})
	}
}

func TestTLS(t *testing.T) {
	s := start(t, newCluster(t, nil))
	t.Run("T20 plain HTTP is refused", func(t *testing.T) {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		c := connection{conn, bufio.NewReader(conn)}
		s.untouched(t, func() {
			c.write(t, raw("HTTP/1.1", grantType, contentLength))
			response, err := http.ReadResponse(c.Reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			attest(t, "400", fmt.Sprint(response.StatusCode))
			if response.StatusCode != http.StatusBadRequest || response.Header.Get("Location") != "" {
				t.Errorf("answer %v", response)
			}
		})
	})
	for _, test := range []struct {
		name      string
		configure func(*tls.Config)
		refused   string // by the server, in the words of the alert
	}{
		{"T21 TLS 1.0", versions(tls.VersionTLS10, tls.VersionTLS10), "protocol version not supported"},
		{"T21 TLS 1.1", versions(tls.VersionTLS10, tls.VersionTLS11), "protocol version not supported"},
		{"T21 TLS 1.2", versions(tls.VersionTLS12, tls.VersionTLS12), ""},
		{"T21 TLS 1.3", versions(tls.VersionTLS13, tls.VersionTLS13), ""},
		// Both would do with the server's certificate, so that it is the suite that is refused.
		{"T21 RC4", suite(tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA), "handshake failure"},
		{"T21 CBC with SHA-256", suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256), "handshake failure"},
		{"T21 AES-GCM", suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := s.handshake(t, test.configure)
			if test.refused == "" && err != nil {
				t.Fatal(err)
			}
			var operation *net.OpError
			byServer := errors.As(err, &operation) && operation.Op == "remote error"
			said := map[bool]string{true: "refused", false: "accepted"}
			attest(t, said[test.refused != ""], said[err != nil])
			if test.refused != "" && (!byServer || !strings.Contains(err.Error(), test.refused)) {
				t.Errorf("handshake: %v", err)
			}
		})
	}
	t.Run("T21 wrong SNI: the certificate is not for it", func(t *testing.T) {
		_, err := s.handshake(t, func(config *tls.Config) { config.ServerName = "evil.test" })
		if wrongName := (x509.HostnameError{}); !errors.As(err, &wrongName) {
			t.Errorf("handshake: %v", err)
		}
	})
}

func versions(least, most uint16) func(*tls.Config) {
	return func(config *tls.Config) { config.MinVersion, config.MaxVersion = least, most }
}

func suite(id uint16) func(*tls.Config) {
	return func(config *tls.Config) { config.MaxVersion, config.CipherSuites = tls.VersionTLS12, []uint16{id} }
}

// T21: a certificate that is renewed is served to the next connection. Those that are open go on.
func TestT21CertificateIsSwappedWhileServing(t *testing.T) {
	first, second := newCertificate(t), newCertificate(t)
	var serving atomic.Pointer[tls.Certificate]
	serving.Store(first)
	s := start(t, newCluster(t, nil), func(config *tokenserver.Config) {
		config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return serving.Load(), nil }
	})
	s.roots.AddCert(first.Leaf)
	s.roots.AddCert(second.Leaf)
	before := s.dial(t)
	serving.Store(second)
	after := s.dial(t)
	for _, test := range []struct {
		connection connection
		want       *tls.Certificate
	}{{before, first}, {after, second}} {
		if peer := test.connection.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0]; !peer.Equal(test.want.Leaf) {
			t.Errorf("certificate %v, want %v", peer.SerialNumber, test.want.Leaf.SerialNumber)
		}
		test.connection.write(t, raw("HTTP/1.1", grantType, contentLength))
		if got := test.connection.answer(t).outcome(); got != issued {
			t.Errorf("answer %s", got)
		}
	}
}

// T24: a server that stops takes no more requests, and answers those under way as if it went on.
func TestT24Stopping(t *testing.T) {
	listener := &watchedListener{closed: make(chan struct{})}
	var err error
	if listener.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s := startOn(t, listener, newCluster(t, nil))
	underWay, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.change(func() { s.hook = func() { once.Do(func() { close(underWay) }); <-goOn } })

	c := s.dial(t)
	c.write(t, raw("HTTP/1.1", grantType, contentLength))
	<-underWay
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	<-listener.closed
	if conn, err := net.Dial("tcp", s.address); err == nil {
		_ = conn.Close()
		t.Error("the server still takes connections")
	}
	close(goOn)
	if a := c.answer(t); a.outcome() != issued || !a.closed {
		t.Errorf("answer %s, connection closed: %t", a.outcome(), a.closed)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// watchedListener tells when it was closed.
type watchedListener struct {
	net.Listener
	once   sync.Once
	closed chan struct{}
}

func (l *watchedListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { close(l.closed) })
	return err
}
