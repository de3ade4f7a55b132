// Package version says which build of a program runs.
package version

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// Build is what is known of a build. What is not known is left out.
type Build struct {
	Version string `json:"version"`
	// Commit of the sources, and CommitTime; Modified sources had changes beside it.
	Commit     string `json:"commit,omitempty"`
	CommitTime string `json:"commitTime,omitempty"`
	Modified   bool   `json:"modified,omitempty"`
	GoVersion  string `json:"goVersion"`
	Platform   string `json:"platform"`
}

// Of returns the build of this program: what the linker set, and what else the Go command wrote down.
func Of(version, commit string) Build {
	build := Build{Version: version, Commit: commit, GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		build.complete(info)
	}
	build.Version = cmp.Or(build.Version, "(devel)")
	return build
}

func (b *Build) complete(info *debug.BuildInfo) {
	b.Version = cmp.Or(b.Version, info.Main.Version)
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = cmp.Or(b.Commit, setting.Value)
		case "vcs.time":
			b.CommitTime = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
}

// Command returns the command that prints the build of a program, by the name that people call it by.
func Command(program string, build Build) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "version",
		Short: "Print the version, and what it was built from",
		Example: "  " + program + ` version
  ` + program + ` version -o json`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return build.write(command.OutOrStdout(), output) },
	}
	command.Flags().StringVarP(&output, "output", "o", "text", "form of the output: text, yaml or json")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "yaml", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

func (b Build) write(out io.Writer, output string) (err error) {
	var text []byte
	switch output {
	case "text":
		text = []byte(b.text())
	case "json":
		text, err = json.MarshalIndent(b, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(b)
	default:
		return fmt.Errorf("--output is %q: write text, yaml or json", output)
	}
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

func (b Build) text() string {
	commit := cmp.Or(b.Commit, "unknown")
	if b.CommitTime != "" {
		commit += " of " + b.CommitTime
	}
	if b.Modified {
		commit += ", modified"
	}
	return fmt.Sprintf("version:    %s\ncommit:     %s\ngo version: %s\nplatform:   %s\n", b.Version, commit, b.GoVersion, b.Platform)
}
