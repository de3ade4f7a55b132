// Interop runs what people really use against Kubemint: OAuth clients that get a token from its token endpoint, and verifiers that
// are shown one; the programs that docs/consumers shows among them. It does so with the binary as it is shipped, on a local control plane,
// over HTTPS, for ES256 and RS256, and prints a table. It ends with an error if any of them fails. Run it with `make interop`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubemint/kubemint/hack/localcluster"
)

// algorithms that every verifier can do.
var algorithms = []string{"ES256", "RS256"}

func main() {
	i := &interop{}
	flag.StringVar(&i.prometheus, "prometheus", "prometheus", "the Prometheus to run")
	flag.StringVar(&i.python, "python", "python3", "the Python to run, which has PyJWT and requests-oauthlib")
	flag.StringVar(&i.jackson, "jackson", "", "the class path of Jackson, for Java")
	flag.StringVar(&i.mesh, "mesh", "mesh", "the program that knows the APIs of Envoy and Istio")
	flag.StringVar(&i.istioCRDs, "istio-crds", "", "the file of Istio's CRDs")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	log.SetLogger(logr.Discard()) // envtest's, which would complain of having none.
	err := i.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ninterop: %v\n", err)
		os.Exit(1)
	}
}

// interop is what the steps share.
type interop struct {
	prometheus, python, jackson, mesh, istioCRDs string

	directory string
	cluster   *localcluster.Cluster
	checks    []check
	results   map[string][]error // by algorithm, in the order of the checks
	forgeries []string           // that verifiers were shown

	configurations []configuration
}

func (i *interop) run(ctx context.Context) (err error) {
	if err := i.makeDirectory(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.cleanUp()) }()
	say("Building the programs of docs/examples")
	if err := i.buildExamples(ctx); err != nil {
		return err
	}
	if err := i.startCluster(ctx); err != nil {
		return err
	}
	if err := i.validate(ctx); err != nil {
		return err
	}
	if i.checks, err = i.allChecks(ctx); err != nil {
		return err
	}
	i.results = map[string][]error{}
	for _, algorithm := range algorithms {
		if err := i.tryAll(ctx, algorithm); err != nil {
			return fmt.Errorf("%s: %w", algorithm, err)
		}
	}
	return i.report(ctx)
}

func (i *interop) makeDirectory() (err error) {
	if i.directory, err = filepath.Abs(filepath.Join("bin", "interop")); err != nil {
		return err
	}
	if err := os.RemoveAll(i.directory); err != nil {
		return err
	}
	return os.MkdirAll(i.directory, 0o755)
}

func (i *interop) startCluster(ctx context.Context) (err error) {
	say("Starting a control plane, and installing Kubemint's CRDs and RBAC")
	i.cluster, err = localcluster.Start(ctx, localcluster.Options{
		Dir: i.directory, ControllerManager: true, AuthenticationConfig: true, CRDs: []string{"config/crd/bases"},
	})
	if err != nil {
		return err
	}
	return i.cluster.InstallKubemint(ctx)
}

// cleanUp ends the control plane; what runs for one algorithm is ended with it.
func (i *interop) cleanUp() error {
	if i.cluster == nil {
		return nil
	}
	return i.cluster.Stop()
}

func say(format string, args ...any)  { fmt.Printf(format+"\n", args...) }
func note(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }
