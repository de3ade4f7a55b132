package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report prints the table, and is an error where anything failed.
func (i *interop) report(ctx context.Context) error {
	nodeVersion, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return fmt.Errorf("ask node for its version: %w", withStderr(err))
	}
	fmt.Printf("\nInteroperation with Kubemint, %s, %s, Node.js %s\n",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), strings.TrimSpace(string(nodeVersion)))
	role := ""
	for n, c := range i.checks {
		if c.role != role {
			fmt.Println()
			printRow(c.role, "WHAT IT USES", algorithms)
			role = c.role
		}
		verdicts := make([]string, len(algorithms))
		for a, algorithm := range algorithms {
			verdicts[a] = verdict(i.results[algorithm][n])
		}
		printRow(c.name, c.what, verdicts)
	}
	i.reportConfigurations()
	fmt.Printf(`
A client is ok only if it also gets no token with a wrong secret or certificate (401 invalid_client); a verifier only if it takes the
genuine token for its audience alone, and none of these forgeries:
- %s
A client in docs/examples, but Prometheus, is ok only if it also uses one token until half a minute before its end, takes up a rotated secret
while it runs, and needs none with a service account token. An API there also answers 401 to a token that is expired, bound to a key, of
another issuer or type, and 403 to one without the scope, each with the challenge of RFC 6750.
`, strings.Join(i.forgeries, "\n- "))
	return i.failures()
}

func printRow(who, what string, columns []string) {
	row := fmt.Sprintf("%-36s %-46s", who, what)
	for _, column := range columns {
		row += fmt.Sprintf(" %-6s", column)
	}
	fmt.Println(strings.TrimRight(row, " "))
}

// failures prints why what failed did.
func (i *interop) failures() error {
	failed := 0
	for _, algorithm := range algorithms {
		for n, err := range i.results[algorithm] {
			if err != nil {
				failed++
				fmt.Printf("\n%s, %s: %v\n", i.checks[n].name, algorithm, err)
			}
		}
	}
	for _, c := range i.configurations {
		if c.err != nil {
			failed++
			fmt.Printf("\n%s: %v\n", c.what, c.err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d failed", failed, len(algorithms)*len(i.checks)+len(i.configurations))
	}
	return nil
}
