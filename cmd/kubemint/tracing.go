package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/client-go/rest"

	"github.com/kubemint/kubemint/controllers"
	"github.com/kubemint/kubemint/tokenserver"
)

const (
	// lastSpans is how long the last spans may take to get to the collector when the process ends.
	lastSpans = 3 * time.Second
	// lostSpansInterval is the time from one line in the log about spans that were lost to the next, at least.
	lostSpansInterval = time.Minute
)

// traces are where spans go. The nil one makes none.
type traces struct{ provider *sdktrace.TracerProvider }

// startTraces begins to send spans to the collector that --otlp-endpoint or the environment names, in the background: nobody ever waits for
// a collector, and what it does not take in time is lost. Sampling, batches, headers and the like are for OpenTelemetry's own variables.
func startTraces(ctx context.Context, o *options, log *slog.Logger) (*traces, error) {
	if !o.traced() {
		return nil, nil
	}
	otel.SetErrorHandler(&lostSpans{log: log})
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	var to []otlptracehttp.Option
	if o.otlpEndpoint != "" {
		to = append(to, otlptracehttp.WithEndpointURL(strings.TrimSuffix(o.otlpEndpoint, "/")+"/v1/traces"))
	}
	exporter, err := otlptracehttp.New(ctx, to...)
	if err != nil {
		return nil, fmt.Errorf("--otlp-endpoint and OTEL_EXPORTER_OTLP_*: %w", err)
	}
	// What comes later replaces what comes before.
	process, err := resource.New(ctx, resource.WithHost(), resource.WithTelemetrySDK(), resource.WithAttributes(
		semconv.ServiceName("kubemint"), semconv.ServiceVersion(versionString()), semconv.K8SNamespaceName(o.namespace),
		attribute.String("kubemint.mode", o.mode)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return &traces{sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(process))}, nil
}

// follow has requests to the API server be part of the traces that they are sent in.
func (t *traces) follow(config *rest.Config) {
	if t != nil {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return apiRequests{next} })
	}
}

// stop sends the last spans.
func (t *traces) stop() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// tokenServer and controllers return the tracers of the two halves, nil where nothing is traced.
func (t *traces) tokenServer() trace.Tracer { return t.tracer(tokenserver.TracerName) }
func (t *traces) controllers() trace.Tracer { return t.tracer(controllers.TracerName) }

func (t *traces) tracer(name string) trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer(name)
}

// lostSpans tells of what goes wrong with traces, now and then: with a collector that is away, each batch of spans does.
type lostSpans struct {
	log *slog.Logger

	mu   sync.Mutex
	told time.Time
}

// Handle implements otel.ErrorHandler.
func (l *lostSpans) Handle(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.told) >= lostSpansInterval {
		l.told = now
		l.log.Warn("traces not sent, their spans are lost", "error", err)
	}
}

// completeTraces checks --otlp-endpoint, and that what it takes is what is sent.
func (o *options) completeTraces() error {
	const example = "for example http://collector.monitoring:4318"
	if endpoint, err := url.Parse(o.otlpEndpoint); o.otlpEndpoint != "" {
		switch {
		case err != nil || endpoint.Hostname() == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https":
			return fmt.Errorf("--otlp-endpoint %q is not a URL: write one with http or https and a host, %s", o.otlpEndpoint, example)
		case endpoint.User != nil || endpoint.RawQuery != "" || endpoint.Fragment != "":
			return errors.New("--otlp-endpoint has a user, a query or a fragment: leave it out, and give credentials by the environment variable OTEL_EXPORTER_OTLP_HEADERS")
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := os.Getenv(name); o.traced() && protocol != "" && !strings.HasPrefix(protocol, "http/") {
			return fmt.Errorf("%s is %q: kubemint sends traces by HTTP; write http/protobuf, and the collector's port for it, 4318 mostly", name, protocol)
		}
	}
	return nil
}

// traced reports whether traces are sent: where there is somewhere to send them to, and the environment does not forbid it.
func (o *options) traced() bool {
	if disabled, _ := strconv.ParseBool(os.Getenv("OTEL_SDK_DISABLED")); disabled || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return o.otlpEndpoint != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// apiRequests makes a span of each request to the API server that something traced sends, a reconciliation or a token request, and has the
// API server take up the trace.
type apiRequests struct{ next http.RoundTripper }

// WrappedRoundTripper lets client-go find what is below.
func (a apiRequests) WrappedRoundTripper() http.RoundTripper { return a.next }

// RoundTrip implements http.RoundTripper.
func (a apiRequests) RoundTrip(request *http.Request) (*http.Response, error) {
	parent := trace.SpanFromContext(request.Context())
	if !parent.IsRecording() {
		return a.next.RoundTrip(request)
	}
	template := urlTemplate(request.URL.Path)
	port, _ := strconv.Atoi(request.URL.Port())
	ctx, span := parent.TracerProvider().Tracer(tracerName).Start(request.Context(), request.Method+" "+template,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(semconv.HTTPRequestMethodKey.String(request.Method),
			semconv.URLFull(request.URL.String()), semconv.URLTemplate(template), semconv.ServerAddress(request.URL.Hostname()), semconv.ServerPort(port)))
	defer span.End()
	request = request.Clone(ctx)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(request.Header))
	response, err := a.next.RoundTrip(request)
	switch {
	case err != nil:
		span.SetAttributes(semconv.ErrorType(err))
		span.SetStatus(codes.Error, err.Error())
	case response.StatusCode >= http.StatusBadRequest:
		span.SetAttributes(semconv.HTTPResponseStatusCode(response.StatusCode), semconv.ErrorTypeKey.String(strconv.Itoa(response.StatusCode)))
		span.SetStatus(codes.Error, "")
	default:
		span.SetAttributes(semconv.HTTPResponseStatusCode(response.StatusCode))
	}
	return response, err
}

// tracerName is the instrumentation scope of these spans.
const tracerName = "github.com/kubemint/kubemint/cmd/kubemint"

// urlTemplate returns the path of a request to the API server without the names in it: /api/VERSION/RESOURCE or /apis/GROUP/VERSION/RESOURCE,
// with namespaces/NAMESPACE before the resource and NAME after it.
func urlTemplate(path string) string {
	parts := strings.Split(path, "/") // The first is empty.
	resource := 3
	if len(parts) > 1 && parts[1] == "apis" {
		resource = 4
	}
	if len(parts) > resource+2 && parts[resource] == "namespaces" {
		parts[resource+1] = "{namespace}"
		resource += 2
	}
	if len(parts) > resource+1 {
		parts[resource+1] = "{name}"
	}
	return strings.Join(parts, "/")
}
