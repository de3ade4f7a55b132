package tokenserver

import (
	"crypto/tls"
	"net/http"
	"slices"

	"github.com/kubemint/kubemint/tokenserver/clientauth"
)

// tlsConfig is how the server speaks TLS. Where there are CAs for client certificates, callers are asked for one, which they need not
// have; the names of the CAs, by which they choose one, are those at the time of the handshake. No certificate is verified then, so
// that each is answered as any other wrong credential is.
func (s *Server) tlsConfig() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificate}
	if s.ClientCAs == nil {
		return config
	}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		// Sessions are resumed all the same, for the keys of their tickets stay the first configuration's. Its protocols are those that
		// net/http has written into it.
		return &tls.Config{MinVersion: config.MinVersion, GetCertificate: config.GetCertificate, NextProtos: config.NextProtos,
			ClientAuth: tls.RequestClientCert, ClientCAs: s.ClientCAs()}, nil
	}
	return config
}

// shownCertificates returns the connection of a request, if the caller was asked for a certificate on it. What a header says of one
// counts for nothing.
func (s *Server) shownCertificates(r *http.Request) *tls.ConnectionState {
	if s.ClientCAs == nil {
		return nil
	}
	return r.TLS
}

// methods are those that clients may authenticate by (RFC 8705, section 2.1.1).
func (s *Server) methods() []clientauth.Method {
	if s.ClientCAs == nil {
		return clientauth.Methods
	}
	return append(slices.Clone(clientauth.Methods), clientauth.TLSClientAuth)
}
