package charts_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"
)

const promtool = "../bin/tools/promtool@*"

// Prometheus' own engine tells which alerts the chart's rules raise, when, and with which words; testdata/alerts.yaml has the stories.
func TestAlerts(t *testing.T) {
	directory := t.TempDir()
	rule := render(t, "monitoring.prometheusRule.enabled=true", "monitoring.renderMode=alwaysRender")["PrometheusRule kubemint-system/kubemint"]
	rules, err := yaml.Marshal(rule.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	stories, err := os.ReadFile("testdata/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"rules.yaml": rules, "alerts.yaml": stories} {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, promtool, "check", "rules", "--lint=all", "--lint-fatal", filepath.Join(directory, "rules.yaml"))
	run(t, promtool, "test", "rules", filepath.Join(directory, "alerts.yaml"))
}

// Each alert fires at some time of some story, and is silent at some other.
func TestEachAlertIsTested(t *testing.T) {
	var alerts struct {
		Alerts []struct{ Alert string }
	}
	var stories struct {
		Tests []struct {
			Alerts []struct {
				Alertname string
				Fires     []any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	for path, into := range map[string]any{"kubemint/alerts/kubemint.yaml": &alerts, "testdata/alerts.yaml": &stories} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(content, into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	var fires, silent []string
	for _, story := range stories.Tests {
		for _, alert := range story.Alerts {
			if len(alert.Fires) > 0 {
				fires = append(fires, alert.Alertname)
			} else {
				silent = append(silent, alert.Alertname)
			}
		}
	}
	for _, rule := range alerts.Alerts {
		if !slices.Contains(fires, rule.Alert) {
			t.Errorf("no story has %s fire", rule.Alert)
		}
		if !slices.Contains(silent, rule.Alert) {
			t.Errorf("no story has %s silent before its time", rule.Alert)
		}
	}
}
