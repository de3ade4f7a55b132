// Conformance runs the tests that are named after rows of the token endpoint's conformance table, and prints the table: of each
// row what it is about, what is expected, what came, and which rows are not there yet. It ends with an error where a row fails or
// has no test, or where a test names a row that is not in the catalogue. Run it with `make conformance`.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// runs are the test runs in which rows are tested, as arguments of go test.
var runs = [][]string{
	// One package after the other, so that what is timed has the machine for itself.
	{"-p=1", "./tokenserver/...", "./docs/...", "./controllers/rotation"},
	{"-run=^Test[A-Z][0-9][0-9]", "-timeout=20m", "./cmd/kubemint"},
}

func main() {
	verbose := flag.Bool("v", false, "print each case of each row")
	stdin := flag.Bool("stdin", false, "read the output of go test -json from standard input, in place of running the tests")
	flag.Parse()
	if err := run(*stdin, *verbose); err != nil {
		fmt.Fprintf(os.Stderr, "\nconformance: %v\n", err)
		os.Exit(1)
	}
}

func run(stdin, verbose bool) error {
	tests, err := collect(stdin)
	if err != nil {
		return err
	}
	table, err := tests.report(verbose)
	fmt.Print(table)
	return err
}

// collect reads what the tests report.
func collect(stdin bool) (*tests, error) {
	found := newTests()
	if stdin {
		return found, found.read(os.Stdin)
	}
	for _, arguments := range runs {
		fmt.Fprintf(os.Stderr, "go test %s\n", strings.Join(arguments, " "))
		if err := found.run(arguments); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// run reads from a test run, which is expected to fail where tests do: those are told from the others later.
func (t *tests) run(arguments []string) error {
	command := exec.Command("go", append([]string{"test", "-json", "-pgo=off", "-tags=timing", "-count=1"}, arguments...)...)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	if err := t.read(output); err != nil {
		_, _ = io.Copy(io.Discard, output) // So that it can end.
		return errors.Join(err, command.Wait())
	}
	var exit *exec.ExitError
	if err := command.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}
