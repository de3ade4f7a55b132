package v1alpha1_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func createNamed(t *testing.T, name, spec string) error {
	t.Helper()
	var parsed map[string]any
	if err := yaml.Unmarshal([]byte(spec), &parsed); err != nil {
		t.Fatalf("the test's own YAML: %v", err)
	}
	_, err := api.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "oauth.kubemint.dev/v1alpha1", "kind": "OAuthClient", "metadata": map[string]any{"name": name}, "spec": parsed,
	}}, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll}})
	return err
}

// With a provided Secret, the name of the OAuthClient is the value of a label and the beginning of another Secret's name.
func TestProvidedRefused(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, row := range []struct{ name, object, spec, field, remedy string }{
		{"source of another name", "worker", `{scopes: [a], secret: {source: Vault}}`, "spec.secret.source", `supported values: "Generated", "Provided"`},
		{"name too long for a label", long, `{scopes: [a], secret: {source: Provided, name: short}}`, "OAuthClient", "choose a shorter name"},
		{"the companion's name", "worker", `{scopes: [a], secret: {source: Provided, name: worker-kubemint}}`, "spec.secret.name", "choose another spec.secret.name"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := createNamed(t, row.object, row.spec)
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), row.field) || !strings.Contains(err.Error(), row.remedy) {
				t.Errorf("want one that names %q and %q, got %v", row.field, row.remedy, err)
			}
		})
	}
	for _, row := range []struct{ name, object, spec string }{
		{"the least", "worker", `{scopes: [a], secret: {source: Provided}}`},
		{"the longest name", long[1:], `{scopes: [a], secret: {source: Provided}}`},
		{"another Secret's name", "worker", `{scopes: [a], secret: {source: Provided, name: other-kubemint}}`},
		{"generated, of a long name", long, `{scopes: [a]}`},
		{"generated, of the companion's name", "worker", `{scopes: [a], secret: {name: worker-kubemint}}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := createNamed(t, row.object, row.spec); err != nil {
				t.Error(err)
			}
		})
	}
}
