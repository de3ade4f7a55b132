package main_test

import (
	"strings"
	"testing"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

func TestRotateWaitsUntilTheSecretHoldsTheNewOne(t *testing.T) {
	namespace := newNamespace(t)
	worker := newClient(namespace, "worker")
	worker.Spec.Authentication.PrivateKeyJWT = &v1alpha1.PrivateKeyJWTSpec{Generated: &v1alpha1.GeneratedKeySpec{}}
	settled(t, worker, v1alpha1.ReasonIssued)
	before := secretOf(t, worker)

	contains(t, succeeds(t, "rotate", "worker", "-n", namespace),
		"version 2 of the client secret is in the Secret", "version 2 of the private key is in the Secret", "version 1 of the client secret is valid until")
	after := secretOf(t, worker)
	if string(before.Data["client_secret"]) == string(after.Data["client_secret"]) || string(before.Data["private_key_id"]) == string(after.Data["private_key_id"]) {
		t.Error("it said so before the Secret had them")
	}

	contains(t, succeeds(t, "status", "worker", "-n", namespace), "Client secrets\n  VERSION", "\n  2 ", "- (the present one)", "Rotating", "in 6d")
	contains(t, succeeds(t, "status", "-n", namespace), "2 valid")
}

// Each call asks once, also within one second.
func TestRotateWithoutWaiting(t *testing.T) {
	namespace := newNamespace(t)
	worker := newClient(namespace, "worker")
	settled(t, worker, v1alpha1.ReasonIssued)

	contains(t, succeeds(t, "rotate", "worker", "-n", namespace, "--no-wait"), "asked to rotate")
	contains(t, succeeds(t, "rotate", "worker", "-n", namespace), "version ")
}

func TestRotateRefusesWhereThereIsNothingToRotate(t *testing.T) {
	namespace := newNamespace(t)
	worker := newClient(namespace, "worker")
	worker.Spec.Secret.Source = v1alpha1.SecretNone
	worker.Spec.Authentication.ServiceAccounts = []v1alpha1.ServiceAccountReference{{Name: "worker"}}
	settled(t, worker, v1alpha1.ReasonIssued)

	fails(t, "nothing to rotate", "rotate", "worker", "-n", namespace)
}

func TestSuspendAndResume(t *testing.T) {
	namespace := newNamespace(t)
	settled(t, newClient(namespace, "worker"), v1alpha1.ReasonIssued)

	contains(t, succeeds(t, "suspend", "worker", "-n", namespace), "suspended: it gets no new token")
	fails(t, "kubectl mint resume worker", "token", "worker", "-n", namespace)
	contains(t, succeeds(t, "status", "worker", "-n", namespace), "False (Suspended)")
	contains(t, succeeds(t, "resume", "worker", "-n", namespace), "resumed: its credentials get tokens again")
	await(t, "a token", func() error {
		if got := mint(t, "token", "worker", "-n", namespace); got.code != 0 {
			return errText(got.stderr)
		}
		return nil
	})
}

type errText string

func (e errText) Error() string { return string(e) }

// What has the client's Secret's name stays in the way when it is resumed, and that is said.
func TestResumeSaysWhatElseStandsInTheWay(t *testing.T) {
	namespace := newNamespace(t)
	worker := newClient(namespace, "worker")
	worker.Spec.Scopes = nil
	worker.Spec.Resources = asking(namespace, "x", newServer(namespace, "missing", nil), "orders:read").Spec.Resources
	worker.Spec.Suspend = true
	settled(t, worker, v1alpha1.ReasonSuspended)

	contains(t, succeeds(t, "resume", "worker", "-n", namespace), "not ready: NoScopeGranted")
}

func TestStatusOfAllClients(t *testing.T) {
	first, second := newNamespace(t), newNamespace(t)
	settled(t, newClient(first, "worker"), v1alpha1.ReasonIssued)
	server := newServer(second, "orders", []v1alpha1.AllowedClient{{Namespace: v1alpha1.NamespaceName(second), Scopes: []v1alpha1.Scope{"orders:read"}}})
	create(t, server)
	settled(t, asking(second, "export", server, "orders:read", "orders:write"), v1alpha1.ReasonIssued)

	one := succeeds(t, "status", "-n", first)
	contains(t, one, "NAME     READY   REASON   SECRET   VERSION   LAST USED   OLD ONES   SCOPES\nworker   True    Issued   worker   1         never       -          invoices:read invoices:write\n")
	if strings.Contains(one, "export") {
		t.Errorf("another namespace's client is shown:\n%s", one)
	}
	contains(t, succeeds(t, "status", "-A"), "NAMESPACE", first, second, "orders:read (1 not granted)")
	contains(t, succeeds(t, "status", "export", "-n", second), "orders:write", "Denied", "ClientNotAllowed")
	if all := parsed[[]map[string]any](t, succeeds(t, "status", "-n", first, "-o", "json")); len(all) != 1 || all[0]["clientID"] != first+".worker" {
		t.Errorf("the JSON is %v", all)
	}
	if got := mint(t, "status", "-n", "kubemint-system"); got.code != 0 || !strings.Contains(got.stderr, "There is no OAuthClient in kubemint-system") {
		t.Errorf("of an empty namespace: %+v", got)
	}
}
