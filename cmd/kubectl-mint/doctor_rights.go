package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// need is what a part of Kubemint must be allowed to do.
type need struct {
	group, resource, subresource string
	verbs                        []string
	// own is whether it is needed in Kubemint's own namespace only, and cluster whether it is of no namespace.
	own, cluster bool
	// flag is the flag of Kubemint that the need comes with; empty: always.
	flag string
	// role is where the right comes from.
	role string
}

// controllerNeeds are those of config/rbac, and of the roles that go with a flag. A test holds them together.
var controllerNeeds = []need{
	{resource: "secrets", verbs: []string{"create", "delete", "get", "list", "update", "watch"}},
	{group: "events.k8s.io", resource: "events", verbs: []string{"create", "patch"}},
	{group: "oauth.kubemint.dev", resource: "oauthclients", verbs: []string{"get", "list", "watch"}},
	{group: "oauth.kubemint.dev", resource: "resourceservers", verbs: []string{"get", "list", "watch"}},
	{group: "oauth.kubemint.dev", resource: "oauthclients", subresource: "status", verbs: []string{"patch"}},
	{group: "oauth.kubemint.dev", resource: "resourceservers", subresource: "status", verbs: []string{"patch"}},
	{resource: "events", verbs: []string{"create", "patch"}, own: true},
	{group: "coordination.k8s.io", resource: "leases", verbs: []string{"create", "get", "update"}, own: true},
	{resource: "pods", verbs: []string{"get", "list", "watch"}, flag: "--watch-pods", role: "kubemint-pod-reader"},
	{group: "apps", resource: "deployments", verbs: []string{"get", "patch"}, flag: "--restart-workloads", role: "kubemint-workload-restarter"},
	{group: "apps", resource: "statefulsets", verbs: []string{"get", "patch"}, flag: "--restart-workloads", role: "kubemint-workload-restarter"},
	{group: "apps", resource: "daemonsets", verbs: []string{"get", "patch"}, flag: "--restart-workloads", role: "kubemint-workload-restarter"},
}

// tokenServerNeeds are those of config/components/standalone.
var tokenServerNeeds = []need{
	{group: "oauth.kubemint.dev", resource: "oauthclients", verbs: []string{"get", "list", "watch"}},
	{group: "oauth.kubemint.dev", resource: "oauthclients", subresource: "status", verbs: []string{"patch"}},
	{group: "oauth.kubemint.dev", resource: "resourceservers", verbs: []string{"list", "watch"}},
	{resource: "secrets", verbs: []string{"list", "watch"}},
}

var reviewNeed = need{
	group: "authentication.k8s.io", resource: "tokenreviews", verbs: []string{"create"}, cluster: true, flag: "--review-service-account-tokens", role: "kubemint-token-reviewer",
}

// needsOf returns what a mode of Kubemint needs.
func needsOf(mode string) []need {
	switch mode {
	case "tokenserver":
		return append(slices.Clone(tokenServerNeeds), reviewNeed)
	case "controller":
		return controllerNeeds
	default:
		return append(slices.Clone(controllerNeeds), reviewNeed)
	}
}

// rights checks that Kubemint's service accounts may do what they need to, by asking the API server. Where no Deployment can be seen, it
// asks of one with all defaults.
func (e *examination) rights() []check {
	deployments := e.deployments
	if len(deployments) == 0 {
		deployments = make([]appsv1.Deployment, 1)
	}
	var checks []check
	for i := range deployments {
		checks = append(checks, e.rightsOf(&deployments[i]))
	}
	return checks
}

func (e *examination) rightsOf(deployment *appsv1.Deployment) check {
	const name = "rights"
	account := fmt.Sprintf("system:serviceaccount:%s:%s", e.kubemintNamespace(), cmp.Or(deployment.Spec.Template.Spec.ServiceAccountName, "kubemint"))
	watched := watchedBy(deployment)
	var missing []string
	asked := 0
	for _, n := range needsOf(argument(deployment, "--mode")) {
		if n.flag != "" && !hasFlag(deployment, n.flag) {
			continue
		}
		for _, namespace := range e.neededIn(&n, watched) {
			for _, verb := range n.verbs {
				allowed, err := e.mayDo(account, &n, verb, namespace)
				if err != nil {
					return warning(name, "whether %s may do what it needs to cannot be asked: %s", account, oneLine(err))
				}
				if asked++; !allowed {
					missing = append(missing, n.text(verb, namespace))
				}
			}
		}
	}
	in := "in all namespaces"
	if len(watched) > 0 {
		in = "in " + some(watched)
	}
	if len(missing) > 0 {
		return failed(name, "%s may not %s: apply config/rbac or the Helm chart again, and look for who changed the roles", account, some(missing))
	}
	return ok(name, "%s may do what it needs to %s (%d rights)", account, in, asked)
}

// neededIn returns the namespaces in which a right is needed; the empty one is all. What is not of Kubemint's own kinds is needed for its
// own Secrets, too.
func (e *examination) neededIn(n *need, watched []string) []string {
	switch {
	case n.own:
		return []string{e.kubemintNamespace()}
	case n.cluster || len(watched) == 0:
		return []string{""}
	case n.flag != "" || n.group == v1alpha1.GroupVersion.Group || slices.Contains(watched, e.kubemintNamespace()):
		return watched
	default:
		return append(slices.Clone(watched), e.kubemintNamespace())
	}
}

// text names a right, and the role that gives it where that is not Kubemint's first.
func (n *need) text(verb, namespace string) string {
	text := verb + " " + n.resource
	if n.subresource != "" {
		text += "/" + n.subresource
	}
	if namespace != "" && !n.own {
		text += " in " + namespace
	}
	if n.role != "" {
		return fmt.Sprintf("%s (role %s, for %s)", text, n.role, n.flag)
	}
	return text
}

func (e *examination) mayDo(account string, n *need, verb, namespace string) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   account,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + e.kubemintNamespace(), "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: n.group, Resource: n.resource, Subresource: n.subresource,
		},
	}}
	if err := e.Create(e.ctx, review); err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// watchedBy returns the namespaces that a Deployment of Kubemint looks at; none: all.
func watchedBy(deployment *appsv1.Deployment) []string {
	return strings.FieldsFunc(argument(deployment, "--watch-namespaces"), func(r rune) bool { return r == ',' })
}

// hasFlag reports whether Kubemint runs with a flag that is off by default.
func hasFlag(deployment *appsv1.Deployment, flag string) bool {
	for _, container := range deployment.Spec.Template.Spec.Containers {
		if slices.Contains(container.Args, flag) || slices.Contains(container.Args, flag+"=true") {
			return true
		}
	}
	return false
}
