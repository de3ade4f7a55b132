// Package charts_test renders the Helm chart and holds it against config/default, the same installation by kustomize.
package charts_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// What runs here, from bin/; the versions of Helm are the Makefile's.
const (
	helm     = "../bin/tools/helm@*"
	helm3    = "../bin/tools/helm3@*"
	kubectl  = "../bin/controlplane/kubectl"
	kubemint = "../bin/kubemint"

	kubectlMint = "../bin/kubectl-mint"
)

// The chart installs what `kubectl apply -k config/default` does: with its default values, and with all that is off by default.
func TestSameAsKustomize(t *testing.T) {
	t.Run("by default", func(t *testing.T) {
		mustBeSame(t, render(t), run(t, kubectl, "kustomize", "../config/default"))
	})
	t.Run("with all components but standalone", func(t *testing.T) {
		chart := render(t, "watchPods=true", "restartWorkloads=true", "audiencePolicy.enabled=true", "authentication.reviewServiceAccountTokens=true")
		mustBeSame(t, chart, run(t, kubectl, "kustomize", withComponents(t, "standalone")))
	})
	t.Run("with all components", func(t *testing.T) {
		chart := render(t, "tokenServer.mode=standalone", "watchPods=true", "restartWorkloads=true", "audiencePolicy.enabled=true", "authentication.reviewServiceAccountTokens=true")
		mustBeSame(t, chart, run(t, kubectl, "kustomize", withComponents(t)))
		for _, name := range []string{"kubemint-pod-reader", "kubemint-workload-restarter", "kubemint-token-reviewer"} {
			if chart["ClusterRole "+name] == nil || chart["ClusterRoleBinding "+name] == nil {
				t.Errorf("there is no %s", name)
			}
		}
	})
}

