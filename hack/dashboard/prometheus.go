package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubemint/kubemint/hack/localcluster"
)

// scrapeInterval is short, so that three minutes tell something.
const scrapeInterval = 2 * time.Second

// prometheus is a running one.
type prometheus struct {
	binary  string
	config  string
	process *exec.Cmd
	api     promv1.API
}

func (s *stage) startPrometheus(ctx context.Context) error {
	say("Starting Prometheus, which scrapes them every %s", scrapeInterval)
	p := &s.prometheus
	p.config = filepath.Join(s.directory, "prometheus.json")
	if err := p.scrape(s.replicas.all()); err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.directory, "prometheus.log"))
	if err != nil {
		return err
	}
	p.process = exec.CommandContext(ctx, p.binary,
		"--config.file="+p.config, "--storage.tsdb.path="+filepath.Join(s.directory, "data"), "--web.listen-address="+address)
	p.process.Stdout, p.process.Stderr = log, log
	if err := p.process.Start(); err != nil {
		return fmt.Errorf("start Prometheus: %w", err)
	}
	client, err := api.NewClient(api.Config{Address: "http://" + address})
	if err != nil {
		return err
	}
	p.api = promv1.NewAPI(client)
	return p.await(ctx, len(s.replicas.all()))
}

// scrape has Prometheus scrape these replicas, with the labels that the chart's ServiceMonitor would give them.
func (p *prometheus) scrape(targets []replica) error {
	type staticConfig struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	var static []staticConfig
	for _, target := range targets {
		metrics, err := url.Parse(target.Metrics)
		if err != nil {
			return err
		}
		static = append(static, staticConfig{[]string{metrics.Host}, map[string]string{"namespace": localcluster.Namespace, "pod": target.pod}})
	}
	config, err := json.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": scrapeInterval.String(), "scrape_timeout": scrapeInterval.String()},
		"scrape_configs": []any{map[string]any{"job_name": "kubemint-metrics", "static_configs": static}},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.config, config, 0o600); err != nil { // JSON is YAML.
		return err
	}
	if p.process == nil {
		return nil
	}
	return p.process.Process.Signal(syscall.SIGHUP)
}

// await waits until so many targets are scraped.
func (p *prometheus) await(ctx context.Context, targets int) error {
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		value, _, err := p.api.Query(ctx, "count(up == 1)", time.Now())
		if err != nil {
			return false, nil // It does not listen yet.
		}
		counts, isVector := value.(model.Vector)
		return isVector && len(counts) == 1 && int(counts[0].Value) == targets, nil
	})
	if err != nil {
		return fmt.Errorf("wait until Prometheus scrapes %d targets: %w", targets, err)
	}
	return nil
}

func (p *prometheus) stop() {
	if p.process != nil && p.process.Process != nil {
		_ = p.process.Process.Kill() // Nobody needs its data.
		_ = p.process.Wait()
	}
}

// freeAddress is one on the loopback interface that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
