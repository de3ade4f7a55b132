package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubemint/kubemint/hack/collector"
)

// The program sends traces where the environment of OpenTelemetry says so: of token requests, and of reconciliations with what they write.
func TestTraces(t *testing.T) {
	traces := collector.Start(t)
	t.Setenv("OTEL_SERVICE_NAME", "minted")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	restart(t, suite.kubemint.Stop, nil, "--otlp-endpoint="+traces.Endpoint)
	defer func() { restart(t, suite.kubemint.Stop, nil) }()
	namespace := newNamespace(t)
	secret := issued(t, newClient(namespace, "worker"))
	token := mustGetToken(t, secret)

	tree := awaitTrace(t, traces, func(span collector.Span) bool {
		return span.Name == "reconcile OAuthClient" && span.Attributes["k8s.namespace.name"] == namespace && span.Attributes["kubemint.object.name"] == "worker"
	}, "POST /api/v1/namespaces/{namespace}/secrets\n")
	if !strings.HasPrefix(tree, "reconcile OAuthClient\n  ") || !strings.Contains(tree, "  PATCH /apis/oauth.kubemint.dev/v1alpha1/namespaces/{namespace}/oauthclients/{name}/status\n") {
		t.Errorf("the trace of a reconciliation is\n%s", tree)
	}
	awaitTrace(t, traces, func(span collector.Span) bool {
		return span.Name == "POST /oauth2/token" && span.Attributes["kubemint.client.id"] == namespace+".worker" && span.AtResource["service.name"] == "minted"
	}, "sign token\n")
	for _, value := range []string{string(secret.Data["client_secret"]), token.AccessToken} {
		if traces.Holds(value) {
			t.Error("L9: the spans hold a client secret or a token")
		}
	}
}

// awaitTrace waits for a trace that has a span and, at any place, a line of the tree of its names.
func awaitTrace(t *testing.T, traces *collector.Collector, has func(collector.Span) bool, line string) (tree string) {
	t.Helper()
	await(t, "a trace with "+line, func() error {
		var names []string
		for _, span := range traces.Spans() {
			names = append(names, span.Name)
			if !has(span) {
				continue
			}
			if tree = traces.Tree(span.TraceID); strings.Contains(tree, line) {
				return nil
			}
		}
		slices.Sort(names)
		return fmt.Errorf("there are %q", slices.Compact(names))
	})
	return tree
}

// With a collector that is away the program starts, issues tokens and stops all the same; it says so in its log, once.
func TestTracesToNowhere(t *testing.T) {
	const line = `"msg":"traces not sent, their spans are lost"`
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	restart(t, suite.kubemint.Stop, nil, "--otlp-endpoint=http://127.0.0.1:1")
	defer func() {
		restart(t, suite.kubemint.Stop, nil)
		if count := strings.Count(suite.log.String(), line); count != 1 {
			t.Errorf("the log says so %d times", count)
		}
	}()
	secret := issued(t, newClient(newNamespace(t), "worker"))
	for range 3 {
		mustGetToken(t, secret)
	}
	await(t, "the log", func() error {
		if !strings.Contains(suite.log.String(), line) {
			return fmt.Errorf("it ends with %s", lastLines(suite.log.String(), 5))
		}
		return nil
	})
}
