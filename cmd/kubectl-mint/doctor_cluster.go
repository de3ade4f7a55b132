package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// apiServer checks that the cluster answers.
func (e *examination) apiServer() []check {
	const name = "cluster"
	api, err := discovery.NewDiscoveryClientForConfig(e.config)
	if err != nil {
		return []check{failed(name, "%s", oneLine(err))}
	}
	version, err := api.ServerVersion()
	if err != nil {
		return []check{failed(name, "the API server does not answer: %s", oneLine(err))}
	}
	return []check{ok(name, "Kubernetes %s at %s", version.GitVersion, e.config.Host)}
}

// crds checks that the CRDs are installed, and have all fields that this version knows. What the API server publishes of them, everybody
// may read.
func (e *examination) crds() []check {
	const name = "CRDs"
	api, err := discovery.NewDiscoveryClientForConfig(e.config)
	if err != nil {
		return []check{failed(name, "%s", oneLine(err))}
	}
	document, err := api.RESTClient().Get().AbsPath("/openapi/v3/apis/" + v1alpha1.GroupVersion.String()).DoRaw(e.ctx)
	if apierrors.IsNotFound(err) {
		return []check{failed(name, "the cluster does not know %s: apply config/crd, or install the Helm chart with its CRDs", v1alpha1.GroupVersion)}
	}
	if err != nil {
		return []check{warning(name, "they cannot be read: %s", oneLine(err))}
	}
	missing, err := missingFields(document)
	if err != nil {
		return []check{warning(name, "what the API server says of them cannot be read: %v", err)}
	}
	if len(missing) > 0 {
		return []check{failed(name, "they are not of the version of this plugin (%s), as they lack %s: apply those of the version that is to run, which Helm does not do by itself, or use the plugin of Kubemint's version",
			versionString(), some(missing))}
	}
	return []check{ok(name, "OAuthClient and ResourceServer in %s, with all fields of %s", v1alpha1.GroupVersion, versionString())}
}

// schema is the part of an OpenAPI schema that says which fields there are.
type schema struct {
	Properties           map[string]schema `json:"properties"`
	Items                *schema           `json:"items"`
	AdditionalProperties json.RawMessage   `json:"additionalProperties"`
}

// missingFields returns the fields of this version's kinds that the API server's document of their group does not have.
func missingFields(document []byte) ([]string, error) {
	var parsed struct {
		Components struct {
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(document, &parsed); err != nil {
		return nil, err
	}
	var missing []string
	for kind, parts := range map[string][]any{
		"OAuthClient":    {v1alpha1.OAuthClientSpec{}, v1alpha1.OAuthClientStatus{}},
		"ResourceServer": {v1alpha1.ResourceServerSpec{}, v1alpha1.ResourceServerStatus{}},
	} {
		published := parsed.Components.Schemas["dev.kubemint.oauth.v1alpha1."+kind]
		for i, part := range []string{"spec", "status"} {
			missing = append(missing, lacking(reflect.TypeOf(parts[i]), published.Properties[part], kind+"."+part)...)
		}
	}
	slices.Sort(missing)
	return missing, nil
}

// lacking returns the JSON fields of a type that a schema does not have, at any depth. Of types from elsewhere the schema says nothing.
func lacking(t reflect.Type, s schema, path string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice && s.Items != nil {
		return lacking(t.Elem(), *s.Items, path+"[]")
	}
	if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[v1alpha1.OAuthClient]().PkgPath() {
		return nil
	}
	var missing []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			continue
		}
		inner, found := s.Properties[name]
		if !found {
			missing = append(missing, path+"."+name)
			continue
		}
		missing = append(missing, lacking(field.Type, inner, path+"."+name)...)
	}
	return missing
}

// maxNamed bounds how many names a line has.
const maxNamed = 5

// some names the first of many.
func some(names []string) string {
	if more := len(names) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), more)
	}
	return strings.Join(names, ", ")
}

// deploymentReady checks that Kubemint's pods run.
func (e *examination) deploymentReady() []check {
	const name = "deployment"
	deployment, err := e.kubemintDeployment(e.ctx, e.kubemintNamespace())
	switch {
	case err != nil:
		return []check{warning(name, "it cannot be read: %s", oneLine(err))}
	case deployment == nil:
		return []check{warning(name, "namespace %s has no Deployment of Kubemint: name its namespace by --kubemint-namespace", e.kubemintNamespace())}
	}
	e.deployment = deployment
	wanted := int32(1)
	if deployment.Spec.Replicas != nil {
		wanted = *deployment.Spec.Replicas
	}
	key, ready := client.ObjectKeyFromObject(deployment), deployment.Status.ReadyReplicas
	switch {
	case wanted == 0:
		return []check{failed(name, "%s is scaled to 0: kubectl scale -n %s deployment/%s --replicas=2", key, key.Namespace, key.Name)}
	case ready == 0:
		return []check{failed(name, "%s has no ready pod of %d: see kubectl describe pods -n %s and their logs", key, wanted, key.Namespace)}
	case ready < wanted:
		return []check{warning(name, "%s has %d of %d pods ready: see kubectl describe pods -n %s", key, ready, wanted, key.Namespace)}
	default:
		return []check{ok(name, "%s has %d of %d pods ready", key, ready, wanted)}
	}
}

