package charts_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// grafanaPanel is what Grafana asks of a panel.
type grafanaPanel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ Type, UID string }
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct {
		RefID, Expr string
		Datasource  struct{ Type, UID string }
	}
	FieldConfig struct {
		Defaults  struct{ Unit string }
		Overrides []any
	}
}

// The dashboard has all that Grafana's schema asks for, of itself and of each kind of panel, and nothing that it does not know.
func TestDashboardIsOfGrafanasSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	content := readDashboard(t)
	var parsed dashboard.Dashboard //nolint:staticcheck // Its successor is another format, which Grafana 11 does not import.
	for _, err := range []error{parsed.UnmarshalJSONStrict(content), parsed.Validate()} {
		if err != nil && err.Error() != "" { // It is an empty list of errors where all is well.
			t.Error(err)
		}
	}
}

func readDashboard(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile("kubemint/dashboards/kubemint.json")
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Any Grafana can import the dashboard, for any data source, namespace and job.
func TestDashboard(t *testing.T) {
	content := readDashboard(t)
	var dashboard struct {
		ID            *int
		UID, Title    string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type string }
		}
		Panels []grafanaPanel
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.ID != nil {
		t.Error("an id is that of a dashboard in one Grafana's database, and would replace another one there")
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`).MatchString(dashboard.UID) || dashboard.Title == "" {
		t.Errorf("uid %q and title %q: want both, and a uid of up to 40 letters", dashboard.UID, dashboard.Title)
	}
	if dashboard.SchemaVersion < 39 {
		t.Errorf("schemaVersion %d is older than Grafana 11", dashboard.SchemaVersion)
	}
	variables := []string{"__rate_interval"}
	for _, variable := range dashboard.Templating.List {
		variables = append(variables, variable.Name)
	}
	for _, name := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(string(content), -1) {
		if !slices.Contains(variables, name[1]) && name[1] != "__all" {
			t.Errorf("there is no variable %s", name[0])
		}
	}
	var ids []int
	for i, panel := range dashboard.Panels {
		ids = append(ids, panel.ID)
		checkPlace(t, panel, dashboard.Panels[:i])
		if panel.Type != "row" {
			checkQueries(t, panel)
		}
	}
	slices.Sort(ids)
	if ids[0] < 1 || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("the panels' ids are %v, want each once", ids)
	}
}

// checkPlace wants a panel inside the grid of 24 columns, on no other one.
func checkPlace(t *testing.T, panel grafanaPanel, others []grafanaPanel) {
	t.Helper()
	place := panel.GridPos
	if place.W < 1 || place.H < 1 || place.X < 0 || place.X+place.W > 24 {
		t.Errorf("%q is outside of the grid: %+v", panel.Title, place)
	}
	for _, other := range others {
		o := other.GridPos
		if place.X < o.X+o.W && o.X < place.X+place.W && place.Y < o.Y+o.H && o.Y < place.Y+place.H {
			t.Errorf("%q lies on %q", panel.Title, other.Title)
		}
	}
}

// checkQueries wants queries that ask the chosen data source for the chosen namespace and job, in every selector.
func checkQueries(t *testing.T, panel grafanaPanel) {
	t.Helper()
	if panel.Title == "" || panel.Description == "" || panel.FieldConfig.Overrides == nil || len(panel.Targets) == 0 {
		t.Errorf("%q does not say all: %+v", panel.Title, panel)
	}
	if panel.FieldConfig.Defaults.Unit == "" && panel.Type != "table" {
		t.Errorf("%q has no unit", panel.Title)
	}
	var letters []string
	for _, target := range panel.Targets {
		letters = append(letters, target.RefID)
		if target.Datasource != panel.Datasource || target.Datasource.Type != "prometheus" || target.Datasource.UID != "${datasource}" {
			t.Errorf("%q asks another data source than the chosen one: %+v", panel.Title, target.Datasource)
		}
		for _, selector := range regexp.MustCompile(`\w+(\{[^}]*\})?`).FindAllString(target.Expr, -1) {
			isMetric := regexp.MustCompile(`^(kubemint|controller_runtime|leader_election|process|workqueue|rest_client)_`).MatchString(selector)
			if isMetric && !strings.Contains(selector, `{namespace="$namespace",job=~"$job"`) {
				t.Errorf("%q asks all namespaces or jobs: %s", panel.Title, selector)
			}
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(letters)))) != len(panel.Targets) {
		t.Errorf("%q has refIds %q, want each once", panel.Title, letters)
	}
}
