package charts_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// The schema refuses what it does not know, at every depth, but for what is another API's.
func TestSchemaRefusesTypos(t *testing.T) {
	others := []string{
		".global", ".extraObjects[]", ".extraVolumes[]", ".extraEnv[].valueFrom", ".affinity.nodeAffinity", ".affinity.podAffinity", ".affinity.podAntiAffinity",
	}
	content, err := os.ReadFile("kubemint/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(content, &schema); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, node map[string]any)
	walk = func(path string, node map[string]any) {
		kinds, _ := node["type"].([]any)
		_, closed := node["additionalProperties"]
		if (node["type"] == "object" || slices.Contains(kinds, any("object"))) && !closed && !slices.Contains(others, path) {
			t.Errorf("%s takes any property", path)
		}
		properties, _ := node["properties"].(map[string]any)
		for name, property := range properties {
			walk(path+"."+name, property.(map[string]any))
		}
		if items, ok := node["items"].(map[string]any); ok {
			walk(path+"[]", items)
		}
	}
	walk("", schema)
	for name, definition := range schema["definitions"].(map[string]any) {
		walk("definition "+name, definition.(map[string]any))
	}
}

// Every value has its default in values.yaml and a sentence in README.md; and none that the schema knows is missing.
func TestValuesAreDocumented(t *testing.T) {
	readme, err := os.ReadFile("kubemint/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regexp.MustCompile("(?m)^\\| `.*$").FindAllString(string(readme), -1) {
		if strings.HasSuffix(line, "|  |") {
			t.Errorf("it says nothing of %s", strings.Fields(line)[1])
		}
	}
	content, err := os.ReadFile("kubemint/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(content, &values); err != nil {
		t.Fatal(err)
	}
	schemaText, err := os.ReadFile("kubemint/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	type node struct {
		Ref        string          `json:"$ref"`
		Properties map[string]node `json:"properties"`
	}
	var schema struct {
		node
		Definitions map[string]node `json:"definitions"`
	}
	if err := json.Unmarshal(schemaText, &schema); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, of node, values map[string]any)
	walk = func(path string, of node, values map[string]any) {
		for name, property := range of.Properties {
			if name == "global" {
				continue // Helm's
			}
			value, there := values[name]
			if !there {
				t.Errorf("values.yaml has no %s%s, which the schema knows", path, name)
			}
			// What is Kubernetes' own has no default of every property.
			own := property.Ref == "" && name != "podSecurityContext" && name != "containerSecurityContext"
			if inner, is := value.(map[string]any); is && len(inner) > 0 && own {
				walk(path+name+".", property, inner)
			}
		}
	}
	walk("", schema.node, values)
}

// The values that the production checklist recommends render.
func TestProductionValues(t *testing.T) {
	checklist, err := os.ReadFile("../docs/production.md")
	if err != nil {
		t.Fatal(err)
	}
	_, values, _ := strings.Cut(string(checklist), "```yaml\n")
	values, _, _ = strings.Cut(values, "```")
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(values, "sha256:...", "sha256:"+strings.Repeat("0", 64))), 0o600); err != nil {
		t.Fatal(err)
	}
	chart := objects(t, run(t, helm, append(templateArgs([]string{"monitoring.renderMode=alwaysRender"}), "--values", file)...))
	for _, want := range []string{
		"Deployment kubemint-system/kubemint-controller", "PodDisruptionBudget kubemint-system/kubemint", "NetworkPolicy kubemint-system/kubemint",
		"ServiceMonitor kubemint-system/kubemint", "PrometheusRule kubemint-system/kubemint", "ConfigMap kubemint-system/kubemint-dashboard",
		"ValidatingAdmissionPolicy kubemint-audience-policy",
	} {
		if chart[want] == nil {
			t.Errorf("there is no %s", want)
		}
	}
}

// Each alert has a section in the runbook, and each section an alert.
func TestRunbook(t *testing.T) {
	runbook, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	var sections, alerts []string
	for _, heading := range regexp.MustCompile(`(?m)^## (\S+)$`).FindAllStringSubmatch(string(runbook), -1) {
		sections = append(sections, heading[1])
	}
	content, err := os.ReadFile("kubemint/alerts/kubemint.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Alerts []struct{ Alert, Expr, For, Severity, Summary, Description string }
	}
	if err := yaml.UnmarshalStrict(content, &rules); err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules.Alerts {
		alerts = append(alerts, rule.Alert)
		if rule.Expr == "" || rule.For == "" || rule.Severity == "" || rule.Summary == "" || rule.Description == "" {
			t.Errorf("%s does not say all: %+v", rule.Alert, rule)
		}
	}
	if !slices.Equal(sections, alerts) {
		t.Errorf("the runbook has sections %q, and there are alerts %q", sections, alerts)
	}
}
