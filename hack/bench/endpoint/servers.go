package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/bench/load"
	"github.com/kubemint/kubemint/hack/localcluster"
)

const (
	namespace = "bench"
	// fewNamespace is of the few clients of a server that looks at no others.
	fewNamespace = "bench-few"
	scopes       = "invoices:read invoices:write"

	// loadCommand is the argument by which this program is the load generator.
	loadCommand = "load"

	patience = 2 * time.Minute
)

var (
	// directory is for the logs, which are kept.
	directory = filepath.Join("bin", "bench-endpoint")

	floorProgram = filepath.Join("bin", "kubemint-bench-floor")
)

// bench is what the measurements share.
type bench struct {
	options
	cluster *localcluster.Cluster
	log     *os.File
	example example
	// secret is every client's.
	secret string
	// registered is how many clients there are besides the example.
	registered int
	port       int
}

func (b *bench) startCluster(ctx context.Context) (err error) {
	say("Starting etcd and kube-apiserver, and installing Kubemint's CRDs and RBAC (about 30 s)")
	if err := os.RemoveAll(directory); err != nil {
		return err
	}
	if b.cluster, err = localcluster.Start(ctx, localcluster.Options{Dir: directory, Niceness: 19}); err != nil {
		return err
	}
	if err := b.cluster.InstallKubemint(ctx); err != nil {
		return err
	}
	b.log, err = os.OpenFile(filepath.Join(directory, "kubemint.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return err
}

// cleanUp ends everything that the benchmark started.
func (b *bench) cleanUp() error {
	if b.cluster == nil {
		return nil
	}
	return b.cluster.Stop()
}

// server is a running server and the requests that it is to answer.
type server struct {
	name    string
	address string
	pid     int
	// request returns a request for the i-th client.
	request func(i int) []byte
}

// startKubemint starts the real binary on the servers' core, with everything on. Its log goes to a file: who reads a pipe would have
// to share the generator's core, which is the one that is busy where connections are new.
func (b *bench) startKubemint(ctx context.Context, args ...string) (*localcluster.Kubemint, error) {
	kubemint, err := b.startAnother(ctx, b.port, args...)
	if err == nil {
		b.port = kubemint.Port
	}
	return kubemint, err
}

// startAnother starts one on a port of its own; 0: a free one.
func (b *bench) startAnother(ctx context.Context, port int, args ...string) (*localcluster.Kubemint, error) {
	o := localcluster.KubemintOptions{Port: port, Log: b.log, Args: args}
	if isPinned() {
		o.Wrapper = []string{"taskset", "-c", serverCore}
	}
	if b.profile != "" {
		o.Binary = profiledProgram
	}
	kubemint, err := b.cluster.StartKubemint(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("%w (see %s)", err, b.log.Name())
	}
	return kubemint, nil
}

// serverOf describes a running Kubemint.
func (b *bench) serverOf(kubemint *localcluster.Kubemint) *server {
	return &server{name: "Kubemint", address: fmt.Sprintf("127.0.0.1:%d", kubemint.Port), pid: kubemint.PID(),
		request: func(i int) []byte { return tokenRequest(clientID(i%b.registered), b.secret, grantType) }}
}

// floor is the running floor.
type floor struct {
	server
	process *exec.Cmd
}

// startFloor starts the floor on the servers' core.
func (b *bench) startFloor(ctx context.Context) (*floor, error) {
	certFile, keyFile, err := b.saveCertificate(ctx)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	command := []string{floorProgram, "-address", address, "-cert", certFile, "-key", keyFile,
		"-issuer", "https://" + address, "-client-id", clientID(0), "-client-uid", b.example.clientUID}
	if isPinned() {
		command = append([]string{"taskset", "-c", serverCore}, command...)
	}
	f := &floor{process: exec.Command(command[0], command[1:]...)}
	f.process.Env = append(os.Environ(), "CLIENT_SECRET="+b.secret)
	f.process.Stdout, f.process.Stderr = b.log, b.log
	if err := f.process.Start(); err != nil {
		return nil, fmt.Errorf("start the floor: %w", err)
	}
	f.server = server{name: "floor", address: address, pid: f.process.Process.Pid,
		request: func(int) []byte { return tokenRequest(clientID(0), b.secret, grantType) }}
	return f, awaitListening(ctx, address)
}

// saveCertificate writes Kubemint's own serving certificate to files, so that the floor has the same.
func (b *bench) saveCertificate(ctx context.Context) (certFile, keyFile string, err error) {
	content, err := b.cluster.Kubectl(ctx, "get", "secret", "-n", localcluster.Namespace, v1alpha1.ServingCertificateSecretName, "-o", "json")
	if err != nil {
		return "", "", err
	}
	var secret corev1.Secret
	if err := json.Unmarshal([]byte(content), &secret); err != nil {
		return "", "", fmt.Errorf("read the serving certificate: %w", err)
	}
	certFile, keyFile = filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key")
	return certFile, keyFile, errors.Join(
		os.WriteFile(certFile, secret.Data[corev1.TLSCertKey], 0o600), os.WriteFile(keyFile, secret.Data[corev1.TLSPrivateKeyKey], 0o600))
}

func (f *floor) stop() error {
	err := f.process.Process.Kill()
	_ = f.process.Wait() // It says that the process was killed.
	return err
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

func awaitListening(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", address, errors.Join(err, ctx.Err()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// cpu returns the time that a process has had on all processors, by the operating system's account.
func cpu(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	// The second field is the program's name in parentheses, which may hold spaces; utime and stime are the 14th and 15th.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] {
		count, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
		}
		ticks += count
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond), nil
}

// ticksPerSecond is USER_HZ, which is 100 on every platform that Go runs on.
const ticksPerSecond = 100

// attack sends requests from a process of its own, and returns what came back and what CPU time it cost the server.
func attack(ctx context.Context, s *server, plan load.Plan) (result load.Result, spent time.Duration, err error) {
	plan.Address, plan.ServerName = s.address, "localhost"
	input, err := json.Marshal(plan)
	if err != nil {
		return load.Result{}, 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return load.Result{}, 0, err
	}
	generator := exec.CommandContext(ctx, self, loadCommand)
	// Where the latency is to be told, server and generator come before all else that the machine does, the API server included: each
	// millisecond that another process has their core would be in the 99th percentile.
	if plan.Rate > 0 && mayBeRealTime() {
		generator = exec.CommandContext(ctx, "chrt", "--rr", "1", self, loadCommand)
		if err := schedule(ctx, s, "--rr", "1"); err != nil {
			return load.Result{}, 0, err
		}
		defer func() { err = errors.Join(err, schedule(ctx, s, "--other", "0")) }()
	}
	generator.Stdin, generator.Stderr = bytes.NewReader(input), os.Stderr
	before, err := cpu(s.pid)
	if err != nil {
		return load.Result{}, 0, err
	}
	output, err := generator.Output()
	if err != nil {
		return load.Result{}, 0, fmt.Errorf("send requests to %s: %w", s.name, err)
	}
	after, err := cpu(s.pid)
	if err != nil {
		return load.Result{}, 0, err
	}
	if err := json.Unmarshal(output, &result); err != nil {
		return load.Result{}, 0, fmt.Errorf("read the load generator's result: %w", err)
	}
	return result, after - before, nil
}

// schedule puts a server under one of the operating system's scheduling policies.
func schedule(ctx context.Context, s *server, policy, priority string) error {
	output, err := exec.CommandContext(ctx, "chrt", "--all-tasks", policy, "--pid", priority, strconv.Itoa(s.pid)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("schedule %s by %s: %w: %s", s.name, policy, err, output)
	}
	return nil
}

// mayBeRealTime reports whether a process may come before all others, which on Linux takes root and util-linux.
var mayBeRealTime = sync.OnceValue(func() bool { return exec.Command("chrt", "--rr", "1", "true").Run() == nil })
