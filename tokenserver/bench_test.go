package tokenserver_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// BenchmarkTokenRequest is a token request less what net/http does for it, in the process. `make bench` measures all of it.
func BenchmarkTokenRequest(b *testing.B) {
	c := newCluster(b, nil)
	config := configOf(c)
	config.Issuer.Now = time.Now
	config.Log = slog.New(slog.NewJSONHandler(io.Discard, nil)) //nolint:sloglint // To format a line is part of it.
	server, err := tokenserver.New(config)
	if err != nil {
		b.Fatal(err)
	}
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

// BenchmarkAuthentication is the same with each way in which a client can prove who it is.
func BenchmarkAuthentication(b *testing.B) {
	c := newCluster(b, nil)
	c.accountKeys = clusterKey.keys(b)
	c.add(signerID).Asymmetric = &grant.Asymmetric{Keys: clientKey.keys(b), Uses: new(grant.Uses)}
	c.add(accountID).Asymmetric = &grant.Asymmetric{ServiceAccounts: []string{"worker"}, Uses: new(grant.Uses)}
	token := asserting(clusterKey.sign(ofAccount("billing", "worker", nil), nil))
	for _, way := range []struct {
		name    string
		request func(id int) request
	}{
		{"secret", func(int) request { return post(grantType) }},
		{"service account token", func(int) request { return token }},
		{"private key", func(int) request { return asserting(clientKey.sign(of(signerID, nil), nil)) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			now := noon
			config := configOf(c)
			config.Issuer.Now = func() time.Time { return now }
			config.Log = slog.New(slog.NewJSONHandler(io.Discard, nil)) //nolint:sloglint // To format a line is part of it.
			server, err := tokenserver.New(config)
			if err != nil {
				b.Fatal(err)
			}
			requests := make([]request, 900) // Each is used once, as many as one client may use in a minute.
			for i := range requests {
				requests[i] = way.request(i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%len(requests) == 0 && i > 0 {
					b.StopTimer()
					if server, err = tokenserver.New(config); err != nil { // It has seen none.
						b.Fatal(err)
					}
					b.StartTimer()
				}
				sent := requests[i%len(requests)]
				r, _ := http.NewRequest(http.MethodPost, issuerURL+tokenPath, io.NopCloser(strings.NewReader(sent.body)))
				r.Header, r.ContentLength, r.RemoteAddr = sent.header, int64(len(sent.body)), "127.0.0.1:1234"
				w := &discard{header: http.Header{}}
				server.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
		})
	}
}

// discard is an http.ResponseWriter that keeps the status alone.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
