package assertion

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// The life of a DPoP proof: its age at which it is refused, and how much the clock of who made it may be ahead.
const (
	maxProofAge = time.Minute
	proofLeeway = 10 * time.Second
)

// dpopType is the typ of a DPoP proof.
const dpopType = "dpop+jwt"

// Proofs verifies the DPoP proofs of one endpoint (RFC 9449, section 4.3), each of which is accepted once. Like Replays, it
// remembers on one replica.
type Proofs struct {
	target  string // The endpoint's URL, normalized.
	now     func() time.Time
	replays *Replays
}

// NewProofs returns a verifier for an endpoint, whose URL is the one that clients know.
func NewProofs(endpoint string, now func() time.Time) (*Proofs, error) {
	target, ok := normalized(endpoint)
	if !ok {
		return nil, errors.New("the URL of the token endpoint, for DPoP, must be absolute and in ASCII: write an international name as xn--")
	}
	return &Proofs{target: target, now: now, replays: NewReplays(DefaultLimits, now)}, nil
}

// proof is a DPoP proof taken apart (RFC 9449, section 4.2). Nothing of it is verified.
type proof struct {
	jws        *jws
	key        key
	thumbprint string

	id, method, target, nonce string
	issuedAt                  time.Time
}

// ErrNonce is the error where a proof carries no nonce of the server's, or one that is too old.
var ErrNonce = errors.New("it carries no nonce of this server, or an old one: make it again with that of the answer")

var (
	errProofType      = fmt.Errorf("its typ must be %s", dpopType)
	errProofKey       = errors.New("its header must hold the public key, as jwk")
	errProofAlgorithm = errors.New("its alg does not fit the key in its jwk")
	errProofSignature = errors.New("its signature is not by the key in its jwk")
	errProofID        = fmt.Errorf("it must have a jti, as text of 1 to %d bytes: give each proof its own", maxName)
	errProofTime      = errors.New("it must have an iat, in whole seconds since 1970, as a number without exponent")
	errProofNonce     = errors.New("its nonce must be text")
	errProofMethod    = errors.New("its htm is not the method of the request")
	errProofTarget    = errors.New("its htu is not this endpoint: use the token_endpoint of the server's metadata")
	errProofOld       = errors.New("it is too old (iat): make a new one for each request, and check the clocks")
	errProofAhead     = errors.New("it is from the future (iat): check the clocks")
)

// Verify returns the thumbprint (RFC 7638) of the key that signed a proof, if it is one for this endpoint and a request by a method, and
// was not used before. fresh reports whether a nonce is one that the server gave out lately; nil means that none is needed.
//
// The room that it takes to remember the proof is the client's, as keys cost nothing: by new ones, a client could take all there is.
// That it was used counts whichever client uses it again.
//
// The signature comes after all that costs less, and the proof is noted last: one that is refused uses up no jti.
func (p *Proofs) Verify(client, method, text string, fresh func(nonce string) bool) (thumbprint string, err error) {
	proof, err := parseProof(text)
	if err != nil {
		return "", err
	}
	if err := p.isFor(proof, method); err != nil {
		return "", err
	}
	if fresh != nil && !fresh(proof.nonce) {
		return "", ErrNonce
	}
	if methods[proof.key.algorithm].Verify(proof.jws.signed, proof.jws.signature, proof.key.public) != nil {
		return "", errProofSignature
	}
	if err := p.replays.note(client, hash(proof.thumbprint, proof.id), proof.issuedAt.Add(maxProofAge)); err != nil {
		return "", err
	}
	return proof.thumbprint, nil
}

// isFor checks that a proof is for this endpoint, a method, and now.
func (p *Proofs) isFor(proof *proof, method string) error {
	target, ok := normalized(proof.target)
	switch now := p.now(); {
	case proof.method != method:
		return errProofMethod
	case !ok || target != p.target:
		return errProofTarget
	case !proof.issuedAt.Add(maxProofAge).After(now):
		return errProofOld
	case proof.issuedAt.After(now.Add(proofLeeway)):
		return errProofAhead
	default:
		return nil
	}
}

// parseProof takes a DPoP proof apart, and checks what can be checked without knowing what it is for.
func parseProof(text string) (*proof, error) {
	parsed, err := parseJWS(text)
	if err != nil {
		return nil, err
	}
	if parsed.header["typ"] != dpopType {
		return nil, errProofType
	}
	proof := &proof{jws: parsed}
	if err := proof.readKey(); err != nil {
		return nil, err
	}
	return proof, proof.readClaims()
}

