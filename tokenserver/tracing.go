package tokenserver

import (
	"context"
	"net"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// Attributes of spans for which OpenTelemetry's semantic conventions have no name. docs/observability.md lists them.
const (
	outcomeKey  = attribute.Key("kubemint.outcome")
	clientKey   = attribute.Key("kubemint.client.id")
	methodKey   = attribute.Key("kubemint.client.authentication_method")
	audienceKey = attribute.Key("kubemint.token.audience")
	scopesKey   = attribute.Key("kubemint.token.scopes")
)

// untraced stands for a span where nothing is traced.
var untraced = trace.SpanFromContext(context.Background())

// beginSpan begins the span of a token request, in the trace that the caller names (W3C Trace Context). Without a tracer it does nothing.
func (s *Server) beginSpan(r *http.Request) (*http.Request, trace.Span) {
	if s.Tracer == nil {
		return r, untraced
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	caller, _, _ := net.SplitHostPort(r.RemoteAddr) // It is the server's own; in tests it may be none.
	// Nothing else of the request: what its query and its headers hold is a caller's to choose.
	ctx, span := s.Tracer.Start(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)),
		r.Method+" "+r.URL.Path, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			semconv.HTTPRequestMethodKey.String(r.Method), semconv.HTTPRoute(r.URL.Path), semconv.URLPath(r.URL.Path),
			semconv.URLScheme(scheme), semconv.ClientAddress(caller)))
	return r.WithContext(ctx), span
}

// endSpan ends the span of a token request. As in the audit log, of the token only what was granted is told.
func endSpan(span trace.Span, status int, outcome string, audit *auditLine) {
	if !span.IsRecording() {
		span.End()
		return
	}
	span.SetAttributes(semconv.HTTPResponseStatusCode(status), outcomeKey.String(outcome))
	if audit.clientID != "" {
		span.SetAttributes(clientKey.String(audit.clientID))
	}
	if audit.method != "" {
		span.SetAttributes(methodKey.String(string(audit.method)))
	}
	if audit.token != nil {
		claims := audit.token.claims
		span.SetAttributes(audienceKey.String(claims.Access.Audience), scopesKey.StringSlice(claims.Scopes.Tokens()))
	}
	if status >= http.StatusInternalServerError { // A caller's mistake is no error of the server.
		span.SetAttributes(semconv.ErrorTypeKey.String(outcome))
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// childSpan begins a span within that of the context, if it is recorded.
func childSpan(ctx context.Context, name string) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, untraced
	}
	return parent.TracerProvider().Tracer(TracerName).Start(ctx, name)
}

// endStep ends the span of a step that may have refused the request.
func endStep(span trace.Span, refusal *oauth2.Error) {
	if refusal != nil && span.IsRecording() {
		span.SetAttributes(outcomeKey.String(outcomeOf(refusal)))
	}
	span.End()
}

// TracerName is the instrumentation scope of the spans.
const TracerName = "github.com/kubemint/kubemint/tokenserver"
