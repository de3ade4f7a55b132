package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kubemint/kubemint/hack/before"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// namespace is that of Kubemint, which has the restricted profile's label before Helm installs anything there.
const namespace = localcluster.Namespace

// namespaces are all that the test makes.
var namespaces = []string{namespace, "billing", "shop", "crowd"}

// helmPath is of the Helm that the Makefile installs.
var helmPath = envOr("HELM", "helm")

// e2e is what the steps share.
type e2e struct {
	images    images
	apiServer *localcluster.Cluster // whose API server can be stopped; nil where the cluster is somebody else's

	standalone bool // how token servers run, as in the chart's tokenServer.mode

	mine     bool // the namespaces are of this run
	policies any  // the values of namespaces.yaml
	figures  []string
}

// runStory is the test: each step after another.
func runStory(ctx context.Context, e *e2e) (err error) {
	started := time.Now()
	defer func() {
		if err != nil {
			e.saveLogs(context.WithoutCancel(ctx))
		}
		err = errors.Join(err, e.cleanUp(context.WithoutCancel(ctx)))
	}()
	for _, step := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"Namespaces for restricted pods, and NetworkPolicies that deny what they do not allow", e.makeNamespaces},
		{"helm install, two replicas, and the first token in a pod", e.install},
		{"Pods with the Secret as files, as environment, or with none get tokens over TLS, and call an API that verifies them", e.call},
		{"helm test, kubectl mint doctor, and a token by kubectl mint", e.examine},
		{"Client secrets rotate while they are used", e.rotate},
		{"A pod that issues tokens is killed", e.killFollower},
		{"The leader is killed", e.killLeader},
		{"A process crashes", e.crash},
		{"helm upgrade to token servers by themselves", e.separate},
		{"What a token server may do", e.checkRights},
		{"kubectl scale, to four token servers and back", e.scale},
		{"A token server is killed", e.killFollower},
		{"The leader of the controllers is killed", e.killLeader},
		{"There are no controllers", e.withoutControllers},
		{"Client secrets rotate again", e.rotate},
		{"The API server is away from token servers for a minute", e.stopAPIServer},
		{"helm test and kubectl mint doctor again", e.examine},
		{"helm upgrade back to one Deployment", e.unite},
		{"The API server is away for a minute", e.stopAPIServer},
		{"At rest, with 1,000 clients", e.measureAtRest},
		{"helm uninstall", e.uninstall},
		{fmt.Sprintf("helm upgrade from the chart and the image of %.7s", before.Commit), e.upgrade},
		{"Namespaces with clients are deleted", e.deleteNamespaces},
	} {
		say("%s", step.title)
		begun := time.Now()
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
		fmt.Printf("  %.1f s\n", time.Since(begun).Seconds())
	}
	say("All steps did what they should, in %.0f s", time.Since(started).Seconds())
	fmt.Printf("  the image: %.1f MB (promised: less than 60)\n  %s\n", megabytes(e.images.Kubemint.Size), strings.Join(e.figures, "\n  "))
	return nil
}

// figure keeps a measured value for the end, and fails where it is not what was promised.
func (e *e2e) figure(good bool, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	e.figures = append(e.figures, text)
	note("%s", text)
	if !good {
		return fmt.Errorf("not good enough: %s", text)
	}
	return nil
}

// makeNamespaces refuses a cluster that Kubemint is installed in, as cleanUp removes it.
func (e *e2e) makeNamespaces(ctx context.Context) error {
	there, err := e.kubectl(ctx, append([]string{"get", "namespace", "--ignore-not-found", "-o", "name"}, namespaces...)...)
	if err != nil {
		return err
	}
	definitions, err := e.kubectl(ctx, "get", "customresourcedefinitions", "--ignore-not-found", "-o", "name", "oauthclients.oauth.kubemint.dev")
	if err != nil {
		return err
	}
	if found := strings.Fields(there + definitions); len(found) > 0 {
		return fmt.Errorf("the cluster has %s already, which the test makes and removes: choose another cluster, or delete them", strings.Join(found, ", "))
	}
	if err := e.checkImages(ctx); err != nil {
		return err
	}
	servers, port, err := e.apiServers(ctx)
	if err != nil {
		return err
	}
	e.mine = true
	e.policies = map[string]any{"Namespaces": namespaces, "APIServers": servers, "APIServerPort": port}
	return e.apply(ctx, "namespaces.yaml", e.policies)
}

