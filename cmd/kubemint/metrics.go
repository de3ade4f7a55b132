package main

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kubemint/kubemint/controllers/rotation"
	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// metrics are those of the token server, served beside controller-runtime's. Their labels take few values, none of which a caller
// chooses. docs/metrics.md lists them.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	methods   *prometheus.CounterVec
	durations *prometheus.HistogramVec
	signing   prometheus.Histogram
	panics    prometheus.Counter
}

// seen is what the metrics tell of the registry.
type seen interface {
	Count() int
	Ring() *signing.Ring
	RingValid() bool
	LastEvent() time.Time
}

func newMetrics(clients seen, keys rotation.RingPolicy, certificate getCertificate) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubemint_token_requests_total",
			Help: "Token requests by outcome: issued, or why not.",
		}, []string{"outcome"}),
		methods: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubemint_client_authentications_total",
			Help: "Clients that got a token, by how they proved who they are.",
		}, []string{"method"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kubemint_token_request_duration_seconds",
			Help:    "Time from a token request's headers to its answer, the reading of its body included, by outcome.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .1, .5, 2.5},
		}, []string{"outcome"}),
		signing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "kubemint_token_signing_duration_seconds",
			Help:    "Time to sign one token.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .01, .1},
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kubemint_panics_total",
			Help: "Requests, for tokens or public documents, that a bug ended.",
		}),
	}
	m.registry.MustRegister(m.requests, m.methods, m.durations, m.signing, m.panics, signingKeys{clients, keys}, servingCertificate{certificate}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubemint_clients",
		Help: "OAuthClients that the token server knows.",
	}, func() float64 { return float64(clients.Count()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubemint_registry_last_event_timestamp_seconds",
		Help: "When the token server last saw a change of an OAuthClient or a Secret; 0 before the first.",
	}, func() float64 { return unixSeconds(clients.LastEvent()) }))
	m.requests.WithLabelValues(tokenserver.Issued) // So that its rate can be asked for before the first.
	return m
}

func (m *metrics) observe(request tokenserver.Observation) {
	m.requests.WithLabelValues(request.Outcome).Inc()
	m.durations.WithLabelValues(request.Outcome).Observe(request.Duration.Seconds())
	if request.Method != "" {
		m.methods.WithLabelValues(string(request.Method)).Inc()
	}
	if request.Outcome == tokenserver.Issued {
		m.signing.Observe(request.Signing.Seconds())
	}
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// metricsHandler serves controller-runtime's metrics, with the process's, and others.
func metricsHandler(others ...prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(append(prometheus.Gatherers(others), ctrlmetrics.Registry), promhttp.HandlerOpts{}))
	return mux
}
