package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kubemint/kubemint/hack/before"
	"github.com/kubemint/kubemint/hack/e2e/image"
)

// maxImageSize is what Kubemint's image may have at most.
const maxImageSize = 60_000_000

// images are all that the test runs; Pause and CoreDNS with a node of its own only.
type images struct {
	Kubemint image.Image `json:"kubemint"`
	Before   image.Image `json:"before"`
	Workload image.Image `json:"workload"`
	Pause    image.Image `json:"pause"`
	CoreDNS  image.Image `json:"coreDNS"`
}

func (i images) forPods() []image.Image { return []image.Image{i.Kubemint, i.Before, i.Workload} }

func imagesDirectory() string { return filepath.Join(directory, "images") }

// chartBefore is where the chart of the commit before is.
func chartBefore() string { return filepath.Join(directory, "before", "charts", "kubemint") }

// buildImages builds everything from the project itself, with Go alone.
func buildImages(ctx context.Context, forNode bool) (i images, err error) {
	say("Building images from the project: Kubemint, Kubemint as it was at %.7s, the workloads", before.Commit)
	binaries := filepath.Join(directory, "binaries")
	if err := errors.Join(os.RemoveAll(imagesDirectory()), os.MkdirAll(imagesDirectory(), 0o755), os.MkdirAll(binaries, 0o755)); err != nil {
		return i, err
	}
	if err := extractBefore(ctx); err != nil {
		return i, err
	}
	build := func(name, source, pkg string) string { // which is its version, too, so that no image is the same as another
		path := filepath.Join(binaries, name)
		if err == nil {
			err = goBuild(ctx, source, pkg, name, path)
		}
		return path
	}
	write := func(spec image.Spec) (written image.Image) {
		if err == nil {
			written, err = image.Write(imagesDirectory(), spec)
		}
		return written
	}
	i.Kubemint = write(image.Spec{Name: "kubemint/kubemint", Binaries: []string{build("kubemint", ".", "./cmd/kubemint")}})
	i.Before = write(image.Spec{Name: "kubemint/kubemint", Binaries: []string{build("before/kubemint", filepath.Join(directory, "before"), "./cmd/kubemint")}})
	i.Workload = write(image.Spec{Name: "kubemint/e2e-workload", Binaries: []string{
		build("workload", ".", "./hack/e2e/workload"), build("resourceserver", ".", "./docs/examples/resourceserver"),
	}})
	if forNode {
		i.Pause = write(image.Spec{Name: "kubemint/e2e-pause", Binaries: []string{build("pause", ".", "./hack/e2e/pause")}})
		i.CoreDNS = write(image.Spec{Name: "kubemint/e2e-coredns", Binaries: []string{filepath.Join("bin", "node", "coredns")}})
	}
	if err != nil {
		return i, err
	}
	note("the image %s has %.1f MB, %s", i.Kubemint.Reference(), megabytes(i.Kubemint.Size), i.Kubemint.Archive)
	if i.Kubemint.Size > maxImageSize {
		return i, fmt.Errorf("the image of Kubemint is larger than %d MB: see what `go version -m %s` lists that it need not", maxImageSize/1_000_000, filepath.Join(binaries, "kubemint"))
	}
	content, err := json.Marshal(i)
	if err != nil {
		return i, err
	}
	return i, os.WriteFile(filepath.Join(imagesDirectory(), "images.json"), content, 0o600)
}

// readImages reads what buildImages has built, outside of the sandbox.
func readImages() (i images, err error) {
	content, err := os.ReadFile(filepath.Join(imagesDirectory(), "images.json"))
	if err != nil {
		return i, err
	}
	return i, json.Unmarshal(content, &i)
}

// extractBefore extracts the project as it was.
func extractBefore(ctx context.Context) error {
	target, err := filepath.Abs(filepath.Join(directory, "before"))
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(target), os.MkdirAll(target, 0o755)); err != nil {
		return err
	}
	return before.Extract(ctx, target, "api", "charts", "cmd", "controllers", "tokenserver", "go.mod", "go.sum")
}

// goBuild builds a static program as the Dockerfile does, for Linux wherever this is.
func goBuild(ctx context.Context, source, pkg, version, output string) error {
	output, err := filepath.Abs(output)
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w -X main.version="+version, "-o", output, pkg)
	build.Dir = source
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOWORK=off")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, strings.TrimSpace(string(text)))
	}
	return nil
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }
