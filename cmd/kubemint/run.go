package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers"
	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/registry"
)

// run wires the two halves, or one of them. They share nothing but the process: the token server with its registry, and the
// controllers. The token server lives as long as the process; the controllers come and go with leadership and the API server.
func run(ctx context.Context, o *options, log *slog.Logger) error {
	config, err := connect(ctx, o.kubeconfig)
	if err != nil {
		return err
	}
	traces, err := startTraces(ctx, o, log)
	if err != nil {
		return err
	}
	defer traces.stop()
	traces.follow(config)
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return fmt.Errorf("register the API's kinds: %w", err)
	}
	issuer := grant.Issuer{URL: o.issuer, Now: time.Now}
	policy := o.consentPolicy(issuer)

	group, ctx := errgroup.WithContext(ctx)
	// When the context ends, the token endpoint lingers; health and metrics are served until it has stopped.
	serving, stopped := context.WithCancel(context.WithoutCancel(ctx))
	alive, measured := func() bool { return ctx.Err() == nil }, metricsHandler()
	ready := alive
	if o.mode == modeController {
		context.AfterFunc(ctx, stopped)
	} else {
		clients, metrics, err := startTokenServer(ctx, group, o, config, scheme, issuer, policy, traces.tokenServer(), serving, stopped, log)
		if err != nil {
			return err
		}
		ready = func() bool {
			return alive() && clients.Ready() && (o.tlsMode != tlsManaged || clients.HasCertificate())
		}
		measured = metricsHandler(metrics.registry)
	}
	if err := startProbes(serving, group, o, ready, measured); err != nil {
		return err
	}
	if o.mode != modeTokenServer {
		caCert, err := readCAFile(o)
		if err != nil {
			return err
		}
		c := &controllerManager{options: o, config: config, scheme: scheme, policy: policy, keySets: o.assertions.keySets(), tracer: traces.controllers(), log: log,
			issuer: controllers.Issuer{URL: issuer.URL, TokenURL: issuer.Endpoint(tokenserver.TokenPath), CACert: caCert}}
		group.Go(func() error { return c.runAlways(ctx) })
	}

	log.Info("kubemint started", "version", versionString(), "mode", o.mode, "issuer", o.issuer, "namespace", o.namespace, "traced", o.traced())
	err = group.Wait()
	log.Info("kubemint stopped")
	return err
}

// startTokenServer starts the registry, which lives as long as serving, and the token endpoint, which calls stopped when it has ended.
func startTokenServer(ctx context.Context, group *errgroup.Group, o *options, config *rest.Config, scheme *runtime.Scheme, issuer grant.Issuer, policy consent.Policy, tracer trace.Tracer, serving context.Context, stopped func(), log *slog.Logger) (*registry.Registry, *metrics, error) {
	clients, err := registry.New(config, scheme, o.namespace, o.watchNamespaces, policy, time.Now, log.With("component", "registry"))
	if err != nil {
		return nil, nil, err
	}
	getCertificate, err := serveCertificate(ctx, group, o, clients)
	if err != nil {
		return nil, nil, err
	}
	clientCAs, err := trustClientCAs(ctx, group, o, log.With("component", "tokenserver"))
	if err != nil {
		return nil, nil, err
	}
	metrics := newMetrics(clients, o.signingKeyPolicy(), getCertificate)
	server, err := tokenserver.New(tokenserver.Config{
		Issuer:         issuer,
		Registry:       clients,
		Assertions:     o.assertions.policy(issuer, clients.ReviewTokens(issuer.URL)),
		KeySets:        o.assertions.keySets(),
		DPoP:           tokenserver.DPoP(o.dpop),
		GetCertificate: getCertificate,
		ClientCAs:      clientCAs,
		Reuse:          o.tokenReuse,
		Linger:         func() { time.Sleep(o.shutdownDelay) },
		Observe:        metrics.observe,
		Panicked:       metrics.panics.Inc,
		Tracer:         tracer,
		Log:            log.With("component", "tokenserver"),
	})
	if err != nil {
		return nil, nil, err
	}
	listener, err := listen(ctx, "--token-bind-address", o.tokenAddress)
	if err != nil {
		return nil, nil, err
	}
	group.Go(func() error {
		defer stopped()
		return server.Serve(ctx, listener)
	})
	group.Go(func() error { return clients.Run(serving) })
	return clients, metrics, nil
}

// startProbes starts the servers of health and metrics.
func startProbes(ctx context.Context, group *errgroup.Group, o *options, ready func() bool, metrics http.Handler) error {
	health, err := listen(ctx, "--health-bind-address", o.healthAddress)
	if err != nil {
		return err
	}
	group.Go(func() error { return serveHTTP(ctx, health, healthHandler(ready)) })
	if o.metricsAddress == "0" {
		return nil
	}
	listener, err := listen(ctx, "--metrics-bind-address", o.metricsAddress)
	if err != nil {
		return err
	}
	group.Go(func() error { return serveHTTP(ctx, listener, metrics) })
	return nil
}

// listen takes an address at once, so that one that is in use ends the start and not a goroutine.
func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	// Every server here closes idle connections, so that the kernel need not look for dead ones.
	listener, err := (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: choose another address", flag, err)
	}
	return listener, nil
}

// readCAFile returns what clients are given as ca.crt: nil where it is the managed CA, empty where they need none.
func readCAFile(o *options) ([]byte, error) {
	switch {
	case o.tlsMode == tlsManaged:
		return nil, nil
	case o.caFile == "":
		return []byte{}, nil
	}
	caCert, err := os.ReadFile(o.caFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	if !isCertificate(caCert) {
		return nil, fmt.Errorf("--ca-file %s holds no certificate: it must be PEM (BEGIN CERTIFICATE)", o.caFile)
	}
	return caCert, nil
}

// serveHTTP serves plain HTTP until the context ends.
func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
}

// healthHandler answers /healthz while the process lives, and /readyz when it can issue tokens.
func healthHandler(ready func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", ok)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if !ready() {
			http.Error(w, "not ready: stopping, or waiting for the first view of the cluster, a signing key or the serving certificate", http.StatusServiceUnavailable)
			return
		}
		ok(w, r)
	})
	return mux
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }
