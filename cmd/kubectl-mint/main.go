// Kubectl-mint is the kubectl plugin of Kubemint, used as kubectl mint: it gets tokens as a client, says who must grant what, rotates and
// suspends clients, verifies tokens, and examines an installation. It acts with the rights of whoever runs it, and needs none of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	buildinfo "github.com/kubemint/kubemint/cmd/internal/version"
)

// version and commit are set by the linker.
var version, commit = "", ""

// errNegative ends a command whose output has said already what is wrong.
var errNegative = errors.New("the answer is no")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)   // A second signal ends the process at once.
	klog.SetLogger(logr.Discard()) // What the libraries say is for programmers: errors come back to here.
	log.SetLogger(logr.Discard())
	err := newCommand(os.Stdout, os.Stderr).ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	if !errors.Is(err, errNegative) {
		fmt.Fprintln(os.Stderr, "kubectl mint: "+oneLine(err))
	}
	os.Exit(1)
}

// oneLine returns an error's text without line breaks, which some libraries' errors have.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

func newCommand(stdout, stderr io.Writer) *cobra.Command {
	p := &plugin{stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "kubectl-mint",
		Short: "Look after OAuthClients, and get and verify their tokens",
		Long: `Look after OAuthClients, and get and verify their tokens.

Every command acts with your own rights in the cluster. No command prints a client secret or a private key.`,
		Example: `  kubectl mint token invoice-worker -n billing --decode
  kubectl mint why order-export orders:read -n billing
  kubectl mint doctor`,
		Version:       versionString(),
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl mint"},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return fmt.Errorf("%w (%s --help lists the flags)", err, command.CommandPath())
	})
	p.access.addFlags(root.PersistentFlags())
	root.AddCommand(
		newTokenCommand(p), newWhyCommand(p), newStatusCommand(p),
		newRotateCommand(p), newSuspendCommand(p), newResumeCommand(p),
		newKeysCommand(p), newVerifyCommand(p), newDoctorCommand(p), buildinfo.Command("kubectl mint", buildinfo.Of(version, commit)),
	)
	return root
}

// plugin is what all commands share: where they write, and how they reach the cluster.
type plugin struct {
	stdout, stderr io.Writer
	access         access
}

func versionString() string { return buildinfo.Of(version, commit).Version }
