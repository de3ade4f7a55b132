package clientauth

import (
	"cmp"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// distinguishedName is the subject of a certificate, as a sequence of sets of attributes, in the order of RFC 4514: the last one of the
// certificate first. Two are the same if all attributes are, as they are written: upper and lower case count.
type distinguishedName [][]attribute

// attribute is one of a distinguished name: its OID in dots, and its value.
type attribute struct{ kind, value string }

// attributeTypes are the attributes that have a name (RFC 4514, section 3, and what openssl and Go print), by it.
var attributeTypes = map[string]string{
	"CN": "2.5.4.3", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8", "STREET": "2.5.4.9", "O": "2.5.4.10",
	"OU": "2.5.4.11", "POSTALCODE": "2.5.4.17",
	"UID": "0.9.2342.19200300.100.1.1", "DC": "0.9.2342.19200300.100.1.25", "EMAILADDRESS": "1.2.840.113549.1.9.1",
}

func (d distinguishedName) equal(other distinguishedName) bool {
	return slices.EqualFunc(d, other, slices.Equal[[]attribute])
}

// sorted puts the attributes of each set into one order, for they have none (RFC 4514, section 2.2).
func (d distinguishedName) sorted() distinguishedName {
	for _, set := range d {
		slices.SortFunc(set, func(a, b attribute) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.value, b.value)) })
	}
	return d
}

var errDN = errors.New("it is no distinguished name as RFC 4514 writes it")

// parseDN parses a distinguished name (RFC 4514, section 3), strictly: there are no spaces but in values, and no value is empty.
func parseDN(text string) (distinguishedName, error) {
	name := distinguishedName{nil}
	for {
		kind, rest, found := strings.Cut(text, "=")
		raw, separator, rest := cutValue(rest)
		oid, known := attributeType(kind)
		value, ok := unescape(raw)
		if !found || !known || !ok {
			return nil, errDN
		}
		last := len(name) - 1
		name[last] = append(name[last], attribute{oid, value})
		switch text = rest; separator {
		case ',':
			name = append(name, nil)
		case '+':
		default:
			return name.sorted(), nil
		}
	}
}

// cutValue cuts a text after the value that it begins with, at a comma or plus sign that is not escaped; at its end there is none.
func cutValue(text string) (raw string, separator byte, rest string) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ',', '+':
			return text[:i], text[i], text[i+1:]
		}
	}
	return text, 0, ""
}

// attributeType returns the OID of an attribute by its name, or by itself.
func attributeType(name string) (oid string, known bool) {
	if oid, known := attributeTypes[strings.ToUpper(name)]; known {
		return oid, true
	}
	arcs := strings.Split(name, ".")
	wrong := slices.ContainsFunc(arcs, func(arc string) bool {
		return arc == "" || strings.Trim(arc, "0123456789") != "" || len(arc) > 1 && arc[0] == '0'
	})
	return name, len(arcs) > 1 && !wrong
}

// Characters that need a backslash in a value, and those that may have one (RFC 4514, section 2.4 and 3).
const (
	mustEscape = `"+,;<>`
	mayEscape  = mustEscape + `\ #=`
)

// unescape returns what a value stands for.
func unescape(raw string) (value string, ok bool) {
	if encoded, isHex := strings.CutPrefix(raw, "#"); isHex {
		return decodeValue(encoded)
	}
	var b []byte
	space := true // Whether the last character was a space that is not escaped: none may be the first, or the last.
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == ' ':
			if len(b) == 0 {
				return "", false
			}
			b, space = append(b, c), true
			continue
		case c < ' ' || c == 0x7f || strings.IndexByte(mustEscape, c) >= 0:
			return "", false
		case c != '\\':
			b = append(b, c)
		case i+1 < len(raw) && strings.IndexByte(mayEscape, raw[i+1]) >= 0:
			b = append(b, raw[i+1])
			i++
		default:
			octet, err := hex.DecodeString(raw[i+1 : min(i+3, len(raw))])
			if err != nil || len(octet) != 1 {
				return "", false
			}
			b = append(b, octet[0])
			i += 2
		}
		space = false
	}
	return string(b), !space && utf8.Valid(b)
}

// decodeValue returns the text of a value that is given as the bytes of its encoding (RFC 4514, section 2.4), as it is where the
// attribute has no name.
func decodeValue(encoded string) (value string, ok bool) {
	der, err := hex.DecodeString(encoded)
	if err != nil {
		return "", false
	}
	var decoded any
	if rest, err := asn1.Unmarshal(der, &decoded); err != nil || len(rest) > 0 {
		return "", false
	}
	value, isText := decoded.(string)
	return value, isText && value != "" && utf8.ValidString(value)
}

// subjectOf returns the subject of a certificate. One with values that are no text is none that a client is known by.
func subjectOf(rawSubject []byte) (distinguishedName, bool) {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(rawSubject, &sequence); err != nil || len(rest) > 0 {
		return nil, false
	}
	var name distinguishedName
	for _, set := range slices.Backward(sequence) {
		var attributes []attribute
		for _, a := range set {
			value, isText := a.Value.(string)
			if !isText {
				return nil, false
			}
			attributes = append(attributes, attribute{a.Type.String(), value})
		}
		name = append(name, attributes)
	}
	return name.sorted(), true
}
