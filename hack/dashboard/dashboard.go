package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/kubemint/kubemint/hack/dashboard/picture"
)

// step lies between two points of a line.
const step = scrapeInterval

// dashboard is what is asked of Grafana's JSON.
type dashboard struct {
	Title      string
	Templating struct {
		List []struct {
			Name, Label, Type string
			AllValue          string
			IncludeAll        bool
			Query             any // {query, refId} for a query
		}
	}
	Panels []panel
}

type panel struct {
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		Expr, LegendFormat string
	}
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Decimals   *int
			Min        *float64
			Thresholds struct{ Steps []threshold }
		}
		Overrides []struct {
			Matcher    struct{ Options any }
			Properties []struct {
				ID    string
				Value any
			}
		}
	}
	Transformations []struct {
		Options struct {
			ExcludeByName map[string]bool
			IndexByName   map[string]int
			RenameByName  map[string]string
		}
	}
}

// threshold is the color of values from its own on; the first is that of all below.
type threshold struct {
	Color string
	Value *float64
}

func readDashboard(path string) (dashboard, error) {
	var d dashboard
	content, err := os.ReadFile(path)
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(content, &d)
}

// filler asks Prometheus for the data of a dashboard.
type filler struct {
	api       promv1.API
	period    promv1.Range
	variables *strings.Replacer
}

// fill returns the dashboard with its data, or an error that names the panels that have none.
func (d dashboard) fill(ctx context.Context, api promv1.API, from, to time.Time) (picture.Picture, error) {
	p := picture.Picture{Title: d.Title, From: from, To: to, Step: step}
	f := &filler{api: api, period: promv1.Range{Start: from.Truncate(step), End: to.Truncate(step), Step: step}}
	if err := f.choose(ctx, d, &p); err != nil {
		return p, err
	}
	var errs []error
	for _, panel := range d.Panels {
		filled, err := f.panel(ctx, panel)
		if err != nil {
			errs = append(errs, fmt.Errorf("panel %q: %w", panel.Title, err))
		}
		p.Panels = append(p.Panels, filled)
	}
	return p, errors.Join(errs...)
}

// labelValues is the query of a variable: label_values(selector, label).
var labelValues = regexp.MustCompile(`^label_values\((.*), *(\w+)\)$`)

// choose gives each variable its first value, or All where that can be chosen.
func (f *filler) choose(ctx context.Context, d dashboard, p *picture.Picture) error {
	rate := max(step+scrapeInterval, 4*scrapeInterval) // as Grafana has it
	chosen := []string{"$__rate_interval", rate.String()}
	for _, variable := range d.Templating.List {
		if variable.Type != "query" {
			continue
		}
		f.variables = strings.NewReplacer(chosen...)
		query, _ := variable.Query.(map[string]any)["query"].(string)
		parts := labelValues.FindStringSubmatch(f.variables.Replace(query))
		if parts == nil {
			return fmt.Errorf("variable %s: %q is no label_values(selector, label)", variable.Name, query)
		}
		values, _, err := f.api.LabelValues(ctx, parts[2], []string{parts[1]}, f.period.Start, f.period.End)
		if err != nil {
			return fmt.Errorf("variable %s: %w", variable.Name, err)
		}
		if len(values) == 0 {
			return fmt.Errorf("variable %s: %s finds nothing", variable.Name, parts[0])
		}
		value, shown := string(values[0]), string(values[0])
		if variable.IncludeAll {
			value, shown = variable.AllValue, "All"
		}
		chosen = append(chosen, "$"+variable.Name, value)
		p.Variables = append(p.Variables, picture.Variable{Label: variable.Label, Value: shown})
	}
	f.variables = strings.NewReplacer(chosen...)
	return nil
}

