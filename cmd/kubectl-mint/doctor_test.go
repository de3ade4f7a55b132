package main_test

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// doctor examines the installation, and returns what it found by name and the exit code.
func doctor(t *testing.T, args ...string) (found map[string]finding, code int) {
	t.Helper()
	got := mint(t, append([]string{"doctor", "-o", "json"}, args...)...)
	found = map[string]finding{}
	for _, f := range parsed[[]finding](t, got.stdout) {
		if worse, there := found[f.Name]; !there || worse.Result == "ok" {
			found[f.Name] = f
		}
	}
	return found, got.code
}

func TestDoctorFindsAHealthyInstallationWell(t *testing.T) {
	namespace := newNamespace(t)
	settled(t, newClient(namespace, "worker"), v1alpha1.ReasonIssued)

	found, code := doctor(t, "-n", namespace)
	for _, name := range []string{"cluster", "CRDs", "leader", "rights", "issuer", "metadata", "certificate", "clock", "keys"} {
		if found[name].Result != "ok" {
			t.Errorf("%s: %+v", name, found[name])
		}
	}
	// Here kubemint is no pod.
	if got := found["deployment"]; got.Result != "warning" || !strings.Contains(got.Detail, "--kubemint-namespace") {
		t.Errorf("deployment: %+v", got)
	}
	if code != 0 {
		t.Errorf("the exit code is %d", code)
	}
	contains(t, succeeds(t, "doctor", "-n", namespace), "ok        clock          the issuer's and this machine's agree")
}

func TestDoctorReadsWhatATokenServerHasSeen(t *testing.T) {
	if found, _ := doctor(t); found["cache"].Result != "warning" || !strings.Contains(found["cache"].Detail, "no ready pod") {
		t.Errorf("without a pod: %+v", found["cache"])
	}
	runPod(t, "kubemint", suite.kubemint.Port)
	found, code := doctor(t)
	if got := found["cache"]; got.Result != "ok" || !strings.Contains(got.Detail, "pod kubemint knows ") || code != 0 {
		t.Errorf("cache: %+v, exit code %d", got, code)
	}
}

func TestDoctorFindsWhatIsMissing(t *testing.T) {
	namespace := newNamespace(t)
	settled(t, newClient(namespace, "worker"), v1alpha1.ReasonIssued)
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "taken"}})
	conflicting := newClient(namespace, "conflicting")
	conflicting.Spec.Secret.Name = "taken"
	settled(t, conflicting, v1alpha1.ReasonSecretConflict)

	found, code := doctor(t, "-n", namespace, "--kubemint-namespace", namespace)
	if got := found["leader"]; got.Result != "failed" || !strings.Contains(got.Detail, "there is no Lease") {
		t.Errorf("leader: %+v", got)
	}
	if got := found["rights"]; got.Result != "failed" || !strings.Contains(got.Detail, "create secrets") {
		t.Errorf("rights: %+v", got)
	}
	contains(t, mint(t, "doctor", "-n", namespace).stdout, "warning   OAuthClients   SecretConflict: 1 ("+namespace+"/conflicting)")
	if code != 1 {
		t.Errorf("the exit code is %d", code)
	}
}

func TestDoctorFindsAnIssuerThatDoesNotAnswerAndOneWithAnotherCertificate(t *testing.T) {
	found, code := doctor(t, "--issuer", "https://localhost:1", "--via", "direct")
	if got := found["issuer"]; got.Result != "failed" || code != 1 {
		t.Errorf("issuer: %+v", got)
	}
	found, _ = doctor(t, "--issuer", suite.kubemint.Issuer, "--ca-file", otherCA(t))
	if got := found["certificate"]; got.Result != "failed" || !strings.Contains(got.Detail, "--ca-file") {
		t.Errorf("certificate: %+v", got)
	}
	found, _ = doctor(t, "--issuer", strings.Replace(suite.kubemint.Issuer, "localhost", "127.0.0.1", 1), "--via", "direct")
	if found["certificate"].Result != "failed" && found["metadata"].Result != "failed" {
		t.Errorf("of another name: %+v", found)
	}
}

