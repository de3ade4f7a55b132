package assertion

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// maxToken bounds a token, in bytes. A service account token has about 1,200; a client's own certificate chain, which some
// clients put into the header, takes a few thousand.
const maxToken = 16 << 10

// maxName bounds kid and jti, in bytes.
const maxName = 256

var (
	errTooLong    = fmt.Errorf("it is longer than %d bytes", maxToken)
	errParts      = errors.New("it is no signed JWT in compact serialization, which has three parts (an encrypted one is not supported)")
	errBase64     = errors.New("it is not in base64url without padding")
	errAlgorithm  = fmt.Errorf("its alg must be one of %q, as text", Algorithms)
	errExtensions = errors.New("its header has crit or b64: extensions of JWS are not supported")
	errKeyID      = fmt.Errorf("its kid must be text of 1 to %d bytes", maxName)
	errType       = fmt.Errorf("its typ must be absent, JWT or %s", clientAuthentication)
)

// clientAuthentication is the typ that rfc7523bis defines for client assertions.
const clientAuthentication = "client-authentication+jwt"

// jws is a JWS in compact serialization (RFC 7515, section 7.1), taken apart. Nothing of it is verified.
type jws struct {
	algorithm Algorithm
	// keyID is empty where the header names none.
	keyID  string
	header object

	signed    string // The encoded header and payload, which the signature is of.
	payload   []byte
	signature []byte
}

// parseJWS takes a JWS apart. Of its header, only alg, kid and typ are ever used: keys that a token brings along or points to
// (jwk, x5c, jku, x5u) prove nothing, but that who made a DPoP proof has one.
func parseJWS(token string) (*jws, error) {
	if len(token) > maxToken {
		return nil, errTooLong
	}
	encodedHeader, rest, ok := strings.Cut(token, ".")
	encodedPayload, encodedSignature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(encodedSignature, ".") {
		return nil, errParts
	}
	header, err := decode(encodedHeader)
	if err != nil {
		return nil, err
	}
	parsed := &jws{signed: token[:len(encodedHeader)+1+len(encodedPayload)]}
	if parsed.payload, err = decode(encodedPayload); err != nil {
		return nil, err
	}
	if parsed.signature, err = decode(encodedSignature); err != nil {
		return nil, err
	}
	return parsed, parsed.readHeader(header)
}

// decode decodes base64url without padding, of which there is one spelling only. The decoder would skip line breaks.
func decode(encoded string) ([]byte, error) {
	if strings.ContainsAny(encoded, "\r\n") {
		return nil, errBase64
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, errBase64
	}
	return decoded, nil
}

func (s *jws) readHeader(text []byte) (err error) {
	if s.header, err = parseObject(text); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	for _, extension := range []string{"crit", "b64"} {
		if _, ok := s.header[extension]; ok {
			return errExtensions
		}
	}
	algorithm, _ := s.header["alg"].(string)
	if s.algorithm = Algorithm(algorithm); methods[s.algorithm] == nil {
		return errAlgorithm
	}
	if s.keyID, err = optionalText(s.header, "kid"); err != nil {
		return errKeyID
	}
	return nil
}

// checkType checks the media type of the token, so that no JWT of another kind, an access token (at+jwt) say, passes for an
// assertion (RFC 8725, section 3.11). Its comparison ignores case and the prefix application/ (RFC 7515, section 4.1.9).
func (s *jws) checkType() error {
	value, ok := s.header["typ"]
	if !ok {
		return nil
	}
	text, _ := value.(string)
	mediaType := strings.TrimPrefix(strings.ToLower(text), "application/")
	if mediaType != "jwt" && mediaType != clientAuthentication {
		return errType
	}
	return nil
}

var errText = errors.New("not a text, or too long")

// optionalText returns a member, which is a text of at most maxName bytes, or the empty text where there is none.
func optionalText(members object, name string) (string, error) {
	value, ok := members[name]
	if !ok {
		return "", nil
	}
	text, _ := value.(string)
	if text == "" || len(text) > maxName {
		return "", errText
	}
	return text, nil
}
