package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// access is kubectl's own flags, by which a user says which cluster is meant, and as whom.
type access struct {
	kubeconfig string
	overrides  clientcmd.ConfigOverrides
}

// shown are the flags of access that the help lists. The others of kubectl are taken too.
var shown = []string{"kubeconfig", clientcmd.FlagContext, clientcmd.FlagNamespace, clientcmd.FlagImpersonate, clientcmd.FlagImpersonateGroup}

func (a *access) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&a.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, else ~/.kube/config)")
	clientcmd.BindOverrideFlags(&a.overrides, flags, clientcmd.RecommendedConfigOverrideFlags(""))
	flags.VisitAll(func(flag *pflag.Flag) { flag.Hidden = !slices.Contains(shown, flag.Name) })
}

// cluster is a Kubernetes cluster as the user reaches it. Everything is read from the API server.
type cluster struct {
	client.Client
	config    *rest.Config
	namespace string
}

// connect reads the kubeconfig. It asks the API server nothing yet.
func (a *access) connect() (*cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = a.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &a.overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w (name a kubeconfig file by --kubeconfig or $KUBECONFIG)", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("find the namespace: %w", err)
	}
	config.UserAgent = "kubectl-mint/" + versionString()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return &cluster{Client: api, config: config, namespace: namespace}, nil
}

// oauthClient reads an OAuthClient of the namespace.
func (c *cluster) oauthClient(ctx context.Context, name string) (*v1alpha1.OAuthClient, error) {
	var found v1alpha1.OAuthClient
	err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, &found)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no OAuthClient %s in namespace %s: kubectl mint status -A lists all there are", name, c.namespace)
	}
	if err != nil {
		return nil, explained(err)
	}
	return &found, nil
}

// oauthClients lists the OAuthClients of a namespace, or with the empty one of all.
func (c *cluster) oauthClients(ctx context.Context, namespace string) ([]v1alpha1.OAuthClient, error) {
	var list v1alpha1.OAuthClientList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, explained(err)
	}
	return list.Items, nil
}

// explained adds to an error of the API server what to do, where it does not say so itself.
func explained(err error) error {
	if meta.IsNoMatchError(err) {
		return fmt.Errorf("the cluster does not know OAuthClients: install Kubemint's CRDs, or name another cluster by --context: %w", err)
	}
	return err
}
