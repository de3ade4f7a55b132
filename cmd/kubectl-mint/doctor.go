package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
)

// doctorOptions are the flags of kubectl mint doctor.
type doctorOptions struct {
	plugin *plugin
	issuer issuerFlags
	output format
}

func newDoctorCommand(p *plugin) *cobra.Command {
	o := &doctorOptions{plugin: p}
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Examine an installation of Kubemint, and say what to do about what is not well",
		Long: `Examine an installation of Kubemint, and say what to do about what is not well: its CRDs, Deployments, leader and rights; the issuer's metadata,
certificate, clock and keys; what each token server has seen of the cluster; and the OAuthClients that are not ready.

What you may not read is left out with a warning. The exit code is 1 where anything failed.`,
		Example: `  kubectl mint doctor
  kubectl mint doctor --kubemint-namespace oauth -o json`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return o.run(command.Context()) },
	}
	o.issuer.addURLFlag(command, "URL of the issuer (default: that of the cluster)")
	o.issuer.addFlags(command)
	o.output.addFlag(command)
	return command
}

// examination is what the parts of the doctor share.
type examination struct {
	*cluster
	ctx     context.Context //nolint:containedctx // It lives for one run of the command.
	options *doctorOptions
	// deployments are none where there are none, or the user may not read them.
	deployments []appsv1.Deployment
	now         func() time.Time
}

func (o *doctorOptions) run(ctx context.Context) error {
	cluster, err := o.plugin.access.connect()
	if err != nil {
		return err
	}
	e := &examination{cluster: cluster, ctx: ctx, options: o, now: time.Now}
	checks := e.apiServer()
	if checks[0].Result == verdictFailed { // Nothing else could be known.
		return report(o.plugin.stdout, &o.output, checks)
	}
	for _, part := range []func() []check{e.crds, e.deploymentsReady, e.leader, e.rights, e.issuerWell, e.caches, e.clients} {
		checks = append(checks, part()...)
	}
	return report(o.plugin.stdout, &o.output, checks)
}

// kubemintNamespace is where Kubemint runs.
func (e *examination) kubemintNamespace() string { return e.options.issuer.kubemintNamespace }

// watched are the namespaces that Kubemint looks at; none: all.
func (e *examination) watched() []string {
	if len(e.deployments) == 0 {
		return nil
	}
	return watchedBy(&e.deployments[0])
}
