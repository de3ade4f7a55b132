// Package collector is an OpenTelemetry collector for tests: it takes traces by OTLP over HTTP, and keeps them.
package collector

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	tracecollector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector keeps what it was sent.
type Collector struct {
	// Endpoint is its URL, as --otlp-endpoint and OTEL_EXPORTER_OTLP_ENDPOINT have it.
	Endpoint string

	mu    sync.Mutex
	spans []Span
	bytes []byte
}

// Span is a span as it came, with what it says readable.
type Span struct {
	Name, Scope            string
	TraceID, ID, ParentID  string
	Kind                   traces.Span_SpanKind
	Failed                 bool
	Attributes, AtResource map[string]any
	StartNanos, EndNanos   uint64
}

// Start starts a collector, which runs until the test ends.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.Endpoint = server.URL
	return c
}

// ServeHTTP implements http.Handler.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "no traces in protobuf", http.StatusNotFound)
		return
	}
	if err := c.take(r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, _ := proto.Marshal(&tracecollector.ExportTraceServiceResponse{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

func (c *Collector) take(r *http.Request) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	var sent tracecollector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &sent); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes = append(c.bytes, body...)
	for _, ofResource := range sent.ResourceSpans {
		for _, ofScope := range ofResource.ScopeSpans {
			for _, span := range ofScope.Spans {
				c.spans = append(c.spans, Span{
					Name: span.Name, Scope: ofScope.Scope.GetName(), Kind: span.Kind,
					TraceID: hex.EncodeToString(span.TraceId), ID: hex.EncodeToString(span.SpanId), ParentID: hex.EncodeToString(span.ParentSpanId),
					Failed:     span.Status.GetCode() == traces.Status_STATUS_CODE_ERROR,
					Attributes: values(span.Attributes), AtResource: values(ofResource.Resource.GetAttributes()),
					StartNanos: span.StartTimeUnixNano, EndNanos: span.EndTimeUnixNano,
				})
			}
		}
	}
	return nil
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	unpacked, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unpacked)
}

// values returns attributes as texts, numbers and lists of texts.
func values(attributes []*common.KeyValue) map[string]any {
	all := map[string]any{}
	for _, attribute := range attributes {
		switch value := attribute.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[attribute.Key] = value.StringValue
		case *common.AnyValue_IntValue:
			all[attribute.Key] = int(value.IntValue)
		case *common.AnyValue_ArrayValue:
			var texts []string
			for _, element := range value.ArrayValue.Values {
				texts = append(texts, element.GetStringValue())
			}
			all[attribute.Key] = texts
		default:
			all[attribute.Key] = fmt.Sprint(attribute.Value)
		}
	}
	return all
}

// Spans returns all that came.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Holds reports whether a text stands anywhere in what came.
func (c *Collector) Holds(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.bytes, []byte(text))
}

// Tree draws the spans of a trace by their names, each below its parent and further in, in the order in which they began.
func (c *Collector) Tree(traceID string) string {
	spans := slices.DeleteFunc(c.Spans(), func(s Span) bool { return s.TraceID != traceID })
	slices.SortFunc(spans, func(a, b Span) int { return int(a.StartNanos) - int(b.StartNanos) })
	known := map[string]bool{}
	for _, span := range spans {
		known[span.ID] = true
	}
	var tree strings.Builder
	var draw func(parent string, depth int)
	draw = func(parent string, depth int) {
		for _, span := range spans {
			if span.ParentID == parent || depth == 0 && !known[span.ParentID] {
				fmt.Fprintf(&tree, "%s%s\n", strings.Repeat("  ", depth), span.Name)
				draw(span.ID, depth+1)
			}
		}
	}
	draw("none", 0)
	return tree.String()
}
