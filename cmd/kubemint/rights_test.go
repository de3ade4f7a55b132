package main_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// What the built-in roles may do in a namespace: all see both kinds; edit and admin write OAuthClients; admin alone writes
// ResourceServers, by which an API lets clients of other namespaces in. Nobody writes a status, or anything in another namespace.
func TestL06BuiltInRoles(t *testing.T) {
	read := []string{"get", "list", "watch"}
	write := append(slices.Clone(read), "create", "update", "patch", "delete", "deletecollection")
	may := map[string]map[string][]string{
		"":      nil,
		"view":  {"oauthclients": read, "resourceservers": read},
		"edit":  {"oauthclients": write, "resourceservers": read},
		"admin": {"oauthclients": write, "resourceservers": write},
	}
	namespace, another := newNamespace(t), newNamespace(t)
	for role := range may {
		if role != "" {
			bind(t, namespace, role, holderOf(role))
		}
	}
	// kube-controller-manager adds Kubemint's roles to the built-in ones a moment after they are made, whole.
	for role, resource := range map[string]string{"view": "resourceservers", "edit": "oauthclients", "admin": "resourceservers"} {
		for _, verb := range may[role][resource] {
			await(t, role+" to "+verb+" "+resource, func() error {
				if !allowed(t, holderOf(role), namespace, verb, resource) {
					return errNotYet
				}
				return nil
			})
		}
	}
	verbsOf := func(role, namespace, resource string) (verbs []string) {
		for _, verb := range write {
			if allowed(t, holderOf(role), namespace, verb, resource) {
				verbs = append(verbs, verb)
			}
		}
		return verbs
	}
	for role, rights := range may {
		for _, resource := range []string{
			"oauthclients", "oauthclients/status", "oauthclients/finalizers", "oauthclients/scale",
			"resourceservers", "resourceservers/status", "resourceservers/finalizers", "resourceservers/scale",
		} {
			t.Run(cmp.Or(role, "nobody")+" "+resource, func(t *testing.T) {
				want, got := rights[resource], verbsOf(role, namespace, resource)
				attest(t, "may "+strings.Join(want, " "), "may "+strings.Join(got, " "))
				if !slices.Equal(got, want) {
					t.Errorf("may %q, want %q", got, want)
				}
				if elsewhere := verbsOf(role, another, resource); len(elsewhere) > 0 {
					t.Errorf("may %q in another namespace", elsewhere)
				}
			})
		}
	}
	t.Run("view secrets", func(t *testing.T) {
		output, _ := suite.cluster.Kubectl(t.Context(), "auth", "can-i", "get", "secrets", "-n", namespace, "--as="+holderOf("view"))
		got := lastLines(output, 1)
		if attest(t, "no", got); got != "no" {
			t.Errorf("may who sees OAuthClients see their Secrets? %s", output)
		}
	})
}

// holderOf is the name of who holds a built-in role in a namespace, and nothing else.
func holderOf(role string) string { return "holder-of-" + role }

// bind gives a user a ClusterRole in a namespace.
func bind(t *testing.T, namespace, role, user string) {
	t.Helper()
	create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
}

// allowed asks the API server whether a user may do something to one of Kubemint's kinds.
func allowed(t *testing.T, user, namespace, verb, resource string) bool {
	t.Helper()
	resource, subresource, _ := strings.Cut(resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, Groups: []string{"system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: v1alpha1.GroupVersion.Group, Resource: resource, Subresource: subresource,
		},
	}}
	create(t, review)
	return review.Status.Allowed
}
