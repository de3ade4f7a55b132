package charts_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubemint/kubemint/hack/localcluster"
)

// formerChart is the chart as it was before it knew token servers of their own, at before.Commit, packaged: a shallow clone has no history.
const formerChart = "testdata/kubemint-before.tgz"

// Helm installs the chart as it was, upgrades it, changes it and removes it. The second one takes over what the first has left.
func TestHelm(t *testing.T) {
	cluster := newCluster(t, "billing", "shop")
	for _, helm := range []struct{ version, pattern string }{{"3", helm3}, {"4", helm}} {
		t.Run(helm.version, func(t *testing.T) {
			r := helmRelease{cluster, helm.pattern}
			t.Run("upgrade from the chart as it was", func(t *testing.T) { r.upgradeFrom(t, formerChart) })
			t.Run("changes", r.change)
			t.Run("the number of pods", r.scale)
			t.Run("uninstall", r.uninstall)
		})
	}
}

// helmRelease is the release kubemint, managed by one Helm.
type helmRelease struct {
	cluster *localcluster.Cluster
	helm    string
}

// helmRun runs Helm for the chart in a directory, with values.
func (r helmRelease) helmRun(t *testing.T, verb, chart string, set ...string) {
	t.Helper()
	args := strings.Fields(verb + " kubemint " + chart)
	for _, value := range set {
		args = append(args, "--set", value)
	}
	helmOfIn(t, r.helm, r.cluster, args...)
}

// upgrade upgrades to the values, and no others.
func (r helmRelease) upgrade(t *testing.T, set ...string) {
	t.Helper()
	r.helmRun(t, "upgrade --reset-values", "kubemint", set...)
}

// upgradeByForce does the same where somebody else has set what it sets, which Helm 4 must be told.
func (r helmRelease) upgradeByForce(t *testing.T, set string) {
	t.Helper()
	if r.helm == helm3 {
		r.upgrade(t, set)
		return
	}
	command := helmCommand(t, r.helm, r.cluster, "upgrade", "--reset-values", "kubemint", "kubemint", "--set", set)
	if output, err := command.CombinedOutput(); err == nil || !strings.Contains(string(output), ".spec.replicas") {
		t.Errorf("without force, it says: %v %s", err, output)
	}
	r.helmRun(t, "upgrade --reset-values --force-conflicts", "kubemint", set)
}

// deployment returns a part of the token servers' Deployment, by its JSONPath.
func (r helmRelease) deployment(t *testing.T, path string) string {
	t.Helper()
	return kubectlIn(t, r.cluster, "get", "-n", localcluster.Namespace, "deployment", "kubemint", "-o", "jsonpath={"+path+"}")
}

// upgradeFrom upgrades with the values and clients that there are, none of which gets lost.
func (r helmRelease) upgradeFrom(t *testing.T, chart string) {
	const args = ".spec.template.spec.containers[0].args"
	r.helmRun(t, "install", chart, "replicas=3", "logLevel=DEBUG", "issuer.url=https://id.example.com", "watchPods=true", "image.tag=v0")
	apply(t, r.cluster, clientIn("billing"))
	client := kubectlIn(t, r.cluster, "get", "-n", "billing", "oauthclient", "worker", "-o", "jsonpath={.metadata.uid}")
	flags := r.deployment(t, args)
	r.helmRun(t, "upgrade --reset-then-reuse-values", "kubemint", "image.tag=v1")
	if got := r.deployment(t, args); got != flags {
		t.Errorf("the flags were %s, and are %s", flags, got)
	}
	if got := r.deployment(t, ".spec.template.spec.containers[0].image"); got != "kubemint/kubemint:v1" {
		t.Errorf("the image is %s", got)
	}
	r.mustHave(t, "3")
	if got := kubectlIn(t, r.cluster, "get", "-n", "billing", "oauthclient", "worker", "-o", "jsonpath={.metadata.uid}"); got != client {
		t.Errorf("the client was %s, and is %s", client, got)
	}
}

// change goes through the modes.
func (r helmRelease) change(t *testing.T) {
	without := slices.DeleteFunc(slices.Clone(everything), func(set string) bool { // whose kinds are not there
		return strings.HasPrefix(set, "monitoring.renderMode") || strings.HasPrefix(set, "httpRoute")
	})
	for _, step := range []struct {
		name       string
		set        []string
		standalone bool
	}{
		{"to everything", without, true},
		{"back to the defaults", nil, false},
		{"into namespaces", []string{"watchNamespaces={billing,shop}", "tokenServer.mode=standalone"}, true},
	} {
		r.upgrade(t, step.set...)
		if got := strings.Contains(kubectlIn(t, r.cluster, "get", "deployments", "-A", "-o", "name"), "kubemint-controller"); got != step.standalone {
			t.Errorf("%s: is there a Deployment of the controllers? %t", step.name, got)
		}
	}
}

// scale has others choose the number of pods, whom no upgrade gets in the way of that does not name another number. Helm 4 would first
// refuse one that does: it applies on the server's side, where two set the field.
func (r helmRelease) scale(t *testing.T) {
	r.scaleTo(t, "5")
	r.upgradeByForce(t, "replicas=3")
	r.mustHave(t, "3")
	r.upgrade(t, "autoscaling.enabled=true")
	r.mustHave(t, "3")
	r.scaleTo(t, "6")
	r.upgrade(t, "autoscaling.enabled=true", "logLevel=DEBUG")
	r.mustHave(t, "6")
	r.upgrade(t, "replicas=null")
	r.mustHave(t, "6")
	r.scaleTo(t, "0")
	r.upgrade(t, "replicas=null", "logLevel=DEBUG")
	r.mustHave(t, "0")
	r.upgrade(t, "replicas=2")
	r.mustHave(t, "2")
}

// scaleTo scales as kubectl and the autoscaler do, by the subresource scale.
func (r helmRelease) scaleTo(t *testing.T, replicas string) {
	t.Helper()
	kubectlIn(t, r.cluster, "scale", "-n", localcluster.Namespace, "deployment/kubemint", "--replicas="+replicas)
}

func (r helmRelease) mustHave(t *testing.T, replicas string) {
	t.Helper()
	if got := r.deployment(t, ".spec.replicas"); got != replicas {
		t.Fatalf("there are %s replicas, and should be %s", got, replicas)
	}
}

// uninstall leaves what crds.keep says, and so the clients.
func (r helmRelease) uninstall(t *testing.T) {
	helmOfIn(t, r.helm, r.cluster, "uninstall", "kubemint")
	left := kubectlIn(t, r.cluster, "get", "-A", "-o", "name", "-l", "app.kubernetes.io/instance=kubemint",
		"crds,clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,deployments,services,configmaps,networkpolicies,ingresses,hpa,pdb")
	want := "customresourcedefinition.apiextensions.k8s.io/oauthclients.oauth.kubemint.dev\n" +
		"customresourcedefinition.apiextensions.k8s.io/resourceservers.oauth.kubemint.dev\n"
	if left != want {
		t.Errorf("it leaves\n%s\nwant\n%s", left, want)
	}
	kubectlIn(t, r.cluster, "get", "-n", "billing", "oauthclient", "worker")
}
