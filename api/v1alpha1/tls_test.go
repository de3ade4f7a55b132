package v1alpha1_test

import (
	"strings"
	"testing"
)

func tls(fields string) string { return `{scopes: [a], authentication: {tls: {` + fields + `}}}` }

func TestTLSRefused(t *testing.T) {
	const (
		one, dn, dns, uri = "set exactly one of", "as RFC 4514 writes it", "there are no patterns", "absolute URI without fragment"
		spiffe, ip, email = "a SPIFFE ID is spiffe://", "an IPv4 or IPv6 address", "an email address whose domain"
	)
	long := func(n int) string { return strings.Repeat("a", n) }
	for _, row := range []struct{ name, fields, field, remedy string }{
		{"nothing", ``, "spec.authentication.tls", one},
		{"two things", `sanDNS: a, sanURI: "a:b"`, "spec.authentication.tls", one},
		{"all things", `subjectDN: CN=a, sanDNS: a, sanURI: "a:b", sanIP: 10.0.0.1, sanEmail: a@b`, "spec.authentication.tls", one},
		{"empty subject", `subjectDN: ""`, "subjectDN", "should be at least 1 chars long"},
		{"common name alone", `subjectDN: worker`, "subjectDN", dn},
		{"spaces around commas", `subjectDN: "CN=worker, O=Example"`, "subjectDN", dn},
		{"spaces around equals signs", `subjectDN: "CN = worker"`, "subjectDN", dn},
		{"subject with slashes", `subjectDN: "/CN=worker"`, "subjectDN", dn},
		{"value that begins with a space", `subjectDN: "CN= worker"`, "subjectDN", dn},
		{"value that ends with a space", `subjectDN: "CN=worker "`, "subjectDN", dn},
		{"value in double quotes", `subjectDN: 'CN="worker"'`, "subjectDN", dn},
		{"semicolons", `subjectDN: "CN=worker;O=Example"`, "subjectDN", dn},
		{"comma at the end", `subjectDN: "CN=worker,"`, "subjectDN", dn},
		{"plus sign at the end", `subjectDN: "CN=worker+"`, "subjectDN", dn},
		{"backslash at the end", `subjectDN: 'CN=worker\'`, "subjectDN", dn},
		{"half an escape", `subjectDN: 'CN=worker\4'`, "subjectDN", dn},
		{"escape of a letter", `subjectDN: 'CN=\worker'`, "subjectDN", dn},
		{"empty value", `subjectDN: "CN=,O=Example"`, "subjectDN", dn},
		{"hash that begins no bytes", `subjectDN: "CN=#worker"`, "subjectDN", dn},
		{"half a byte", `subjectDN: "CN=#0c0"`, "subjectDN", dn},
		{"unknown attribute", `subjectDN: "COMMONNAME=worker"`, "subjectDN", dn},
		{"OID in words", `subjectDN: "OID.2.5.4.3=worker"`, "subjectDN", dn},
		{"line break", `subjectDN: "CN=worker\n"`, "subjectDN", dn},
		{"subject too long", `subjectDN: CN=` + long(1022), "subjectDN", "may not be more than 1024 bytes"},
		{"wildcard", `sanDNS: "*.billing.svc"`, "sanDNS", dns},
		{"DNS name in upper case", `sanDNS: Worker.billing.svc`, "sanDNS", dns},
		{"DNS name with a port", `sanDNS: "worker.billing.svc:443"`, "sanDNS", dns},
		{"dot at the end", `sanDNS: worker.billing.svc.`, "sanDNS", dns},
		{"DNS name too long", `sanDNS: ` + long(254), "sanDNS", "may not be more than 253 bytes"},
		{"URI without scheme", `sanURI: //example.org/worker`, "sanURI", uri},
		{"URI with a fragment", `sanURI: "https://example.org/#worker"`, "sanURI", uri},
		{"scheme in upper case", `sanURI: "SPIFFE://example.org/worker"`, "sanURI", uri},
		{"SPIFFE ID of a trust domain", `sanURI: "spiffe://example.org"`, "sanURI", spiffe},
		{"SPIFFE ID that ends with a slash", `sanURI: "spiffe://example.org/worker/"`, "sanURI", spiffe},
		{"SPIFFE ID with a query", `sanURI: "spiffe://example.org/worker?a=b"`, "sanURI", spiffe},
		{"SPIFFE ID with dots", `sanURI: "spiffe://example.org/a/../worker"`, "sanURI", spiffe},
		{"SPIFFE ID with a port", `sanURI: "spiffe://example.org:8443/worker"`, "sanURI", spiffe},
		{"SPIFFE ID with an escape", `sanURI: "spiffe://example.org/w%6frker"`, "sanURI", spiffe},
		{"SPIFFE ID of an upper case domain", `sanURI: "spiffe://Example.org/worker"`, "sanURI", spiffe},
		{"URI too long", `sanURI: "a:` + long(2047) + `"`, "sanURI", "may not be more than 2048 bytes"},
		{"address range", `sanIP: 10.0.0.0/8`, "sanIP", ip},
		{"host name for an address", `sanIP: localhost`, "sanIP", ip},
		{"IPv4 address as an IPv6 one", `sanIP: "::ffff:10.0.0.7"`, "sanIP", ip},
		{"IPv6 address with a zone", `sanIP: "fe80::1%eth0"`, "sanIP", ip},
		{"no email address", `sanEmail: worker`, "sanEmail", email},
		{"email address with a name", `sanEmail: "Worker <worker@example.com>"`, "sanEmail", email},
		{"email domain in upper case", `sanEmail: worker@Example.com`, "sanEmail", email},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := create(t, tls(row.fields))
			mustBeRefused(t, err, row.field, row.remedy)
		})
	}
}

func TestTLSAccepted(t *testing.T) {
	for name, fields := range map[string]string{
		"subject":                      `subjectDN: "CN=worker,OU=billing,O=Example"`,
		"attributes in lower case":     `subjectDN: "cn=worker,o=Example"`,
		"several attributes in one":    `subjectDN: "CN=worker+UID=7,DC=example,DC=org"`,
		"escapes":                      `subjectDN: 'CN=Worker\, the\20second\=\"a\"\\,O=Lu\C4\8Di\C4\87'`,
		"value beyond ASCII":           `subjectDN: "O=Müller & Söhne #1"`,
		"spaces at both ends, escaped": `subjectDN: 'CN=\ worker\ '`,
		"OID and bytes":                `subjectDN: "1.3.6.1.4.1.99999.1=#0c03616263"`,
		"the longest subject":          `subjectDN: CN=` + strings.Repeat("a", 1021),
		"DNS name":                     `sanDNS: worker.billing.svc`,
		"SPIFFE ID":                    `sanURI: "spiffe://example.org/ns/billing/sa/worker"`,
		"SPIFFE ID with odd segments":  `sanURI: "spiffe://example.org/.../a.b/..c"`,
		"other URI":                    `sanURI: "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"`,
		"IPv4 address":                 `sanIP: 10.0.0.7`,
		"IPv6 address":                 `sanIP: "2001:db8::7"`,
		"email address":                `sanEmail: Worker+billing@example.com`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := create(t, tls(fields)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("in the place of the secret", func(t *testing.T) {
		if _, err := create(t, `{scopes: [a], secret: {source: None}, authentication: {tls: {sanDNS: a}}}`); err != nil {
			t.Error(err)
		}
	})
}
