package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
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

// deploymentsReady checks that Kubemint's pods run: token servers by themselves have a Deployment beside that of the controllers.
func (e *examination) deploymentsReady() []check {
	const name = "deployment"
	deployments, err := e.kubemintDeployments(e.ctx, e.kubemintNamespace())
	switch {
	case err != nil:
		return []check{warning(name, "it cannot be read: %s", oneLine(err))}
	case len(deployments) == 0:
		return []check{warning(name, "namespace %s has no Deployment of Kubemint: name its namespace by --kubemint-namespace", e.kubemintNamespace())}
	}
	e.deployments = deployments
	var checks []check
	for i := range deployments {
		checks = append(checks, deploymentReady(&deployments[i]))
	}
	return checks
}

func deploymentReady(deployment *appsv1.Deployment) check {
	const name = "deployment"
	wanted := int32(1)
	if deployment.Spec.Replicas != nil {
		wanted = *deployment.Spec.Replicas
	}
	key, ready := client.ObjectKeyFromObject(deployment), deployment.Status.ReadyReplicas
	switch {
	case wanted == 0:
		return failed(name, "%s is scaled to 0: kubectl scale -n %s deployment/%s --replicas=2", key, key.Namespace, key.Name)
	case ready == 0:
		return failed(name, "%s has no ready pod of %d: see kubectl describe pods -n %s and their logs", key, wanted, key.Namespace)
	case ready < wanted:
		return warning(name, "%s has %d of %d pods ready: see kubectl describe pods -n %s", key, ready, wanted, key.Namespace)
	default:
		return ok(name, "%s has %d of %d pods ready", key, ready, wanted)
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