// readKey reads the key that the proof brings along. It must be as good as one that a client registers, but for its kid, which says
// nothing where there is one key. That it is the client's, nobody says: whoever has it can use the token that is bound to it.
func (p *proof) readKey() (err error) {
	jwk, ok := p.jws.header["jwk"].(object)
	if !ok {
		return errProofKey
	}
	delete(jwk, "kid")
	if p.key, err = parseKey(jwk); err != nil {
		return fmt.Errorf("jwk: %w", err)
	}
	if _, pinned := jwk["alg"]; !pinned && p.key.algorithm == RS256 && p.jws.algorithm == PS256 {
		p.key.algorithm = PS256 // An RSA key without alg fits two.
	}
	if p.key.algorithm != p.jws.algorithm {
		return errProofAlgorithm
	}
	p.thumbprint = thumbprint(jwk)
	return nil
}

// thumbprint returns the thumbprint of a public key: the SHA-256 of its required members in lexicographic order (RFC 7638, section 3),
// of which there is one spelling only for each key that parseKey accepts.
func thumbprint(jwk object) string {
	required := map[string][]string{"EC": {"crv", "kty", "x", "y"}, "RSA": {"e", "kty", "n"}, "OKP": {"crv", "kty", "x"}}
	kind, _ := jwk["kty"].(string)
	members := map[string]any{}
	for _, name := range required[kind] {
		members[name] = jwk[name]
	}
	canonical, _ := json.Marshal(members) // Texts always encode, and the names of a map are sorted.
	digest := sha256.Sum256(canonical)
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

func (p *proof) readClaims() error {
	claims, err := parseObject(p.jws.payload)
	if err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	if p.id, err = optionalText(claims, "jti"); err != nil || p.id == "" {
		return errProofID
	}
	// What is no text is no method, and no URL.
	p.method, _ = claims["htm"].(string)
	p.target, _ = claims["htu"].(string)
	var ok bool
	if p.issuedAt, ok = optionalTime(claims, "iat"); !ok || p.issuedAt.IsZero() {
		return errProofTime
	}
	if nonce, there := claims["nonce"]; there {
		if p.nonce, ok = nonce.(string); !ok {
			return errProofNonce
		}
	}
	return nil
}

// normalized returns an absolute URL of http or https without its query and fragment, in the one spelling for all that RFC 3986,
// sections 6.2.2 and 6.2.3 take for the same (RFC 9449, section 4.3).
func normalized(text string) (string, bool) {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" || parsed.User != nil {
		return "", false
	}
	if !isASCII(text) || !isASCII(parsed.Host) || strings.Contains(parsed.Host, "%") {
		return "", false // No host that has a certificate is spelled so, and some letters fold to those of ASCII.
	}
	scheme, host := parsed.Scheme, strings.ToLower(parsed.Host) // The parser has lowered the scheme.
	switch scheme {
	case "https":
		host = strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":")
	case "http":
		host = strings.TrimSuffix(strings.TrimSuffix(host, ":80"), ":")
	default:
		return "", false
	}
	return scheme + "://" + host + withoutDotSegments(normalizedEscapes(parsed.EscapedPath())), true
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}

// normalizedEscapes decodes what need not be encoded in a path, and writes the rest in upper case (RFC 3986, sections 6.2.2.1 and
// 6.2.2.2). The path must be well encoded.
func normalizedEscapes(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var plain strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			plain.WriteByte(path[i])
			continue
		}
		decoded, err := url.PathUnescape(path[i : i+3])
		if err == nil && strings.Trim(decoded, unreserved) == "" {
			plain.WriteString(decoded)
		} else {
			plain.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return plain.String()
}

// unreserved are the characters that mean the same encoded or not (RFC 3986, section 2.3).
const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

// withoutDotSegments resolves the segments . and .. of an absolute path, the empty one being / (RFC 3986, sections 5.2.4 and 6.2.3).
func withoutDotSegments(path string) string {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	kept := segments[:0]
	for i, segment := range segments {
		last := i == len(segments)-1
		switch {
		case segment == ".." && len(kept) > 0:
			kept = kept[:len(kept)-1]
		case segment != "." && segment != "..":
			kept = append(kept, segment)
			continue
		}
		if last { // What they lead to is a directory.
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}
