package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// report returns the table, and an error where it is not as it should be.
func (t *tests) report(verbose bool) (string, error) {
	w := &strings.Builder{}
	cases := t.cases()
	var wrong []error
	for _, group := range catalogue {
		fmt.Fprintf(w, "\n%s\n", group.title)
		for _, row := range group.rows {
			if len(cases[row.id]) == 0 {
				if row.missing == "" {
					printRow(w, row.id, row.what, "", "", "NO TEST")
					wrong = append(wrong, fmt.Errorf("%s has no test", row.id))
				}
				continue
			}
			row.print(w, cases[row.id], verbose)
			if slices.ContainsFunc(cases[row.id], (*test).bad) {
				wrong = append(wrong, fmt.Errorf("%s fails", row.id))
			}
		}
	}
	printMissing(w, cases)
	for _, id := range slices.Sorted(maps.Keys(cases)) {
		if !inCatalogue(id) {
			wrong = append(wrong, fmt.Errorf("%s is not in the catalogue: %s names it", id, cases[id][0].name))
		}
	}
	t.printFailures(w)
	for _, pkg := range t.failed {
		wrong = append(wrong, fmt.Errorf("tests of %s fail", pkg.pkg))
	}
	return w.String(), errors.Join(wrong...)
}

func inCatalogue(id string) bool {
	for _, group := range catalogue {
		if slices.ContainsFunc(group.rows, func(r row) bool { return r.id == id }) {
			return true
		}
	}
	return false
}

// print prints a row on one line, and then those of its cases that fail, or all.
func (r row) print(w *strings.Builder, cases []*test, verbose bool) {
	result := "pass"
	if r.missing != "" {
		result = "pass, in part"
	}
	failed := 0
	var expected, got []string
	for _, c := range cases {
		expected, got = append(expected, c.expected...), append(got, c.got...)
		if c.bad() {
			failed++
		}
	}
	if failed > 0 {
		result = fmt.Sprintf("FAIL, %d of", failed)
	}
	if len(cases) > 1 || failed > 0 {
		result = fmt.Sprintf("%s %s", result, count(len(cases), failed > 0))
	}
	printRow(w, r.id, r.what, summary(expected, "holds"), summary(got, map[bool]string{true: "fails", false: "holds"}[failed > 0]), result)
	for _, c := range cases {
		if verbose || c.bad() {
			printRow(w, "", "  "+c.shortName(), strings.Join(c.expected, "; "), strings.Join(c.got, "; "), c.result())
		}
	}
}

func count(cases int, afterOf bool) string {
	if afterOf {
		return fmt.Sprintf("%d cases", cases)
	}
	return fmt.Sprintf("(%d cases)", cases)
}

// result is what became of a test. One that never ended is one that panicked, or was running when the time was over.
func (t *test) result() string {
	switch {
	case t.outcome == "":
		return "FAIL (never ended)"
	case t.bad():
		return strings.ToUpper(t.outcome)
	}
	return t.outcome
}

// shortName is the innermost name of a test, without its rows.
func (t *test) shortName() string {
	_, name, inner := strings.Cut(t.name, "/")
	if !inner {
		return t.name
	}
	words := strings.Split(name, "_")
	for len(words) > 1 && leadingRow.MatchString(words[0]) {
		words = words[1:]
	}
	return strings.Join(words, " ")
}

// summary puts several values into a few words, or says what else there is to say.
func summary(values []string, otherwise string) string {
	var each []string
	for _, value := range values {
		if !slices.Contains(each, value) {
			each = append(each, value)
		}
	}
	if len(each) == 0 {
		return otherwise
	}
	return strings.Join(each, "; ")
}

const (
	whatWidth  = 46
	valueWidth = 34
)

func printRow(w *strings.Builder, id, what, expected, got, result string) {
	line := fmt.Sprintf("  %-4s %-*s %-*s %-*s %s", id, whatWidth, cut(what, whatWidth), valueWidth, cut(expected, valueWidth),
		valueWidth, cut(got, valueWidth), result)
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

// cut shortens a text to a column.
func cut(text string, width int) string {
	if runes := []rune(text); len(runes) > width {
		return string(runes[:width-3]) + "..."
	}
	return text
}

// printMissing prints the rows that have no test, or one for a part only.
func printMissing(w *strings.Builder, cases map[string][]*test) {
	fmt.Fprintf(w, "\nNot here\n")
	for _, group := range catalogue {
		for _, row := range group.rows {
			if row.missing == "" {
				continue
			}
			what := row.what
			if len(cases[row.id]) > 0 {
				what += ", in part"
			}
			fmt.Fprintf(w, "  %-4s %-*s %s\n", row.id, whatWidth, cut(what, whatWidth), row.missing)
		}
	}
}

// printFailures prints what the tests that failed wrote.
func (t *tests) printFailures(w *strings.Builder) {
	for _, each := range slices.Concat(t.list, t.failed) {
		if each.outcome == "fail" && len(t.within(each)) == 0 {
			fmt.Fprintf(w, "\n%s %s\n%s", each.pkg, each.name, each.output.String())
		}
	}
}
