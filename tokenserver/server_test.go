package tokenserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/clientauth"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
	"github.com/kubemint/kubemint/tokenserver/scope"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// The tests speak to a real server over TLS, by the name in its issuer and its certificate. What is not said otherwise is
// asked for by the client worker.
const (
	host      = "issuer.test"
	issuerURL = "https://" + host
	audience  = "https://api.test"
	worker    = "billing.worker"
	tokenPath = tokenserver.TokenPath
	// clusterIssuer is the iss of service account tokens.
	clusterIssuer = "https://kubernetes.default.svc"
	grantType     = "grant_type=client_credentials"
)

// secret is worker's.
var secret = credential.Generate()

// noon is when every token is issued.
var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// cluster is a registry that tests fill by hand.
type cluster struct {
	mu        sync.Mutex
	clients   map[string]*grant.Client
	resources map[string]*oauth2.ProtectedResource // By NAMESPACE/NAME.
	ring      *signing.Ring
	// accountKeys verify service account tokens.
	accountKeys *assertion.Keys
	notReady    bool
	lookups     int
	hook        func() // Called by each lookup of a client or the ring, where it is set.
}

// newCluster returns a cluster with worker, and with clients that have only a secret and the scope read.
func newCluster(t testing.TB, secrets map[string]string) *cluster {
	t.Helper()
	c := &cluster{clients: map[string]*grant.Client{}, ring: ring(t)}
	c.add(worker, secret).Accesses[0].Grant = scope.Granted([]string{"read", "write", "delete"}, []string{"read", "write"})
	for id, secret := range secrets {
		c.add(id, secret)
	}
	return c
}

func (c *cluster) add(id string, secrets ...string) *grant.Client {
	keepOutOfLogs(secrets...)
	namespace, name, _ := strings.Cut(id, ".")
	client := &grant.Client{ID: id, Namespace: namespace, Name: name, UID: "uid-of-" + name,
		Accesses: scope.Accesses{{Audience: audience, AtIssuer: true, Grant: scope.Granted([]string{"read"}, nil), ByDefault: true, Lifetime: time.Hour}}}
	for _, secret := range secrets {
		client.Credentials = append(client.Credentials, credential.Accepted{Digest: credential.DigestOf(secret)})
	}
	c.clients[id] = client
	return client
}

// change changes the cluster while it is served.
func (c *cluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// lookup reads the cluster, and calls the hook with the lock released, for it may block or panic.
func (c *cluster) lookup(f func()) {
	var hook func()
	c.change(func() { f(); hook = c.hook })
	if hook != nil {
		hook()
	}
}

func (c *cluster) Client(id string) (client *grant.Client) {
	c.lookup(func() { c.lookups++; client = c.clients[id] })
	return client
}

func (c *cluster) ClientsOf(namespace, serviceAccount string) (ids []string) {
	c.lookup(func() {
		for _, client := range c.clients {
			if client.Namespace == namespace && client.Asymmetric != nil && slices.Contains(client.Asymmetric.ServiceAccounts, serviceAccount) {
				ids = append(ids, client.ID)
			}
		}
	})
	return ids
}

func (c *cluster) ServiceAccountIssuer() string { return clusterIssuer }

func (c *cluster) ServiceAccountKeys(context.Context, string) (*assertion.Keys, error) {
	if c.accountKeys == nil {
		return nil, errors.New("there are none")
	}
	return c.accountKeys, nil
}

func (c *cluster) Ring() (ring *signing.Ring) {
	c.lookup(func() { ring = c.ring })
	return ring
}

func (c *cluster) ProtectedResource(namespace, name string) (resource *oauth2.ProtectedResource) {
	c.change(func() { resource = c.resources[namespace+"/"+name] })
	return resource
}

func (c *cluster) Ready() (ready bool) {
	c.change(func() { ready = !c.notReady })
	return ready
}

// untouched fails the test if f makes the server look up a client.
func (c *cluster) untouched(t *testing.T, f func()) {
	t.Helper()
	var before, after int
	c.change(func() { before = c.lookups })
	f()
	if c.change(func() { after = c.lookups }); after != before {
		t.Error("the server looked up a client")
	}
}

// ring returns a ring of one key, the same in all tests.
func ring(t testing.TB) *signing.Ring {
	t.Helper()
	ring, err := newRing()
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

var newRing = sync.OnceValues(func() (*signing.Ring, error) { return signing.NewRingWithKey(signing.ES256, noon) })

// server is a running token server, as its callers see it.
type server struct {
	*cluster
	address string
	roots   *x509.CertPool
	// callers speak HTTP/1.1 and HTTP/2.
	callers []*http.Client
	// stop stops the server, and returns what Serve returned.
	stop func() error
}

// start serves a cluster until the test ends.
func start(t *testing.T, c *cluster, options ...func(*tokenserver.Config)) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, listener, c, options...)
}

