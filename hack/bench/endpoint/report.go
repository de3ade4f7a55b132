package main

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
)

// What Kubemint promises, as the most that a ratio may be. Throughput is turned over: the floor's over Kubemint's.
const (
	maxKept    = 1.0
	maxNew     = 1 / 0.98
	maxResumed = 1.05 // There is no signature of the handshake's to save time in.
	minResumed = 0.98 // Of the floor's share of connections.
	maxLatency = 1.25
	maxMany    = 1.05
	maxRefused = 1.0
)

// promises collects those that are broken.
type promises []error

// keep holds a ratio against what is promised.
func (p *promises) keep(what string, ratio, most float64) {
	if ratio > most {
		*p = append(*p, fmt.Errorf("%s: %.3f is more than %.3f", what, ratio, most))
	}
}

// report prints the figures, and is an error where they break a promise.
func (r results) report(b *bench, kubernetes string) error {
	var broken promises
	fmt.Printf("\nThe token endpoint beside the floor on %s cores%s, %s, Kubernetes %s, %s\n", machineCores(), pinning(), runtime.Version(),
		kubernetes, time.Now().UTC().Format(time.DateOnly))

	fmt.Printf("\n%d clients registered; medians of %d rounds of %s, Kubemint's over the floor's\n", b.clients, b.rounds, b.duration)
	table("", "CPU time of a request", "requests/s")
	for i, c := range r.beside {
		row(c)
		most := []float64{maxKept, maxKept, maxNew, maxResumed}[i]
		broken.keep(c.name+", CPU", c.ratio(cpuTime), most)
		broken.keep(c.name+", requests/s", 1/c.ratio(perSecond), most)
	}
	resumption := r.beside[3]
	fmt.Printf("  sessions resumed: %.1f %% of the connections, floor %.1f %%\n", 100*resumption.kubemint.median(resumed), 100*resumption.bar.median(resumed))
	broken.keep("floor's share of resumed sessions over Kubemint's", 1/resumption.ratio(resumed), 1/minResumed)

	fmt.Printf("\n99th percentile at %s, half of what the floor can do: %.2f of the floor's (%.2f ms, %.2f ms)\n", r.latency.name,
		r.latency.ratio(p99), r.latency.kubemint.median(p99)/1000, r.latency.bar.median(p99)/1000)
	if !mayBeRealTime() {
		fmt.Println("  (with whatever else the machine did: to leave it out takes root)")
	}
	broken.keep("p99", r.latency.ratio(p99), maxLatency)

	fmt.Printf("\nRequests that get no token, over those that get one\n")
	table("", "CPU time of a request", "requests/s")
	for _, c := range r.refused {
		row(c)
		fmt.Printf("  %32s %s\n", "answers", c.statuses())
		broken.keep(c.name+", CPU", c.ratio(cpuTime), maxRefused)
	}

	fmt.Printf("\nOther conditions: %s, beside the floor\n", keepAlive8.name)
	table("", "CPU time of a request", "requests/s")
	for i, c := range []comparison{r.few, r.beside[0], r.reusing, r.crowded, r.many} {
		if i < len(r.starts) {
			c.name = r.starts[i].what
			row(c)
		}
	}
	if b.many > 0 {
		cost, rate := r.side.ratio(cpuTime), 1/r.side.ratio(perSecond)
		fmt.Printf("  %d clients cost %.3f of the CPU time with %d, and %.3f of the time: by turns, %d rounds\n", b.many, cost, few, rate, len(r.side.bar))
		broken.keep(fmt.Sprintf("%d clients, CPU", b.many), cost, maxMany)
		broken.keep(fmt.Sprintf("%d clients, requests/s", b.many), rate, maxMany)
	}

	fmt.Printf("\n  %-42s %12s %22s\n", "", "start, s", "resident memory, MiB")
	for _, s := range r.starts {
		fmt.Printf("  %-42s %12.1f %22d\n", s.what, s.ready.Seconds(), s.memory>>20)
	}
	return errors.Join(broken...)
}

func table(columns ...string) {
	fmt.Printf("  %-42s %-34s %s\n", columns[0], columns[1], columns[2])
}

func row(c comparison) {
	fmt.Printf("  %-42s %-34s %s\n", c.name,
		fmt.Sprintf("%.3f  (%.1f µs, %.1f µs)", c.ratio(cpuTime), c.kubemint.median(cpuTime), c.bar.median(cpuTime)),
		fmt.Sprintf("%.3f  (%.0f, %.0f)", c.ratio(perSecond), c.kubemint.median(perSecond), c.bar.median(perSecond)))
}

// statuses returns what Kubemint answered, in the last round.
func (c comparison) statuses() string {
	last := c.kubemint[len(c.kubemint)-1].statuses
	var each []string
	for _, status := range slices.Sorted(maps.Keys(last)) {
		each = append(each, fmt.Sprintf("%d × %d", last[status], status))
	}
	return strings.Join(each, ", ")
}

// pinning says how the processes share the machine.
func pinning() string {
	if isPinned() {
		return " (the servers on one, the load generator and all else on another)"
	}
	return ""
}
