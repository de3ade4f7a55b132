// Package localcluster starts a real Kubernetes control plane on this machine: etcd and kube-apiserver through
// controller-runtime's envtest and, where asked for, kube-controller-manager beside them. Tests, benchmarks and the demo
// run against it, because an API server cannot be imitated well enough to trust the imitation. There are no nodes; hack/e2e
// adds one.
package localcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	// patience is how long each component may take to start or to stop. Ten seconds is usual; a CI machine with two busy
	// cores takes its time.
	patience = 2 * time.Minute

	// pollInterval is how often a component is asked whether it is ready.
	pollInterval = 100 * time.Millisecond
)

// Options of a cluster. The zero value is a bare API server with its etcd.
type Options struct {
	// Dir is for kubeconfigs and logs, and is kept; one running cluster to a directory. If empty, a temporary directory
	// serves, which Stop removes.
	Dir string

	// ControllerManager runs kube-controller-manager too. Without it nothing is garbage collected, a deleted namespace
	// stays, and a new one has no service account.
	ControllerManager bool

	// AuthenticationConfig starts kube-apiserver with an authentication configuration that trusts no issuer of tokens yet,
	// so that SetAuthenticationConfig can change it later.
	AuthenticationConfig bool

	// Nodes prepares the cluster for nodes, at APIServerAddress.
	Nodes bool

	// Niceness lets the control plane give way to this process, the more the greater it is, up to 19 (nice(1)). It takes Linux.
	Niceness int

	// CRDs are directories of custom resource definitions. They are installed before kube-controller-manager starts,
	// because its garbage collector looks for new kinds only every 30 seconds.
	CRDs []string
}

// Cluster is a running control plane. Its servers listen on the loopback interface only and, on Linux, do not outlive
// the process that started them.
type Cluster struct {
	options Options
	dir     string // what a person may look at: kubeconfigs and logs
	state   string // inside dir, what Stop removes: certificates, keys and etcd's data

	environment       *envtest.Environment
	controllerManager *controllerManager
	logs              []*os.File
	config            *rest.Config
	client            kubernetes.Interface
	stop              func() error
}

// Start starts a new, empty cluster and returns when it is ready. The context can end the wait for that, though not what
// envtest does in between; it has no say over the running cluster.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	c := &Cluster{options: options}
	c.stop = sync.OnceValue(c.stopAll)
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a local cluster: %w", err), c.Stop())
	}
	return c, nil
}

// start is the story of a start: the steps after one another.
func (c *Cluster) start(ctx context.Context) error {
	if err := c.makeDirectories(); err != nil {
		return err
	}
	if err := c.configure(); err != nil {
		return err
	}
	if err := c.startEnvironment(); err != nil {
		return err
	}
	if err := c.awaitAPIServer(ctx); err != nil {
		return err
	}
	if !c.options.ControllerManager {
		return nil
	}
	return c.startControllerManager(ctx)
}

