// Mesh holds the configuration of Envoy and Istio in docs/examples against their own APIs, where neither of them can run: every field must be
// one that there is, every value one that is allowed, and every name that a file refers to one that it defines. `make interop` runs it.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "mesh: %v\n", err)
		os.Exit(1)
	}
}

// run checks the files of directories, each named after what it is for, or says which versions it checks against.
func run(arguments []string) error {
	if slices.Equal(arguments, []string{"--version"}) {
		fmt.Println(version("github.com/envoyproxy/go-control-plane/envoy"), version("istio.io/api"))
		return nil
	}
	checks := map[string]func([]byte) error{"envoy": checkEnvoy, "istio": checkIstio}
	var problems []error
	for _, directory := range arguments {
		check, known := checks[filepath.Base(directory)]
		if !known {
			return fmt.Errorf("%s is for neither Envoy nor Istio", directory)
		}
		problems = append(problems, each(directory, check))
	}
	return errors.Join(problems...)
}

// each checks every file of a directory.
func each(directory string, check func(content []byte) error) error {
	paths, err := filepath.Glob(filepath.Join(directory, "*.yaml"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("%s has no files", directory)
	}
	var problems []error
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err == nil {
			err = check(content)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(problems...)
}

// decode reads YAML into a message, and takes no field that the message does not have.
func decode(content []byte, message proto.Message) error {
	inJSON, err := yaml.YAMLToJSONStrict(content)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(inJSON, message)
}

// version is that of a module that this program is built with.
func version(path string) string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return "unknown"
}