func (f *filler) panel(ctx context.Context, p panel) (picture.Panel, error) {
	defaults := p.FieldConfig.Defaults
	filled := picture.Panel{
		Type: p.Type, Title: p.Title, Unit: defaults.Unit, Decimals: defaults.Decimals, FromZero: defaults.Min != nil && *defaults.Min == 0,
		X: p.GridPos.X, Y: p.GridPos.Y, W: p.GridPos.W, H: p.GridPos.H,
	}
	if p.Type == "row" {
		return filled, nil
	}
	if len(p.Targets) == 0 {
		return filled, errors.New("it asks for nothing")
	}
	for _, target := range p.Targets {
		query := f.variables.Replace(target.Expr)
		var err error
		switch p.Type {
		case "timeseries":
			var lines []picture.Series
			lines, err = f.lines(ctx, query, target.LegendFormat)
			filled.Series = append(filled.Series, lines...)
		case "stat":
			filled.Value, err = f.value(ctx, query)
			filled.Color = colorOf(filled.Value, defaults.Thresholds.Steps)
		case "table":
			filled.Columns, filled.Rows, err = f.table(ctx, query, p)
		default:
			err = fmt.Errorf("panels of type %s are not drawn", p.Type)
		}
		if err != nil {
			return filled, fmt.Errorf("%s: %w", query, err)
		}
	}
	return filled, nil
}

var errNoData = errors.New("no data")

// lines asks for values over time.
func (f *filler) lines(ctx context.Context, query, legend string) ([]picture.Series, error) {
	answer, _, err := f.api.QueryRange(ctx, query, f.period)
	if err != nil {
		return nil, err
	}
	matrix, _ := answer.(model.Matrix)
	var lines []picture.Series
	for _, stream := range matrix {
		line := picture.Series{Name: legendOf(legend, stream.Metric)}
		for _, sample := range stream.Values {
			if value := float64(sample.Value); !math.IsNaN(value) {
				line.Points = append(line.Points, picture.Point{Time: float64(sample.Timestamp) / 1000, Value: value})
			}
		}
		if len(line.Points) > 0 {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil, errNoData
	}
	return lines, nil
}

// value asks for one value now.
func (f *filler) value(ctx context.Context, query string) (float64, error) {
	vector, err := f.now(ctx, query)
	if err != nil {
		return 0, err
	}
	if len(vector) != 1 {
		return 0, fmt.Errorf("%d values, want one", len(vector))
	}
	if value := float64(vector[0].Value); !math.IsNaN(value) {
		return value, nil
	}
	return 0, errNoData
}

// table asks for a row of labels and a value each.
func (f *filler) table(ctx context.Context, query string, p panel) ([]picture.Column, [][]any, error) {
	vector, err := f.now(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	names := []string{"Value"}
	for label := range vector[0].Metric {
		names = append(names, string(label))
	}
	rename := map[string]string{}
	for _, t := range p.Transformations {
		names = slices.DeleteFunc(names, func(name string) bool { return t.Options.ExcludeByName[name] })
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(t.Options.IndexByName[a], t.Options.IndexByName[b]) })
		rename = t.Options.RenameByName
	}
	var columns []picture.Column
	for _, name := range names {
		shown := cmp.Or(rename[name], name)
		columns = append(columns, picture.Column{Name: shown, Unit: p.unitOf(shown)})
	}
	var rows [][]any
	for _, sample := range vector {
		var row []any
		for _, name := range names {
			if name == "Value" {
				row = append(row, float64(sample.Value))
			} else {
				row = append(row, string(sample.Metric[model.LabelName(name)]))
			}
		}
		rows = append(rows, row)
	}
	return columns, rows, nil
}

// unitOf is the unit of a table's column.
func (p panel) unitOf(column string) string {
	unit := p.FieldConfig.Defaults.Unit
	for _, override := range p.FieldConfig.Overrides {
		for _, property := range override.Properties {
			if override.Matcher.Options == column && property.ID == "unit" {
				unit, _ = property.Value.(string)
			}
		}
	}
	return unit
}

func (f *filler) now(ctx context.Context, query string) (model.Vector, error) {
	answer, _, err := f.api.Query(ctx, query, f.period.End)
	if err != nil {
		return nil, err
	}
	vector, _ := answer.(model.Vector)
	if len(vector) == 0 {
		return nil, errNoData
	}
	return vector, nil
}

var legendLabel = regexp.MustCompile(`{{ *(\w+) *}}`)

// legendOf writes a series' labels into its legend.
func legendOf(format string, labels model.Metric) string {
	return legendLabel.ReplaceAllStringFunc(format, func(label string) string {
		return string(labels[model.LabelName(legendLabel.FindStringSubmatch(label)[1])])
	})
}

func colorOf(value float64, thresholds []threshold) (color string) {
	for _, threshold := range thresholds {
		if threshold.Value == nil || value >= *threshold.Value {
			color = threshold.Color
		}
	}
	return color
}
