// e2e runs Kubemint as people do: installed with Helm, in pods under the restricted Pod Security profile and default-deny
// NetworkPolicies, with workloads that get tokens and call each other while pods die, Kubemint is upgraded and the API server is
// away. It brings up a Kubernetes with a node for that, or takes the one that KUBECONFIG names. It ends with an error if
// any step does not do what it should. Run it with `make e2e`; docs/e2e.md says more.
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

	"github.com/kubemint/kubemint/hack/e2e/node"
	"github.com/kubemint/kubemint/hack/e2e/sandbox"
)

func main() {
	sandbox.InitIfFirst(node.Addresses)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	log.SetLogger(logr.Discard()) // envtest's, which would complain of having none.
	err := run(ctx)
	stop()
	if err == nil {
		return
	}
	if !errors.Is(err, sandbox.ErrInside) {
		fmt.Fprintf(os.Stderr, "\ne2e: %v\n", err)
	}
	os.Exit(1)
}

// directory is for images, and for logs, which stay.
var directory = filepath.Join("bin", "e2e")

func run(ctx context.Context) error {
	if sandbox.Inside() {
		return runWithNode(ctx)
	}
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		if err := sandbox.Check(); err != nil {
			return err
		}
	}
	images, err := buildImages(ctx, kubeconfig == "")
	if err != nil {
		return err
	}
	if kubeconfig != "" {
		return runStory(ctx, &e2e{images: images})
	}
	return sandbox.Run(ctx)
}

// runWithNode brings up a cluster with a node, for the story alone.
func runWithNode(ctx context.Context) (err error) {
	images, err := readImages()
	if err != nil {
		return err
	}
	logs := filepath.Join(directory, "logs")
	if err := os.RemoveAll(logs); err != nil {
		return err
	}
	say("Starting a Kubernetes with a node: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, containerd, kubelet, kube-proxy, CoreDNS")
	started := time.Now()
	n, err := node.Start(ctx, node.Options{
		Binaries: filepath.Join("bin", "node"), Logs: logs, CgroupRoot: sandbox.CgroupRoot,
		Pause: images.Pause, CoreDNS: images.CoreDNS, Images: images.forPods(),
	})
	if n != nil {
		defer func() { err = errors.Join(err, n.Stop()) }()
	}
	if err != nil {
		return err
	}
	note("it is ready after %s; logs are in %s", time.Since(started).Round(time.Second), logs)
	note("its network (CNI ptp) does not enforce NetworkPolicies; they are applied all the same, as another network would need them")
	if err := errors.Join(os.Setenv("KUBECONFIG", n.Cluster.Kubeconfig()), os.Setenv("KUBECACHEDIR", "/run/kubectl-cache")); err != nil {
		return err
	}
	return runStory(ctx, &e2e{images: images, apiServer: n.Cluster})
}
