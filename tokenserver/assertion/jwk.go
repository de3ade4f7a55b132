package assertion

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
)

// The sizes of an RSA key in bits, and its least exponent (RFC 7518, section 3.3; FIPS 186-5, appendix A.1.1). Verifying takes
// longer the larger they are.
const (
	minRSABits     = 2048
	maxRSABits     = 8192
	minRSAExponent = 65537
)

// unsuitableError is why a key that is well is left out.
type unsuitableError string

func (e unsuitableError) Error() string { return string(e) }

// privateMembers are the members of a JWK that are secret (RFC 7518, section 6).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// parseKey parses a JWK (RFC 7517, section 4).
func parseKey(members object) (key, error) {
	for _, name := range privateMembers {
		if _, ok := members[name]; ok {
			return key{}, errors.New("it is private or symmetric: publish only public keys, and replace this one")
		}
	}
	kind, ok := members["kty"].(string)
	if !ok {
		return key{}, errors.New("it has no kty")
	}
	if kind == "oct" {
		return key{}, errors.New("it is symmetric: publish only public keys (kty EC, RSA or OKP)")
	}
	id, err := optionalText(members, "kid")
	if err != nil {
		return key{}, fmt.Errorf("kid must be text of 1 to %d bytes", maxName)
	}
	if err := checkUse(members); err != nil {
		return key{}, err
	}
	parsed, err := parsePublic(kind, members)
	if err != nil {
		return key{}, err
	}
	parsed.id = id
	return parsed, parsed.pin(members)
}

// checkUse checks that the key is there to verify signatures (RFC 7517, sections 4.2 and 4.3).
func checkUse(members object) error {
	if use, ok := members["use"]; ok && use != "sig" {
		return unsuitableError("a key is not for signatures: set its use to sig")
	}
	operations, ok := members["key_ops"]
	if !ok {
		return nil
	}
	if list, _ := operations.([]any); !slices.Contains(list, any("verify")) {
		return unsuitableError("a key is not for verifying: add verify to its key_ops, or leave them out")
	}
	return nil
}

// parsePublic parses a public key, with the algorithm that it verifies by unless it says otherwise.
func parsePublic(kind string, members object) (key, error) {
	curve, _ := members["crv"].(string)
	switch {
	case kind == "RSA":
		return parseRSA(members)
	case kind == "EC" && curve == "P-256":
		return parseP256(members)
	case kind == "OKP" && curve == "Ed25519":
		return parseEd25519(members)
	default:
		return key{}, unsuitableError("a key is of a kind that is not supported: use EC with P-256, RSA, or OKP with Ed25519")
	}
}

// pin sets the key's algorithm to what the key says of it.
func (k *key) pin(members object) error {
	value, ok := members["alg"]
	if !ok || value == string(k.algorithm) {
		return nil
	}
	if k.algorithm == RS256 && value == string(PS256) {
		k.algorithm = PS256
		return nil
	}
	return unsuitableError(fmt.Sprintf("a key has an alg that is not supported, or not for its kind: it must be one of %q", Algorithms))
}

func parseRSA(members object) (key, error) {
	modulus, err := bytesOf(members, "n")
	if err != nil {
		return key{}, err
	}
	exponent, err := bytesOf(members, "e")
	if err != nil {
		return key{}, err
	}
	if len(modulus) == 0 || modulus[0] == 0 || len(exponent) == 0 || exponent[0] == 0 {
		return key{}, errors.New("n and e must have no leading zeros (RFC 7518, section 6.3.1)")
	}
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent)
	if bits := n.BitLen(); bits < minRSABits || bits > maxRSABits {
		return key{}, fmt.Errorf("an RSA key must have %d to %d bits: make a new one", minRSABits, maxRSABits)
	}
	if n.Bit(0) == 0 {
		return key{}, errors.New("n is even: it is no RSA key")
	}
	if e.Cmp(big.NewInt(minRSAExponent)) < 0 || e.Cmp(big.NewInt(math.MaxInt32)) > 0 || e.Bit(0) == 0 {
		return key{}, fmt.Errorf("e must be odd, and from %d to %d: make a new key, with AQAB", minRSAExponent, math.MaxInt32)
	}
	if isROCA(n) {
		return key{}, errors.New("n can be factored (ROCA, CVE-2017-15361): make a new key, by other software or hardware")
	}
	return key{algorithm: RS256, public: &rsa.PublicKey{N: n, E: int(e.Int64())}}, nil
}

