package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// What Kubemint promises.
const (
	maxRatio  = 1.5
	maxBeyond = 50 * time.Millisecond
)

// writesPerClient are the OAuthClient itself, its Secret and its status.
const writesPerClient = 3

// ratio of Kubemint's median round to the bare client's.
func (m manifests) ratio() float64 {
	return median(m.kubemint).Seconds() / median(m.bare).Seconds()
}

// beyond is what the way to the token took beyond the median of the two writes.
func (f firstToken) beyond() []time.Duration {
	writes := median(f.writes)
	beyond := make([]time.Duration, len(f.tokens))
	for i, token := range f.tokens {
		beyond[i] = token - writes
	}
	return beyond
}

// report prints the figures, and is an error where they break a promise.
func report(kubernetes string, m manifests, f firstToken) error {
	fmt.Printf("\nKubemint beside a bare client on %d cores, %s, Kubernetes %s, %s\n",
		runtime.NumCPU(), runtime.Version(), kubernetes, time.Now().UTC().Format(time.DateOnly))

	fmt.Printf("\n%d manifests at once: %.2f times the bare client (must be at most %.1f)\n", m.clients, m.ratio(), maxRatio)
	fmt.Printf("  %-24s %8s %10s   %s\n", "", "seconds", "writes/s", "rounds")
	printRounds("Kubemint, all Ready", m.clients, m.kubemint)
	printRounds("bare client", m.clients, m.bare)

	beyond := f.beyond()
	fmt.Printf("\nOne manifest to its first token: %.1f ms beyond the two writes (must be less than %d)\n",
		milliseconds(median(beyond)), maxBeyond.Milliseconds())
	fmt.Printf("  %-24s %8s %10s   %s\n", "milliseconds", "median", "p90", "samples")
	printSamples("apply to token", f.tokens)
	printSamples("bare client's two writes", f.writes)
	printSamples("beyond the two writes", beyond)
	fmt.Printf("  The clock starts when the create call returns; the watch on the Secret and the TLS connection to the token\n" +
		"  endpoint stand before.")
	fmt.Printf(" Requests that came before the endpoint knew the client, and were made again: %d.\n", f.refused)

	var broken []error
	if m.ratio() > maxRatio {
		broken = append(broken, fmt.Errorf("manifests at once: %.3f times the bare client is more than %.1f", m.ratio(), maxRatio))
	}
	if median(beyond) >= maxBeyond {
		broken = append(broken, fmt.Errorf("first token: %s beyond the two writes is not less than %s", median(beyond), maxBeyond))
	}
	return errors.Join(broken...)
}

func printRounds(what string, clients int, rounds []time.Duration) {
	seconds := median(rounds).Seconds()
	each := make([]string, len(rounds))
	for i, round := range rounds {
		each[i] = fmt.Sprintf("%.2f", round.Seconds())
	}
	fmt.Printf("  %-24s %8.2f %10.0f   %s\n", what, seconds, float64(clients*writesPerClient)/seconds, strings.Join(each, " "))
}

func printSamples(what string, samples []time.Duration) {
	fmt.Printf("  %-24s %8.1f %10.1f   %d\n", what, milliseconds(median(samples)), milliseconds(quantile(samples, 0.9)), len(samples))
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

func median(times []time.Duration) time.Duration { return quantile(times, 0.5) }

// quantile returns the time that a share of all does not exceed, between the two nearest where it falls between them.
func quantile(times []time.Duration, share float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	position := share * float64(len(sorted)-1)
	below := int(position)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + time.Duration((position-float64(below))*float64(sorted[above]-sorted[below]))
}
