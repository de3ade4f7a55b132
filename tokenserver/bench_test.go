package tokenserver_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver"
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

// discard is an http.ResponseWriter that keeps the status alone.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
