package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// directory is for the logs, which are kept.
var directory = filepath.Join("bin", "bench")

// patience bounds each wait for Kubemint, so that one that hangs ends the benchmark.
const patience = 2 * time.Minute

// bench is what the measurements share.
type bench struct {
	cluster *localcluster.Cluster
	// user applies OAuthClients and watches what becomes of them. Its requests are not limited.
	user client.WithWatch
	bare *bareClient

	// port of the token endpoint: the same at each start, so that the issuer is, and with it the size of every Secret.
	port     int
	log      *os.File
	endpoint *http.Client
	jwksURL  string

	namespaces int
}

func (b *bench) startCluster(ctx context.Context) (err error) {
	say("Starting etcd and kube-apiserver, and installing Kubemint's CRDs and RBAC (about 15 s)")
	if err := os.RemoveAll(directory); err != nil {
		return err
	}
	if b.cluster, err = localcluster.Start(ctx, localcluster.Options{Dir: directory}); err != nil {
		return err
	}
	if err := b.cluster.InstallKubemint(ctx); err != nil {
		return err
	}
	if b.log, err = os.Create(filepath.Join(directory, "kubemint.log")); err != nil {
		return err
	}
	return b.connect(ctx)
}

// connect makes the two clients: the user is an administrator, and the bare client writes as Kubemint's own service account,
// so that the API server treats its writes as it treats Kubemint's. Each has a connection of its own.
func (b *bench) connect(ctx context.Context) error {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	user, err := client.NewWithWatch(b.cluster.Config(), client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("make the user's client: %w", err)
	}
	kubeconfig, err := b.cluster.ServiceAccountKubeconfig(ctx, localcluster.Namespace, "kubemint")
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read the service account's kubeconfig: %w", err)
	}
	config.QPS = -1
	bare, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("make the bare client: %w", err)
	}
	b.user, b.bare = user, &bareClient{Client: client.WithFieldOwner(bare, v1alpha1.ManagedBy)}
	return nil
}

// learn lets Kubemint serve one OAuthClient: the bare client will write the like, and tokens will be asked for where that
// Secret says.
func (b *bench) learn(ctx context.Context) error {
	return b.withKubemint(ctx, func(ctx context.Context, namespace string) error {
		key := client.ObjectKey{Namespace: namespace, Name: firstName}
		var example v1alpha1.OAuthClient
		if err := b.user.Get(ctx, key, &example); err != nil {
			return fmt.Errorf("read the first OAuthClient: %w", err)
		}
		if err := b.user.Get(ctx, key, &b.bare.secret); err != nil {
			return fmt.Errorf("read the first Secret: %w", err)
		}
		b.bare.status = example.Status
		return b.trustEndpoint(&b.bare.secret)
	})
}

// warmUp is a small round that does not count: the API server's first writes take longer than all others.
func (b *bench) warmUp(ctx context.Context) error {
	const clients = 200
	say("Warming up with %d manifests each (about 10 s)", clients)
	if _, err := b.kubemintRound(ctx, clients); err != nil {
		return err
	}
	_, err := b.bareRound(ctx, clients)
	return err
}

// cleanUp ends everything that the benchmark started.
func (b *bench) cleanUp() error {
	if b.cluster == nil {
		return nil
	}
	return b.cluster.Stop()
}