// checkImages says how to bring the images to somebody else's cluster, for there is no registry to pull them from.
func (e *e2e) checkImages(ctx context.Context) error {
	known, err := e.kubectl(ctx, "get", "nodes", "-o", "jsonpath={.items[*].status.images[*].names}")
	if err != nil {
		return err
	}
	var missing []string
	for _, i := range e.images.forPods() {
		if !strings.Contains(known, i.Reference()) {
			missing = append(missing, i.Archive)
		}
	}
	if len(missing) > 0 && e.apiServer == nil {
		return fmt.Errorf("no node has these images: load them (with kind: kind load image-archive FILE, for each), wait a minute until the nodes tell, and run it again:\n  %s", strings.Join(missing, "\n  "))
	}
	return nil
}

// apiServers returns where pods reach the API server, for a NetworkPolicy: by its Service and behind it.
func (e *e2e) apiServers(ctx context.Context) (addresses []string, port string, err error) {
	service, err := e.kubectl(ctx, "get", "service", "-n", "default", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return nil, "", err
	}
	const path = "jsonpath={.items[*].endpoints[*].addresses[*]}"
	slices := []string{"get", "endpointslices", "-n", "default", "-l", "kubernetes.io/service-name=kubernetes", "-o"}
	behind, err := e.kubectl(ctx, append(slices, path)...)
	if err != nil {
		return nil, "", err
	}
	port, err = e.kubectl(ctx, append(slices, "jsonpath={.items[0].ports[0].port}")...)
	for _, address := range strings.Fields(service + " " + behind) {
		if len(addresses) == 0 || address != addresses[0] {
			addresses = append(addresses, address)
		}
	}
	return addresses, port, err
}

// saveLogs keeps what somebody else's cluster says of a failure; those of our own node are files already.
func (e *e2e) saveLogs(ctx context.Context) {
	logs := filepath.Join(directory, "logs")
	_ = os.MkdirAll(logs, 0o755)
	for name, args := range map[string][]string{
		"objects.txt":  {"get", "-A", "-o", "wide", "pods,services,endpointslices,oauthclients,resourceservers"},
		"pods.txt":     {"describe", "pods", "-A"},
		"events.txt":   {"get", "events", "-A", "--sort-by=.lastTimestamp"},
		"kubemint.txt": {"logs", "-n", namespace, "-l", "app.kubernetes.io/name=kubemint", "--prefix", "--tail=-1"},
	} {
		output, err := e.kubectl(ctx, args...)
		if err != nil {
			output += err.Error()
		}
		_ = os.WriteFile(filepath.Join(logs, name), []byte(output), 0o600)
	}
	note("what the cluster says of it is in %s", logs)
}

// cleanUp removes everything from somebody else's cluster. Our own ends anyway.
func (e *e2e) cleanUp(ctx context.Context) error {
	if e.apiServer != nil || !e.mine {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	say("Removing it all from the cluster")
	_, err := e.helm(ctx, "uninstall", "kubemint", "--ignore-not-found")
	return errors.Join(err, e.kubectlAll(ctx,
		append([]string{"delete", "namespace", "--ignore-not-found"}, namespaces...),
		[]string{"delete", "customresourcedefinitions", "--ignore-not-found", "oauthclients.oauth.kubemint.dev", "resourceservers.oauth.kubemint.dev"}))
}

func envOr(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
