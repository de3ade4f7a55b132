package tokenserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/kubemint/kubemint/hack/collector"
	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// tracing has a server send its spans to an endpoint. flush returns when they are there.
func tracing(t *testing.T, endpoint string, options ...sdktrace.TracerProviderOption) (option func(*tokenserver.Config), flush func()) {
	t.Helper()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(endpoint+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithBatcher(exporter))...)
	flush = func() {
		t.Helper()
		if err := provider.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
	return func(config *tokenserver.Config) { config.Tracer = provider.Tracer(tokenserver.TracerName) }, flush
}

// The caller that the requests of these tests come from, as it names itself and its trace.
const callersSpan = "00f067aa0ba902b7"

func traceID(number int) string { return fmt.Sprintf("4bf92f3577b34da6a3ce929d%08x", number) }

// tracedBy returns a request of a caller that traces it, or, where it samples nothing, leaves that to others.
func (r request) tracedBy(traceID string, sampled bool) request {
	flags := "00"
	if sampled {
		flags = "01"
	}
	return r.with("Traceparent", "00-"+traceID+"-"+callersSpan+"-"+flags)
}

// A token request is one span in the trace of its caller, with the steps that take time below it.
func TestTokenRequestsAreTraced(t *testing.T) {
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(clientKey.keySet(t)) }))
	t.Cleanup(host.Close)
	traces := collector.Start(t)
	option, flush := tracing(t, traces.Endpoint)
	var log capture
	s := startAsserting(t, option, tee(&log, inJSON), func(config *tokenserver.Config) {
		config.Assertions.Review = func(context.Context, string) (bool, error) { return true, nil }
		config.KeySets = assertion.NewKeySets(assertion.FetchOptions{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			RootCAs: host.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, Now: config.Issuer.Now})
	})
	const byURL, panicking = "billing.byurl", "billing.panicking"
	s.add(byURL).Asymmetric = &grant.Asymmetric{KeysURL: host.URL + "/jwks?secret=of-a-url", Uses: new(grant.Uses)}
	s.add(panicking, secret)

	const signed, refused = "POST /oauth2/token\n  authenticate client\n  sign token\n", "POST /oauth2/token\n  authenticate client\n"
	outcome := func(status int, outcome string, more ...any) map[string]any {
		attributes := map[string]any{"http.request.method": "POST", "http.route": tokenPath, "url.path": tokenPath, "url.scheme": "https",
			"client.address": "127.0.0.1", "http.response.status_code": status, "kubemint.outcome": outcome}
		for i := 0; i < len(more); i += 2 {
			attributes[more[i].(string)] = more[i+1]
		}
		return attributes
	}
	rows := []struct {
		name    string
		request request
		tree    string
		want    map[string]any
	}{
		{"a secret", post(grantType), signed, outcome(200, "issued", "kubemint.client.id", worker,
			"kubemint.client.authentication_method", "client_secret_basic", "kubemint.token.audience", audience, "kubemint.token.scopes", []string{"read", "write"})},
		{"a key set to be fetched", asserting(clientKey.sign(of(byURL, nil), nil)),
			"POST /oauth2/token\n  authenticate client\n    wait for key set\n  sign token\n", outcome(200, "issued", "kubemint.client.id", byURL,
				"kubemint.client.authentication_method", "private_key_jwt", "kubemint.token.audience", audience, "kubemint.token.scopes", []string{"read"})},
		{"a service account token to be reviewed", asserting(clusterKey.sign(ofAccount("billing", "worker", nil), nil)),
			"POST /oauth2/token\n  authenticate client\n    wait for key set\n    wait for TokenReview\n  sign token\n", outcome(200, "issued", "kubemint.client.id", accountID,
				"kubemint.client.authentication_method", "service_account_token", "kubemint.token.audience", audience, "kubemint.token.scopes", []string{"read"})},
		{"a wrong secret", post(grantType).as(worker, "nobody's secret"), refused, outcome(401, "invalid_client",
			"kubemint.client.id", worker, "kubemint.client.authentication_method", "client_secret_basic")},
		{"a secret in the place of an identifier", post(grantType).as(secret, "swapped-id"), refused, outcome(401, "invalid_client",
			"kubemint.client.id", "withheld: it holds a client secret", "kubemint.client.authentication_method", "client_secret_basic")},
		{"a scope that is not granted", post(grantType + "&scope=admin"), refused, outcome(400, "invalid_scope",
			"kubemint.client.id", worker, "kubemint.client.authentication_method", "client_secret_basic")},
		{"a secret in the URL", post(grantType).asking("client_secret=" + secret), "POST /oauth2/token\n", outcome(400, "invalid_request")},
		{"a bug", post(grantType).as(panicking, secret), refused, outcome(500, "panicked", "error.type", "panicked",
			"kubemint.client.id", panicking, "kubemint.client.authentication_method", "client_secret_basic")},
	}
	for i, row := range rows {
		if row.name == "a bug" {
			s.change(func() { s.hook = func() { panic("some bug") } })
		}
		s.ask(t, s.callers[i%2], row.request.tracedBy(traceID(i), true).with("User-Agent", secret))
	}
	s.ask(t, s.callers[0], get(tokenPath).tracedBy(traceID(len(rows)), true)) // Is no token request.
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	flush()

	roots := map[string]collector.Span{}
	for _, span := range traces.Spans() {
		if span.ParentID == callersSpan {
			roots[span.TraceID] = span
		}
	}
	if len(roots) != len(rows) {
		t.Errorf("%d token requests were traced, want %d", len(roots), len(rows))
	}
	for i, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if tree := traces.Tree(traceID(i)); tree != row.tree {
				t.Errorf("the trace is\n%swant\n%s", tree, row.tree)
			}
			root := roots[traceID(i)]
			if !reflect.DeepEqual(root.Attributes, row.want) {
				t.Errorf("the span says\n%v\nwant\n%v", root.Attributes, row.want)
			}
			if root.Kind != tracev1.Span_SPAN_KIND_SERVER || root.Scope != tokenserver.TracerName || root.Failed != (row.want["http.response.status_code"] == 500) {
				t.Errorf("the span is %+v", root)
			}
			if row.name == "a bug" {
				return // There is no audit line, but the stack.
			}
			if want := `"trace_id":"` + traceID(i) + `"`; strings.Count(log.String(), want) != 1 {
				t.Errorf("the audit lines hold %s %d times", want, strings.Count(log.String(), want))
			}
		})
	}
	for value := range sensitive {
		if traces.Holds(value) {
			t.Errorf("L9: the spans hold %q", value)
		}
	}
	if traces.Holds("of-a-url") {
		t.Error("the spans hold the URL of a key set")
	}
}

