package main_test

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// errNotYet is that of a condition that does not hold yet.
var errNotYet = errors.New("not yet")

// What cannot work here is a condition with the remedy, and goes away with its cause, while all others go on.
func TestQuotaExceeded(t *testing.T) {
	namespace := newNamespace(t)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "no-secrets"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceSecrets: resource.MustParse("0")}}}
	create(t, quota)
	await(t, "the quota to count", func() error {
		probe := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "probe-"}}
		err := suite.admin.Create(t.Context(), probe)
		if err == nil {
			return errors.Join(errNotYet, suite.admin.Delete(t.Context(), probe))
		}
		if !strings.Contains(err.Error(), "exceeded quota") { // Before it is counted, its status is unknown.
			return err
		}
		return nil
	})
	c := newClient(namespace, "worker")
	create(t, c)
	if ready := awaitReason(t, c, v1alpha1.ReasonQuotaExceeded); !strings.Contains(ready.Message, "raise it") {
		t.Errorf("the message has no remedy: %s", ready.Message)
	}
	awaitEvent(t, c, v1alpha1.ReasonQuotaExceeded)
	mustGetToken(t, issued(t, newClient(newNamespace(t), "other")))

	if err := suite.admin.Delete(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	awaitReason(t, c, v1alpha1.ReasonIssued)
}

func TestForbiddenByPolicy(t *testing.T) {
	namespace := newNamespace(t)
	policy := `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-secrets}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [secrets], operations: [CREATE]}]
  validations: [{expression: "false", message: no Secrets here, reason: Forbidden}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-secrets}
spec:
  policyName: no-secrets
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ` + namespace + `}}}
`
	if output, err := suite.cluster.ApplyYAML(t.Context(), policy); err != nil {
		t.Fatal(output)
	}
	await(t, "the policy to be in force", func() error {
		probe := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "probe-"}}
		if err := suite.admin.Create(t.Context(), probe); err != nil {
			return nil // Refused, as it should be.
		}
		return errNotYet
	})
	c := newClient(namespace, "worker")
	create(t, c)
	if ready := awaitReason(t, c, v1alpha1.ReasonForbidden); !strings.Contains(ready.Message, "no Secrets here") {
		t.Errorf("the message does not name the cause: %s", ready.Message)
	}
	if output, err := suite.cluster.Kubectl(t.Context(), "delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "no-secrets"); err != nil {
		t.Fatal(output)
	}
	awaitReason(t, c, v1alpha1.ReasonIssued)
}

// A namespace that is being deleted takes no new Secret, and goes: nothing of Kubemint's holds it (L12).
func TestNamespaceTerminating(t *testing.T) {
	name := newNamespace(t)
	other := newClient(name, "other")
	issued(t, other)
	// A finalizer of somebody else's keeps the namespace, and the OAuthClient in it, from going at once.
	c := newClient(name, "worker")
	c.Finalizers = []string{"example.com/wait"}
	secret := issued(t, c)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := suite.admin.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	awaitRefusal(t, secret, 401, "invalid_client")
	change(t, c, func(c *v1alpha1.OAuthClient) { c.Finalizers = nil })
	await(t, "the namespace to go", func() error { return gone(t, namespace) })
}

// Without the right to write Secrets every new client says so; with it restored they go on by themselves.
func TestRBACMissing(t *testing.T) {
	patchRole := func(verbs string) {
		mustKubectl(t, "patch", "clusterrole", "kubemint", "--type=json",
			`-p=[{"op":"replace","path":"/rules/0/verbs","value":`+verbs+`}]`)
	}
	if resources := mustKubectl(t, "get", "clusterrole", "kubemint", "-o", "jsonpath={.rules[0].resources}"); resources != `["secrets"]` {
		t.Fatalf("the first rule is about %s", resources)
	}
	shipped := mustKubectl(t, "get", "clusterrole", "kubemint", "-o", "jsonpath={.rules[0].verbs}")
	defer patchRole(shipped)
	patchRole(`["get","list","watch"]`)

	c := newClient(newNamespace(t), "worker")
	await(t, "the right to be gone", func() error {
		output, _ := suite.cluster.Kubectl(t.Context(), "auth", "can-i", "create", "secrets", "-n", c.Namespace,
			"--as=system:serviceaccount:kubemint-system:kubemint")
		if strings.TrimSpace(output) == "yes" {
			return errNotYet
		}
		return nil
	})
	create(t, c)
	if ready := awaitReason(t, c, v1alpha1.ReasonForbidden); !strings.Contains(ready.Message, "RBAC") {
		t.Errorf("the message has no remedy: %s", ready.Message)
	}
	patchRole(shipped)
	awaitReason(t, c, v1alpha1.ReasonIssued)
}

func mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	output, err := suite.cluster.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatalf("kubectl %v: %s", args, output)
	}
	return output
}