// Who may read little learns what they may, and is warned of the rest.
func TestDoctorLeavesOutWhatOneMayNotRead(t *testing.T) {
	namespace := newNamespace(t)
	settled(t, newClient(namespace, "worker"), v1alpha1.ReasonIssued)
	allow(t, "tenant", "edit", namespace)

	found, code := doctor(t, "-n", namespace, "--as", "tenant", "--as-group", "system:authenticated")
	for name, expected := range map[string]string{
		"CRDs": "ok", "deployment": "warning", "leader": "warning", "rights": "warning", "issuer": "ok", "keys": "ok", "OAuthClients": "ok",
	} {
		if found[name].Result != expected {
			t.Errorf("%s: %+v", name, found[name])
		}
	}
	if code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}

// What the doctor asks for is what config/rbac gives: with one right less, it finds it.
func TestDoctorAsksForAllThatConfigGives(t *testing.T) {
	var role rbacv1.ClusterRole
	if err := suite.admin.Get(t.Context(), client.ObjectKey{Name: "kubemint"}, &role); err != nil {
		t.Fatal(err)
	}
	var lesser rbacv1.Role
	if err := suite.admin.Get(t.Context(), client.ObjectKey{Namespace: "kubemint-system", Name: "kubemint"}, &lesser); err != nil {
		t.Fatal(err)
	}
	var tokenServer rbacv1.ClusterRole
	standalone, err := os.ReadFile("../../config/components/standalone/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(standalone, &tokenServer); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("doctor_rights.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range slices.Concat(role.Rules, lesser.Rules, tokenServer.Rules) {
		for _, resource := range rule.Resources {
			name, sub, _ := strings.Cut(resource, "/")
			line := `resource: "` + name + `", `
			if sub != "" {
				line += `subresource: "` + sub + `", `
			}
			line += `verbs: []string{"` + strings.Join(rule.Verbs, `", "`) + `"}`
			if !strings.Contains(string(source), line) {
				t.Errorf("the doctor does not ask for %v %s", rule.Verbs, resource)
			}
		}
	}
}

func TestKeysShowsTheRingToWhoMayReadItAndTheKeySetToOthers(t *testing.T) {
	namespace := newNamespace(t)
	settled(t, newClient(namespace, "worker"), v1alpha1.ReasonIssued)
	allow(t, "developer", "edit", namespace)
	type key struct {
		Kid, Alg, State, Schedule string
		Published                 bool
	}

	whole := parsed[[]key](t, succeeds(t, "keys", "-n", namespace, "-o", "json"))
	if len(whole) != 1 || !whole[0].Published || whole[0].State != "active" || !strings.Contains(whole[0].Schedule, "signs since") {
		t.Errorf("an administrator sees %+v", whole)
	}
	published := parsed[[]key](t, succeeds(t, "keys", "-n", namespace, "-o", "json", "--as", "developer"))
	if len(published) != 1 || published[0].Kid != whole[0].Kid || published[0].Alg != "ES256" || published[0].State != "" {
		t.Errorf("a developer sees %+v", published)
	}
}

func TestCompletionKnowsClientsAndScopes(t *testing.T) {
	namespace := newNamespace(t)
	settled(t, newClient(namespace, "worker"), v1alpha1.ReasonIssued)

	contains(t, succeeds(t, "__complete", "token", "-n", namespace, ""), "worker\n")
	contains(t, succeeds(t, "__complete", "why", "worker", "-n", namespace, ""), "invoices:read\ninvoices:write\n")
	contains(t, succeeds(t, "__complete", "keys", "-o", ""), "yaml\n")
}

func TestVersionAndHelp(t *testing.T) {
	contains(t, succeeds(t, "version"), "v1.2.3-test\n", runtime.Version())
	for _, command := range []string{"token", "why", "status", "rotate", "suspend", "resume", "keys", "verify", "doctor", "version"} {
		contains(t, succeeds(t, command, "--help"), "Examples:", "kubectl mint "+command, "--namespace")
	}
}
