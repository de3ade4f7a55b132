package main_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// Flags that need further rights do no harm where those are not granted; and the rights are no more than the flags need.
func TestFurtherRights(t *testing.T) {
	flags := []string{"--watch-pods", "--restart-workloads"}
	const unwatched = "pods are not watched"
	components := []string{
		"-f", "../../config/components/watch-pods/role.yaml", "-f", "../../config/components/watch-pods/role_binding.yaml",
		"-f", "../../config/components/restart-workloads/role.yaml", "-f", "../../config/components/restart-workloads/role_binding.yaml",
	}
	defer func() {
		mustKubectl(t, append([]string{"delete", "--ignore-not-found"}, components...)...)
		restart(t, suite.kubemint.Stop, nil)
	}()

	from := len(suite.log.String())
	restart(t, suite.kubemint.Stop, nil, flags...)
	mustGetToken(t, issued(t, newClient(newNamespace(t), "worker")))
	if log := suite.log.String()[from:]; strings.Count(log, unwatched) != 1 || !strings.Contains(log, "kubemint-pod-reader") {
		t.Errorf("without the rights, the log says\n%s", lastLines(log, 20))
	}

	mustKubectl(t, append([]string{"apply"}, components...)...)
	for _, row := range []struct {
		verb, resource string
		want           bool
	}{
		{"list", "pods", true},
		{"watch", "pods", true},
		{"delete", "pods", false},
		{"get", "pods/log", false},
		{"get", "deployments.apps", true},
		{"patch", "deployments.apps", true},
		{"patch", "statefulsets.apps", true},
		{"patch", "daemonsets.apps", true},
		{"list", "deployments.apps", false},
		{"update", "deployments.apps", false},
		{"create", "deployments.apps", false},
		{"delete", "daemonsets.apps", false},
		{"patch", "deployments.apps/scale", false},
	} {
		resource, sub, _ := strings.Cut(row.resource, "/")
		await(t, row.verb+" "+row.resource, func() error {
			output, _ := suite.cluster.Kubectl(t.Context(), "auth", "can-i", row.verb, resource, "--subresource="+sub, "--all-namespaces",
				"--as=system:serviceaccount:kubemint-system:kubemint")
			if got := strings.TrimSpace(lastLines(output, 1)) == "yes"; got != row.want {
				return errNotYet
			}
			return nil
		})
	}

	from = len(suite.log.String())
	restart(t, suite.kubemint.Stop, nil, flags...)
	c := newClient(newNamespace(t), "worker")
	mustGetToken(t, issued(t, c))
	if log := suite.log.String()[from:]; strings.Contains(log, unwatched) {
		t.Errorf("with the rights, the log says\n%s", lastLines(log, 20))
	}

	// When the right is taken away while it watches, all else goes on.
	mustKubectl(t, "delete", "clusterrolebinding", "kubemint-pod-reader")
	change(t, c, func(c *v1alpha1.OAuthClient) { c.Spec.Token.Lifetime.Duration = 10 * time.Minute })
	awaitReason(t, c, v1alpha1.ReasonIssued)
}
