package docs_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

var documentEnd = regexp.MustCompile(`(?m)^---$`)

// Every manifest of Kubemint's kinds that a page shows is what the API knows, field by field; a fragment that is nothing but a spec or a
// status is one of them.
func TestManifests(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	manifests := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "yaml" {
				continue
			}
			for _, document := range documentEnd.Split(b.text, -1) {
				kinds := kindsOf(t, p, b, document)
				if len(kinds) == 0 {
					continue
				}
				manifests++
				if err := decodesAsOne(scheme, kinds, document); err != nil {
					t.Errorf("%s:%d: %v", p.path, b.line, err)
				}
			}
		}
	}
	if manifests < 10 {
		t.Errorf("only %d manifests were found", manifests)
	}
}

// kindsOf returns what a document may be of Kubemint's kinds; none where it is something else.
func kindsOf(t *testing.T, p *page, b block, document string) []string {
	t.Helper()
	var content any
	if err := yaml.Unmarshal([]byte(document), &content); err != nil {
		t.Errorf("%s:%d: %v", p.path, b.line, err)
	}
	object, isObject := content.(map[string]any)
	if !isObject {
		return nil
	}
	if version, ok := object["apiVersion"].(string); ok {
		kind, _ := object["kind"].(string)
		if strings.HasPrefix(version, v1alpha1.GroupVersion.Group+"/") {
			return []string{kind}
		}
		return nil
	}
	for key := range object {
		if key != "spec" && key != "status" {
			return nil
		}
	}
	return []string{"OAuthClient", "ResourceServer"}
}

// decodesAsOne returns why a document decodes strictly into none of some kinds; nil where it does.
func decodesAsOne(scheme *runtime.Scheme, kinds []string, document string) error {
	var all []error
	for _, kind := range kinds {
		object, err := scheme.New(v1alpha1.GroupVersion.WithKind(kind))
		if err != nil {
			return err
		}
		err = yaml.UnmarshalStrict([]byte(document), object)
		if err == nil {
			return nil
		}
		all = append(all, fmt.Errorf("as a %s: %w", kind, err))
	}
	return errors.Join(all...)
}
