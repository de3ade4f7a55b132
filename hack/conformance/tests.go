package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// event is a line of go test -json, as far as it is needed here (go doc test2json).
type event struct {
	Action, Package, Test string
	Output                string
	Key, Value            string // of an attribute
}

// test is what became of one test.
type test struct {
	pkg, name     string
	outcome       string   // pass, fail or skip; empty for one that never ended
	expected, got []string // Its attributes, each value once.
	output        strings.Builder
}

// tests is all tests of some runs, in their order.
type tests struct {
	list   []*test
	byName map[string]*test
	// failed are the packages that failed, and what they wrote beside their tests.
	failed []*test
}

func newTests() *tests { return &tests{byName: map[string]*test{}} }

// read reads the output of go test -json.
func (t *tests) read(output io.Reader) error {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read the output of go test -json: %w: %s", err, lines.Bytes())
		}
		t.add(e)
	}
	return lines.Err()
}

// add adds an event. One without a test is of its package.
func (t *tests) add(e event) {
	current, known := t.byName[e.Package+" "+e.Test]
	if !known {
		current = &test{pkg: e.Package, name: e.Test}
		t.byName[e.Package+" "+e.Test] = current
		if e.Test != "" {
			t.list = append(t.list, current)
		}
	}
	switch e.Action {
	case "pass", "skip":
		current.outcome = e.Action
	case "fail", "build-fail":
		if current.outcome = "fail"; e.Test == "" {
			t.failed = append(t.failed, current)
		}
	case "attr":
		current.attribute(e.Key, e.Value)
	case "output", "build-output":
		current.output.WriteString(e.Output)
	}
}

func (t *test) attribute(key, value string) {
	switch {
	case key == "expected" && !slices.Contains(t.expected, value):
		t.expected = append(t.expected, value)
	case key == "got" && !slices.Contains(t.got, value):
		t.got = append(t.got, value)
	}
}

// leadingRow matches the row at the beginning of a test's name.
var leadingRow = regexp.MustCompile(`^([A-Z][0-9][0-9])([^0-9a-z]|$)`)

// rows returns the rows that a test is named after: TestL07AuditLines, or T03 in TestMethods/T03_PUT. The innermost name counts.
func (t *test) rows() []string {
	names := strings.Split(t.name, "/")
	names[0] = strings.TrimPrefix(strings.TrimPrefix(names[0], "Test"), "Fuzz")
	for _, name := range slices.Backward(names) {
		var rows []string
		for match := leadingRow.FindStringSubmatch(name); match != nil; match = leadingRow.FindStringSubmatch(name) {
			rows = append(rows, match[1])
			name = strings.TrimLeft(name[len(match[1]):], "_")
		}
		if rows != nil {
			return rows
		}
	}
	return nil
}

// cases returns the tests that are named after a row, by row. One that only holds others is none, unless it is what failed.
func (t *tests) cases() map[string][]*test {
	cases := map[string][]*test{}
	for _, each := range t.list {
		inner := t.within(each)
		onlyHolds := len(inner) > 0 && each.expected == nil
		if onlyHolds && (!each.bad() || slices.ContainsFunc(inner, (*test).bad)) {
			continue
		}
		for _, row := range each.rows() {
			cases[row] = append(cases[row], each)
		}
	}
	return cases
}

// within returns the subtests of a test.
func (t *tests) within(outer *test) []*test {
	var inner []*test
	for _, each := range t.list {
		if each.pkg == outer.pkg && strings.HasPrefix(each.name, outer.name+"/") {
			inner = append(inner, each)
		}
	}
	return inner
}

// bad reports whether a test did not pass. A row whose test was skipped is a row that was not tested.
func (t *test) bad() bool { return t.outcome != "pass" }