// withComponents returns a directory with config/default in which the components are no longer commented out, but for some.
func withComponents(t *testing.T, but ...string) string {
	t.Helper()
	directory := t.TempDir()
	if err := os.CopyFS(directory, os.DirFS("../config")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "default", "kustomization.yaml")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content = []byte(strings.NewReplacer("\n#components:", "\ncomponents:", "\n#- ", "\n- ").Replace(string(content)))
	for _, component := range but {
		content = bytes.Replace(content, []byte("\n- ../components/"+component), []byte("\n#- ../components/"+component), 1)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(path)
}

// mustBeSame holds the objects of the chart against the output of kustomize.
func mustBeSame(t *testing.T, chart map[string]*unstructured.Unstructured, output string) {
	t.Helper()
	kustomize := objects(t, output)
	delete(kustomize, "Namespace kubemint-system") // Helm's is --create-namespace

	got, want := slices.Sorted(maps.Keys(chart)), slices.Sorted(maps.Keys(kustomize))
	if !slices.Equal(got, want) {
		t.Errorf("the chart has other objects (+) than config/default (-):\n%s", diff.Diff(want, got))
	}
	for key := range kustomize {
		if chart[key] == nil {
			continue // said above
		}
		if want, got := withoutHelm(kustomize[key]), withoutHelm(chart[key]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s differs in the chart (+) from config/default (-):\n%s", key, diff.Diff(want, got))
		}
	}
}

// withoutHelm takes away the metadata that Helm charts have by convention.
func withoutHelm(object *unstructured.Unstructured) *unstructured.Unstructured {
	byHelm := func(key, _ string) bool {
		return strings.HasPrefix(key, "helm.sh/") || strings.HasPrefix(key, "app.kubernetes.io/")
	}
	labels, annotations := object.GetLabels(), object.GetAnnotations()
	maps.DeleteFunc(labels, byHelm)
	maps.DeleteFunc(annotations, byHelm)
	object = object.DeepCopy()
	for field, left := range map[string]map[string]string{"labels": labels, "annotations": annotations} {
		unstructured.RemoveNestedField(object.Object, "metadata", field)
		if len(left) > 0 {
			_ = unstructured.SetNestedStringMap(object.Object, left, "metadata", field)
		}
	}
	return object
}

// Under another release name and in another namespace, nothing refers to the names of the default ones.
func TestOtherRelease(t *testing.T) {
	chart := objects(t, run(t, helm, "template", "auth", "kubemint", "--namespace", "platform", "--no-hooks", "--set", "watchPods=true,restartWorkloads=true,audiencePolicy.enabled=true,authentication.reviewServiceAccountTokens=true"))
	got := slices.Sorted(maps.Keys(chart))
	want := []string{
		"ClusterRole auth-kubemint",
		"ClusterRole auth-kubemint-oauthclient-editor",
		"ClusterRole auth-kubemint-oauthclient-viewer",
		"ClusterRole auth-kubemint-pod-reader",
		"ClusterRole auth-kubemint-resourceserver-editor",
		"ClusterRole auth-kubemint-resourceserver-viewer",
		"ClusterRole auth-kubemint-token-reviewer",
		"ClusterRole auth-kubemint-workload-restarter",
		"ClusterRoleBinding auth-kubemint",
		"ClusterRoleBinding auth-kubemint-pod-reader",
		"ClusterRoleBinding auth-kubemint-token-reviewer",
		"ClusterRoleBinding auth-kubemint-workload-restarter",
		"CustomResourceDefinition oauthclients.oauth.kubemint.dev",
		"CustomResourceDefinition resourceservers.oauth.kubemint.dev",
		"Deployment platform/auth-kubemint",
		"Role platform/auth-kubemint",
		"RoleBinding platform/auth-kubemint",
		"Service platform/auth-kubemint",
		"ServiceAccount platform/auth-kubemint",
		"ValidatingAdmissionPolicy auth-kubemint-audience-policy",
		"ValidatingAdmissionPolicyBinding auth-kubemint-audience-policy",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("objects (+), want (-):\n%s", diff.Diff(want, got))
	}
	pod := typed[appsv1.Deployment](t, chart, "Deployment platform/auth-kubemint").Spec.Template.Spec
	if pod.ServiceAccountName != "auth-kubemint" {
		t.Errorf("the pods run as %s", pod.ServiceAccountName)
	}
	if args := pod.Containers[0].Args; !slices.Contains(args, "--issuer=https://auth-kubemint.platform.svc") {
		t.Errorf("the issuer is not the Service: %q", args)
	}
	binding := typed[admissionv1.ValidatingAdmissionPolicyBinding](t, chart, "ValidatingAdmissionPolicyBinding auth-kubemint-audience-policy")
	if name := binding.Spec.PolicyName; name != "auth-kubemint-audience-policy" {
		t.Errorf("the policy %s is bound", name)
	}

	subject := rbacv1.Subject{Kind: "ServiceAccount", Namespace: "platform", Name: "auth-kubemint"}
	bindings := []rbacv1.RoleBinding{typed[rbacv1.RoleBinding](t, chart, "RoleBinding platform/auth-kubemint")}
	for _, name := range []string{"auth-kubemint", "auth-kubemint-pod-reader", "auth-kubemint-workload-restarter", "auth-kubemint-token-reviewer"} {
		binding := typed[rbacv1.ClusterRoleBinding](t, chart, "ClusterRoleBinding "+name)
		bindings = append(bindings, rbacv1.RoleBinding{ObjectMeta: binding.ObjectMeta, RoleRef: binding.RoleRef, Subjects: binding.Subjects})
	}
	for _, binding := range bindings {
		if binding.RoleRef.Name != binding.Name || !slices.Equal(binding.Subjects, []rbacv1.Subject{subject}) {
			t.Errorf("%s is bound to %v", binding.RoleRef.Name, binding.Subjects)
		}
	}
}

func TestArguments(t *testing.T) {
	const unchanged = "--issuer=https://kubemint.kubemint-system.svc " +
		"--signing-algorithm=ES256 --signing-key-rotation=2160h --tls-mode=managed --workers=10 --shutdown-delay=5s --log-level=INFO --log-format=json"
	tests := map[string]struct {
		set  []string
		want string // the whole command line
	}{
		"defaults": {nil, unchanged},
		"issuer":   {[]string{"issuer.url=https://id.example.com/team"}, strings.Replace(unchanged, "kubemint.kubemint-system.svc", "id.example.com/team", 1)},
		"issuer at the Service's other port": {
			[]string{"service.port=8443"}, strings.Replace(unchanged, ".svc", ".svc:8443", 1),
		},
		"everything": {
			[]string{
				"issuer.defaultAudience=internal apis", "issuer.maxTokenLifetime=8h", "issuer.unownedScopes=forbid", "issuer.unownedScopesNamespaces={platform,legacy}",
				"signing.algorithm=RS256", "signing.rotation=720h", "tls.hosts={id.example.com,10.0.0.1,::1}",
				"workers=100", "shutdownDelaySeconds=60", "logLevel=DEBUG", "logFormat=text",
				"watchPods=true", "restartWorkloads=true", "dpop=nonce",
			},
			"--issuer=https://kubemint.kubemint-system.svc --default-audience=internal apis --max-token-lifetime=8h --unowned-scopes=forbid " +
				"--unowned-scopes-namespaces=platform,legacy --signing-algorithm=RS256 --signing-key-rotation=720h " +
				"--tls-mode=managed --tls-hosts=id.example.com,10.0.0.1,::1 --workers=100 --dpop=nonce --shutdown-delay=60s --log-level=DEBUG --log-format=text " +
				"--watch-pods --restart-workloads",
		},
		"authentication": {
			[]string{
				"authentication.assertionMaxAge=2m", "authentication.acceptTokenEndpointAudience=true", "authentication.keySetNetworks={10.96.0.0/12,fd00::/8}",
				"authentication.keySetCA.configMapName=internal-ca", "authentication.serviceAccountTokenMaxAge=20m",
				"authentication.reviewServiceAccountTokens=true", "authentication.trustedIssuers[0].issuer=https://ci.example.com",
			},
			strings.Replace(unchanged, " --workers", " --assertion-max-age=2m --accept-token-endpoint-audience --key-set-networks=10.96.0.0/12,fd00::/8 "+
				"--key-set-ca-file=/etc/kubemint/key-set-ca/ca.crt --service-account-token-max-age=20m "+
				"--trusted-issuers-file=/etc/kubemint/trusted-issuers/trusted-issuers.yaml --workers", 1) + " --review-service-account-tokens",
		},
		"namespaces":                       {[]string{"watchNamespaces={billing,shop}"}, strings.Replace(unchanged, "--workers", "--watch-namespaces=billing,shop --workers", 1)},
		"a mode of its own":                {[]string{"tokenServer.mode=standalone"}, "--mode=tokenserver " + unchanged},
		"further flags":                    {[]string{"extraArgs={--token-bind-address=:9443}"}, unchanged + " --token-bind-address=:9443"},
		"DPoP":                             {[]string{"dpop=on"}, strings.Replace(unchanged, "workers=10", "workers=10 --dpop=on", 1)},
		"DPoP as YAML reads it":            {[]string{"dpop=true"}, strings.Replace(unchanged, "workers=10", "workers=10 --dpop=on", 1)},
		"DPoP turned off":                  {[]string{"dpop=off"}, unchanged},
		"DPoP turned off as YAML reads it": {[]string{"dpop=false"}, unchanged},
		"certificate from a Secret": {
			[]string{"tls.mode=files", "tls.secretName=kubemint-tls"},
			strings.Replace(unchanged, "managed", "files --tls-cert-file=/etc/kubemint/tls/tls.crt --tls-key-file=/etc/kubemint/tls/tls.key", 1),
		},
		"certificate and CA from a Secret": {
			[]string{"tls.mode=files", "tls.secretName=kubemint-tls", "tls.caKey=ca.crt"},
			strings.Replace(unchanged, "managed", "files --tls-cert-file=/etc/kubemint/tls/tls.crt --tls-key-file=/etc/kubemint/tls/tls.key --ca-file=/etc/kubemint/tls/ca.crt", 1),
		},
		"certificate by cert-manager": {
			[]string{"tls.mode=cert-manager", "tls.certManager.issuerRef.name=ca", "tls.caKey=ca.crt", "tls.hosts={id.example.com}"},
			strings.Replace(unchanged, "managed", "files --tls-cert-file=/etc/kubemint/tls/tls.crt --tls-key-file=/etc/kubemint/tls/tls.key --ca-file=/etc/kubemint/tls/ca.crt", 1),
		},
		"CA of clients": {
			[]string{"tls.clientCA.secretName=clients-ca"},
			strings.Replace(unchanged, "managed", "managed --client-ca-file=/etc/kubemint/client-ca/ca.crt", 1),
		},
		"TLS ends before": {
			[]string{"tls.mode=disabled", "issuer.url=https://kubemint.kubemint-system.svc"}, strings.Replace(unchanged, "managed", "disabled", 1),
		},
	}
	help := run(t, kubemint, "--help")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			args := deployment(t, test.set...).Spec.Template.Spec.Containers[0].Args
			if got := strings.Join(args, " "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			for _, arg := range args {
				if flag, _, _ := strings.Cut(arg, "="); !strings.Contains(help, " "+flag+" ") {
					t.Errorf("kubemint --help does not know %s", flag)
				}
			}
		})
	}
}

