package main

import (
	"fmt"
	"io"
	"slices"
)

// verdict is what a check found.
type verdict string

const (
	verdictOK      verdict = "ok"
	verdictWarning verdict = "warning"
	verdictFailed  verdict = "failed"
)

// check is one thing that was looked at.
type check struct {
	Name   string  `json:"name"`
	Result verdict `json:"result"`
	// Detail is what was found, and where that is not well, what to do.
	Detail string `json:"detail"`
}

func ok(name, detail string, args ...any) check {
	return check{name, verdictOK, fmt.Sprintf(detail, args...)}
}

func warning(name, detail string, args ...any) check {
	return check{name, verdictWarning, fmt.Sprintf(detail, args...)}
}

func failed(name, detail string, args ...any) check {
	return check{name, verdictFailed, fmt.Sprintf(detail, args...)}
}

// report writes what was looked at, and is errNegative where anything failed.
func report(out io.Writer, form *format, checks []check) error {
	err := form.write(out, checks, func(out io.Writer) error {
		var lines table
		for _, c := range checks {
			lines.add(string(c.Result), c.Name, c.Detail)
		}
		return lines.write(out, "")
	})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(checks, func(c check) bool { return c.Result == verdictFailed }) {
		return errNegative
	}
	return nil
}
