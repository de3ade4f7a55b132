package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// configuration is a file or a directory of docs/examples whose program does not run here. It is held against the program's own API instead.
type configuration struct {
	what, against string
	err           error
}

// validate holds configurations against what their programs would.
func (i *interop) validate(ctx context.Context) error {
	say("Validating what cannot run here")
	versions, err := exec.CommandContext(ctx, i.mesh, "--version").Output()
	if err != nil {
		return fmt.Errorf("ask for the versions of Envoy's and Istio's APIs: %w", withStderr(err))
	}
	if err := i.installIstioCRDs(ctx); err != nil {
		return err
	}
	envoy, istio, _ := strings.Cut(strings.TrimSpace(string(versions)), " ")
	i.configurations = []configuration{
		{"envoy", "Envoy's API, go-control-plane/envoy " + envoy, i.validateBy(ctx, "envoy")},
		{"istio", "Istio's API, istio.io/api " + istio, i.validateBy(ctx, "istio")},
		{"istio", "Istio's CRDs " + istio + ", on the API server", i.validateOnAPIServer(ctx, "istio")},
		{"kube-apiserver/rolebinding.yaml", "the API server", i.validateOnAPIServer(ctx, "kube-apiserver/rolebinding.yaml")},
		{"workload.yaml", "the API server, with Kubemint's CRDs", i.validateOnAPIServer(ctx, "workload.yaml")},
	}
	return nil
}

func (i *interop) validateBy(ctx context.Context, directory string) error {
	output, err := exec.CommandContext(ctx, i.mesh, filepath.Join(examplesDirectory, directory)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// installIstioCRDs makes the API server one that knows Istio's objects.
func (i *interop) installIstioCRDs(ctx context.Context) error {
	for _, command := range [][]string{
		{"apply", "--server-side", "-f", i.istioCRDs},
		{"wait", "--for=condition=Established", "--timeout=60s", "-f", i.istioCRDs},
		{"create", "namespace", "billing"}, // where the examples are
	} {
		if _, err := i.cluster.Kubectl(ctx, command...); err != nil {
			return err
		}
	}
	return nil
}

// validateOnAPIServer has the API server judge the objects in a file or a directory, down to names of fields, and make none of them.
func (i *interop) validateOnAPIServer(ctx context.Context, path string) error {
	_, err := i.cluster.Kubectl(ctx, "create", "--dry-run=server", "--validate=strict", "-f", filepath.Join(examplesDirectory, path))
	return err
}

func (i *interop) reportConfigurations() {
	fmt.Println()
	printRow("IN docs/examples, NOT RUN", "VALIDATED AGAINST", nil)
	for _, c := range i.configurations {
		printRow(c.what, fmt.Sprintf("%-53s", c.against), []string{verdict(c.err)})
	}
}