// However long the delay, what follows it has its time too.
func TestGracePeriod(t *testing.T) {
	const drain = 15
	for _, delay := range []int64{0, 5, 60} {
		grace := deployment(t, fmt.Sprintf("shutdownDelaySeconds=%d", delay)).Spec.Template.Spec.TerminationGracePeriodSeconds
		if grace == nil || *grace <= delay+drain {
			t.Errorf("a delay of %d s with a grace period of %v", delay, grace)
		}
	}
}

func TestCertificateFromSecret(t *testing.T) {
	pod := deployment(t, "tls.mode=files", "tls.secretName=kubemint-tls").Spec.Template.Spec
	volume := corev1.Volume{Name: "tls", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "kubemint-tls"}}}
	if !reflect.DeepEqual(pod.Volumes, []corev1.Volume{volume}) {
		t.Errorf("volumes: %v", pod.Volumes)
	}
	// The directory, not the files in it: only so does a renewed certificate reach the pod.
	mount := corev1.VolumeMount{Name: "tls", MountPath: "/etc/kubemint/tls", ReadOnly: true}
	if mounts := pod.Containers[0].VolumeMounts; !reflect.DeepEqual(mounts, []corev1.VolumeMount{mount}) {
		t.Errorf("mounts: %v", mounts)
	}
}