// A trace that its caller does not record makes no spans, and is named in the audit line all the same; without traces, none is.
func TestTracesThatAreNotRecorded(t *testing.T) {
	traces := collector.Start(t)
	option, flush := tracing(t, traces.Endpoint)
	for name, options := range map[string][]func(*tokenserver.Config){"not sampled": {option}, "off": nil} {
		t.Run(name, func(t *testing.T) {
			var log capture
			s := start(t, newCluster(t, nil), append(options, tee(&log, inJSON))...)
			s.token(t, post(grantType).tracedBy(traceID(1), false))
			if named := strings.Contains(log.String(), `"trace_id":"`+traceID(1)+`"`); named != (options != nil) {
				t.Errorf("logged %s", log.String())
			}
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
	flush()
	if spans := traces.Spans(); len(spans) > 0 {
		t.Errorf("spans %+v", spans)
	}
}

// A collector that is broken is nobody's concern: no token request waits for it or fails, and what it does not take is dropped.
func TestTokensWithABrokenCollector(t *testing.T) {
	const queue, requests = 4, 50
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {})) // It is to go wrong.
	release := make(chan struct{})
	entered := make(chan struct{}, requests)
	hanging := func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	refusing := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadRequest) }
	for name, handler := range map[string]http.HandlerFunc{"hangs": hanging, "refuses": refusing, "is gone": nil} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			if handler == nil {
				server.Close()
			}
			exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(server.URL+"/v1/traces"))
			if err != nil {
				t.Fatal(err)
			}
			provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(queue), sdktrace.WithMaxExportBatchSize(1)))
			s := start(t, newCluster(t, nil), func(config *tokenserver.Config) { config.Tracer = provider.Tracer("") })
			for range requests {
				s.token(t, post(grantType))
			}
			if name == "hangs" {
				<-entered // It has hung meanwhile, with far more spans than the queue takes.
				close(release)
			}
			_ = provider.Shutdown(t.Context()) // What it says is what was to be expected.
		})
	}
}
