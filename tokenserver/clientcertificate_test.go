package tokenserver_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// X03: who shows a certificate gets a token, or the uniform answer, and the audit log says why. The handshake always succeeds.
func TestClientCertificates(t *testing.T) {
	ca := newAuthority(t, "Clients' CA")
	sub := ca.intermediate(t, caTemplate("Team CA"))
	stranger := newAuthority(t, "Strangers' CA")
	namesake := newAuthority(t, "Clients' CA")
	good, teams, strangers := ca.issue(t, nil), sub.issue(t, nil), stranger.issue(t, nil)
	changed := func(change func(*x509.Certificate)) *tls.Certificate { return ca.issue(t, change) }
	named := func(subject ...pkix.AttributeTypeAndValue) *tls.Certificate {
		return changed(func(c *x509.Certificate) { c.RawSubject = subjectOf(t, subject...) })
	}
	longest := sub
	for i := range 3 {
		longest = longest.intermediate(t, caTemplate(fmt.Sprint("CA ", i)))
	}
	short := ca.intermediate(t, func() *x509.Certificate {
		template := caTemplate("CA of no others")
		template.MaxPathLenZero = true
		return template
	}())
	expiredCA := ca.intermediate(t, func() *x509.Certificate {
		template := caTemplate("Former CA")
		template.NotAfter = noon.Add(-time.Second)
		return template
	}())
	serversCA := ca.intermediate(t, func() *x509.Certificate {
		template := caTemplate("Servers' CA")
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		return template
	}())
	byLeaf := (&authority{certificate: good.Leaf, key: good.PrivateKey.(*ecdsa.PrivateKey), above: []*x509.Certificate{good.Leaf}}).issue(t, nil)
	const (
		notNamed = "it has not the name in spec.authentication.tls."
		noCA     = "no CA in --client-ca-file has signed it"
	)
	for _, test := range []struct {
		name        string
		certificate *tls.Certificate
		client      string
		cause       string // Empty where it gets a token.
	}{
		{"subject", good, "billing.dn", ""},
		{"DNS name", good, "billing.dns", ""},
		{"SPIFFE ID", good, "billing.uri", ""},
		{"IPv4 address", good, "billing.ip", ""},
		{"IPv6 address", good, "billing.ip6", ""},
		{"email address", good, "billing.email", ""},
		{"by way of another CA", teams, "billing.dns", ""},
		{"with the trusted CA too", beside(good, good.Leaf, ca.certificate), "billing.dns", ""},
		{"for clients and servers", changed(func(c *x509.Certificate) {
			c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		}), "billing.dns", ""},
		{"for whatever use", changed(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), "billing.dns", ""},
		{"first moment", changed(func(c *x509.Certificate) { c.NotBefore = noon }), "billing.dns", ""},
		{"last moment", changed(func(c *x509.Certificate) { c.NotAfter = noon }), "billing.dns", ""},

		{"expired", changed(func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }), "billing.dns", "it has expired"},
		{"not yet valid", changed(func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) }), "billing.dns", "it is not valid yet"},
		{"self-signed", (&authority{}).issue(t, nil), "billing.dns", noCA},
		{"wrong CA", strangers, "billing.dns", noCA},
		{"wrong CA, sent along", beside(strangers, strangers.Leaf, stranger.certificate), "billing.dns", noCA},
		{"wrong CA of the same name", namesake.issue(t, nil), "billing.dns", noCA},
		{"signed with SHA-1", changed(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }), "billing.dns", noCA},
		{"intermediate CA not sent", beside(teams, teams.Leaf), "billing.dns", noCA},
		{"expired intermediate CA", expiredCA.issue(t, nil), "billing.dns", "a CA between it and one in --client-ca-file has expired"},
		{"intermediate CA that may sign no CA", short.intermediate(t, caTemplate("CA below")).issue(t, nil), "billing.dns", "does not allow it"},
		{"intermediate CA for servers", serversCA.issue(t, nil), "billing.dns", "must be clientAuth"},
		{"signed by another client", byLeaf, "billing.dns", "another client's certificate comes with it"},
		{"two certificates, the right one first", beside(good, good.Leaf, ca.issue(t, nil).Leaf), "billing.dns", "another client's certificate comes with it"},
		{"two certificates, the right one second", beside(byLeaf, byLeaf.Leaf, good.Leaf), "billing.dns", "another client's certificate comes with it"},
		{"as many certificates as may be", longest.issue(t, nil), "billing.dns", ""},
		{"two CAs of one name", sub.intermediate(t, caTemplate("Team CA")).issue(t, nil), "billing.dns", "two CAs of one name"},
		{"too many certificates", longest.intermediate(t, caTemplate("CA 3")).issue(t, nil), "billing.dns", "too many certificates"},
		{"a CA's own", &tls.Certificate{Certificate: [][]byte{ca.certificate.Raw}, PrivateKey: ca.key}, "billing.dns", "it is a CA's own"},
		{"for servers only", changed(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
			"billing.dns", "must be clientAuth"},
		{"critical extension that nobody knows", changed(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}), "billing.dns", noCA},

		{"unknown client", good, "billing.unknown", "the client is unknown"},
		{"client without spec.authentication.tls", good, worker, "has no spec.authentication.tls"},
		{"no client_id", good, "", "send it"},

		{"wrong DNS name", changed(func(c *x509.Certificate) { c.DNSNames = []string{"other.billing.test"} }), "billing.dns", notNamed + "sanDNS"},
		{"DNS name in upper case", changed(func(c *x509.Certificate) { c.DNSNames = []string{"WORKER.billing.test"} }), "billing.dns", ""},
		{"longer DNS name", changed(func(c *x509.Certificate) { c.DNSNames = []string{"worker.billing.test.evil.test"} }), "billing.dns", notNamed + "sanDNS"},
		{"DNS name with a dot at its end", changed(func(c *x509.Certificate) { c.DNSNames = []string{"worker.billing.test."} }), "billing.dns", notNamed + "sanDNS"},
		{"wildcard is no match", changed(func(c *x509.Certificate) { c.DNSNames = []string{"*.billing.test"} }), "billing.dns", notNamed + "sanDNS"},
		{"common name is no DNS name", changed(func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames = "worker.billing.test", nil
		}), "billing.dns", notNamed + "sanDNS"},
		{"common name, and no alternative name at all", changed(func(c *x509.Certificate) {
			*c = x509.Certificate{Subject: pkix.Name{CommonName: "worker.billing.test"}, NotBefore: c.NotBefore, NotAfter: c.NotAfter}
		}), "billing.dns", notNamed + "sanDNS"},
		{"DNS name of another type only", changed(func(c *x509.Certificate) {
			c.DNSNames, c.URIs, c.EmailAddresses = nil, uris(t, "dns:worker.billing.test"), []string{"worker.billing.test"}
		}), "billing.dns", notNamed + "sanDNS"},
		{"URI of another type only", changed(func(c *x509.Certificate) {
			id := knownBy["billing.uri"].Value
			c.URIs, c.DNSNames, c.EmailAddresses, c.Subject.CommonName = nil, []string{id}, []string{id}, id
		}), "billing.uri", notNamed + "sanURI"},
		{"address of another type only", changed(func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames, c.Subject.CommonName = nil, []string{"10.0.0.7", "2001:db8::7"}, "10.0.0.7"
		}), "billing.ip", notNamed + "sanIP"},
		{"mailbox of another type only", changed(func(c *x509.Certificate) {
			mailbox := "Worker@example.test"
			c.EmailAddresses, c.DNSNames, c.Subject.CommonName = nil, []string{mailbox}, mailbox
		}), "billing.email", notNamed + "sanEmail"},
		{"wrong SPIFFE ID", changed(func(c *x509.Certificate) { c.URIs = uris(t, "spiffe://example.test/ns/billing/sa/other") }), "billing.uri", notNamed + "sanURI"},
		{"SPIFFE ID below it", changed(func(c *x509.Certificate) { c.URIs = uris(t, knownBy["billing.uri"].Value+"/a") }), "billing.uri", notNamed + "sanURI"},
		{"SPIFFE ID of another trust domain", changed(func(c *x509.Certificate) { c.URIs = uris(t, "spiffe://evil.test/ns/billing/sa/worker") }), "billing.uri", notNamed + "sanURI"},
		{"SPIFFE ID in another spelling", changed(func(c *x509.Certificate) { c.URIs = uris(t, "spiffe://example.test/ns/billing/sa/w%6frker") }), "billing.uri", notNamed + "sanURI"},
		{"SPIFFE ID beside another URI", changed(func(c *x509.Certificate) { c.URIs = append(c.URIs, uris(t, "https://example.test/")...) }), "billing.uri", notNamed + "sanURI"},
		{"wrong address", changed(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("10.0.0.8").To4()} }), "billing.ip", notNamed + "sanIP"},
		{"IPv4 address as an IPv6 one", changed(func(c *x509.Certificate) {
			c.IPAddresses, c.ExtraExtensions = nil, []pkix.Extension{mappedAddress(t, "10.0.0.7")}
		}), "billing.ip", notNamed + "sanIP"},
		{"mailbox in another case", changed(func(c *x509.Certificate) { c.EmailAddresses = []string{"worker@example.test"} }), "billing.email", notNamed + "sanEmail"},
		{"mail domain in another case", changed(func(c *x509.Certificate) { c.EmailAddresses = []string{"Worker@EXAMPLE.test"} }), "billing.email", ""},
		{"mailbox of another domain", changed(func(c *x509.Certificate) { c.EmailAddresses = []string{"Worker@evil.test"} }), "billing.email", notNamed + "sanEmail"},

		{"subject in strings of other kinds", named(value(o, "Example, Inc.", asn1.TagPrintableString), value(ou, "billing", asn1.TagUTF8String),
			value(cn, "worker", asn1.TagIA5String)), "billing.dn", ""},
		{"subject in another order", named(value(cn, "worker", asn1.TagUTF8String), value(ou, "billing", asn1.TagUTF8String),
			value(o, "Example, Inc.", asn1.TagUTF8String)), "billing.dn", notNamed + "subjectDN"},
		{"subject in another case", changed(func(c *x509.Certificate) { c.Subject.CommonName = "Worker" }), "billing.dn", notNamed + "subjectDN"},
		{"subject with a further part", changed(func(c *x509.Certificate) { c.Subject.Country = []string{"CH"} }), "billing.dn", notNamed + "subjectDN"},
		{"subject with a part less", changed(func(c *x509.Certificate) { c.Subject.OrganizationalUnit = nil }), "billing.dn", notNamed + "subjectDN"},
		{"subject whose value reads like two parts", changed(func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: `worker,OU=billing,O=Example\, Inc.`}
		}), "billing.dn", notNamed + "subjectDN"},
		{"subject with a space more", changed(func(c *x509.Certificate) { c.Subject.CommonName = "worker " }), "billing.dn", notNamed + "subjectDN"},
		{"no subject", changed(func(c *x509.Certificate) { c.Subject = pkix.Name{} }), "billing.dn", notNamed + "subjectDN"},
	} {
		t.Run("X03 "+test.name, func(t *testing.T) {
			m := startMutual(t, ca)
			want := issued
			if test.cause != "" {
				want = uniform401
			}
			for _, caller := range m.showing(t, test.certificate).callers {
				before := len(m.log.String())
				a := m.ask(t, caller, asClient(test.client))
				if attest(t, want, a.outcome()); a.outcome() != want {
					t.Errorf("answer %s, want %s", a.outcome(), want)
				}
				line, said := m.log.String()[before:], []string{`"method":"tls_client_auth"`}
				if test.cause != "" {
					said = append(said, "client certificate: ", test.cause)
				}
				for _, text := range said {
					if !strings.Contains(line, text) {
						t.Errorf("logged %s, and not %s", line, text)
					}
				}
			}
		})
	}
}

