package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// scrapes are the jobs that Prometheus is given, each with the reason for which it must fail; none if it must not.
var scrapes = map[string]string{"with_token": "", "without_token": "401 Unauthorized", "wrong_secret": "invalid_client"}

// tryPrometheus lets a Prometheus scrape a target that wants a token with the scope metrics:read.
func tryPrometheus(ctx context.Context, t *trial) error {
	target, stop, err := t.serveMetrics(ctx)
	if err != nil {
		return fmt.Errorf("serve the target: %w", err)
	}
	defer stop()
	address, stop, err := t.startPrometheus(ctx, target)
	if err != nil {
		return fmt.Errorf("start Prometheus: %w", err)
	}
	defer stop()
	return eventually(ctx, time.Minute, func() error { return checkTargets(ctx, address) })
}

// serveMetrics serves a metric to whoever shows a token with the scope metrics:read.
func (t *trial) serveMetrics(ctx context.Context) (address string, stop func(), err error) {
	provider, err := oidc.NewProvider(t.withClient(ctx), t.secret.issuer)
	if err != nil {
		return "", nil, err
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: t.secret.issuer})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !mayScrape(r, verifier) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a token with the scope metrics:read is needed", http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintln(w, "invoices_total 4711")
	})}
	go server.Serve(listener) //nolint:errcheck // It ends when it is closed.
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}

func mayScrape(r *http.Request, verifier *oidc.IDTokenVerifier) bool {
	token, err := verifier.Verify(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil {
		return false
	}
	var claims struct {
		Scope string `json:"scope"`
	}
	return token.Claims(&claims) == nil && slices.Contains(strings.Fields(claims.Scope), "metrics:read")
}

// startPrometheus starts Prometheus with the scrapes of one target.
func (t *trial) startPrometheus(ctx context.Context, target string) (address string, stop func(), err error) {
	directory := filepath.Join(t.directory, "prometheus")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return "", nil, err
	}
	configFile, err := t.writeScrapeConfig(directory, target)
	if err != nil {
		return "", nil, err
	}
	log, err := os.Create(filepath.Join(directory, "prometheus.log"))
	if err != nil {
		return "", nil, err
	}
	if address, err = freeAddress(); err != nil {
		return "", nil, err
	}
	process := exec.CommandContext(ctx, t.prometheus,
		"--config.file="+configFile, "--storage.tsdb.path="+filepath.Join(directory, "data"), "--web.listen-address="+address)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		return "", nil, err
	}
	return address, func() {
		_ = process.Process.Kill() // Nobody needs its data.
		_ = process.Wait()
	}, nil
}

// writeScrapeConfig writes Prometheus' configuration, and the file with a wrong secret that it has use for.
func (t *trial) writeScrapeConfig(directory, target string) (string, error) {
	wrongSecret := filepath.Join(directory, "wrong_secret")
	if err := os.WriteFile(wrongSecret, []byte(t.secret.clientSecret+"x"), 0o600); err != nil {
		return "", err
	}
	config, err := t.scrapeConfig("with_token", target, t.secret.file("client_secret"))
	if err != nil {
		return "", err
	}
	wrong, err := t.scrapeConfig("wrong_secret", target, wrongSecret)
	if err != nil {
		return "", err
	}
	_, wrong, _ = strings.Cut(wrong, "scrape_configs:\n")
	config = fmt.Sprintf(`global: {scrape_interval: 1s, scrape_timeout: 1s}
%s%s- job_name: without_token
  static_configs: [{targets: [%q]}]
`, config, wrong, target)
	path := filepath.Join(directory, "prometheus.yml")
	return path, os.WriteFile(path, []byte(config), 0o600)
}

// scrapeConfig is the example, with a client secret of this trial.
func (t *trial) scrapeConfig(job, target, secretFile string) (string, error) {
	return example("prometheus/prometheus.yml",
		"job_name: invoices", "job_name: "+job, "invoices.billing.svc:8080", target, "monitoring.prometheus", t.secret.clientID,
		"https://kubemint.kubemint-system.svc/oauth2/token", t.secret.tokenURL,
		"/var/run/oauth/client_secret", secretFile, "/var/run/oauth/ca.crt", t.secret.file("ca.crt"))
}

// checkTargets asks Prometheus how its last scrapes went.
func checkTargets(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/v1/targets", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	var answer struct {
		Data struct {
			ActiveTargets []scrapeTarget `json:"activeTargets"`
		} `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: read Prometheus' answer: %w", response.Status, err)
	}
	if len(answer.Data.ActiveTargets) != len(scrapes) {
		return fmt.Errorf("its targets are %d, want %d", len(answer.Data.ActiveTargets), len(scrapes))
	}
	for _, target := range answer.Data.ActiveTargets {
		if !target.asExpected() {
			return fmt.Errorf("target %s is %s: %s", target.Job, target.Health, target.LastError)
		}
	}
	return nil
}

// scrapeTarget is what Prometheus knows of a job's target.
type scrapeTarget struct {
	Job       string `json:"scrapePool"`
	Health    string `json:"health"`
	LastError string `json:"lastError"`
}

func (s scrapeTarget) asExpected() bool {
	reason := scrapes[s.Job]
	if reason == "" {
		return s.Health == "up"
	}
	return s.Health == "down" && strings.Contains(s.LastError, reason)
}

// freeAddress is one on the loopback interface that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
