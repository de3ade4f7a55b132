// Dashboard fills the chart's Grafana dashboard with real data: it runs kubemint on a local control plane, lets applications with right and
// wrong secrets ask for tokens, rotates, stops the API server for a while, restarts a replica, and has a real Prometheus watch it all. Then it asks
// Prometheus what each panel would, and fails where a panel has no answer. hack/dashboard/draw makes a picture of it. Run it with `make dashboard`.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubemint/kubemint/hack/localcluster"
)

func main() {
	s := &stage{}
	flag.StringVar(&s.prometheus.binary, "prometheus", "prometheus", "the Prometheus to run")
	flag.StringVar(&s.dashboard, "dashboard", "charts/kubemint/dashboards/kubemint.json", "the dashboard")
	flag.StringVar(&s.output, "output", "bin/dashboard/picture.json", "where to write the dashboard with its data")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	log.SetLogger(logr.Discard()) // envtest's, which would complain of having none.
	err := s.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndashboard: %v\n", err)
		os.Exit(1)
	}
}

// stage is what the steps share.
type stage struct {
	dashboard, output string
	directory         string

	cluster    *localcluster.Cluster
	replicas   replicas
	prometheus prometheus
	begin      time.Time
}

func (s *stage) run(ctx context.Context) (err error) {
	s.directory = filepath.Dir(s.output)
	if err := os.RemoveAll(s.directory); err != nil {
		return err
	}
	if err := os.MkdirAll(s.directory, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.cleanUp()) }()
	for _, step := range []func(context.Context) error{
		s.startCluster,
		s.startReplicas,
		s.startPrometheus,
		s.applyClients,
		s.play,
		s.writePicture,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) startCluster(ctx context.Context) (err error) {
	say("Starting a control plane, and installing Kubemint's CRDs and RBAC")
	s.cluster, err = localcluster.Start(ctx, localcluster.Options{Dir: s.directory, ControllerManager: true, CRDs: []string{"config/crd/bases"}})
	if err != nil {
		return err
	}
	return s.cluster.InstallKubemint(ctx)
}

// writePicture asks Prometheus what the dashboard asks, over the time of the play.
func (s *stage) writePicture(ctx context.Context) error {
	say("Asking Prometheus what the panels of %s ask", s.dashboard)
	d, err := readDashboard(s.dashboard)
	if err != nil {
		return err
	}
	filled, err := d.fill(ctx, s.prometheus.api, s.begin, time.Now())
	if err != nil {
		return err
	}
	content, err := json.Marshal(filled)
	if err != nil {
		return err
	}
	say("All %d panels have data", len(filled.Panels))
	return os.WriteFile(s.output, content, 0o644)
}

func (s *stage) cleanUp() error {
	s.prometheus.stop()
	err := s.replicas.stop()
	if s.cluster != nil {
		err = errors.Join(err, s.cluster.Stop())
	}
	return err
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
