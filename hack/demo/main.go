// The demo shows Kubemint's whole road on a local control plane, with real output: from `kubectl apply` to a verified token, and
// back. It ends with an error if any step does not do what it should. Run it with `make demo`.
package main

import (
	"context"
	"errors"
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
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	log.SetLogger(logr.Discard()) // envtest's, which would complain of having none.
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

// demo is what the steps share.
type demo struct {
	cluster   *localcluster.Cluster
	kubemint  *localcluster.Kubemint
	directory string
	started   time.Time

	credentials credentials
	token       string
	ordersToken string
	// accountToken is for the same API, and was got by a service account.
	accountToken string
}

func run(ctx context.Context) (err error) {
	d := &demo{directory: filepath.Join("bin", "demo"), started: time.Now()}
	if err := os.RemoveAll(d.directory); err != nil {
		return err
	}
	if err := os.MkdirAll(d.directory, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cleanUp()) }()
	for _, step := range []func(context.Context) error{
		d.startCluster,
		d.startKubemint,
		d.applySamples,
		d.showSecret,
		d.requestToken,
		d.decodeToken,
		d.askOwner,
		d.allowCaller,
		d.proveByServiceAccount,
		d.callResourceServer,
		d.takeBack,
		d.callAPIServer,
		d.rotate,
		d.suspend,
		d.deleteClient,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	fmt.Printf("\nAll steps did what they should, in %.0f s.\n", time.Since(d.started).Seconds())
	return d.stayUp(ctx)
}

// stayUp leaves everything running for somebody at a terminal to play with.
func (d *demo) stayUp(ctx context.Context) error {
	if os.Getenv("ONCE") != "" || !isTerminal(os.Stdin) || !isTerminal(os.Stdout) {
		return nil
	}
	if _, err := d.kubectl(ctx, "apply", "-k", "config/samples"); err != nil {
		return err
	}
	fmt.Printf(`
It all stays up for you to play with, until Ctrl-C:
  export KUBECONFIG=%s PATH=%s:$PATH
  kubectl get oac -n billing
  curl --cacert %s %s/.well-known/openid-configuration
`, d.cluster.Kubeconfig(), binaryDirectory(), d.credentials.caFile, d.kubemint.Issuer)
	<-ctx.Done()
	fmt.Println("\nStopping it all ...")
	return nil
}

// cleanUp ends everything that the demo started.
func (d *demo) cleanUp() error {
	var errs []error
	if d.kubemint != nil {
		errs = append(errs, d.kubemint.Stop())
	}
	if d.cluster != nil {
		errs = append(errs, d.cluster.Stop())
	}
	return errors.Join(errs...)
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func binaryDirectory() string {
	directory, err := localcluster.BinaryDir()
	if err != nil {
		return "bin/controlplane"
	}
	return directory
}