// OIDs of the attributes of worker's subject.
var o, ou, cn = asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.ObjectIdentifier{2, 5, 4, 11}, asn1.ObjectIdentifier{2, 5, 4, 3}

// value is an attribute whose value is encoded as some kind of string.
func value(oid asn1.ObjectIdentifier, text string, tag int) pkix.AttributeTypeAndValue {
	return pkix.AttributeTypeAndValue{Type: oid, Value: asn1.RawValue{Tag: tag, Bytes: []byte(text)}}
}

func subjectOf(t *testing.T, attributes ...pkix.AttributeTypeAndValue) []byte {
	t.Helper()
	var sequence pkix.RDNSequence
	for _, attribute := range attributes {
		sequence = append(sequence, pkix.RelativeDistinguishedNameSET{attribute})
	}
	return encodeDER(t, sequence)
}

// mappedAddress is the extension of an IPv4 address in the form of an IPv6 one.
func mappedAddress(t *testing.T, address string) pkix.Extension {
	t.Helper()
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17},
		Value: encodeDER(t, []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 7, Bytes: net.ParseIP(address).To16()}})}
}

func encodeDER(t *testing.T, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// X03: a token is bound to the certificate that it was got with, and to none where other credentials proved the client.
func TestCertificateBoundTokens(t *testing.T) {
	ca := newAuthority(t, "Clients' CA")
	first, second := ca.issue(t, nil), ca.issue(t, nil)
	m := startMutual(t, ca, func(config *tokenserver.Config) { config.Reuse = time.Minute })
	for _, test := range []struct {
		name        string
		certificate *tls.Certificate
		request     request
		bound       bool
	}{
		{"tls_client_auth", first, asClient("billing.dns"), true},
		{"tls_client_auth, again", first, asClient("billing.dns"), true},
		{"tls_client_auth, another certificate of the client", second, asClient("billing.dns"), true},
		{"tls_client_auth, empty client_secret", first, asClient("billing.uri&client_secret="), true},
		{"Basic beside a certificate", first, post(grantType), false},
		{"Basic and client_id beside a certificate", first, post(grantType + "&client_id=" + worker), false},
		{"secret in the body beside a certificate", first, postSecret(worker, secret), false},
		{"Basic without a certificate", nil, post(grantType), false},
	} {
		t.Run("X03 cnf: "+test.name, func(t *testing.T) {
			s := m.server
			if test.certificate != nil {
				s = m.showing(t, test.certificate)
			}
			for _, caller := range s.callers {
				a := s.ask(t, caller, test.request)
				if a.outcome() != issued {
					t.Fatalf("answer %s", a.outcome())
				}
				granted := a.token(t)
				_, claims := m.verify(t, granted.AccessToken)
				want := any(nil)
				if test.bound {
					digest := sha256.Sum256(test.certificate.Certificate[0])
					want = map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(digest[:])}
				}
				attest(t, fmt.Sprint(want), fmt.Sprint(claims["cnf"]))
				if !reflect.DeepEqual(claims["cnf"], want) || granted.TokenType != "Bearer" {
					t.Errorf("cnf %v, want %v; token_type %s", claims["cnf"], want, granted.TokenType)
				}
			}
		})
	}
	if use := m.clients["billing.dns"].Asymmetric.Uses.Certificate.Last(); use != noon.Unix() {
		t.Errorf("last used at %d", use)
	}
}

