// Kubemint gives workloads OAuth 2.0 identities: it reconciles OAuthClients into Secrets with client credentials, and issues
// access tokens for them.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	buildinfo "github.com/kubemint/kubemint/cmd/internal/version"
)

// version and commit are set by the linker.
var version, commit = "", ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // A second signal ends the process at once.
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubemint: "+oneLine(err))
		os.Exit(1)
	}
}

// oneLine returns an error's text without line breaks, which some libraries' errors have.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

func newCommand() *cobra.Command {
	var o options
	command := &cobra.Command{
		Use:   "kubemint --issuer URL [flags]",
		Short: "OAuth 2.0 identities for workloads in Kubernetes",
		Long: `Kubemint gives workloads in a Kubernetes cluster OAuth 2.0 identities.

It reconciles OAuthClients into Secrets with client credentials, and serves the token endpoint at which workloads
exchange them for signed access tokens (client credentials grant), the key set, and the metadata to verify those with.`,
		Example: `  # On a workstation, against the cluster of the current kubeconfig
  kubemint --issuer https://localhost:8443 --namespace kubemint-system --log-format text`,
		Version:       versionString(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			out := newLogWriter(os.Stderr)
			defer out.Flush()
			log := newLogger(command.Context(), &o, out)
			tuneMemory(o.mode, log)
			lookAtNetworkWhileSweeping()
			return run(command.Context(), &o, log)
		},
	}
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w (kubemint --help lists the flags)", err)
	})
	command.Flags().SortFlags = false
	o.addFlags(command.Flags())
	command.CompletionOptions.DisableDefaultCmd = true // It is a server.
	command.SetHelpCommand(&cobra.Command{Hidden: true})
	command.AddCommand(newCheckToken(), buildinfo.Command("kubemint", buildinfo.Of(version, commit)))
	return command
}

// newLogger returns the logger of the process, which controller-runtime and client-go use too.
func newLogger(ctx context.Context, o *options, out io.Writer) *slog.Logger {
	handlerOptions := &slog.HandlerOptions{Level: o.logLevel}
	var handler slog.Handler = slog.NewJSONHandler(out, handlerOptions)
	if o.logFormat == "text" {
		handler = slog.NewTextHandler(out, handlerOptions)
	}
	libraries := logr.FromSlogHandler(&calmWhenStopping{handler, ctx})
	ctrl.SetLogger(libraries)
	klog.SetLogger(libraries)
	return slog.New(handler)
}

func versionString() string { return buildinfo.Of(version, commit).Version }
