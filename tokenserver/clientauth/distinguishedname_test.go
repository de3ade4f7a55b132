package clientauth

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

func TestParseDN(t *testing.T) {
	const cn, ou, o, uid, dc = "2.5.4.3", "2.5.4.11", "2.5.4.10", "0.9.2342.19200300.100.1.1", "0.9.2342.19200300.100.1.25"
	one := func(value string) distinguishedName { return distinguishedName{{{cn, value}}} }
	for _, test := range []struct {
		name, text string
		want       distinguishedName // Nil where it is refused.
	}{
		{"one attribute", "CN=worker", one("worker")},
		{"several, in their order", "CN=worker,OU=billing,O=Example", distinguishedName{{{cn, "worker"}}, {{ou, "billing"}}, {{o, "Example"}}}},
		{"names in lower case", "cn=worker,dC=org", distinguishedName{{{cn, "worker"}}, {{dc, "org"}}}},
		{"an OID", "2.5.4.3=worker", one("worker")},
		{"a set, in whatever order", "UID=7+CN=worker", distinguishedName{{{uid, "7"}, {cn, "worker"}}}},
		{"a set, in the other order", "CN=worker+UID=7", distinguishedName{{{uid, "7"}, {cn, "worker"}}}},
		{"equals sign in a value", "CN=a=b", one("a=b")},
		{"hash and spaces in a value", "CN=a # b", one("a # b")},
		{"special characters", `CN=a\,b\+c\"d\\e\<f\>g\;h\=i\#j\ k`, one(`a,b+c"d\e<f>g;h=i#j k`)},
		{"spaces at both ends", `CN=\ a\ `, one(" a ")},
		{"space at the end in hexadecimal", `CN=a\20`, one("a ")},
		{"hash at the beginning", `CN=\#a`, one("#a")},
		{"UTF-8", "CN=Lučić", one("Lučić")},
		{"UTF-8 in hexadecimal", `CN=Lu\C4\8di\c4\87`, one("Lučić")},
		{"bytes of a PrintableString", "CN=#1303616263", one("abc")},
		{"bytes of a UTF8String", "CN=#0c02c4", nil},

		{"nothing", "", nil},
		{"no attribute", "worker", nil},
		{"no name", "=worker", nil},
		{"unknown name", "COMMONNAME=worker", nil},
		{"OID of one arc", "2=worker", nil},
		{"OID with an empty arc", "2..3=worker", nil},
		{"OID with a leading zero", "2.05=worker", nil},
		{"empty value", "CN=", nil},
		{"empty value among others", "CN=,O=a", nil},
		{"comma at the end", "CN=a,", nil},
		{"plus sign at the end", "CN=a+", nil},
		{"two commas", "CN=a,,O=b", nil},
		{"space before a name", "CN=a, O=b", nil},
		{"space behind a name", "CN =a", nil},
		{"space at the beginning", "CN= a", nil},
		{"space at the end", "CN=a ", nil},
		{"double quotes", `CN="a"`, nil},
		{"semicolon", "CN=a;O=b", nil},
		{"angle bracket", "CN=a<b", nil},
		{"line break", "CN=a\n", nil},
		{"backslash at the end", `CN=a\`, nil},
		{"half a byte", `CN=a\4`, nil},
		{"escape of a letter", `CN=\gh`, nil},
		{"no UTF-8", `CN=\ff`, nil},
		{"bytes that are none", "CN=#xy", nil},
		{"no bytes", "CN=#", nil},
		{"bytes of a number", "CN=#020107", nil},
		{"bytes with more behind", "CN=#130361626300", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseDN(test.text)
			if (err == nil) != (test.want != nil) || err == nil && !got.equal(test.want) {
				t.Errorf("%v, %v, want %v", got, err, test.want)
			}
		})
	}
}

// What Go writes of a name that was parsed, is that name again: the two agree on the escapes.
func FuzzParseDN(f *testing.F) {
	for _, seed := range []string{"CN=worker,OU=billing,O=Example", `cn=\ a\,b\#\20+UID=7,DC=org`, "1.3.6.1.4=#0c03c48d61", `O=a=b \C4\8D`, "CN=#13", `CN=a\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := parseDN(text)
		if err != nil {
			return
		}
		sequence, ok := sequenceOf(name)
		if !ok {
			t.Skip("an OID beyond what Go encodes")
		}
		again, err := parseDN(sequence.String())
		if (err != nil || !again.equal(name)) && !strings.ContainsFunc(sequence.String(), unicode.IsControl) { // These Go leaves as they are.
			t.Fatalf("%q is %v, and %q, as Go writes it, is %v, %v", text, name, sequence, again, err)
		}
		encoded, err := asn1.Marshal(sequence)
		if err != nil {
			return // A value that DER has no string for, or an OID that is none.
		}
		if subject, ok := subjectOf(encoded); !ok || !subject.equal(name) {
			t.Fatalf("%q is %v, and in a certificate %v", text, name, subject)
		}
	})
}

// sequenceOf returns a name as it stands in a certificate.
func sequenceOf(name distinguishedName) (sequence pkix.RDNSequence, ok bool) {
	for i := len(name) - 1; i >= 0; i-- {
		var set pkix.RelativeDistinguishedNameSET
		for _, a := range name[i] {
			oid, ok := parseOID(a.kind)
			if !ok {
				return nil, false
			}
			set = append(set, pkix.AttributeTypeAndValue{Type: oid, Value: a.value})
		}
		sequence = append(sequence, set)
	}
	return sequence, true
}

func parseOID(text string) (oid asn1.ObjectIdentifier, ok bool) {
	for arc := range strings.SplitSeq(text, ".") {
		number, err := strconv.ParseInt(arc, 10, 31)
		if err != nil {
			return nil, false
		}
		oid = append(oid, int(number))
	}
	_, err := asn1.Marshal(oid)
	return oid, err == nil
}
