package localcluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// controllerManager is a running kube-controller-manager.
type controllerManager struct {
	process *os.Process
	exited  chan struct{} // closed when the process is gone
}

// startControllerManager starts kube-controller-manager and waits until it is healthy.
func (c *Cluster) startControllerManager(ctx context.Context) error {
	path, err := c.leashed("kube-controller-manager")
	if err != nil {
		return err
	}
	ports, err := freePorts(1)
	if err != nil {
		return fmt.Errorf("find a port for kube-controller-manager: %w", err)
	}
	flags, err := c.controllerManagerFlags(ports[0])
	if err != nil {
		return err
	}
	log, err := c.openLog("kube-controller-manager")
	if err != nil {
		return err
	}
	command := exec.Command(path, flags...)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return fmt.Errorf("start kube-controller-manager: %w", err)
	}
	c.controllerManager = watch(command)
	if err := c.controllerManager.await(ctx, ports[0]); err != nil {
		return c.withLogs(fmt.Errorf("wait for kube-controller-manager: %w", err), "kube-controller-manager")
	}
	return nil
}

func (c *Cluster) controllerManagerFlags(port int) ([]string, error) {
	authority := filepath.Join(c.certificates(), "ca.crt")
	if err := os.WriteFile(authority, c.config.CAData, 0o600); err != nil {
		return nil, fmt.Errorf("write the API server's CA certificate: %w", err)
	}
	flags := []string{
		"--kubeconfig=" + c.Kubeconfig(),
		"--leader-elect=false", // it is alone, and need not exit in an outage of the API server
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--cert-dir=" + filepath.Join(c.state, "kube-controller-manager-certificates"),
		"--service-account-private-key-file=" + filepath.Join(c.certificates(), "sa-signer.key"),
		"--root-ca-file=" + authority,
		// With the default of 20 requests a second, its some 40 controllers queue for their first lists, and garbage
		// collection and the deletion of namespaces come in batches.
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
	}
	if c.options.Nodes {
		flags = append(flags, controllerManagerFlagsForNodes...)
	}
	return flags, nil
}

// watch waits for the end of a started command in the background, so that nobody else has to.
func watch(command *exec.Cmd) *controllerManager {
	m := &controllerManager{process: command.Process, exited: make(chan struct{})}
	go func() {
		defer close(m.exited)
		_ = command.Wait() // how it ended stands in its log
	}()
	return m
}

// await polls /healthz until it is well, and gives up early if the process ends.
func (m *controllerManager) await(ctx context.Context, port int) error {
	// Its certificate is self-signed, and nothing secret is sent.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	url := fmt.Sprintf("https://127.0.0.1:%d/healthz", port)
	return wait.PollUntilContextTimeout(ctx, pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		select {
		case <-m.exited:
			return false, errors.New("it has exited")
		default:
			return healthy(ctx, client, url), nil
		}
	})
}

func healthy(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// stop ends the process: politely first, and after some patience by force.
func (m *controllerManager) stop() error {
	if err := m.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop kube-controller-manager: %w", err)
	}
	select {
	case <-m.exited:
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("stop kube-controller-manager: it has not ended in %s and is killed", patience), m.process.Kill())
	}
}