// rocaPrimes are primes modulo which the moduli of a once common library are powers of 65537, and others are by chance only.
var rocaPrimes = []int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}

// isROCA reports whether an RSA modulus is by the library that made weak ones (Nemec et al., The Return of Coppersmith's Attack).
// It takes one in two hundred million others for such.
func isROCA(n *big.Int) bool {
	for _, prime := range rocaPrimes {
		remainder := new(big.Int).Mod(n, big.NewInt(prime)).Int64()
		if !isPower(remainder, minRSAExponent, prime) {
			return false
		}
	}
	return true
}

// isPower reports whether a number is a power of a base modulo a prime.
func isPower(number, base, prime int64) bool {
	power := int64(1)
	for range prime - 1 {
		if power == number {
			return true
		}
		power = power * base % prime
	}
	return false
}

func parseP256(members object) (key, error) {
	x, err := bytesOf(members, "x")
	if err != nil {
		return key{}, err
	}
	y, err := bytesOf(members, "y")
	if err != nil {
		return key{}, err
	}
	if len(x) != 32 || len(y) != 32 {
		return key{}, errors.New("x and y must have 32 bytes each, with leading zeros where needed (RFC 7518, section 6.2.1)")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		return key{}, errors.New("x and y are no point of the curve P-256: check that they were copied in full")
	}
	return key{algorithm: ES256, public: public}, nil
}

func parseEd25519(members object) (key, error) {
	x, err := bytesOf(members, "x")
	if err != nil {
		return key{}, err
	}
	if len(x) != ed25519.PublicKeySize || !strongEd25519(x) {
		return key{}, errors.New("x is no point of the curve Ed25519, or a weak one: check that it was copied in full")
	}
	return key{algorithm: EdDSA, public: ed25519.PublicKey(x)}, nil
}

func bytesOf(members object, name string) ([]byte, error) {
	text, ok := members[name].(string)
	if !ok {
		return nil, fmt.Errorf("it has no %s", name)
	}
	decoded, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s must be base64url without padding", name)
	}
	return decoded, nil
}

// The field and the curve of Ed25519: -x²+y² = 1+dx²y² modulo p (RFC 8032, section 5.1).
var (
	one    = big.NewInt(1)
	prime  = new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	curveD = quotient(big.NewInt(-121665), big.NewInt(121666))
)

// quotient returns a/b in the field; b must not be zero there.
func quotient(a, b *big.Int) *big.Int {
	inverse := new(big.Int).ModInverse(new(big.Int).Mod(b, prime), prime)
	return inverse.Mod(inverse.Mul(inverse, a), prime)
}

// strongEd25519 reports whether 32 bytes are a point of the curve, in its one encoding, and not one of the eight of small order:
// under those a signature can be made that is valid for any message. crypto/ed25519 finds the former out at each verification,
// and the latter never.
func strongEd25519(encoded []byte) bool {
	reversed := slices.Clone(encoded)
	slices.Reverse(reversed)
	reversed[0] &= 0x7f // The sign of x, which is no matter here.
	y := new(big.Int).SetBytes(reversed)
	if y.Cmp(prime) >= 0 {
		return false
	}
	x2, ok := squareOfX(y)
	if !ok {
		return false
	}
	// Of small order are those that are the neutral point, the only one whose y is 1, after doubling three times.
	for range 3 {
		y, x2 = double(y, x2)
	}
	return y.Cmp(one) != 0
}

// squareOfX returns x² of the points of the curve with a given y, if there are any: x² = (y²-1)/(dy²+1).
func squareOfX(y *big.Int) (*big.Int, bool) {
	y2 := new(big.Int).Mul(y, y)
	denominator := new(big.Int).Mul(curveD, y2)
	denominator.Add(denominator, one) // Never zero: -1/d is no square.
	x2 := quotient(new(big.Int).Sub(y2, one), denominator)
	return x2, big.Jacobi(x2, prime) >= 0
}

// double returns y and x² of the double of a point: y' = (y²+x²)/(1-dx²y²), x' = 2xy/(1+dx²y²).
func double(y, x2 *big.Int) (doubledY, doubledX2 *big.Int) {
	y2 := new(big.Int).Mul(y, y)
	product := new(big.Int).Mul(x2, y2)
	term := new(big.Int).Mul(curveD, product)
	doubledY = quotient(new(big.Int).Add(y2, x2), new(big.Int).Sub(one, term))
	divisor := new(big.Int).Add(one, term)
	doubledX2 = quotient(product.Lsh(product, 2), divisor.Mul(divisor, divisor))
	return doubledY, doubledX2
}
