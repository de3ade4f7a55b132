package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/kubemint/kubemint/hack/e2e/report"
	"github.com/kubemint/kubemint/hack/localcluster"
)

//go:embed manifests
var manifests embed.FS

func say(format string, args ...any)  { fmt.Printf("\n=== "+format+"\n", args...) }
func note(format string, args ...any) { fmt.Printf("  ("+format+")\n", args...) }

// command runs a program and returns what it wrote to standard output.
func command(ctx context.Context, name string, args ...string) (string, error) {
	return commandWithInput(ctx, "", name, args...)
}

func commandWithInput(ctx context.Context, input, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := c.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

func (e *e2e) kubectl(ctx context.Context, args ...string) (string, error) {
	return command(ctx, kubectlPath(), args...)
}

// kubectlAll runs several commands of kubectl, until one fails.
func (e *e2e) kubectlAll(ctx context.Context, commands ...[]string) error {
	for _, args := range commands {
		if _, err := e.kubectl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// kubectlPath is that of the local control plane where it was built, which fits any cluster of these years.
func kubectlPath() string {
	if binaries, err := localcluster.BinaryDir(); err == nil {
		if path := filepath.Join(binaries, "kubectl"); isFile(path) {
			return path
		}
	}
	return "kubectl"
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// helm runs Helm for the release kubemint.
func (e *e2e) helm(ctx context.Context, args ...string) (string, error) {
	return command(ctx, helmPath, append(args, "--namespace="+namespace)...)
}

// apply applies one of the manifests.
func (e *e2e) apply(ctx context.Context, name string, values any) error {
	t, err := template.ParseFS(manifests, "manifests/"+name)
	if err != nil {
		return err
	}
	var manifest strings.Builder
	if err := t.Execute(&manifest, values); err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	_, err = commandWithInput(ctx, manifest.String(), kubectlPath(), "apply", "--server-side", "-f", "-")
	return err
}

// reports returns what a client pod has written since, oldest first.
func (e *e2e) reports(ctx context.Context, pod string, arguments ...string) ([]report.Report, error) {
	output, err := e.kubectl(ctx, append([]string{"logs", "-n", "billing", pod}, arguments...)...)
	if err != nil {
		return nil, err
	}
	var reports []report.Report
	for line := range strings.Lines(output) {
		var r report.Report
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("read the log of %s: %w: %s", pod, err, line)
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// eventually tries until it succeeds, for as long as patience lasts.
func eventually(ctx context.Context, patience time.Duration, try func() error) error {
	enough := time.After(patience)
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-enough:
			return fmt.Errorf("after %s still: %w", patience, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func sleep(ctx context.Context, duration time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(duration):
		return nil
	}
}
