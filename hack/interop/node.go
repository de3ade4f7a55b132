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
)

// nodeDirectory holds the scripts and, once `npm ci` was run, the packages that they use.
const nodeDirectory = "hack/interop/node"

// node tries what a script of nodeDirectory does. It says on standard error why it fails.
func node(script string) func(context.Context, *trial) error {
	return func(ctx context.Context, t *trial) error {
		tokens, err := json.Marshal(t.tokens)
		if err != nil {
			return err
		}
		command := exec.CommandContext(ctx, "node", script)
		command.Dir = nodeDirectory
		command.Env = append(os.Environ(),
			"NODE_EXTRA_CA_CERTS="+t.secret.file("ca.crt"), "SECRET="+t.secret.directory,
			"ALGORITHM="+t.algorithm, "TOKENS="+string(tokens), "OTHER_AUDIENCE="+otherAudience,
			"CERTIFICATE="+t.certificate, "WRONG_CERTIFICATE="+t.wrongCertificate)
		if output, err := command.CombinedOutput(); err != nil {
			return errors.New(strings.TrimSpace(string(output)))
		}
		return nil
	}
}

// packages are npm packages that are installed.
func packages(names ...string) title {
	return func(context.Context) (string, error) {
		titles := make([]string, len(names))
		for n, name := range names {
			version, err := packageVersion(name)
			if err != nil {
				return "", fmt.Errorf("find the npm package %s: %w", name, err)
			}
			titles[n] = name + " " + version
		}
		return strings.Join(titles, ", "), nil
	}
}

func packageVersion(name string) (string, error) {
	content, err := os.ReadFile(filepath.Join(nodeDirectory, "node_modules", name, "package.json"))
	if err != nil {
		return "", err
	}
	var manifest struct {
		Version string `json:"version"`
	}
	err = json.Unmarshal(content, &manifest)
	return manifest.Version, err
}
