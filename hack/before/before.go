// Package before has Kubemint as it was, for tests that upgrade from it.
package before

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Commit is the one that tests upgrade from: the last before the chart knew token servers of their own.
const Commit = "2cbda673365a5669b3cadaa816c1d5c0f7cb27c3"

// Extract writes files and directories of that commit below a directory.
func Extract(ctx context.Context, directory string, paths ...string) error {
	root, err := run(ctx, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	archive := filepath.Join(directory, "before.tar")
	if _, err := run(ctx, "git", append([]string{"-C", strings.TrimSpace(root), "archive", "--output=" + archive, Commit}, paths...)...); err != nil {
		return fmt.Errorf("the commit to upgrade from is needed, which a shallow clone lacks (git fetch --unshallow): %w", err)
	}
	_, err = run(ctx, "tar", "-xf", archive, "-C", directory)
	return errors.Join(err, os.Remove(archive))
}

func run(ctx context.Context, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	var stderr strings.Builder
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(output), nil
}