// Of the CA that signs clients' certificates, its private key stays out of the pod.
func TestClientCA(t *testing.T) {
	items := func(key string) []corev1.KeyToPath { return []corev1.KeyToPath{{Key: key, Path: "ca.crt"}} }
	own := corev1.Volume{Name: "tls", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "kubemint-tls"}}}
	tests := map[string]struct {
		set  []string
		want []corev1.Volume
	}{
		"from a Secret": {[]string{"tls.clientCA.secretName=clients-ca"}, []corev1.Volume{{Name: "client-ca", VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: "clients-ca", Items: items("ca.crt")}}}}},
		"from a ConfigMap": {[]string{"tls.clientCA.configMapName=spire-bundle", "tls.clientCA.key=bundle.crt"}, []corev1.Volume{{Name: "client-ca", VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "spire-bundle"}, Items: items("bundle.crt")}}}}},
		"beside its own certificate": {[]string{"tls.mode=files", "tls.secretName=kubemint-tls", "tls.clientCA.secretName=kubemint-tls", "tls.clientCA.key=tls.crt"},
			[]corev1.Volume{own, {Name: "client-ca", VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: "kubemint-tls", Items: items("tls.crt")}}}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := deployment(t, test.set...).Spec.Template.Spec
			if !reflect.DeepEqual(pod.Volumes, test.want) {
				t.Errorf("volumes: %+v", pod.Volumes)
			}
			mount := corev1.VolumeMount{Name: "client-ca", MountPath: "/etc/kubemint/client-ca", ReadOnly: true}
			if mounts := pod.Containers[0].VolumeMounts; len(mounts) != len(test.want) || !reflect.DeepEqual(mounts[len(mounts)-1], mount) {
				t.Errorf("mounts: %v", mounts)
			}
		})
	}
}

// What administrators trust reaches the pods, and a change of it makes new ones.
func TestTrustedIssuers(t *testing.T) {
	const first = "authentication.trustedIssuers[0].issuer=https://ci.example.com"
	chart := render(t, first, "authentication.trustedIssuers[0].maxTokenAge=10m", "podAnnotations.team=platform")
	file := typed[corev1.ConfigMap](t, chart, "ConfigMap kubemint-system/kubemint-trusted-issuers").Data["trusted-issuers.yaml"]
	if want := "trustedIssuers:\n- issuer: https://ci.example.com\n  maxTokenAge: 10m\n"; file != want {
		t.Errorf("the file is\n%s\nwant\n%s", file, want)
	}
	pod := deployment(t, first).Spec.Template.Spec
	if volume := pod.Volumes[0]; volume.ConfigMap == nil || volume.ConfigMap.Name != "kubemint-trusted-issuers" ||
		pod.Containers[0].VolumeMounts[0].MountPath != "/etc/kubemint/trusted-issuers" {
		t.Errorf("volumes %v, mounts %v", pod.Volumes, pod.Containers[0].VolumeMounts)
	}
	annotations := func(set ...string) map[string]string { return deployment(t, set...).Spec.Template.Annotations }
	if a, b := annotations(first), annotations(first, "authentication.trustedIssuers[1].issuer=https://other.example.com"); len(a) != 1 || reflect.DeepEqual(a, b) {
		t.Errorf("annotations %v and %v", a, b)
	}
	if a := annotations(); len(a) != 0 {
		t.Errorf("annotations %v by default", a)
	}
}

func TestImage(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	tests := map[string]struct {
		set  []string
		want string
	}{
		"the chart's":          {nil, "kubemint/kubemint:v0.1.0"},
		"tag":                  {[]string{"image.tag=v0.2.0"}, "kubemint/kubemint:v0.2.0"},
		"digest wins over tag": {[]string{"image.tag=v0.2.0", "image.digest=" + digest}, "kubemint/kubemint@" + digest},
		"repository":           {[]string{"image.repository=registry.example.com/kubemint"}, "registry.example.com/kubemint:v0.1.0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := deployment(t, test.set...).Spec.Template.Spec.Containers[0].Image; got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestPod(t *testing.T) {
	template := deployment(t,
		"podLabels.team=identity", `podLabels.app\.kubernetes\.io/name=other`, "podAnnotations.note=hello",
		"imagePullSecrets[0].name=registry", `nodeSelector.kubernetes\.io/os=linux`, "tolerations[0].operator=Exists",
		"affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey=kubernetes.io/hostname",
		"serviceAccount.create=false", "serviceAccount.name=mine",
	).Spec.Template
	pod := template.Spec
	tests := map[string]struct{ got, want any }{
		"labels":             {template.Labels, map[string]string{"app.kubernetes.io/name": "kubemint", "team": "identity"}},
		"annotations":        {template.Annotations, map[string]string{"note": "hello"}},
		"image pull secrets": {pod.ImagePullSecrets, []corev1.LocalObjectReference{{Name: "registry"}}},
		"node selector":      {pod.NodeSelector, map[string]string{"kubernetes.io/os": "linux"}},
		"tolerations":        {pod.Tolerations, []corev1.Toleration{{Operator: corev1.TolerationOpExists}}},
		"affinity": {pod.Affinity, &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: "kubernetes.io/hostname"}},
		}}},
		"service account": {pod.ServiceAccountName, "mine"},
	}
	for name, test := range tests {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s: %v, want %v", name, test.got, test.want)
		}
	}
}

