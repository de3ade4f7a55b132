package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubemint/kubemint/hack/e2e/image"
)

// client is a pod that gets tokens, and its OAuthClient.
type client struct {
	Name  string
	Proof string
	Rate  int  // token requests a second
	Calls bool // calls the API with each token
}

var clients = []client{
	{Name: "files", Proof: "files", Rate: 5, Calls: true},
	{Name: "environment", Proof: "environment", Rate: 5, Calls: true},
	{Name: "service-account", Proof: "service-account", Rate: 5, Calls: true},
	{Name: "load", Proof: "files", Rate: 50},
}

const (
	issuer       = "https://kubemint." + namespace + ".svc"
	currentChart = "charts/kubemint"

	// maxInstall is how long it may take from `helm install` to the first token.
	maxInstall = 30 * time.Second
)

func (e *e2e) install(ctx context.Context) error {
	started := time.Now()
	if err := e.helmInstall(ctx, "install", currentChart, e.images.Kubemint); err != nil {
		return err
	}
	if err := e.applyWorkloads(ctx); err != nil {
		return err
	}
	first, err := e.awaitFirst(ctx, "files", "token")
	if err != nil {
		return err
	}
	took := first.Sub(started)
	return e.figure(took < maxInstall, "from helm install to the first token in a pod: %.1f s (promised: less than %.0f)", took.Seconds(), maxInstall.Seconds())
}

// helmInstall installs or upgrades to the chart, with an image that the nodes have.
func (e *e2e) helmInstall(ctx context.Context, verb, chart string, i image.Image) error {
	output, err := e.helm(ctx, verb, "kubemint", chart, "--set=replicas=2",
		"--set=image.repository="+i.Name, "--set-string=image.tag="+i.Tag, "--set=image.pullPolicy=Never")
	if err == nil && !strings.Contains(output, "deployed") {
		err = fmt.Errorf("helm %s says: %s", verb, output)
	}
	return err
}

func (e *e2e) applyWorkloads(ctx context.Context) error {
	values := map[string]any{"Workload": e.images.Workload.Reference(), "Clients": clients, "Issuer": issuer}
	return errors.Join(e.apply(ctx, "orders.yaml", values), e.apply(ctx, "clients.yaml", values))
}

// call waits until each pod has got a token and called the API with it.
func (e *e2e) call(ctx context.Context) error {
	for _, c := range clients {
		if !c.Calls {
			continue
		}
		if _, err := e.awaitFirst(ctx, c.Name, "call"); err != nil {
			return err
		}
		note("%s: token and call", c.Name)
	}
	return e.kubectlAll(ctx, []string{"rollout", "status", "-n", namespace, "deployment/kubemint", "--timeout=2m"})
}

// awaitFirst waits until a client has got its first token or made its first call, and returns when that was.
func (e *e2e) awaitFirst(ctx context.Context, pod, what string) (at time.Time, err error) {
	var last string
	err = eventually(ctx, 2*time.Minute, func() error {
		reports, err := e.reports(ctx, pod)
		if err != nil {
			return err
		}
		for _, r := range reports {
			if r.First == what {
				at = r.Time
				return nil
			}
			if r.Error != "" {
				last = r.Error
			}
		}
		return fmt.Errorf("no %s; its last error: %s", what, last)
	})
	if err != nil {
		return at, fmt.Errorf("the pod billing/%s: %w", pod, err)
	}
	return at, nil
}

// uninstall checks that nothing is left but what `crds.keep` says, and what Kubemint itself has made in its namespace: its keys, with
// which tokens and clients stay valid when it is installed again, and its lease.
func (e *e2e) uninstall(ctx context.Context) error {
	if _, err := e.helm(ctx, "uninstall", "kubemint", "--wait"); err != nil {
		return err
	}
	expected := []string{
		"customresourcedefinition.apiextensions.k8s.io/oauthclients.oauth.kubemint.dev",
		"customresourcedefinition.apiextensions.k8s.io/resourceservers.oauth.kubemint.dev",
		"lease.coordination.k8s.io/kubemint-controller",
		"secret/kubemint-ca", "secret/kubemint-serving-cert", "secret/kubemint-signing-keys",
	}
	var left []string
	if err := eventually(ctx, time.Minute, func() (err error) {
		if left, err = e.left(ctx); err != nil {
			return err
		}
		for _, object := range left {
			if !slices.Contains(expected, object) {
				return fmt.Errorf("%s is left", object)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	note("left are the definitions, as crds.keep says, and what Kubemint made itself: %s", strings.Join(left, ", "))
	kept, err := e.kubectl(ctx, "get", "oauthclient/orders", "secret/orders", "-n", "shop", "-o", "name")
	if err == nil {
		note("and with the definitions, clients and their Secrets: %s", strings.Join(strings.Fields(kept), ", "))
	}
	return err
}

// left lists what is there of Kubemint: everything in its namespace that Kubernetes or the test did not put there, and what has its
// label elsewhere.
func (e *e2e) left(ctx context.Context) ([]string, error) {
	var objects []string
	for _, scope := range []struct{ namespaced, selection string }{
		{"true", "--namespace=" + namespace}, {"false", "--selector=app.kubernetes.io/name=kubemint"},
	} {
		kinds, err := e.kubectl(ctx, "api-resources", "--verbs=list,delete", "--namespaced="+scope.namespaced, "-o", "name")
		if err != nil {
			return nil, err
		}
		output, err := e.kubectl(ctx, "get", strings.Join(strings.Fields(kinds), ","), scope.selection, "-o", "name")
		if err != nil {
			return nil, err
		}
		objects = append(objects, strings.Fields(output)...)
	}
	return slices.DeleteFunc(objects, func(object string) bool {
		return strings.HasPrefix(object, "event") || strings.HasPrefix(object, "networkpolicy.") ||
			object == "configmap/kube-root-ca.crt" || object == "serviceaccount/default"
	}), nil
}