func (c *Cluster) makeDirectories() (err error) {
	if c.options.Dir == "" {
		c.dir, err = os.MkdirTemp("", "kubemint-localcluster-")
	} else if c.dir, err = filepath.Abs(c.options.Dir); err == nil {
		err = os.MkdirAll(c.dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("make the working directory: %w", err)
	}
	// A new one for each cluster: envtest would take certificates it finds there for its own.
	if c.state, err = os.MkdirTemp(c.dir, "state-"); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	return nil
}

// configure describes to envtest what to run.
func (c *Cluster) configure() error {
	existing := false // whatever the environment variable USE_EXISTING_CLUSTER says
	c.environment = &envtest.Environment{
		UseExistingCluster:       &existing,
		ControlPlaneStartTimeout: patience,
		ControlPlaneStopTimeout:  patience,
		CRDInstallOptions:        envtest.CRDInstallOptions{MaxTime: patience},
		CRDDirectoryPaths:        c.options.CRDs,
		ErrorIfCRDPathMissing:    true,
	}
	if err := c.configureEtcd(); err != nil {
		return err
	}
	return c.configureAPIServer()
}

func (c *Cluster) configureEtcd() error {
	path, err := c.leashed("etcd")
	if err != nil {
		return err
	}
	log, err := c.openLog("etcd")
	if err != nil {
		return err
	}
	etcd := &envtest.Etcd{Path: path, DataDir: filepath.Join(c.state, "data"), Out: log, Err: log}
	etcd.Configure().Set("unsafe-no-fsync", "true")           // the data need not survive a power cut, and disks are slow
	etcd.Configure().Set("quota-backend-bytes", "8589934592") // room for benchmarks
	c.environment.ControlPlane.Etcd = etcd
	return nil
}

func (c *Cluster) configureAPIServer() error {
	path, err := c.leashed("kube-apiserver")
	if err != nil {
		return err
	}
	log, err := c.openLog("kube-apiserver")
	if err != nil {
		return err
	}
	// With a directory of its own choice envtest would make new certificates and keys at each start, and nothing issued
	// before a restart would be valid after it.
	if err := os.Mkdir(c.certificates(), 0o700); err != nil {
		return fmt.Errorf("make the certificate directory: %w", err)
	}
	server := &envtest.APIServer{Path: path, CertDir: c.certificates(), Out: log, Err: log}
	// Without this, a stop waits a whole minute for watches to end by themselves, which they do not.
	server.Configure().Set("shutdown-watch-termination-grace-period", "5s")
	c.environment.ControlPlane.APIServer = server
	if c.options.Nodes {
		configureForNodes(server)
	}
	if !c.options.AuthenticationConfig {
		return nil
	}
	server.Configure().Set("authentication-config", c.authenticationConfig())
	return c.SetAuthenticationConfig([]byte(trustNobody))
}

// startEnvironment starts etcd and kube-apiserver, installs the CRDs, and keeps how to reach them as an administrator.
func (c *Cluster) startEnvironment() error {
	config, err := c.environment.Start()
	if err != nil {
		return c.withLogs(fmt.Errorf("start etcd and kube-apiserver: %w", err), "etcd", "kube-apiserver")
	}
	c.config = rest.CopyConfig(config)
	c.config.QPS = -1 // no limit: the server is ours alone
	if c.client, err = kubernetes.NewForConfig(c.config); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if err := os.WriteFile(c.Kubeconfig(), c.environment.KubeConfig, 0o600); err != nil {
		return fmt.Errorf("write the admin kubeconfig: %w", err)
	}
	return nil
}

// awaitAPIServer waits for /readyz. envtest has only waited for /healthz, which can be well before the server has read the
// RBAC rules, so that a service account would still be refused.
func (c *Cluster) awaitAPIServer(ctx context.Context) error {
	err := wait.PollUntilContextTimeout(ctx, pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		return c.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
	})
	if err != nil {
		return c.withLogs(fmt.Errorf("wait for kube-apiserver to be ready: %w", err), "kube-apiserver")
	}
	return nil
}

// Stop ends everything that the cluster started and removes its data. Further calls do nothing more.
func (c *Cluster) Stop() error { return c.stop() }

// stopAll stops clients before their servers, which else wait for them.
func (c *Cluster) stopAll() error {
	var failures []error
	if c.controllerManager != nil {
		failures = append(failures, c.controllerManager.stop())
	}
	if c.environment != nil {
		failures = append(failures, c.environment.Stop())
	}
	for _, log := range c.logs {
		failures = append(failures, log.Close())
	}
	failures = append(failures, os.RemoveAll(c.state))
	if c.options.Dir == "" {
		failures = append(failures, os.RemoveAll(c.dir))
	}
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("stop the local cluster: %w", err)
	}
	return nil
}

// StopAPIServer stops kube-apiserver alone: an outage. etcd stays, and with it the data.
func (c *Cluster) StopAPIServer() error {
	if err := c.environment.ControlPlane.APIServer.Stop(); err != nil {
		return fmt.Errorf("stop kube-apiserver: %w", err)
	}
	return nil
}

// StartAPIServer ends the outage: kube-apiserver is back with the same port, certificates, keys and data, and ready.
func (c *Cluster) StartAPIServer() error {
	if err := c.environment.ControlPlane.APIServer.Start(); err != nil {
		return c.withLogs(fmt.Errorf("start kube-apiserver: %w", err), "kube-apiserver")
	}
	return c.awaitAPIServer(context.Background())
}

// Version returns the version of Kubernetes.
func (c *Cluster) Version() (string, error) {
	version, err := c.client.Discovery().ServerVersion()
	if err != nil {
		return "", fmt.Errorf("read the version of Kubernetes: %w", err)
	}
	return version.GitVersion, nil
}

// EtcdURL is where etcd answers, without authentication.
func (c *Cluster) EtcdURL() string { return c.environment.ControlPlane.Etcd.URL.String() }

// certificates is the directory of the API server's certificates and of the key that signs service account tokens.
func (c *Cluster) certificates() string { return filepath.Join(c.state, "certificates") }
