package signing

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/golang-jwt/jwt/v5"
)

// methods sign for each algorithm. They are not registered with golang-jwt, which would change it for the whole process.
var methods = map[Algorithm]jwt.SigningMethod{
	ES256: es256{jwt.SigningMethodES256},
	RS256: jwt.SigningMethodRS256,
}

// Sign returns a signed token (JWS compact serialization) of a media type. The claims append themselves as one JSON object.
//
// golang-jwt signs. It would also encode, from maps, which takes a quarter of the signature's time; to append one encoding
// behind the other in one buffer takes a twelfth (BenchmarkToken in package grant).
func (k *Key) Sign(mediaType string, claims encoding.TextAppender) (string, error) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	signingString, err := k.signingString(buffer, mediaType, claims)
	if err != nil {
		return "", fmt.Errorf("encode a token for key %s: %w", k.ID, err)
	}
	var token strings.Builder
	token.Grow(len(signingString) + signatureRoom)
	token.Write(signingString)
	signature, err := methods[k.Algorithm].Sign(token.String(), k.private)
	if err != nil {
		return "", fmt.Errorf("sign a token with key %s: %w", k.ID, err)
	}
	token.WriteByte('.')
	token.Write(base64.RawURLEncoding.AppendEncode((*buffer)[:0], signature))
	return token.String(), nil
}

// signatureRoom is what a signature by ES256 adds to a token: a dot, and 64 bytes in base64url.
const signatureRoom = 1 + 86

// buffers are what tokens are encoded and hashed in, one after the other, so that none has to be allocated for each.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// signingString returns what is signed, the header and the claims in base64url (RFC 7515, section 5.1). It stands at the end of
// the buffer, behind the JSON that it encodes.
func (k *Key) signingString(buffer *[]byte, mediaType string, claims encoding.TextAppender) ([]byte, error) {
	header := k.appendHeader((*buffer)[:0], mediaType)
	b, err := claims.AppendText(header)
	if err != nil {
		return nil, err
	}
	claimsStart, claimsEnd := len(header), len(b)
	b = base64.RawURLEncoding.AppendEncode(b, b[:claimsStart])
	b = append(b, '.')
	b = base64.RawURLEncoding.AppendEncode(b, b[claimsStart:claimsEnd])
	*buffer = b
	return b[claimsEnd:], nil
}

// appendHeader appends the JOSE header of a token (RFC 7515, section 4.1). No character of an algorithm, a media type or a
// thumbprint needs escaping in JSON.
func (k *Key) appendHeader(b []byte, mediaType string) []byte {
	b = append(append(b, `{"alg":"`...), k.Algorithm...)
	b = append(append(b, `","typ":"`...), mediaType...)
	b = append(append(b, `","kid":"`...), k.ID...)
	return append(b, `"}`...)
}

// es256 is golang-jwt's ES256, but deterministic: the nonce of a signature comes from the key and the message (RFC 6979), not
// from a random source. Verifiers see no difference, and it takes three quarters of the time (BenchmarkBareSignature). What it
// is known to be weaker against, a fault induced while one message is signed twice, does not arise: no two tokens have one jti.
type es256 struct{ *jwt.SigningMethodECDSA }

// Sign implements jwt.SigningMethod.
func (es256) Sign(signingString string, key any) ([]byte, error) {
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, jwt.ErrInvalidKeyType
	}
	buffer := buffers.Get().(*[]byte)
	*buffer = append((*buffer)[:0], signingString...)
	digest := sha256.Sum256(*buffer)
	buffers.Put(buffer)
	der, err := private.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return rAndS(der)
}

// rAndS returns an ASN.1 signature in the form of JWS: R and S, each at its full 32 bytes (RFC 7518, section 3.4).
func rAndS(der []byte) ([]byte, error) {
	integers, _ := cutDER(der, asn1.TagSequence|constructed)
	r, integers := cutDER(integers, asn1.TagInteger)
	s, _ := cutDER(integers, asn1.TagInteger)
	// DER drops leading zeros, and adds one where the number would be taken for a negative one.
	r, s = bytes.TrimLeft(r, "\x00"), bytes.TrimLeft(s, "\x00")
	if len(r) == 0 || len(r) > 32 || len(s) == 0 || len(s) > 32 {
		return nil, errors.New("not a signature by a key on the curve P-256")
	}
	raw := make([]byte, 64)
	copy(raw[32-len(r):], r)
	copy(raw[64-len(s):], s)
	return raw, nil
}

// constructed marks the tag of an ASN.1 value that is made of others.
const constructed = 0x20

// cutDER returns the content of the ASN.1 value that der begins with, and what follows it; nothing if the value has another tag.
// Lengths are one byte, as in every signature of this size. encoding/asn1 costs more than the encoding of all claims.
func cutDER(der []byte, tag byte) (content, rest []byte) {
	if len(der) < 2 || der[0] != tag || len(der) < 2+int(der[1]) {
		return nil, nil
	}
	end := 2 + int(der[1])
	return der[2:end], der[end:]
}
