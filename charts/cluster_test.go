package charts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubemint/kubemint/hack/clustertest"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// patience bounds every wait.
const patience = 2 * time.Minute

// newCluster starts a control plane, without nodes, and makes namespaces.
func newCluster(t *testing.T, namespaces ...string) *localcluster.Cluster {
	t.Helper()
	cluster, err := localcluster.Start(t.Context(), localcluster.Options{ControllerManager: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, namespace := range append(namespaces, localcluster.Namespace) {
		kubectlIn(t, cluster, "create", "namespace", namespace)
	}
	return cluster
}

func kubectlIn(t *testing.T, cluster *localcluster.Cluster, args ...string) string {
	t.Helper()
	output, err := cluster.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// helmIn runs helm against a cluster.
func helmIn(t *testing.T, cluster *localcluster.Cluster, args ...string) {
	t.Helper()
	helmOfIn(t, helm, cluster, args...)
}

// helmOfIn runs a Helm of some version.
func helmOfIn(t *testing.T, pattern string, cluster *localcluster.Cluster, args ...string) {
	t.Helper()
	command := helmCommand(t, pattern, cluster, args...)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, output)
	}
}

func helmCommand(t *testing.T, pattern string, cluster *localcluster.Cluster, args ...string) *exec.Cmd {
	t.Helper()
	command := command(t, pattern, append(args, "--namespace", localcluster.Namespace)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig(), "HELM_CACHE_HOME="+t.TempDir())
	return command
}

// everything sets what is off by default, but for what goes with nothing else.
var everything = []string{
	"tokenServer.mode=standalone", "replicas=null", "autoscaling.enabled=true", "autoscaling.averageRequests=500",
	"autoscaling.behavior.scaleDown.stabilizationWindowSeconds=600",
	"podDisruptionBudget.enabled=true", "priorityClassName=system-cluster-critical",
	"topologySpreadConstraints[0].maxSkew=1", "topologySpreadConstraints[0].topologyKey=topology.kubernetes.io/zone",
	"topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
	"controller.podDisruptionBudget.enabled=true", "controller.podDisruptionBudget.maxUnavailable=50%",
	"watchPods=true", "restartWorkloads=true", "audiencePolicy.enabled=true", "authentication.reviewServiceAccountTokens=true",
	"networkPolicy.enabled=true", "networkPolicy.monitoringFrom[0].namespaceSelector.matchLabels.team=operators",
	"networkPolicy.tokenFrom[0].namespaceSelector.matchExpressions[0].key=oauth", "networkPolicy.tokenFrom[0].namespaceSelector.matchExpressions[0].operator=Exists",
	"networkPolicy.apiServerTo[0].ipBlock.cidr=10.0.0.1/32", "networkPolicy.extraEgress[0].ports[0].port=8443",
	"monitoring.renderMode=alwaysRender", "monitoring.serviceMonitor.enabled=true", "monitoring.prometheusRule.enabled=true", "monitoring.dashboard.enabled=true",
	"issuer.url=https://id.example.com/team", "ingress.enabled=true", "ingress.className=public", "ingress.tlsSecretName=id-tls",
	"httpRoute.enabled=true", "httpRoute.parentRefs[0].name=public",
	"commonLabels.team=identity", "deploymentAnnotations.note=hello", "extraArgs={--token-bind-address=:8443}",
	"extraEnv[0].name=GOGC", "extraEnv[0].value=off", "extraVolumes[0].name=extra", "extraVolumes[0].emptyDir.medium=Memory",
	"extraVolumeMounts[0].name=extra", "extraVolumeMounts[0].mountPath=/extra",
	"extraObjects[0].apiVersion=v1", "extraObjects[0].kind=ConfigMap", "extraObjects[0].metadata.name=extra",
}

// strangers are kinds that the API server does not know without the CRDs of others.
var strangers = []string{"ServiceMonitor", "PrometheusRule", "HTTPRoute", "Certificate"}

// The API server accepts what the chart renders, field by field.
func TestAPIServerAccepts(t *testing.T) {
	cluster := newCluster(t, "billing", "shop")
	helmIn(t, cluster, "install", "kubemint", "kubemint") // the definitions
	for name, set := range map[string][]string{
		"defaults":                 nil,
		"everything":               everything,
		"everything in namespaces": append(slices.Clone(everything), "watchNamespaces={billing,shop}"),
		"embedded and scaled":      {"autoscaling.enabled=true", "podDisruptionBudget.enabled=true", "networkPolicy.enabled=true"},
		"in its own namespace":     {"watchNamespaces={kubemint-system}", "rbac.aggregate=false", "crds.enabled=false", "issuer.unownedScopes=forbid"},
		"certificates and a CA": {"tls.mode=files", "tls.secretName=a", "tls.clientCA.configMapName=b", "authentication.keySetCA.configMapName=c",
			"authentication.trustedIssuers[0].issuer=https://ci.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			var manifests []string
			for _, object := range objects(t, run(t, helm, slices.DeleteFunc(templateArgs(set), func(arg string) bool { return arg == "--no-hooks" })...)) {
				if slices.Contains(strangers, object.GetKind()) {
					continue
				}
				manifest, err := yaml.Marshal(object)
				if err != nil {
					t.Fatal(err)
				}
				manifests = append(manifests, string(manifest))
			}
			file := filepath.Join(t.TempDir(), "manifests.yaml")
			if err := os.WriteFile(file, []byte(strings.Join(manifests, "---\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			output := kubectlIn(t, cluster, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", file)
			if strings.Contains(output, "Warning") {
				t.Error(output)
			}
		})
	}
}

// The program does its work with exactly the rights that the chart gives it in each mode, and has no others.
func TestRights(t *testing.T) {
	const all = "list secrets,watch secrets,get secrets,create secrets,update secrets,delete secrets,patch secrets," +
		"get oauthclients,list oauthclients,watch oauthclients,create oauthclients,update oauthclients,delete oauthclients,patch oauthclients/status,update oauthclients/status," +
		"list resourceservers,watch resourceservers,get resourceservers,patch resourceservers/status,create events.events.k8s.io,list pods"
	const tokenServer = "list secrets,watch secrets,get oauthclients,list oauthclients,watch oauthclients,patch oauthclients/status,list resourceservers,watch resourceservers"
	const controller = "list secrets,watch secrets,get secrets,create secrets,update secrets,delete secrets,get oauthclients,list oauthclients,watch oauthclients," +
		"patch oauthclients/status,list resourceservers,watch resourceservers,get resourceservers,patch resourceservers/status,create events.events.k8s.io"
	tests := map[string]struct {
		set       []string
		elsewhere bool // whether it looks at other namespaces than billing, too
	}{
		"embedded":                 {nil, true},
		"standalone":               {[]string{"tokenServer.mode=standalone"}, true},
		"embedded in a namespace":  {[]string{"watchNamespaces={billing}", "rbac.aggregate=false"}, false},
		"standalone in namespaces": {[]string{"tokenServer.mode=standalone", "watchNamespaces={billing,shop}", "watchPods=true", "restartWorkloads=true"}, false},
	}
	cluster := newCluster(t, "billing", "shop", "elsewhere")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			args := []string{"install", "kubemint", "kubemint"}
			for _, value := range test.set {
				args = append(args, "--set", value)
			}
			helmIn(t, cluster, args...)
			defer helmIn(t, cluster, "uninstall", "kubemint")
			release := startRelease(t, cluster)
			defer release.stop(t)

			apply(t, cluster, clientIn("billing"), clientIn("elsewhere"), asker)
			defer kubectlIn(t, cluster, "delete", "oauthclients,resourceservers", "--all", "-A", "--wait=false")
			kubectlIn(t, cluster, "wait", "-n", "billing", "--for=condition=Ready", "oauthclient/worker", "--timeout=1m")
			checkToken(t, cluster, "billing")
			kubectlIn(t, cluster, "wait", "-n", "billing", "--for=condition=ScopesGranted=False", "oauthclient/asker", "--timeout=1m")
			if output, err := cluster.Kubectl(t.Context(), "wait", "-n", "elsewhere", "--for=condition=Ready", "oauthclient/worker", "--timeout="+map[bool]string{true: "1m", false: "2s"}[test.elsewhere]); (err == nil) != test.elsewhere {
				t.Errorf("elsewhere: %v %s", err, output)
			}
			if release.tokenServer != "kubemint" {
				// A token server tells when the client was last used, a few seconds later.
				kubectlIn(t, cluster, "wait", "-n", "billing", "--for=jsonpath={.status.credentials[0].lastUsed}", "oauthclient/worker", "--timeout=1m")
			}
			if log := release.log.String(); strings.Contains(log, "forbidden") || strings.Contains(log, `"level":"ERROR"`) {
				t.Errorf("the log says\n%s", log)
			}

			if release.tokenServer != "kubemint" {
				mustMay(t, cluster, release.tokenServer, "billing", all, tokenServer)
				mustMay(t, cluster, release.tokenServer, localcluster.Namespace, "list leases,create leases,create events,create secrets,update secrets", "")
			}
			may := controller
			if slices.Contains(test.set, "watchPods=true") {
				may += ",list pods"
			}
			mustMay(t, cluster, "kubemint", "billing", all, may)
			mustFindRights(t, cluster, map[bool]string{true: "in all namespaces", false: "in billing"}[test.elsewhere], "ok")
			if !test.elsewhere {
				for _, account := range []string{"kubemint", release.tokenServer} {
					mustMay(t, cluster, account, "elsewhere", all, "")
				}
				mustMay(t, cluster, "kubemint", localcluster.Namespace, "list oauthclients,list resourceservers,list pods,get deployments.apps", "")
				kubectlIn(t, cluster, "delete", "rolebindings", "-n", "billing", "--all")
				mustFindRights(t, cluster, " in billing", "failed")
			}
		})
	}
}

