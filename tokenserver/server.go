// Package tokenserver is the HTTP server that issues access tokens by the client credentials grant, and publishes the keys
// and the metadata that resource servers verify them with. It answers every request from memory.
package tokenserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/clientauth"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// Paths below the issuer's URL.
const (
	TokenPath = "/oauth2/token"
	JWKSPath  = "/oauth2/jwks"
)

// Bounds on what a caller may take of the server before it has shown who it is.
const (
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10
	// maxStreams bounds the requests at once on one HTTP/2 connection. It is the least that RFC 9113, section 6.5.2 recommends.
	maxStreams = 100

	// drainTimeout is how long requests under way may take to end when the server stops. The pods' grace period covers it.
	drainTimeout = 15 * time.Second
)

// Timeouts bound how long a caller may take over its part of a request, and keep a connection without one. They are those of
// http.Server.
type Timeouts struct{ ReadHeader, Read, Write, Idle time.Duration }

var defaultTimeouts = Timeouts{ReadHeader: 5 * time.Second, Read: 10 * time.Second, Write: 10 * time.Second, Idle: 2 * time.Minute}

// Registry is what the server knows of the cluster.
type Registry interface {
	clientauth.Registry
	// Ring returns the signing keys, or nil before they have been seen.
	Ring() *signing.Ring
	// ProtectedResource returns what the owner of an API publishes of it, by the API's namespace and name; nil where there is nothing.
	ProtectedResource(namespace, name string) *oauth2.ProtectedResource
	// Ready reports whether requests can be answered: all clients have been seen, and there is a key to sign with.
	Ready() bool
}

// Config is what a server needs.
type Config struct {
	// Issuer is what every token has in common.
	Issuer   grant.Issuer
	Registry Registry
	// Assertions says what a JWT must be to prove a client.
	Assertions clientauth.AssertionPolicy
	// KeySets are those that clients publish.
	KeySets *assertion.KeySets
	// DPoP says whether clients may bind tokens to a key; empty stands for DPoPOff.
	DPoP DPoP
	// GetCertificate returns the serving certificate. Nil means plain HTTP, for a proxy in front to end TLS.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientCAs returns the CAs that may sign the certificates of clients, as they are now. Nil means that callers are not asked for any.
	ClientCAs func() *x509.CertPool
	// Reuse is how long a client that asks again for the same scopes gets the same token, at most MaxReuse; 0 means never.
	Reuse time.Duration
	// Linger is called when the server is to stop, and returns when callers have had the time to learn of it: until then, the
	// server goes on taking connections. Nil means no time.
	Linger func()
	// Timeouts are the defaults where they are zero.
	Timeouts Timeouts
	// Observe is told what became of each token request. It may be nil.
	Observe func(Observation)
	// Panicked is told of each request that panicked, whatever it was for. It may be nil.
	Panicked func()
	// Tracer makes the spans of token requests. Nil means that there are none.
	Tracer trace.Tracer
	Log    *slog.Logger
}

// Server answers the endpoints of one issuer.
type Server struct {
	Config
	routes map[string]http.HandlerFunc
	// resources is where the paths of protected resources' metadata begin.
	resources     string
	authenticator *clientauth.Authenticator
	failures      *failureBudget
	places        places
	reuse         reuse
	proofs        *proofs
	// leaving is set when the server is to stop.
	leaving atomic.Bool
}

// New returns a server for an issuer, whose URL must be absolute.
func New(config Config) (*Server, error) {
	issuer, err := url.Parse(config.Issuer.URL)
	if err != nil {
		return nil, fmt.Errorf("parse the issuer's URL: %w", err)
	}
	if config.Observe == nil {
		config.Observe = func(Observation) {}
	}
	if config.Panicked == nil {
		config.Panicked = func() {}
	}
	if config.Linger == nil {
		config.Linger = func() {}
	}
	if config.Timeouts == (Timeouts{}) {
		config.Timeouts = defaultTimeouts
	}
	s := &Server{Config: config, failures: newFailureBudget(config.Issuer.Now), places: newPlaces(), reuse: reuse{window: config.Reuse}}
	s.authenticator = &clientauth.Authenticator{Registry: config.Registry, Now: config.Issuer.Now, Assertions: config.Assertions,
		Replays: assertion.NewReplays(assertion.DefaultLimits, config.Issuer.Now), KeySets: config.KeySets, ClientCAs: config.ClientCAs}
	if s.proofs, err = newProofs(config); err != nil {
		return nil, err
	}
	base := strings.TrimSuffix(issuer.Path, "/")
	metadata := s.published("application/json", s.metadata)
	s.resources = ProtectedResourcePath + base + "/"
	s.routes = map[string]http.HandlerFunc{
		base + TokenPath: s.token,
		base + JWKSPath:  s.published("application/jwk-set+json", (*signing.Ring).JWKS),
		// RFC 8414, section 3.1 puts the well-known part before the issuer's path, OpenID Connect Discovery after it.
		"/.well-known/oauth-authorization-server" + base: metadata,
		base + "/.well-known/openid-configuration":       metadata,
	}
	return s, nil
}

// ServeHTTP routes by exact path. http.ServeMux would redirect a path that is not clean, and a client that follows would
// send its credentials again.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.recover(w, r)
	if s.leaving.Load() {
		// The next request needs a new connection, which goes to a server that stays. One that was kept alive until the end might
		// be closed under a request that has just been sent. HTTP/2 says the same by GOAWAY.
		w.Header().Set("Connection", "close")
	}
	path := r.URL.EscapedPath()
	if route, ok := s.routes[path]; ok {
		route(w, r)
		return
	}
	if resource, ok := strings.CutPrefix(path, s.resources); ok {
		s.protectedResource(w, r, resource)
		return
	}
	notFound(w)
}

func notFound(w http.ResponseWriter) { http.Error(w, "not found", http.StatusNotFound) }

// recover answers a request whose handler panicked. The process lives on.
func (s *Server) recover(w http.ResponseWriter, r *http.Request) {
	if cause := recover(); cause != nil {
		s.Log.Error("handler panicked", "path", r.URL.Path, "cause", cause, "stack", string(debug.Stack()))
		s.Panicked()
		oauth2.ServerError.Write(w)
	}
}

// Serve answers requests on a listener until the context ends, and while it lingers; then it lets those under way end.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.Timeouts.ReadHeader,
		ReadTimeout:       s.Timeouts.Read,
		WriteTimeout:      s.Timeouts.Write,
		IdleTimeout:       s.Timeouts.Idle,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	if s.GetCertificate != nil {
		server.TLSConfig = s.tlsConfig()
	}
	stopped := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			stopped <- server.ServeTLS(deadlineListener{listener}, "", "")
		} else {
			stopped <- server.Serve(deadlineListener{listener})
		}
	}()
	select {
	case err := <-stopped:
		return fmt.Errorf("serve the token endpoint: %w", err)
	case <-ctx.Done():
	}
	s.leaving.Store(true)
	s.Linger()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		// Shutdown waits in vain for HTTP/2 connections that were opened meanwhile and have had no request.
		s.Log.Warn("connections are still open, closing them", "after", drainTimeout, "error", err)
		_ = server.Close() // They are gone, whatever it says.
	}
	return nil
}

// allow answers a request of another method than those given, and reports whether it may go on.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, method := range methods {
		if r.Method == method {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	oauth2.MethodNotAllowed.Write(w)
	return false
}
