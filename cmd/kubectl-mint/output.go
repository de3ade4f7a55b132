package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"
)

// format is the value of --output.
type format string

const (
	formatTable format = "table"
	formatYAML  format = "yaml"
	formatJSON  format = "json"
)

func (f *format) String() string { return string(*f) }

// Type implements pflag.Value.
func (*format) Type() string { return "table|yaml|json" }

// Set implements pflag.Value.
func (f *format) Set(value string) error {
	switch format(value) {
	case formatTable, formatYAML, formatJSON:
		*f = format(value)
		return nil
	default:
		return fmt.Errorf("write %s, %s or %s", formatTable, formatYAML, formatJSON)
	}
}

// addFlag adds --output to a command.
func (f *format) addFlag(command *cobra.Command) {
	*f = formatTable
	command.Flags().VarP(f, "output", "o", "form of the output")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "yaml", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// write writes a value as YAML or JSON, or as readable writes it.
func (f *format) write(out io.Writer, value any, readable func(io.Writer) error) error {
	if *f == formatTable {
		return readable(out)
	}
	if *f == formatJSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	}
	text, err := yaml.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode as YAML: %w", err)
	}
	_, err = out.Write(text)
	return err
}

// table is rows of cells, the first of which is the heading.
type table [][]string

func (t *table) add(cells ...string) { *t = append(*t, cells) }

// write writes the columns aligned, and each line with an indent. Empty cells at a line's end leave no blanks.
func (t table) write(out io.Writer, indent string) error {
	var text strings.Builder
	columns := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	for _, row := range t {
		if _, err := fmt.Fprintln(columns, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(indent+line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// sinceNow says how far away a time is: "5m ago", "in 6d".
func sinceNow(at, now time.Time) string {
	switch {
	case at.IsZero():
		return "never"
	case at.After(now):
		return "in " + duration.HumanDuration(at.Sub(now))
	default:
		return duration.HumanDuration(now.Sub(at)) + " ago"
	}
}

// timeOf returns the time that a field of an object may have.
func timeOf(at *metav1.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.Time
}
