package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kubemint/kubemint/tokenserver/registry"
)

// metrics are those of the token server, served beside controller-runtime's.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
}

func newMetrics(clients *registry.Registry) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubemint_token_requests_total",
			Help: "Token requests by outcome: issued, or the error code of the refusal.",
		}, []string{"outcome"}),
	}
	m.registry.MustRegister(m.requests, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubemint_clients",
		Help: "OAuthClients that the token server knows.",
	}, func() float64 { return float64(clients.Count()) }))
	return m
}

func (m *metrics) observe(outcome string) { m.requests.WithLabelValues(outcome).Inc() }

func (m *metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(
		prometheus.Gatherers{m.registry, ctrlmetrics.Registry}, promhttp.HandlerOpts{}))
	return mux
}
