package docs_test

import (
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// The threat model's table of rights has a row for each rule of Kubemint's own roles, with its resources and exactly its verbs, and no
// other rows.
func TestRightsAreExplained(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "docs/threat-model.md"), "\n## Rights\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var rows []string
	for _, line := range strings.Split(table, "\n") {
		if strings.HasPrefix(line, "|") {
			rows = append(rows, line)
		}
	}
	rows = rows[min(2, len(rows)):] // the heading
	rules := ownRules(t)
	for _, rule := range rules {
		if !slices.ContainsFunc(rows, func(row string) bool { return explains(row, rule) }) {
			t.Errorf("no row has %q of %q", rule.Verbs, rule.Resources)
		}
	}
	for _, row := range rows {
		if !slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool { return explains(row, rule) }) {
			t.Errorf("no role has the right %s", row)
		}
	}
}

// ownRules are those of the roles that Kubemint itself holds.
func ownRules(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	var rules []rbacv1.PolicyRule
	for _, file := range files(t, func(name string) bool { return name == "role.yaml" }) {
		if !strings.HasPrefix(file, "config/") {
			continue
		}
		for _, document := range documentEnd.Split(read(t, file), -1) {
			var role rbacv1.ClusterRole // A Role has the same rules.
			if err := yaml.Unmarshal([]byte(document), &role); err != nil {
				t.Fatal(err)
			}
			rules = append(rules, role.Rules...)
		}
	}
	if len(rules) < 10 {
		t.Fatalf("only %d rules were found", len(rules))
	}
	return rules
}

// explains reports whether a row names all of a rule's resources, a subresource by its own name, and exactly its verbs.
func explains(row string, rule rbacv1.PolicyRule) bool {
	for _, resource := range rule.Resources {
		if !strings.Contains(strings.ToLower(row), resource[strings.Index(resource, "/")+1:]) {
			return false
		}
	}
	return strings.Contains(row, "| "+strings.Join(rule.Verbs, ", ")+" |")
}