// X03: a right certificate makes nothing good that is wrong beside it, and nothing but the connection has one.
// A token may be bound to both: the certificate that proved the client, and the key of a proof.
func TestX03X04TokenIsBoundToBoth(t *testing.T) {
	ca, h := newAuthority(t, "CA"), newHolder(t)
	m := startMutual(t, ca, withDPoP(tokenserver.DPoPOn))
	certificate := ca.issue(t, nil)
	digest := sha256.Sum256(certificate.Certificate[0])
	for _, caller := range m.showing(t, certificate).callers {
		a := m.ask(t, caller, asClient("billing.dns").proving(h.proof(t).sign(t)))
		if a.outcome() != issued {
			t.Fatalf("answer %s: %s", a.outcome(), a.body)
		}
		granted := a.token(t)
		_, claims := m.verify(t, granted.AccessToken)
		want := map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(digest[:]), "jkt": h.thumbprint(t)}
		if granted.TokenType != "DPoP" || !reflect.DeepEqual(claims["cnf"], want) {
			t.Errorf("token_type %s, cnf %v, want %v", granted.TokenType, claims["cnf"], want)
		}
	}
}

func TestCertificateIsNoSecondTry(t *testing.T) {
	ca := newAuthority(t, "Clients' CA")
	good := ca.issue(t, nil)
	m := startMutual(t, ca)
	in := func(header, value string) request { return asClient("billing.dns").with(header, value) }
	inPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good.Certificate[0]}))
	inBase64 := base64.StdEncoding.EncodeToString(good.Certificate[0])
	const jwtBearer = "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
	m.run(t, []row{
		{"X03 client_id alone, without a certificate", asClient("billing.dns"), uniform401},
		{"X03 no credentials at all", post(grantType).anonymous(), uniform401},
		{"X03 forwarded in X-Forwarded-Client-Cert", in("X-Forwarded-Client-Cert", "Cert=\""+url.QueryEscape(inPEM)+"\";DNS=worker.billing.test"), uniform401},
		{"X03 forwarded in Client-Cert", in("Client-Cert", ":"+inBase64+":"), uniform401},
		{"X03 forwarded in Ssl-Client-Cert", in("Ssl-Client-Cert", url.QueryEscape(inPEM)), uniform401},
		{"X03 forwarded in X-Client-Certificate", in("X-Client-Certificate", inBase64), uniform401},
	})
	m.showing(t, ca.issue(t, func(c *x509.Certificate) { c.DNSNames = nil })).run(t, []row{
		{"X03 another one forwarded in a header", in("Client-Cert", ":"+inBase64+":"), uniform401},
	})
	m.showing(t, good).run(t, []row{
		{"X03 certificate", asClient("billing.dns"), issued},
		{"X03 wrong secret by Basic", post(grantType).as("billing.dns", "wrong-secret"), uniform401},
		{"X03 wrong secret in the body", postSecret("billing.dns", "wrong-secret"), uniform401},
		{"X03 wrong assertion", asClient("billing.dns" + jwtBearer + "&client_assertion=a.b.c"), uniform401},
		{"X03 assertion without type", asClient("billing.dns&client_assertion=a.b.c"), invalidRequest},
		{"X03 another scheme", asClient("billing.dns").with("Authorization", "Bearer abcdefgh"), uniform401},
		{"X03 empty Authorization header", asClient("billing.dns").with("Authorization", ""), uniform401},
		{"X03 client_id in the URL", asClient("billing.dns").asking("client_id=billing.dns"), invalidRequest},
	})
	m.change(func() { m.clients["billing.dns"].Suspended = true })
	m.showing(t, good).run(t, []row{{"X03 suspended client", asClient("billing.dns"), unauthorizedClient}})
}

