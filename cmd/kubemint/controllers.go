package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers"
	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/consent"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=system,resources=leases,verbs=get;create;update
// +kubebuilder:rbac:groups="",namespace=system,resources=events,verbs=create;patch

// connect finds the cluster, and checks that it can be reached and has Kubemint's CRDs.
func connect(ctx context.Context, kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster: run in a pod, or name a kubeconfig with --kubeconfig or $KUBECONFIG (%w)", err)
	}
	config.QPS = -1 // The API server's own priority and fairness governs.
	config.UserAgent = "kubemint/" + versionString()

	probe := rest.CopyConfig(config)
	probe.Timeout = 15 * time.Second
	api, err := discovery.NewDiscoveryClientForConfig(probe)
	if err != nil {
		return nil, fmt.Errorf("set up a client of the cluster: %w", err)
	}
	if err := awaitKinds(ctx, api); err != nil {
		return nil, err
	}
	return config, nil
}

// awaitKinds checks that the cluster serves Kubemint's kinds. One that was installed a moment ago is given a moment.
func awaitKinds(ctx context.Context, api *discovery.DiscoveryClient) error {
	const tries = 3
	for try := 1; ; try++ {
		served, err := api.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
		switch {
		case err == nil && serves(served, "oauthclients", "resourceservers"):
			return nil
		case err == nil && try == tries:
			return fmt.Errorf("the cluster has CRDs of another version of kubemint, as not all kinds of %s are there: update them with kubectl apply -k config/crd, or with the Helm chart", v1alpha1.GroupVersion)
		case err == nil:
			// Of CRDs that are installed one by one, some are there.
		case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err):
			return fmt.Errorf("the Kubernetes API server refuses kubemint's credentials: renew those in the kubeconfig, or see to the service account (%w)", err)
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("cannot reach the Kubernetes API server: check the address in the kubeconfig and the network (%w)", err)
		case try == tries:
			return fmt.Errorf("the cluster has no OAuthClients (%s): install the CRDs with kubectl apply -k config/crd, or with the Helm chart", v1alpha1.GroupVersion)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// serves reports whether a cluster serves all of some resources.
func serves(served *metav1.APIResourceList, resources ...string) bool {
	for _, name := range resources {
		if !slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == name }) {
			return false
		}
	}
	return true
}

// controllerManager runs the controllers.
type controllerManager struct {
	options *options
	config  *rest.Config
	scheme  *runtime.Scheme
	issuer  controllers.Issuer
	policy  consent.Policy
	keySets *assertion.KeySets
	tracer  trace.Tracer
	log     *slog.Logger
}

// restartDelay is the time between the end of one run of the controllers and the next.
const restartDelay = 2 * time.Second

// runAlways runs the controllers until the context ends. When they end before, because the lease was lost or the API server
// went away, they are made anew: this must not end the process, whose token server goes on.
func (c *controllerManager) runAlways(ctx context.Context) error {
	for {
		err := c.runOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.log.Warn("controllers ended, starting them again", "error", err)
		select {
		case <-time.After(restartDelay):
		case <-ctx.Done():
			return nil
		}
	}
}

// runOnce runs the controllers until leadership is lost.
func (c *controllerManager) runOnce(ctx context.Context) error {
	manager, err := ctrl.NewManager(c.config, ctrl.Options{
		Scheme:                        c.scheme,
		Cache:                         controllers.CacheOptions(c.options.namespace, c.options.watchNamespaces...),
		Client:                        client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
		Metrics:                       metricsserver.Options{BindAddress: "0"}, // Served with those of the token server.
		LeaderElection:                c.options.leaderElect,
		LeaderElectionID:              "kubemint-controller",
		LeaderElectionNamespace:       c.options.namespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return fmt.Errorf("set up the controllers: %w", err)
	}
	if err := c.setup(ctx, manager); err != nil {
		return fmt.Errorf("set up the controllers: %w", err)
	}
	if err := manager.Start(ctx); err != nil {
		return err
	}
	return errors.New("the controllers ended")
}

// setup adds the controllers to a manager.
func (c *controllerManager) setup(ctx context.Context, manager ctrl.Manager) error {
	writer := client.WithFieldOwner(controllers.InNamespaces(manager.GetClient(), c.options.watchNamespaces), v1alpha1.ManagedBy)
	recorder := manager.GetEventRecorder(v1alpha1.ManagedBy)
	if err := (&controllers.SigningKeysReconciler{
		Client: writer, Live: manager.GetAPIReader(), Events: recorder, Namespace: c.options.namespace,
		Policy: c.options.signingKeyPolicy(), Tracer: c.tracer, Now: time.Now,
	}).SetupWithManager(manager); err != nil {
		return err
	}
	if c.options.tlsMode == tlsManaged {
		if err := (&controllers.CertificatesReconciler{
			Client: writer, Live: manager.GetAPIReader(), Events: recorder, Namespace: c.options.namespace,
			Hosts: c.options.tlsHosts, Tracer: c.tracer, Now: time.Now,
		}).SetupWithManager(manager); err != nil {
			return err
		}
	}
	if err := (&controllers.OAuthClientReconciler{
		Client: writer, Live: manager.GetAPIReader(), Events: recorder, Namespace: c.options.namespace, Watched: c.options.watchNamespaces,
		Issuer: c.issuer, Policy: c.policy, Workers: c.options.workers, Tracer: c.tracer, Now: time.Now,
		KeySets: c.keySets, TrustedIssuers: c.options.assertions.issuers(), MutualTLS: c.options.clientCAFile != "",
		WatchPods: c.options.watchPods, RestartWorkloads: c.options.restartWorkloads,
	}).SetupWithManager(ctx, manager); err != nil {
		return err
	}
	return (&controllers.ResourceServerReconciler{
		Client: writer, Events: recorder, Policy: c.policy, Workers: c.options.workers, Tracer: c.tracer, Now: time.Now,
	}).SetupWithManager(manager)
}