func TestService(t *testing.T) {
	tests := map[string]struct {
		set  []string
		want string
	}{
		"load balancer":   {[]string{"service.type=LoadBalancer", "service.port=8443"}, "LoadBalancer https 8443"},
		"TLS ends before": {[]string{"tls.mode=disabled", "issuer.url=https://id.example.com", "service.port=80"}, "ClusterIP http 80"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			service := typed[corev1.Service](t, render(t, test.set...), "Service kubemint-system/kubemint").Spec
			if got := fmt.Sprint(service.Type, " ", service.Ports[0].Name, " ", service.Ports[0].Port); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestLeftOut(t *testing.T) {
	const (
		crd    = "CustomResourceDefinition oauthclients.oauth.kubemint.dev"
		viewer = "ClusterRole kubemint-oauthclient-viewer"
		keep   = "helm.sh/resource-policy"
		toView = "rbac.authorization.k8s.io/aggregate-to-view"
	)
	unchanged := render(t)
	if unchanged[crd].GetAnnotations()[keep] != "keep" {
		t.Error("by default, an uninstall would delete the CRD")
	}
	if unchanged[viewer].GetLabels()[toView] != "true" {
		t.Error("by default, the viewer role is not aggregated")
	}
	if render(t, "crds.enabled=false")[crd] != nil {
		t.Error("crds.enabled=false leaves the CRD in")
	}
	if object := render(t, "crds.keep=false")[crd]; object == nil || object.GetAnnotations()[keep] != "" {
		t.Error("crds.keep=false: want the CRD without the annotation")
	}
	if object := render(t, "rbac.aggregate=false")[viewer]; object == nil || object.GetLabels()[toView] != "" {
		t.Error("rbac.aggregate=false: want the viewer role without the label")
	}
	if render(t, "serviceAccount.create=false", "serviceAccount.name=mine")["ServiceAccount kubemint-system/mine"] != nil {
		t.Error("serviceAccount.create=false leaves the service account in")
	}
}

func TestRefused(t *testing.T) {
	tests := map[string]struct {
		set  []string
		want string // in the message
	}{
		"typo":                   {[]string{"replica=3"}, "additional properties 'replica' not allowed"},
		"typo inside":            {[]string{"tls.secret=kubemint-tls"}, "additional properties 'secret' not allowed"},
		"issuer without TLS":     {[]string{"issuer.url=http://id.example.com"}, "does not match pattern '^(https://"},
		"issuer with a slash":    {[]string{"issuer.url=https://id.example.com/"}, "at '/issuer/url'"},
		"issuer with a query":    {[]string{"issuer.url=https://id.example.com?team=a"}, "at '/issuer/url'"},
		"signing algorithm":      {[]string{"signing.algorithm=EdDSA"}, "value must be one of 'ES256', 'RS256'"},
		"signing key rotation":   {[]string{"signing.rotation=23h"}, "at '/signing/rotation'"},
		"TLS mode":               {[]string{"tls.mode=off"}, "value must be one of 'managed', 'cert-manager', 'files', 'disabled'"},
		"host with a port":       {[]string{"tls.hosts={id.example.com:443}"}, "at '/tls/hosts/0'"},
		"pods to watch":          {[]string{"watchPods=all"}, "at '/watchPods'"},
		"workers":                {[]string{"workers=0"}, "minimum: got 0, want 1"},
		"shutdown delay":         {[]string{"shutdownDelaySeconds=-1"}, "minimum: got -1, want 0"},
		"DPoP":                   {[]string{"dpop=required"}, "value must be one of 'off', 'on', 'nonce'"},
		"log level":              {[]string{"logLevel=verbose"}, "value must be one of 'DEBUG', 'INFO', 'WARN', 'ERROR'"},
		"log format":             {[]string{"logFormat=xml"}, "value must be one of 'json', 'text'"},
		"digest":                 {[]string{"image.digest=0123456789abcdef"}, "does not match pattern '^(sha256:"},
		"service port":           {[]string{"service.port=0"}, "minimum: got 0, want 1"},
		"files without a Secret": {[]string{"tls.mode=files"}, "tls.mode=files needs tls.secretName: name a Secret"},
		"Secret without files":   {[]string{"tls.secretName=kubemint-tls"}, "set tls.mode=files, or leave it out"},
		"CA key without files":   {[]string{"tls.caKey=ca.crt"}, "set tls.mode=files or cert-manager, or leave it out"},
		"Certificate by nobody":  {[]string{"tls.mode=cert-manager"}, "tls.mode=cert-manager needs tls.certManager.issuerRef.name"},
		"Certificate for nobody": {[]string{"tls.certManager.issuerRef.name=ca"}, "set tls.mode=cert-manager, or leave it out"},
		"hosts of a certificate that is not managed": {
			[]string{"tls.mode=files", "tls.secretName=kubemint-tls", "tls.hosts={id.example.com}"}, "tls.hosts does not go with tls.mode=files",
		},
		"CA of clients in two places": {
			[]string{"tls.clientCA.secretName=a", "tls.clientCA.configMapName=b"}, "name one",
		},
		"CA of clients that TLS ends before": {
			[]string{"tls.mode=disabled", "issuer.url=https://id.example.com", "tls.clientCA.configMapName=b"}, "is never trusted",
		},
		"CA of clients under no key": {[]string{"tls.clientCA.secretName=a", "tls.clientCA.key="}, "at '/tls/clientCA/key'"},
		"no TLS and no proxy":        {[]string{"tls.mode=disabled"}, "tls.mode=disabled needs issuer.url: set the https URL of the proxy"},
		"service account of no name": {[]string{"serviceAccount.create=false"}, "serviceAccount.create=false needs serviceAccount.name: name the service account"},
		"unowned scopes":             {[]string{"issuer.unownedScopes=deny"}, "value must be one of 'allow', 'forbid'"},
		"exception that is not a namespace": {
			[]string{"issuer.unownedScopes=forbid", "issuer.unownedScopesNamespaces={team-*}"}, "at '/issuer/unownedScopesNamespaces/0'",
		},
		"exception from nothing": {
			[]string{"issuer.unownedScopesNamespaces={platform}"}, "set that, or leave them out",
		},
		"longest lifetime": {[]string{"issuer.maxTokenLifetime=1d"}, "at '/issuer/maxTokenLifetime'"},
		"typo in the audience policy": {
			[]string{"audiencePolicy.enable=true"}, "additional properties 'enable' not allowed",
		},
		"audiences for all": {[]string{"audiencePolicy.pattern=https://.+"}, "at '/audiencePolicy/pattern'"},
		"audiences by no regular expression": {
			[]string{"audiencePolicy.pattern=https://({namespace}"}, "missing closing )",
		},
		"audiences by a quote": {[]string{`audiencePolicy.pattern=https://"{namespace}`}, "at '/audiencePolicy/pattern'"},
		"namespace that is not one": {
			[]string{"audiencePolicy.exemptNamespaces={Platform}"}, "at '/audiencePolicy/exemptNamespaces/0'",
		},
		"mode of the token servers":         {[]string{"tokenServer.mode=separate"}, "value must be one of 'embedded', 'standalone'"},
		"account of embedded token servers": {[]string{"tokenServer.serviceAccountName=less"}, "set tokenServer.mode=standalone"},
		"token servers of no account":       {[]string{"tokenServer.mode=standalone", "serviceAccount.create=false", "serviceAccount.name=mine"}, "needs tokenServer.serviceAccountName"},
		"watched namespace":                 {[]string{"watchNamespaces={team-*}"}, "at '/watchNamespaces/0'"},
		"fewer pods at most than at least":  {[]string{"autoscaling.enabled=true", "autoscaling.maxReplicas=1"}, "raise it"},
		"no disruption at all":              {[]string{"podDisruptionBudget.maxUnavailable=0"}, "at '/podDisruptionBudget/maxUnavailable'"},
		"typo of the controllers' pods":     {[]string{"controller.replica=1"}, "additional properties 'replica' not allowed"},
		"typo in a security context":        {[]string{"podSecurityContext.runAsNonroot=true"}, "additional properties 'runAsNonroot' not allowed"},
		"typo in resources":                 {[]string{"resources.limit.memory=1Gi"}, "additional properties 'limit' not allowed"},
		"typo in a peer":                    {[]string{"networkPolicy.tokenFrom[0].namespaces.matchLabels.a=b"}, "additional properties 'namespaces' not allowed"},
		"render mode":                       {[]string{"monitoring.renderMode=always"}, "value must be one of 'skipIfMissing', 'failIfMissing', 'alwaysRender'"},
		"label that is the chart's":         {[]string{`commonLabels.app\.kubernetes\.io/name=mine`}, "at '/commonLabels/app.kubernetes.io"},
		"argument that is no flag":          {[]string{"extraArgs={run}"}, "at '/extraArgs/0'"},
		"what happens to other audiences":   {[]string{"audiencePolicy.failureAction=Fail"}, "value must be one of 'Deny', 'Warn', 'Audit'"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			output, err := command(t, helm, templateArgs(test.set)...).CombinedOutput()
			if err == nil {
				t.Fatal("rendered")
			}
			if !strings.Contains(string(output), test.want) {
				t.Errorf("the message %s\ndoes not say %s", output, test.want)
			}
		})
	}
}

// deployment renders the chart and returns its Deployment.
func deployment(t *testing.T, set ...string) appsv1.Deployment {
	t.Helper()
	return typed[appsv1.Deployment](t, render(t, set...), "Deployment kubemint-system/kubemint")
}

// render renders the chart as the release kubemint in the namespace kubemint-system.
func render(t *testing.T, set ...string) map[string]*unstructured.Unstructured {
	t.Helper()
	return objects(t, run(t, helm, templateArgs(set)...))
}

func templateArgs(set []string) []string {
	args := []string{"template", "kubemint", "kubemint", "--namespace", "kubemint-system", "--no-hooks"}
	for _, value := range set {
		args = append(args, "--set", value)
	}
	return args
}

// command is a command of a binary in bin/, whose path may be a pattern.
func command(t *testing.T, pattern string, args ...string) *exec.Cmd {
	t.Helper()
	// Looking at what the command reads tells `go test` that a cached result is stale when it changes.
	for _, directory := range []string{"kubemint", "../config"} {
		if err := filepath.WalkDir(directory, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			t.Fatal(err)
		}
	}
	binaries, err := filepath.Glob(pattern)
	if err != nil || len(binaries) == 0 {
		t.Fatalf("no %s: run make test", strings.TrimPrefix(pattern, "../"))
	}
	return exec.CommandContext(t.Context(), binaries[len(binaries)-1], args...)
}

// run returns the standard output of a command of a binary in bin/.
func run(t *testing.T, pattern string, args ...string) string {
	t.Helper()
	command := command(t, pattern, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, stderr.String())
	}
	return string(output)
}

// objects are the objects in a stream of YAML documents, by kind, namespace and name.
func objects(t *testing.T, stream string) map[string]*unstructured.Unstructured {
	t.Helper()
	found := map[string]*unstructured.Unstructured{}
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(stream), 4096)
	for {
		var content map[string]any
		err := decoder.Decode(&content)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, stream)
		}
		if len(content) == 0 {
			continue
		}
		object := &unstructured.Unstructured{Object: content}
		key := object.GetKind() + " " + strings.TrimPrefix(object.GetNamespace()+"/"+object.GetName(), "/")
		if found[key] != nil {
			t.Fatalf("%s is there twice", key)
		}
		found[key] = object
	}
}

// typed returns an object as its Go type, and fails where it has a field that the type has not.
func typed[T any](t *testing.T, objects map[string]*unstructured.Unstructured, key string) T {
	t.Helper()
	var object T
	if objects[key] == nil {
		t.Fatalf("no %s, only %v", key, slices.Sorted(maps.Keys(objects)))
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(objects[key].Object, &object, true); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return object
}
