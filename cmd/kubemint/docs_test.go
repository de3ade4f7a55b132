package main_test

import (
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// docs/flags.md has each flag that the program has and no other, with its default, and names values of the chart that there are. No other
// page names a flag that there is not.
func TestFlagsAreDocumented(t *testing.T) {
	help, err := exec.CommandContext(t.Context(), suite.binary, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	for _, flag := range regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z-]+)(.*)$`).FindAllStringSubmatch(string(help), -1) {
		_, text, _ := strings.Cut(flag[2], "(default ")
		text, ended := strings.CutSuffix(text, ")")
		if !ended {
			text = ""
		}
		defaults[flag[1]] = strings.Trim(text, `"`)
	}
	var values map[string]any
	readYAML(t, "../../charts/kubemint/values.yaml", &values)

	documented := map[string]bool{}
	for _, row := range tableRows(t, "../../docs/flags.md") {
		flag := code(row[0])
		documented[flag] = true
		want, known := defaults[flag]
		if !known {
			t.Errorf("docs/flags.md has %s, which is no flag", flag)
			continue
		}
		written := code(row[2])
		if strings.HasPrefix(written, "$") || written == "false" || written == "0s" { // --help says nothing of those.
			written = ""
		}
		if written != want {
			t.Errorf("the default of %s is %q, and docs/flags.md says %q", flag, want, row[2])
		}
		if value := code(row[1]); value != "" && !hasValue(values, strings.Split(value, ".")) {
			t.Errorf("docs/flags.md names the Helm value %s of %s, which the chart has not", value, flag)
		}
	}
	for _, document := range []string{"configuration", "observability", "metrics", "authentication", "troubleshooting"} {
		content, err := os.ReadFile("../../docs/" + document + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, flag := range regexp.MustCompile("`(--[a-z-]+)").FindAllStringSubmatch(string(content), -1) {
			if !documented[flag[1]] {
				t.Errorf("docs/%s.md names %s, which is no flag", document, flag[1])
			}
		}
	}
	for _, flag := range slices.Sorted(maps.Keys(defaults)) {
		if !documented[flag] {
			t.Errorf("docs/flags.md lacks %s", flag)
		}
	}
}

// docs/metrics.md has each metric of Kubemint and no other, and all that it has are there, with their types, labels and values of labels.
func TestMetricsAreDocumented(t *testing.T) {
	mustGetToken(t, issued(t, newClient(newNamespace(t), "worker")))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(metricsText(t)))
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{} // All that stands between backquotes.
	content, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(string(content), -1) {
		words[word[1]] = true
	}

	documented := map[string]bool{}
	for _, row := range tableRows(t, "../../docs/metrics.md") {
		name := code(row[0])
		if len(row) < 5 { // A value of a label.
			continue
		}
		documented[name] = true
		family := families[name]
		if family == nil {
			t.Errorf("docs/metrics.md has %s, which the program has not", name)
			continue
		}
		if kind := strings.ToLower(family.GetType().String()); kind != row[1] {
			t.Errorf("%s is a %s, and docs/metrics.md says %s", name, kind, row[1])
		}
		if labels := strings.Join(labelsOf(family), ", "); labels != strings.Join(slices.Sorted(strings.SplitSeq(strings.ReplaceAll(row[2], "`", ""), ", ")), ", ") {
			t.Errorf("%s has the labels %s, and docs/metrics.md says %s", name, labels, row[2])
		}
		if !strings.HasPrefix(name, "kubemint_") && !strings.HasPrefix(name, "controller_runtime_") {
			continue
		}
		for _, metric := range family.Metric {
			for _, label := range metric.Label {
				if value := label.GetValue(); label.GetName() != "kid" && label.GetName() != "algorithm" && !words[value] {
					t.Errorf("%s has the value %q of label %s, which docs/metrics.md lacks", name, value, label.GetName())
				}
			}
		}
	}
	for name := range families {
		if strings.HasPrefix(name, "kubemint_") && !documented[name] {
			t.Errorf("docs/metrics.md lacks %s", name)
		}
	}
}

// labelsOf returns the names of a metric's labels.
func labelsOf(family *dto.MetricFamily) []string {
	names := map[string]bool{}
	for _, metric := range family.Metric {
		for _, label := range metric.Label {
			names[label.GetName()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func hasValue(values map[string]any, path []string) bool {
	value, ok := values[path[0]]
	if !ok || len(path) == 1 {
		return ok
	}
	below, _ := value.(map[string]any)
	return hasValue(below, path[1:])
}

// tableRows returns the cells of the rows of all tables in a document, without their heads.
func tableRows(t *testing.T, path string) (rows [][]string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inTable := false
	for line := range strings.Lines(string(content)) {
		line, isRow := strings.CutPrefix(strings.TrimSpace(line), "|")
		switch {
		case !isRow:
			inTable = false
		case strings.HasPrefix(line, "---"):
			inTable = true
		case inTable:
			cells := strings.Split(strings.TrimSuffix(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("%s has no table", path)
	}
	return rows
}

// code returns what stands first between backquotes.
func code(cell string) string {
	_, text, _ := strings.Cut(cell, "`")
	text, _, _ = strings.Cut(text, "`")
	return text
}
