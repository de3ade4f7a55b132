// The benchmark shows what Kubemint costs beside a bare client that makes the same writes in the same run, on a real
// kube-apiserver and etcd: many manifests applied at once, and one from its apply to its first token. It ends with an error
// where Kubemint takes longer than it promises. Run it with `make bench`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func main() {
	var size size
	flag.IntVar(&size.clients, "clients", 1000, "OAuthClients that are applied at once")
	flag.IntVar(&size.rounds, "rounds", 3, "rounds of them, for Kubemint and for the bare client each")
	flag.IntVar(&size.samples, "samples", 50, "OAuthClients that are applied alone, to wait for the first token")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	log.SetLogger(logr.Discard()) // envtest's, which would complain of having none.
	err := run(ctx, size)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\nbench: %v\n", err)
		os.Exit(1)
	}
}

// size is how much is measured.
type size struct{ clients, rounds, samples int }

func (s size) check() error {
	if s.clients < 1 || s.rounds < 1 || s.samples < 1 {
		return errors.New("-clients, -rounds and -samples must be at least 1")
	}
	return nil
}

func run(ctx context.Context, size size) (err error) {
	if err := size.check(); err != nil {
		return err
	}
	b := &bench{}
	defer func() { err = errors.Join(err, b.cleanUp()) }()
	for _, step := range []func(context.Context) error{b.startCluster, b.learn, b.warmUp} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	atOnce, err := b.measureManifests(ctx, size.clients, size.rounds)
	if err != nil {
		return err
	}
	alone, err := b.measureFirstToken(ctx, size.samples)
	if err != nil {
		return err
	}
	version, err := b.cluster.Version()
	if err != nil {
		return err
	}
	return report(version, atOnce, alone)
}

func say(format string, args ...any)  { fmt.Printf(format+"\n", args...) }
func note(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }
