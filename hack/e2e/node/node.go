// Package node makes a machine a Kubernetes node that runs pods: containerd, kubelet, kube-proxy, and beside them the scheduler and
// cluster DNS. It is to run in a sandbox (package sandbox), which ends and removes all of it.
package node

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"text/template"
	"time"

	"github.com/kubemint/kubemint/hack/e2e/image"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// Networks of the node, which no other machine sees.
const (
	address    = "10.2.0.1"
	podNetwork = "10.1.0.0/24"
	dnsAddress = "10.0.0.10"
)

// Addresses are those that the sandbox's loopback interface must have: the API server's and the node's.
var Addresses = []string{localcluster.APIServerAddress + "/32", address + "/32"}

// patience is how long each part may take to be ready.
const patience = 3 * time.Minute

//go:embed config
var config embed.FS

// Options of a node.
type Options struct {
	// Binaries is the directory that hack/node/build.sh has filled.
	Binaries string
	// Logs is where each program's log goes, and those of pods.
	Logs string
	// CgroupRoot is the control group below which containers are.
	CgroupRoot string
	// Pause and CoreDNS are the images for what they say, Images those that pods may use.
	Pause, CoreDNS image.Image
	Images         []image.Image
}

// Node is a running node, with the cluster that it belongs to.
type Node struct {
	Cluster *localcluster.Cluster

	options  Options
	state    string
	programs []*program
}

// program is one that runs in the background.
type program struct {
	name   string
	exited chan struct{}
}

// Start starts a cluster with one node, and returns when it is ready for pods. Stop it also after an error.
func Start(ctx context.Context, options Options) (*Node, error) {
	n := &Node{options: options}
	for _, step := range []func(context.Context) error{
		n.makeDirectories,
		n.startContainerd,
		n.importImages,
		n.startControlPlane,
		n.startKubelet,
		n.startKubeProxy,
		n.startScheduler,
		n.awaitNode,
		n.installDNS,
	} {
		if err := step(ctx); err != nil {
			return n, fmt.Errorf("start the node: %w (logs are in %s)", err, options.Logs)
		}
	}
	return n, nil
}

// Stop stops the control plane, whose data is outside of the sandbox. The sandbox ends the rest.
func (n *Node) Stop() error {
	if n.Cluster == nil {
		return nil
	}
	return n.Cluster.Stop()
}

func (n *Node) makeDirectories(context.Context) (err error) {
	for _, directory := range []*string{&n.options.Binaries, &n.options.Logs} {
		if *directory, err = filepath.Abs(*directory); err != nil {
			return err
		}
	}
	n.state = "/run/kubemint-e2e" // in the sandbox's memory
	return errors.Join(os.MkdirAll(filepath.Join(n.state, "cni"), 0o755), os.MkdirAll(n.options.Logs, 0o755))
}

func (n *Node) startControlPlane(ctx context.Context) (err error) {
	n.Cluster, err = localcluster.Start(ctx, localcluster.Options{Dir: n.options.Logs, ControllerManager: true, Nodes: true})
	return err
}

func (n *Node) startContainerd(ctx context.Context) error {
	if err := n.configure("cni.conflist", filepath.Join("cni", "10-pods.conflist")); err != nil {
		return err
	}
	if err := n.configure("containerd.toml", "containerd.toml"); err != nil {
		return err
	}
	containerd, err := n.run("containerd", "--config", n.path("containerd.toml"))
	if err != nil {
		return err
	}
	return n.await(ctx, containerd, func() error {
		return n.ctr(ctx, "version")
	})
}

func (n *Node) importImages(ctx context.Context) error {
	for _, i := range append([]image.Image{n.options.Pause, n.options.CoreDNS}, n.options.Images...) {
		if err := n.ctr(ctx, "images", "import", i.Archive); err != nil {
			return fmt.Errorf("import the image %s: %w", i.Reference(), err)
		}
	}
	return nil
}

func (n *Node) startKubelet(context.Context) error {
	if err := n.Cluster.UserKubeconfig(n.path("kubelet.kubeconfig"), "system:node:node", "system:nodes"); err != nil {
		return err
	}
	// What CoreDNS asks about other domains: nobody.
	if err := os.WriteFile(n.path("resolv.conf"), nil, 0o600); err != nil {
		return err
	}
	if err := n.configure("kubelet.yaml", "kubelet.yaml"); err != nil {
		return err
	}
	_, err := n.run("kubelet", "--config="+n.path("kubelet.yaml"), "--kubeconfig="+n.path("kubelet.kubeconfig"),
		"--hostname-override=node", "--node-ip="+address)
	return err
}

func (n *Node) startKubeProxy(context.Context) error {
	if err := n.configure("kube-proxy.yaml", "kube-proxy.yaml"); err != nil {
		return err
	}
	_, err := n.run("kube-proxy", "--config="+n.path("kube-proxy.yaml"))
	return err
}

func (n *Node) startScheduler(context.Context) error {
	_, err := n.run("kube-scheduler", "--kubeconfig="+n.Cluster.Kubeconfig(), "--leader-elect=false", "--bind-address=127.0.0.1",
		"--authentication-skip-lookup=true", "--cert-dir="+n.path("kube-scheduler"))
	return err
}

func (n *Node) awaitNode(ctx context.Context) error {
	kubelet := n.programs[1]
	return n.await(ctx, kubelet, func() error {
		_, err := n.Cluster.Kubectl(ctx, "wait", "--for=condition=Ready", "node/node", "--timeout=1s")
		return err
	})
}

func (n *Node) installDNS(ctx context.Context) error {
	manifest, err := n.render("coredns.yaml")
	if err != nil {
		return err
	}
	if _, err := n.Cluster.ApplyYAML(ctx, manifest); err != nil {
		return err
	}
	_, err = n.Cluster.Kubectl(ctx, "rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout="+patience.String())
	return err
}

// configure writes one of the files of config/ as the node needs it.
func (n *Node) configure(name, path string) error {
	content, err := n.render(name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(n.path(path), []byte(content), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

func (n *Node) render(name string) (string, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(config, "config/"+name)
	if err != nil {
		return "", err
	}
	values := map[string]string{
		"Binaries": n.options.Binaries, "Logs": n.options.Logs, "State": n.state, "CgroupRoot": n.options.CgroupRoot,
		"Pause": n.options.Pause.Reference(), "CoreDNS": n.options.CoreDNS.Reference(),
		"PodNetwork": podNetwork, "DNSAddress": dnsAddress,
	}
	if n.Cluster != nil {
		values["Kubeconfig"] = n.Cluster.Kubeconfig()
	}
	var content bytes.Buffer
	if err := t.Execute(&content, values); err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	return content.String(), nil
}

func (n *Node) path(name string) string { return filepath.Join(n.state, name) }

// ctr runs containerd's command line program, for the images and containers of Kubernetes.
func (n *Node) ctr(ctx context.Context, args ...string) error {
	command := exec.CommandContext(ctx, filepath.Join(n.options.Binaries, "ctr"), append([]string{"--namespace=k8s.io"}, args...)...)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("ctr %s: %w: %s", args[0], err, output)
	}
	return nil
}

// run starts one of the node's programs, with its log in a file of its name.
func (n *Node) run(name string, args ...string) (*program, error) {
	log, err := os.Create(filepath.Join(n.options.Logs, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // The program has its own.
	// It runs until the sandbox ends.
	command := exec.Command(filepath.Join(n.options.Binaries, name), args...)
	command.Env = append(os.Environ(), "PATH="+n.options.Binaries+":"+os.Getenv("PATH")) // containerd looks for its shim there.
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it.
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &program{name: name, exited: make(chan struct{})}
	go func() {
		_ = command.Wait() // how it ended stands in its log
		close(p.exited)
	}()
	n.programs = append(n.programs, p)
	return p, nil
}

// await tries until it succeeds, and gives up when the program that it depends on has ended.
func (n *Node) await(ctx context.Context, p *program, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s has ended: see its log", p.name)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", p.name, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
