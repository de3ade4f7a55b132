package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// The chart's alerts and its dashboard ask for metrics, labels and values of labels that the program has.
func TestMonitoringAsksForWhatThereIs(t *testing.T) {
	namespace := newNamespace(t)
	orders := newResourceServer(namespace, "https://orders."+namespace+".svc")
	create(t, orders) // Each controller has something to do: some metrics are there from then on only.
	awaitEvent(t, orders, v1alpha1.ReasonAudienceOwned)
	mustGetToken(t, issued(t, newClient(namespace, "worker")))
	exposed := metricsText(t)

	expressions := map[string]string{}
	var rules struct {
		Alerts []struct{ Alert, Expr string }
	}
	readYAML(t, "../../charts/kubemint/alerts/kubemint.yaml", &rules)
	for _, rule := range rules.Alerts {
		expressions[rule.Alert] = rule.Expr
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	content, err := os.ReadFile("../../charts/kubemint/dashboards/kubemint.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expressions[panel.Title] += " " + target.Expr
		}
	}

	selectors := regexp.MustCompile(`\b((?:kubemint|controller_runtime|leader_election|process|go|workqueue|rest_client)_[a-z_]+)(?:\{([^}]*)\})?`)
	matchers := regexp.MustCompile(`([a-z_]+)=~?"([^"]*)"`)
	for name, expression := range expressions {
		found := selectors.FindAllStringSubmatch(expression, -1)
		if len(found) == 0 {
			t.Errorf("%s asks for no metric: %s", name, expression)
		}
		for _, selector := range found {
			metric := selector[1]
			if !strings.Contains(exposed, "\n"+metric+"{") && !strings.Contains(exposed, "\n"+metric+" ") {
				t.Errorf("%s asks for %s, which the program has not", name, metric)
			}
			for _, matcher := range matchers.FindAllStringSubmatch(selector[2], -1) {
				label, values := matcher[1], strings.Split(matcher[2], "|")
				switch label {
				case "namespace", "pod", "job": // The scraper adds them.
				case "outcome": // Most have no value before the first.
					if known := []string{"issued", "reused", "temporarily_unavailable", "server_error", "overloaded", "panicked", "too_many_failures"}; slices.ContainsFunc(values,
						func(value string) bool { return !slices.Contains(known, value) }) {
						t.Errorf("%s asks for an outcome among %q", name, values)
					}
				default:
					for _, value := range values {
						if !regexp.MustCompile(`\n` + metric + `\{[^}]*` + label + `="` + value + `"`).MatchString(exposed) {
							t.Errorf("%s asks for %s with %s=%q, which the program has not", name, metric, label, value)
						}
					}
				}
			}
		}
	}
}

// metricsText is what a scrape of the program gets.
func metricsText(t *testing.T) string {
	t.Helper()
	response, err := http.Get(suite.kubemint.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}