// X03 A25: certificates that are refused are counted as other wrong credentials are.
func TestRefusedCertificatesAreLimited(t *testing.T) {
	ca := newAuthority(t, "Clients' CA")
	m := startMutual(t, ca)
	wrong := m.showing(t, newAuthority(t, "Strangers' CA").issue(t, nil))
	attest(t, tooManyFailures, wrong.failUntilLimited(t, asClient("billing.dns")).outcome())
	m.showing(t, ca.issue(t, nil)).run(t, []row{{"X03 the right certificate all the same", asClient("billing.dns"), issued}})
}

// X03: a certificate is verified at each request. A connection that stays open does not keep it good, and nor does a session that is
// resumed, with either version of TLS.
func TestCertificateIsVerifiedAtEachRequest(t *testing.T) {
	ca, next := newAuthority(t, "Clients' CA"), newAuthority(t, "Next CA")
	after := expiry.Add(time.Second)
	for _, change := range []struct {
		name   string
		change func(*mutual)
		want   string
	}{
		{"nothing changes", func(*mutual) {}, issued},
		{"it expires", func(m *mutual) { m.now.Store(&after) }, uniform401},
		{"its CA is removed", func(m *mutual) { m.authorities.Store(next.pool()) }, uniform401},
		{"a CA is added", func(m *mutual) {
			both := ca.pool()
			both.AddCert(next.certificate)
			m.authorities.Store(both)
		}, issued},
		{"its client is known by another name", func(m *mutual) {
			m.change(func() {
				m.clients["billing.dns"].Asymmetric = &grant.Asymmetric{Certificate: &grant.CertificateBinding{Kind: grant.SANDNS, Value: "else.test"}}
			})
		}, uniform401},
	} {
		for version, configure := range map[string]func(*tls.Config){"TLS 1.2": versions(tls.VersionTLS12, tls.VersionTLS12), "TLS 1.3": versions(tls.VersionTLS13, tls.VersionTLS13)} {
			t.Run("X03 "+change.name+", "+version, func(t *testing.T) {
				m := startMutual(t, ca)
				s := m.showing(t, ca.issue(t, nil), configure, func(config *tls.Config) { config.ClientSessionCache = tls.NewLRUClientSessionCache(1) })
				for _, caller := range s.callers {
					if a := s.ask(t, caller, asClient("billing.dns")); a.outcome() != issued {
						t.Fatalf("answer %s", a.outcome())
					}
				}
				change.change(m)
				for _, resumed := range []bool{false, true} {
					for _, caller := range s.callers {
						if resumed {
							caller.CloseIdleConnections()
						}
						a, state := s.askOn(t, caller, asClient("billing.dns"))
						if state.DidResume != resumed || len(state.PeerCertificates) == 0 {
							t.Errorf("the session was resumed: %t, want %t", state.DidResume, resumed)
						}
						if attest(t, change.want, a.outcome()); a.outcome() != change.want {
							t.Errorf("resumed %t: answer %s, want %s", resumed, a.outcome(), change.want)
						}
					}
				}
			})
		}
	}
}

