// Package sandbox runs this program once more in Linux namespaces of its own. What it starts and makes there (processes, containers,
// mounts, network interfaces, iptables rules) ends and goes with it, however it ends, and nothing of it is seen outside.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// stage tells a process of this program which it is.
const stage = "KUBEMINT_E2E_STAGE"

// CgroupRoot is the control group below which containers are to be. The kernel does not remove those of a namespace, so Run does.
const CgroupRoot = "kubemint-e2e"

// ErrInside is that of a program that failed in the sandbox, and said why.
var ErrInside = errors.New("it failed in the sandbox")

// scratch are directories that are empty in the sandbox, and in memory: a node's programs write there.
var scratch = []string{"/run", "/var/lib", "/var/log"}

// Addresses of the sandbox's loopback interface, with their networks.
type Addresses []string

// Check says whether a sandbox is possible here.
func Check() error {
	if os.Geteuid() != 0 {
		return errors.New("a node needs root: run it with sudo, or set KUBECONFIG to that of a cluster, kind's for example")
	}
	directory, err := os.Getwd()
	if err != nil {
		return err
	}
	for _, hidden := range scratch {
		if strings.HasPrefix(directory, hidden+"/") {
			return fmt.Errorf("the node needs %s for itself: move this directory out of it", hidden)
		}
	}
	return nil
}

// Inside reports whether this process is the one that the sandbox is for.
func Inside() bool { return os.Getenv(stage) == "inside" }

// InitIfFirst does the work of a sandbox's first process, and does not return, if this is one.
func InitIfFirst(addresses Addresses) {
	if os.Getenv(stage) != "init" {
		return
	}
	status, err := initialize(addresses)
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: prepare the sandbox: %v\n", err)
		status = 1
	}
	os.Exit(status) // The kernel ends everybody else in the sandbox.
}

// Run runs this program, with its arguments, in a sandbox, and returns when it has ended. When the context ends, it is asked to end.
func Run(ctx context.Context) error {
	if err := removeCgroups(); err != nil { // of a run that was killed
		return err
	}
	runtime.LockOSThread() // The leash below is tied to the thread.
	defer runtime.UnlockOSThread()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, program, os.Args[1:]...)
	command.Env = append(os.Environ(), stage+"=init")
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // Ctrl-C is for us to pass on, once.
	}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = time.Minute
	err = command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = ErrInside
	}
	if left := removeCgroups(); left != nil {
		return left
	}
	return err
}

// initialize makes the sandbox, runs this program in it, and returns its exit status.
func initialize(addresses Addresses) (int, error) {
	if err := errors.Join(makeMounts(), syscall.Sethostname([]byte("node")), makeNetwork(addresses)); err != nil {
		return 0, err
	}
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	environment := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, stage+"=") })
	child, err := os.StartProcess(program, os.Args, &os.ProcAttr{
		Env:   append(environment, stage+"=inside"),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for received := range signals {
			_ = child.Signal(received)
		}
	}()
	return reap(child.Pid)
}

// reap waits for every process that lost its parent, as somebody must, until the one has ended.
func reap(one int) (int, error) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for processes: %w", err)
		case pid == one && status.Signaled():
			return 128 + int(status.Signal()), nil
		case pid == one:
			return status.ExitStatus(), nil
		}
	}
}

func makeMounts() error {
	mounts := []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE}, // Nothing gets out.
		{"proc", "/proc", "proc", 0},
	}
	for _, directory := range scratch {
		mounts = append(mounts, struct {
			source, target, kind string
			flags                uintptr
		}{"tmpfs", directory, "tmpfs", 0})
	}
	for _, m := range mounts {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return maskKernelSettings()
}

// kernelSettings are those that a kubelet makes, of the whole machine.
var kernelSettings = map[string]string{
	"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
	"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}

// maskKernelSettings has a kubelet find the settings as it wants them, so that it leaves the machine's alone.
func maskKernelSettings() error {
	for name, value := range kernelSettings {
		file := filepath.Join("/run", strings.ReplaceAll(name, "/", "."))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
			return err
		}
		if err := syscall.Mount(file, filepath.Join("/proc/sys", name), "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mask /proc/sys/%s: %w", name, err)
		}
	}
	return nil
}

// makeNetwork makes a network that leads nowhere: of the loopback interface, and of pods later.
func makeNetwork(addresses Addresses) error {
	commands := [][]string{{"link", "set", "lo", "up"}}
	for _, address := range addresses {
		commands = append(commands, []string{"address", "add", address, "dev", "lo"})
	}
	for _, args := range commands {
		if output, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, output)
		}
	}
	return nil
}

// removeCgroups removes the control groups of containers, which are empty when the sandbox has ended.
func removeCgroups() error {
	const mount = "/sys/fs/cgroup"
	roots, err := filepath.Glob(filepath.Join(mount, "*", CgroupRoot)) // cgroup v1
	if err != nil {
		return err
	}
	roots = append(roots, filepath.Join(mount, CgroupRoot)) // cgroup v2
	for _, root := range roots {
		for try := 0; ; try++ { // The kernel may take a moment to bury the processes.
			err := removeDirectories(root)
			if err == nil {
				break
			}
			if try == 50 {
				return fmt.Errorf("remove the control groups of containers: %w", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

// removeDirectories removes a tree of directories; its files are the kernel's, and go with them.
func removeDirectories(root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeDirectories(filepath.Join(root, entry.Name())); err != nil {
				return err
			}
		}
	}
	return syscall.Rmdir(root)
}
