package localcluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module is the Go module whose root holds bin/controlplane.
const module = "github.com/kubemint/kubemint"

// errNotBuilt says what to do when a binary is missing.
var errNotBuilt = errors.New("run `make controlplane`, or set KUBEBUILDER_ASSETS to a directory with etcd and kube-apiserver")

// BinaryDir is the directory that holds at least etcd and kube-apiserver: KUBEBUILDER_ASSETS where that does, else the
// module's bin/controlplane.
func BinaryDir() (string, error) {
	for _, dir := range binaryDirs() {
		if executable(filepath.Join(dir, "etcd")) && executable(filepath.Join(dir, "kube-apiserver")) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("find the control plane's binaries: %w", errNotBuilt)
}

// binary finds one of the control plane's binaries. Distributions of KUBEBUILDER_ASSETS have no kube-controller-manager,
// so what BinaryDir lacks may come from bin/controlplane.
func binary(name string) (string, error) {
	if _, err := BinaryDir(); err != nil {
		return "", err
	}
	for _, dir := range binaryDirs() {
		if path := filepath.Join(dir, name); executable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("find %s: %w", name, errNotBuilt)
}

// binaryDirs are the directories to look into, best first.
func binaryDirs() []string {
	var dirs []string
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		dirs = append(dirs, assets)
	}
	if root, err := moduleRoot(); err == nil {
		dirs = append(dirs, filepath.Join(root, "bin", "controlplane"))
	}
	return dirs
}

// moduleRoot is the closest directory upwards that is this module's; `go test` starts a test inside it.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module's root: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), "module "+module+"\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the module's root: no go.mod of %s here or above", module)
		}
	}
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// leashed finds a binary and returns a script that runs it such that the kernel kills it when this process dies. A test
// that panics, times out or is interrupted stops nothing, and envtest would leave its servers behind: 300 MB each time.
// (Strictly, it is the thread that started it whose death counts; Go ends a thread early only if a goroutine that is
// locked to it returns.) Where there is no setpriv, which is of Linux, it returns the binary itself.
func (c *Cluster) leashed(name string) (string, error) {
	path, err := binary(name)
	if err != nil {
		return "", err
	}
	if exec.Command("setpriv", "--pdeathsig", "KILL", "true").Run() != nil {
		return path, nil
	}
	script := filepath.Join(c.state, name+".sh")
	content := fmt.Sprintf("#!/bin/sh\nexec nice -n %d setpriv --pdeathsig KILL %s \"$@\"\n", c.options.Niceness, shellQuote(path))
	if err := os.WriteFile(script, []byte(content), 0o700); err != nil {
		return "", fmt.Errorf("write the script that runs %s: %w", name, err)
	}
	return script, nil
}

func shellQuote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