// askOn sends a token request, and tells on what connection.
func (s *server) askOn(t *testing.T, caller *http.Client, r request) (a answer, state tls.ConnectionState) {
	t.Helper()
	with := *caller
	with.Transport = observed{caller.Transport, &state}
	return s.ask(t, &with, r), state
}

// observed is a transport that tells of its connection.
type observed struct {
	http.RoundTripper
	state *tls.ConnectionState
}

func (o observed) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := o.RoundTripper.RoundTrip(r)
	if err == nil {
		*o.state = *response.TLS
	}
	return response, err
}

// X03: callers are told which CAs count, as they are now, so that those with several certificates choose the right one; and they need
// have none. Where there are no CAs, nobody is asked.
func TestCertificateRequests(t *testing.T) {
	ca, next := newAuthority(t, "Clients' CA"), newAuthority(t, "Next CA")
	m := startMutual(t, ca)
	off := start(t, newCluster(t, nil))
	for name, test := range map[string]struct {
		server *server
		change func()
		want   []string
	}{
		"X03 the CA":                {m.server, func() {}, []string{"CN=Clients' CA"}},
		"X03 X05 nobody, while off": {off, func() {}, nil},
		"X03 another CA":            {m.server, func() { m.authorities.Store(next.pool()) }, []string{"CN=Next CA"}},
	} {
		t.Run(name, func(t *testing.T) {
			m.authorities.Store(ca.pool())
			test.change()
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				var asked []string // Nil where nothing was asked for.
				conn, err := test.server.handshake(t, func(config *tls.Config) {
					versions(version, version)(config)
					config.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
						asked = []string{}
						for _, der := range request.AcceptableCAs {
							var sequence pkix.RDNSequence
							if _, err := asn1.Unmarshal(der, &sequence); err != nil {
								return nil, err
							}
							asked = append(asked, sequence.String())
						}
						return &tls.Certificate{}, nil // None.
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				if attest(t, fmt.Sprint(test.want), fmt.Sprint(asked)); !reflect.DeepEqual(asked, test.want) {
					t.Errorf("certificates of %q are asked for, want %q", asked, test.want)
				}
				_ = conn.Close()
			}
		})
	}
	// What is off is off altogether: the certificate of a client is as good as none.
	off.change(func() {
		binding := knownBy["billing.dns"]
		off.add("billing.dns").Asymmetric = &grant.Asymmetric{Certificate: &binding, Uses: new(grant.Uses)}
	})
	off.showing(t, ca.issue(t, nil)).run(t, []row{
		{"X05 certificate while mTLS is off", asClient("billing.dns"), uniform401},
		{"X05 secret beside a certificate while mTLS is off", post(grantType), issued},
	})
	t.Run("X05 certificate that nobody asked for", func(t *testing.T) {
		sent := httptest.NewRequest(http.MethodPost, tokenPath, strings.NewReader(asClient("billing.dns").body))
		sent.Header = asClient("billing.dns").header
		sent.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{ca.issue(t, nil).Leaf}}
		recorder := httptest.NewRecorder()
		newHandler(t, off.cluster).ServeHTTP(recorder, sent)
		a := read(t, recorder.Result())
		if attest(t, uniform401, a.outcome()); a.outcome() != uniform401 {
			t.Errorf("answer %s", a.outcome())
		}
	})
}

