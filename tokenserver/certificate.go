package tokenserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"io"
)

// deterministic is an ECDSA key whose signatures take their nonce from the key and the message (RFC 6979), as those of tokens do.
// It takes three quarters of the time, and no two handshakes have one message.
type deterministic struct{ *ecdsa.PrivateKey }

// Sign implements crypto.Signer.
func (d deterministic) Sign(_ io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	return d.PrivateKey.Sign(nil, digest, options)
}

// certificate returns the serving certificate for a handshake.
func (s *Server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certificate, err := s.GetCertificate(hello)
	if err != nil {
		return nil, err
	}
	key, ok := certificate.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return certificate, nil
	}
	with := *certificate // The original may be in use by others.
	with.PrivateKey = deterministic{key}
	return &with, nil
}