// leaseName is that of the lease by which one replica runs the controllers.
const leaseName = "kubemint-controller"

// lateRenewal is how much later than it promised a leader may renew its lease before that is worth a word: clocks differ.
const lateRenewal = 15 * time.Second

// leader checks that a replica runs the controllers.
func (e *examination) leader() []check {
	const name = "leader"
	var lease coordinationv1.Lease
	err := e.Get(e.ctx, client.ObjectKey{Namespace: e.kubemintNamespace(), Name: leaseName}, &lease)
	switch {
	case apierrors.IsNotFound(err):
		return []check{failed(name, "there is no Lease %s/%s, so that no replica has ever run the controllers: see Kubemint's log", e.kubemintNamespace(), leaseName)}
	case err != nil:
		return []check{warning(name, "the lease cannot be read: %s", oneLine(err))}
	}
	return []check{leaseFresh(&lease, e.now())}
}

func leaseFresh(lease *coordinationv1.Lease, now time.Time) check {
	const name = "leader"
	spec := &lease.Spec
	if spec.HolderIdentity == nil || *spec.HolderIdentity == "" || spec.RenewTime == nil || spec.LeaseDurationSeconds == nil {
		return failed(name, "nobody holds the lease %s, so that no controllers run: tokens are issued, and nothing is reconciled. See Kubemint's log", leaseName)
	}
	age := now.Sub(spec.RenewTime.Time).Truncate(time.Second)
	if age > time.Duration(*spec.LeaseDurationSeconds)*time.Second+lateRenewal {
		return failed(name, "%s has not renewed the lease for %s, so that no controllers run: tokens are issued, and nothing is reconciled. See Kubemint's log", *spec.HolderIdentity, age)
	}
	return ok(name, "%s renewed the lease %s ago", *spec.HolderIdentity, max(age, 0))
}

// need is what Kubemint must be allowed to do.
type need struct {
	group, resource, subresource string
	verbs                        []string
	// own is whether it is needed in Kubemint's own namespace only.
	own bool
	// flag is the flag of Kubemint that the need comes with; empty: always.
	flag string
	// role is where the right comes from.
	role string
}

// needs are those of config/rbac, and of the roles that go with a flag. A test holds them together.
var needs = []need{
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
	{group: "authentication.k8s.io", resource: "tokenreviews", verbs: []string{"create"}, flag: "--review-service-account-tokens", role: "kubemint-token-reviewer"},
}

// rights checks that Kubemint's service account may do what it needs to, by asking the API server.
func (e *examination) rights() []check {
	const name = "rights"
	var missing []string
	asked := 0
	for _, n := range needs {
		if n.flag != "" && !e.hasFlag(n.flag) {
			continue
		}
		for _, verb := range n.verbs {
			allowed, err := e.mayDo(n, verb)
			if err != nil {
				return []check{warning(name, "whether %s may do what it needs to cannot be asked: %s", e.serviceAccount(), oneLine(err))}
			}
			if asked++; !allowed {
				missing = append(missing, n.text(verb))
			}
		}
	}
	if len(missing) > 0 {
		return []check{failed(name, "%s may not %s: apply config/rbac or the Helm chart again, and look for who changed the roles", e.serviceAccount(), some(missing))}
	}
	return []check{ok(name, "%s may do what it needs to (%d rights)", e.serviceAccount(), asked)}
}

// text names a right, and the role that gives it where that is not Kubemint's first.
func (n *need) text(verb string) string {
	resource := n.resource
	if n.subresource != "" {
		resource += "/" + n.subresource
	}
	if n.role != "" {
		return fmt.Sprintf("%s %s (ClusterRole %s, for %s)", verb, resource, n.role, n.flag)
	}
	return verb + " " + resource
}

// hasFlag reports whether Kubemint runs with a flag that is off by default.
func (e *examination) hasFlag(flag string) bool {
	if e.deployment == nil {
		return false
	}
	for _, container := range e.deployment.Spec.Template.Spec.Containers {
		if slices.Contains(container.Args, flag) || slices.Contains(container.Args, flag+"=true") {
			return true
		}
	}
	return false
}

func (e *examination) mayDo(n need, verb string) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   e.serviceAccount(),
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + e.kubemintNamespace(), "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Group: n.group, Resource: n.resource, Subresource: n.subresource,
		},
	}}
	if n.own {
		review.Spec.ResourceAttributes.Namespace = e.kubemintNamespace()
	}
	if err := e.Create(e.ctx, review); err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}
