package localcluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Namespace is that of Kubemint, as config/ has it.
const Namespace = "kubemint-system"

// InstallKubemint applies Kubemint's CRDs and RBAC as config/ ships them, without the Deployment, for which there is no node.
func (c *Cluster) InstallKubemint(ctx context.Context) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"-f", filepath.Join(root, "config/default/namespace.yaml")},
		{"-k", filepath.Join(root, "config/crd")},
		{"-k", filepath.Join(root, "config/rbac")},
	} {
		// Envtest may have made the CRDs already.
		apply := append([]string{"apply", "--server-side", "--force-conflicts"}, args...)
		if _, err := c.Kubectl(ctx, apply...); err != nil {
			return fmt.Errorf("install Kubemint: %w", err)
		}
	}
	return nil
}

// KubemintOptions say how to run kubemint.
type KubemintOptions struct {
	// Binary is the path of the program; if empty, bin/kubemint.
	Binary string
	// ServiceAccount that it runs as, in Namespace; if empty, kubemint.
	ServiceAccount string
	// Port of the token endpoint on the loopback interface, which is also the issuer's; if 0, a free one.
	Port int
	// Args are further flags.
	Args []string
	// Wrapper is a command that runs the program in its own place, as taskset does.
	Wrapper []string
	// Log receives what the process writes.
	Log io.Writer
}

// Kubemint is a running kubemint process, with the rights of its own service account.
type Kubemint struct {
	// Issuer is the issuer's URL, and Port its port.
	Issuer string
	Port   int
	// Health and Metrics are the URLs of the servers beside the token endpoint.
	Health, Metrics string

	process *exec.Cmd
	exited  chan struct{}
	err     error
}

// StartKubemint starts kubemint on this machine as a service account, with exactly the RBAC that it has in the cluster, and
// returns when it is ready to issue tokens.
func (c *Cluster) StartKubemint(ctx context.Context, options KubemintOptions) (*Kubemint, error) {
	kubeconfig, err := c.ServiceAccountKubeconfig(ctx, Namespace, cmp.Or(options.ServiceAccount, "kubemint"))
	if err != nil {
		return nil, err
	}
	if options.Binary == "" {
		root, err := moduleRoot()
		if err != nil {
			return nil, err
		}
		options.Binary = filepath.Join(root, "bin", "kubemint")
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	if options.Port != 0 {
		ports[0] = options.Port
	}
	k := &Kubemint{
		Port:    ports[0],
		Issuer:  fmt.Sprintf("https://localhost:%d", ports[0]),
		Health:  fmt.Sprintf("http://127.0.0.1:%d", ports[1]),
		Metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[2]),
		exited:  make(chan struct{}),
	}
	command := append(slices.Clone(options.Wrapper), options.Binary,
		"--kubeconfig="+kubeconfig,
		"--namespace="+Namespace,
		"--issuer="+k.Issuer,
		"--shutdown-delay=0s", // Nobody else would take the requests over.
		fmt.Sprintf("--token-bind-address=127.0.0.1:%d", ports[0]),
		fmt.Sprintf("--health-bind-address=127.0.0.1:%d", ports[1]),
		fmt.Sprintf("--metrics-bind-address=127.0.0.1:%d", ports[2]),
	)
	command = append(command, options.Args...)
	k.process = exec.Command(command[0], command[1:]...)
	k.process.Stdout, k.process.Stderr = options.Log, options.Log
	k.process.Env = append(os.Environ(), "KUBECONFIG=")
	if err := k.process.Start(); err != nil {
		return nil, fmt.Errorf("start kubemint: %w", err)
	}
	go func() {
		k.err = k.process.Wait()
		close(k.exited)
	}()
	if err := k.AwaitReady(ctx); err != nil {
		return nil, errors.Join(err, k.Kill())
	}
	return k, nil
}

// AwaitReady waits until the process says that it can issue tokens.
func (k *Kubemint) AwaitReady(ctx context.Context) error {
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		select {
		case <-k.exited:
			return false, fmt.Errorf("it ended: %w", k.err)
		default:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.Health+"/readyz", nil)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, nil // It does not listen yet.
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("wait until kubemint is ready: %w", err)
	}
	return nil
}

// Stop asks the process to end, and waits until it has. The error is that of its exit.
func (k *Kubemint) Stop() error {
	return k.end(syscall.SIGTERM)
}

// Kill ends the process where it stands, as a crash would.
func (k *Kubemint) Kill() error {
	err := k.end(syscall.SIGKILL)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// Exited is closed when the process has ended.
func (k *Kubemint) Exited() <-chan struct{} { return k.exited }

// PID is that of the process.
func (k *Kubemint) PID() int { return k.process.Process.Pid }

func (k *Kubemint) end(signal syscall.Signal) error {
	if err := k.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to kubemint: %w", signal, err)
	}
	<-k.exited
	return k.err
}

// ApplyYAML applies a manifest with kubectl, and returns what it says.
func (c *Cluster) ApplyYAML(ctx context.Context, manifest string) (string, error) {
	file, err := os.CreateTemp(c.state, "manifest-*.yaml")
	if err != nil {
		return "", fmt.Errorf("write a manifest: %w", err)
	}
	defer os.Remove(file.Name()) //nolint:errcheck // The state directory is removed anyway.
	if _, err := io.Copy(file, strings.NewReader(manifest)); err != nil {
		return "", fmt.Errorf("write a manifest: %w", err)
	}
	if err := file.Close(); err != nil {
		return "", fmt.Errorf("write a manifest: %w", err)
	}
	return c.Kubectl(ctx, "apply", "-f", file.Name())
}

// KubectlWithToken runs kubectl as the bearer of a token, who is a stranger to the cluster but for it.
func (c *Cluster) KubectlWithToken(ctx context.Context, token string, args ...string) (string, error) {
	config, err := c.TokenKubeconfig(token, filepath.Join(c.state, "bearer.kubeconfig"))
	if err != nil {
		return "", err
	}
	return c.Kubectl(ctx, append([]string{"--kubeconfig=" + config}, args...)...)
}
