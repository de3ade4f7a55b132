package tokenserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// BenchmarkTokenRequest is a token request less what net/http does for it, in the process. `make bench` measures all of it.
func BenchmarkTokenRequest(b *testing.B) { benchmarkTokenRequest(b, nil) }

// BenchmarkTracedTokenRequest is the same with spans that are recorded, up to the collector.
func BenchmarkTracedTokenRequest(b *testing.B) {
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(tracetest.NewNoopExporter()))
	defer provider.Shutdown(b.Context()) //nolint:errcheck // Nothing is lost.
	benchmarkTokenRequest(b, provider.Tracer(tokenserver.TracerName))
}

func benchmarkTokenRequest(b *testing.B, tracer trace.Tracer) {
	b.Helper()
	c := newCluster(b, nil)
	config := configOf(c)
	config.Tracer = tracer
	config.Issuer.Now = time.Now
	config.Log = slog.New(slog.NewJSONHandler(io.Discard, nil)) //nolint:sloglint // To format a line is part of it.
	server := newServer(b, config)
	header := post(grantType).header
	b.ReportAllocs()
	for b.Loop() {
		r, _ := http.NewRequest(http.MethodPost, issuerURL+tokenPath, io.NopCloser(strings.NewReader(grantType)))
		r.Header = header
		r.ContentLength = int64(len(grantType))
		r.RemoteAddr = "127.0.0.1:1234"
		w := &discard{header: http.Header{}}
		server.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}

// BenchmarkAuthentication is the same with each way in which a client can prove who it is, and with proof of possession.
func BenchmarkAuthentication(b *testing.B) {
	const mutualID = "billing.dns"
	c := newCluster(b, nil)
	c.accountKeys = clusterKey.keys(b)
	binding := knownBy[mutualID]
	for id, proofs := range map[string]grant.Asymmetric{
		signerID:  {Keys: clientKey.keys(b)},
		accountID: {ServiceAccounts: []string{"worker"}},
		mutualID:  {Certificate: &binding},
	} {
		proofs.Uses = new(grant.Uses)
		c.add(id).Asymmetric = &proofs
	}
	token := asserting(clusterKey.sign(ofAccount("billing", "worker", nil), nil))
	ca, h := newAuthority(b, "CA"), newHolder(b)
	connection := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{ca.issue(b, nil).Leaf}}
	config := configOf(c)
	config.Issuer.Now = func() time.Time { return noon }
	config.Log = slog.New(slog.NewJSONHandler(io.Discard, nil)) //nolint:sloglint // To format a line is part of it.
	config.DPoP, config.ClientCAs = tokenserver.DPoPOn, ca.pool
	for _, way := range []struct {
		name    string
		request func() request
	}{
		{"secret", func() request { return post(grantType) }},
		{"service account token", func() request { return token }},
		{"private key", func() request { return asserting(clientKey.sign(of(signerID, nil), nil)) }},
		{"certificate", func() request { return asClient(mutualID) }},
		{"secret, with DPoP", func() request { return post(grantType).proving(h.proof(b).sign(b)) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			requests := make([]request, 900) // Each is used once, as many as one client may use in a minute.
			for i := range requests {
				requests[i] = way.request()
			}
			server := newServer(b, config)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%len(requests) == 0 && i > 0 {
					b.StopTimer()
					server = newServer(b, config) // It has seen none.
					b.StartTimer()
				}
				sent := requests[i%len(requests)]
				r, _ := http.NewRequest(http.MethodPost, issuerURL+tokenPath, io.NopCloser(strings.NewReader(sent.body)))
				r.Header, r.ContentLength, r.RemoteAddr, r.TLS = sent.header, int64(len(sent.body)), "127.0.0.1:1234", connection
				w := &discard{header: http.Header{}}
				if server.ServeHTTP(w, r); w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
		})
	}
}

func newServer(b *testing.B, config tokenserver.Config) *tokenserver.Server {
	b.Helper()
	server, err := tokenserver.New(config)
	if err != nil {
		b.Fatal(err)
	}
	return server
}

// discard is an http.ResponseWriter that keeps the status alone.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