func startOn(t *testing.T, listener net.Listener, c *cluster, options ...func(*tokenserver.Config)) *server {
	t.Helper()
	certificate := newCertificate(t)
	config := configOf(c)
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }
	config.Observe = func(o tokenserver.Observation) { outcomes.Store(o.Outcome, true) }
	for _, option := range options {
		option(&config)
	}
	handler, err := tokenserver.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- handler.Serve(ctx, listener) }()

	s := &server{cluster: c, address: listener.Addr().String(), roots: x509.NewCertPool()}
	s.roots.AddCert(certificate.Leaf)
	s.callers = []*http.Client{s.caller((*http.Protocols).SetHTTP1), s.caller((*http.Protocols).SetHTTP2)}
	s.stop = sync.OnceValue(func() error {
		for _, caller := range s.callers {
			caller.CloseIdleConnections()
		}
		cancel()
		return <-served
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func configOf(c *cluster) tokenserver.Config {
	return tokenserver.Config{
		Issuer:     grant.Issuer{URL: issuerURL, Now: func() time.Time { return noon }},
		Registry:   c,
		Assertions: clientauth.AssertionPolicy{Audiences: []string{issuerURL}, MaxAge: time.Minute, MaxTokenAge: time.Hour, Leeway: 10 * time.Second},
		Log:        slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// caller returns a client of one version of HTTP that reaches the server under any name, and follows no redirect.
func (s *server) caller(setVersion func(*http.Protocols, bool)) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: s.roots},
		Protocols:          new(http.Protocols),
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.address)
		},
	}
	setVersion(transport.Protocols, true)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute, // So that a server that hangs fails one test by its name.
	}
}

func newCertificate(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		DNSNames:     []string{host},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// request is a request as a test writes it down.
type request struct {
	method, path, query, host string
	header                    http.Header
	body                      string
	chunked                   bool
}

// post returns a token request with a body, which is right in all else.
func post(body string) request {
	return request{method: http.MethodPost, path: tokenPath, host: host, body: body, header: http.Header{
		"Content-Type":  {"application/x-www-form-urlencoded"},
		"Authorization": {basic(worker, secret)},
	}}
}

// postSecret returns a token request with credentials in its body.
func postSecret(id, secret string) request {
	return post(grantType + "&client_id=" + url.QueryEscape(id) + "&client_secret=" + url.QueryEscape(secret)).anonymous()
}

// get returns a request for a public document.
func get(path string) request {
	return request{method: http.MethodGet, path: path, host: host, header: http.Header{}}
}

// with replaces a header, or takes it away where there is no value.
func (r request) with(name string, values ...string) request {
	r.header = r.header.Clone()
	if r.header[name] = values; len(values) == 0 {
		delete(r.header, name)
	}
	return r
}

func (r request) as(id, secret string) request { return r.with("Authorization", basic(id, secret)) }
func (r request) anonymous() request           { return r.with("Authorization") }
func (r request) by(method string) request     { r.method = method; return r }
func (r request) to(path string) request       { r.path = path; return r }
func (r request) asking(query string) request  { r.query = query; return r }
func (r request) at(host string) request       { r.host = host; return r }
func (r request) inChunks() request            { r.chunked = true; return r }

// basic returns an Authorization header, form-encoded as RFC 6749, section 2.3.1 says.
func basic(id, secret string) string {
	return rawBasic(url.QueryEscape(id) + ":" + url.QueryEscape(secret))
}

func rawBasic(credentials string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	closed bool // The server said that it closes the connection.
}

// send sends a request as it is.
func (s *server) send(t *testing.T, caller *http.Client, r request) answer {
	t.Helper()
	var body io.Reader = strings.NewReader(r.body)
	if r.chunked {
		body = io.MultiReader(body) // Hides the length.
	}
	sent, err := http.NewRequest(r.method, issuerURL, body)
	if err != nil {
		t.Fatal(err)
	}
	sent.URL.Path, sent.URL.RawQuery, sent.Host, sent.Header = r.path, r.query, r.host, r.header
	response, err := caller.Do(sent)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

func read(t *testing.T, response *http.Response) answer {
	t.Helper()
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body, response.Close}
}

// ask sends a request to the token endpoint, and checks what holds for its every answer.
func (s *server) ask(t *testing.T, caller *http.Client, r request) answer {
	t.Helper()
	keepOutOfLogs(r.secrets()...)
	a := s.send(t, caller, r)
	keepOutOfLogs(a.header["Dpop-Nonce"]...)
	a.check(t, r.method)
	a.checkNoEcho(t, r)
	if a.status == http.StatusOK {
		keepTokenOutOfLogs(a.token(t).AccessToken)
	}
	return a
}

// token gets a token.
func (s *server) token(t *testing.T, r request) response {
	t.Helper()
	a := s.ask(t, s.callers[0], r)
	if a.outcome() != issued {
		t.Fatalf("answer %s: %s", a.outcome(), a.body)
	}
	return a.token(t)
}

// row is a row of CONFORMANCE.md: a request, and how it ends.
type row struct {
	name    string
	request request
	want    string
}

// run checks rows, over each version of HTTP.
func (s *server) run(t *testing.T, rows []row) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for _, caller := range s.callers {
				got := s.ask(t, caller, row.request)
				if attest(t, row.want, got.outcome()); got.outcome() != row.want {
					t.Errorf("answer %s, want %s: %s", got.outcome(), row.want, got.body)
				}
			}
		})
	}
}

// attest records what a row expects, and what it got, for the table of make conformance.
func attest(t *testing.T, expected, got string) {
	t.Helper()
	t.Attr("expected", expected)
	t.Attr("got", got)
}