// A namespace that is not watched is as if it were empty, also for who refers to it.
const asker = `
apiVersion: oauth.kubemint.dev/v1alpha1
kind: OAuthClient
metadata: {namespace: billing, name: asker}
spec:
  scopes: [test]
  resources:
  - resourceServer: {namespace: elsewhere, name: orders}
    scopes: [orders:read]
`

func clientIn(namespace string) string {
	return fmt.Sprintf("apiVersion: oauth.kubemint.dev/v1alpha1\nkind: OAuthClient\nmetadata: {namespace: %s, name: worker}\nspec: {scopes: [test]}\n", namespace)
}

func apply(t *testing.T, cluster *localcluster.Cluster, manifests ...string) {
	t.Helper()
	if output, err := cluster.ApplyYAML(t.Context(), strings.Join(manifests, "---\n")); err != nil {
		t.Fatalf("%v %s", err, output)
	}
}

// checkToken does what the pod of helm test does, with the client worker of a namespace.
func checkToken(t *testing.T, cluster *localcluster.Cluster, namespace string) {
	t.Helper()
	directory := t.TempDir()
	for _, key := range []string{"issuer", "token_url", "client_id", "client_secret", `ca\.crt`} {
		value := kubectlIn(t, cluster, "get", "secret", "-n", namespace, "worker", "-o", "go-template={{index .data \""+strings.ReplaceAll(key, `\`, "")+"\" | base64decode}}")
		if err := os.WriteFile(filepath.Join(directory, strings.ReplaceAll(key, `\`, "")), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output, err := command(t, kubemint, "check-token", directory).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(output), "a token for "+namespace+".worker, verified: ") {
		t.Errorf("check-token: %v %s", err, output)
	}
	if strings.Contains(string(output), "eyJ") {
		t.Errorf("it shows the token: %s", output)
	}
}

// mustMay holds the rights of a service account in a namespace against those that it is to have, of all that are asked for.
func mustMay(t *testing.T, cluster *localcluster.Cluster, account, namespace, asked, want string) {
	t.Helper()
	var may []string
	for _, right := range strings.Split(asked, ",") {
		verb, resource, _ := strings.Cut(right, " ")
		resource, subresource, _ := strings.Cut(resource, "/")
		output, _ := cluster.Kubectl(t.Context(), "auth", "can-i", verb, resource, "--subresource="+subresource, "-n", namespace,
			"--as=system:serviceaccount:"+localcluster.Namespace+":"+account)
		if strings.HasPrefix(output, "yes") {
			may = append(may, right)
		}
	}
	wanted := strings.FieldsFunc(want, func(r rune) bool { return r == ',' })
	slices.Sort(may)
	slices.Sort(wanted)
	if !slices.Equal(may, wanted) {
		t.Errorf("%s may in %s\n%q, want\n%q", account, namespace, may, wanted)
	}
}

// mustFindRights has kubectl mint doctor look at the rights of every Deployment.
func mustFindRights(t *testing.T, cluster *localcluster.Cluster, detail, result string) {
	t.Helper()
	command := command(t, kubectlMint, "doctor", "-o", "json")
	command.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig())
	output, _ := command.Output() // It fails, as no pods run here.
	var checks []struct{ Name, Result, Detail string }
	if err := json.Unmarshal(output, &checks); err != nil {
		t.Fatalf("doctor: %v in %s", err, output)
	}
	found := 0
	for _, check := range checks {
		if check.Name != "rights" {
			continue
		}
		found++
		if check.Result != result || !strings.Contains(check.Detail, detail) {
			t.Errorf("doctor: %s, and should be %s: %s", check.Result, result, check.Detail)
		}
	}
	if deployments := len(strings.Fields(kubectlIn(t, cluster, "get", "deployments", "-n", localcluster.Namespace, "-o", "name"))); found != deployments {
		t.Errorf("the doctor looks at the rights of %d Deployments of %d", found, deployments)
	}
}

// release is the processes that the pods of an installed chart would run, as the pods' service accounts.
type release struct {
	processes   []*localcluster.Kubemint
	tokenServer string // the service account of the token servers
	log         *clustertest.Buffer
}

// startRelease runs the pods of the Deployments, one of each, with their flags but for addresses.
func startRelease(t *testing.T, cluster *localcluster.Cluster) *release {
	t.Helper()
	r := &release{log: &clustertest.Buffer{}}
	port := 0
	for _, name := range []string{"kubemint-controller", "kubemint"} { // The token server is ready when there are keys.
		manifest, err := cluster.Kubectl(t.Context(), "get", "deployment", "-n", localcluster.Namespace, name, "-o", "yaml")
		if err != nil && name != "kubemint" {
			continue // embedded
		}
		key := "Deployment " + localcluster.Namespace + "/" + name
		pod := typed[appsv1.Deployment](t, map[string]*unstructured.Unstructured{key: objects(t, manifest)[key]}, key).Spec.Template.Spec
		args := slices.DeleteFunc(slices.Clone(pod.Containers[0].Args), func(arg string) bool {
			return strings.HasPrefix(arg, "--issuer=") || strings.HasPrefix(arg, "--shutdown-delay=")
		})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		process, err := cluster.StartKubemint(ctx, localcluster.KubemintOptions{ServiceAccount: pod.ServiceAccountName, Port: port, Args: args, Log: r.log})
		if err != nil {
			r.stop(t)
			t.Fatalf("%s: %v\n%s", name, err, r.log.String())
		}
		r.processes = append(r.processes, process)
		r.tokenServer, port = pod.ServiceAccountName, process.Port
	}
	return r
}

func (r *release) stop(t *testing.T) {
	t.Helper()
	for _, process := range r.processes {
		if err := process.Stop(); err != nil {
			t.Error(err)
		}
	}
}
