package simulation_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/registry"
)

// clock is the time that everything here goes by.
type clock struct{ now atomic.Int64 }

func (c *clock) Now() time.Time             { return time.Unix(0, c.now.Load()).UTC() }
func (c *clock) set(now time.Time)          { c.now.Store(now.UnixNano()) }
func (c *clock) advance(step time.Duration) { c.now.Add(int64(step)) }

// replica is a token server with its registry, as in cmd/kubemint, that can be cut off from the API server.
type replica struct {
	*registry.Registry
	address string
	wire    *wire
	stop    func()
}

func startReplica(t *testing.T, config *rest.Config, now func() time.Time) *replica {
	t.Helper()
	r := &replica{wire: newWire()}
	config = rest.CopyConfig(config)
	config.Wrap(r.wire.wrap)
	var err error
	r.Registry, err = registry.New(config, scheme, namespace, nil, consent.Policy{DefaultAudience: issuer}, now, slog.New(slog.DiscardHandler))
	must(t, err)
	server, err := tokenserver.New(tokenserver.Config{
		Issuer:         grant.Issuer{URL: issuer, Now: now},
		Registry:       r.Registry,
		GetCertificate: r.GetCertificate,
		Log:            slog.New(slog.DiscardHandler),
	})
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.address = listener.Addr().String()

	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = r.Run(ctx) })
	parts.Go(func() { _ = server.Serve(ctx, listener) })
	r.stop = sync.OnceFunc(func() { r.wire.join(); cancel(); parts.Wait() })
	t.Cleanup(r.stop)
	return r
}

// wire carries a replica's requests to the API server. While it is cut, nothing that the API server says comes through.
type wire struct {
	mu   sync.Mutex
	open chan struct{} // Closed while it is whole.
}

func newWire() *wire {
	w := &wire{open: make(chan struct{})}
	close(w.open)
	return w
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = make(chan struct{})
}

func (w *wire) join() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.open:
	default:
		close(w.open)
	}
}

func (w *wire) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.open:
		return false
	default:
		return true
	}
}

func (w *wire) wait() {
	w.mu.Lock()
	open := w.open
	w.mu.Unlock()
	<-open
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *wire) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		w.wait()
		response, err := next.RoundTrip(request)
		if err == nil {
			response.Body = &body{response.Body, w}
		}
		return response, err
	})
}

// body hands on what has come only while the wire is whole.
type body struct {
	io.ReadCloser
	wire *wire
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.wire.wait()
	return n, err
}
