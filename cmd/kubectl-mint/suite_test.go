package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/clustertest"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// The suite runs the real plugin, against the real kubemint on a real control plane.
var suite struct {
	cluster  *localcluster.Cluster
	admin    client.Client // reads from the API server, never from a cache
	plugin   string        // the path of the binary
	kubemint *localcluster.Kubemint
	log      clustertest.Buffer
}

// serviceHost is the host under which pods would reach Kubemint. No name server knows it here, as on a workstation.
const serviceHost = "kubemint.kubemint-system.svc"

// patience bounds every wait.
const patience = time.Minute

func TestMain(m *testing.M) {
	code, err := runSuite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (int, error) {
	log.SetLogger(logr.Discard()) // envtest's, which would complain of having none.
	ctx := context.Background()
	directory, err := os.MkdirTemp("", "kubectl-mint-suite-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(directory) //nolint:errcheck // It is a temporary directory.
	if output, err := exec.Command("go", "build", "-pgo=off", "-ldflags", "-X main.version=v1.2.3-test", "-o", directory+"/", ".", "../kubemint").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the binaries: %w\n%s", err, output)
	}
	suite.plugin = filepath.Join(directory, "kubectl-mint")
	suite.cluster, err = localcluster.Start(ctx, localcluster.Options{ControllerManager: true, CRDs: []string{"../../config/crd/bases"}})
	if err != nil {
		return 1, err
	}
	defer suite.cluster.Stop() //nolint:errcheck // Nothing is left to do.
	if err := suite.cluster.InstallKubemint(ctx); err != nil {
		return 1, err
	}
	if suite.admin, err = clustertest.Client(suite.cluster.Config()); err != nil {
		return 1, err
	}
	suite.kubemint, err = suite.cluster.StartKubemint(ctx, localcluster.KubemintOptions{
		Binary: filepath.Join(directory, "kubemint"), Log: &suite.log, Args: []string{"--tls-hosts=" + serviceHost},
	})
	if err != nil {
		return 1, fmt.Errorf("%w\n%s", err, suite.log.String())
	}
	code := m.Run()
	if code != 0 {
		fmt.Fprintf(os.Stderr, "The log of kubemint:\n%s\n", suite.log.String())
	}
	return code, suite.kubemint.Stop()
}

// outcome is what a run of the plugin came to.
type outcome struct {
	stdout, stderr string
	code           int
}

// mint runs the plugin as an administrator.
func mint(t *testing.T, args ...string) outcome {
	t.Helper()
	return mintReading(t, "", args...)
}

// mintReading runs the plugin with something on its standard input.
func mintReading(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	command := exec.CommandContext(t.Context(), suite.plugin, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+suite.cluster.Kubeconfig())
	command.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// succeeds runs the plugin, which must succeed, and returns what it wrote.
func succeeds(t *testing.T, args ...string) string {
	t.Helper()
	got := mint(t, args...)
	if got.code != 0 {
		t.Fatalf("kubectl mint %s: exit code %d\n%s%s", strings.Join(args, " "), got.code, got.stdout, got.stderr)
	}
	return got.stdout
}

// fails runs the plugin, which must fail and say something.
func fails(t *testing.T, says string, args ...string) {
	t.Helper()
	got := mint(t, args...)
	if got.code != 1 || !strings.Contains(got.stderr, says) {
		t.Errorf("kubectl mint %s: exit code %d, %q, where %q was expected", strings.Join(args, " "), got.code, got.stderr, says)
	}
}

// contains reports each text that an output lacks.
func contains(t *testing.T, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Errorf("%q is missing in:\n%s", text, output)
		}
	}
}

// parsed parses an output in JSON.
func parsed[T any](t *testing.T, output string) T {
	t.Helper()
	var value T
	if err := json.Unmarshal([]byte(output), &value); err != nil {
		t.Fatalf("%v in %s", err, output)
	}
	return value
}

func newNamespace(t *testing.T) string {
	t.Helper()
	return clustertest.NewNamespace(t, suite.admin).Name
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	clustertest.Create(t, suite.admin, object)
}

// allow lets a user do something in a namespace, by a built-in role.
func allow(t *testing.T, user, role, namespace string) {
	t.Helper()
	create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user + "-" + role},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
	})
}

// newClient returns an OAuthClient with a scope that nobody owns, to be created.
func newClient(namespace, name string) *v1alpha1.OAuthClient {
	return &v1alpha1.OAuthClient{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.OAuthClientSpec{Scopes: []v1alpha1.Scope{"invoices:read", "invoices:write"}},
	}
}

// asking returns an OAuthClient that asks for scopes of a ResourceServer, to be created.
func asking(namespace, name string, server *v1alpha1.ResourceServer, scopes ...v1alpha1.Scope) *v1alpha1.OAuthClient {
	return &v1alpha1.OAuthClient{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.OAuthClientSpec{Resources: []v1alpha1.ResourceRequest{{
			ResourceServer: v1alpha1.ResourceServerReference{Namespace: v1alpha1.NamespaceName(server.Namespace), Name: v1alpha1.ObjectName(server.Name)},
			Scopes:         scopes,
		}}},
	}
}

// newServer returns a ResourceServer with the scopes orders:read and orders:write, to be created.
func newServer(namespace, name string, allowed []v1alpha1.AllowedClient) *v1alpha1.ResourceServer {
	return &v1alpha1.ResourceServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ResourceServerSpec{
			Audience:       v1alpha1.Audience("https://" + name + "." + namespace + ".svc"),
			Scopes:         []v1alpha1.ScopeDefinition{{Name: "orders:read"}, {Name: "orders:write"}},
			AllowedClients: allowed,
		},
	}
}

func await(t *testing.T, what string, condition func() error) {
	t.Helper()
	clustertest.Await(t, patience, what, condition)
}

// settled creates an OAuthClient and waits until its status speaks of it, with a reason of the condition Ready.
func settled(t *testing.T, c *v1alpha1.OAuthClient, reason string) {
	t.Helper()
	create(t, c)
	awaitReason(t, c, reason)
}

func awaitReason(t *testing.T, c *v1alpha1.OAuthClient, reason string) {
	t.Helper()
	clustertest.AwaitReady(t, suite.admin, patience, c, reason)
}

// secretOf returns the Secret that an OAuthClient's status names.
func secretOf(t *testing.T, c *v1alpha1.OAuthClient) *corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	if err := suite.admin.Get(t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: c.Status.SecretName}, &secret); err != nil {
		t.Fatal(err)
	}
	return &secret
}

func change[T client.Object](t *testing.T, object T, how func(T)) {
	t.Helper()
	clustertest.Change(t, suite.admin, patience, object, how)
}