// M08 M10: what is on is told.
func TestMetadataOfMutualTLS(t *testing.T) {
	off, on := start(t, newCluster(t, nil)).metadata(t, documents["metadata"]), startMutual(t, newAuthority(t, "Clients' CA")).metadata(t, documents["metadata"])
	t.Run("M08 X03 tls_client_auth", func(t *testing.T) {
		want := append(off.list("token_endpoint_auth_methods_supported"), "tls_client_auth")
		got := on.list("token_endpoint_auth_methods_supported")
		if attest(t, listed(want), listed(got)); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
	t.Run("M10 X03 certificate-bound tokens", func(t *testing.T) {
		attest(t, "true", fmt.Sprint(on["tls_client_certificate_bound_access_tokens"]))
		if on["tls_client_certificate_bound_access_tokens"] != true {
			t.Errorf("%v", on)
		}
	})
	t.Run("M10 X05 and nothing else", func(t *testing.T) {
		got, want := slices.Sorted(maps.Keys(on)), append(slices.Collect(maps.Keys(off)), "tls_client_certificate_bound_access_tokens")
		slices.Sort(want)
		if attest(t, fmt.Sprint(len(want), " members"), fmt.Sprint(len(got), " members")); !slices.Equal(got, want) {
			t.Errorf("members %q, want %q", got, want)
		}
	})
}
