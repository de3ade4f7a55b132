package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// configuration is one of docs/examples whose program does not run here. It is held against the program's own API instead.
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
	envoy, istio, _ := strings.Cut(strings.TrimSpace(string(versions)), " ")
	i.configurations = []configuration{
		{"docs/examples/envoy", "Envoy's API, go-control-plane/envoy " + envoy, i.validateBy(ctx, "envoy")},
		{"docs/examples/istio", "Istio's API, istio.io/api " + istio, i.validateBy(ctx, "istio")},
		{"docs/examples/istio", "Istio's CRDs " + istio + ", on the API server", i.validateOnAPIServer(ctx)},
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

// validateOnAPIServer has the API server judge Istio's objects, as one with Istio would.
func (i *interop) validateOnAPIServer(ctx context.Context) error {
	if _, err := i.cluster.Kubectl(ctx, "apply", "--server-side", "-f", i.istioCRDs); err != nil {
		return err
	}
	if _, err := i.cluster.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "-f", i.istioCRDs); err != nil {
		return err
	}
	if _, err := i.cluster.Kubectl(ctx, "create", "namespace", "billing"); err != nil {
		return err
	}
	_, err := i.cluster.Kubectl(ctx, "create", "--dry-run=server", "--validate=strict", "-f", filepath.Join(examplesDirectory, "istio"))
	return err
}

func (i *interop) reportConfigurations() {
	fmt.Println()
	printRow("CONFIGURATION, NOT RUN", "VALIDATED AGAINST", nil)
	for _, c := range i.configurations {
		printRow(c.what, fmt.Sprintf("%-53s", c.against), []string{verdict(c.err)})
	}
}
