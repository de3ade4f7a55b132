package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kubemint/kubemint/hack/bench/load"
)

// sample is one measurement of one server.
type sample struct {
	cpu       time.Duration // of the server, for each request
	perSecond float64
	p99       time.Duration
	statuses  map[int]int
	resumed   float64 // share of connections
}

// samples are those of all rounds.
type samples []sample

// scenario is a kind of load.
type scenario struct {
	name string
	plan load.Plan
	// times is how many times as many rounds it takes as others, for what is to be told within two percent, or swings most; 0 is 1.
	times int
}

// The scenarios in which Kubemint is measured beside the floor. A new connection costs the generator about as much as the server: with
// few at once the two wait for each other, and how they take turns would be measured instead of what the server can do.
var (
	keepAlive8  = scenario{name: "keep-alive, 8 connections", plan: load.Plan{Connections: 8}}
	keepAlive64 = scenario{name: "keep-alive, 64 connections", plan: load.Plan{Connections: 64}}
	handshake   = scenario{name: "a new connection each", plan: load.Plan{Connections: 64, NewConnections: true}, times: 3}
	resumption  = scenario{name: "a new connection each, resumed", plan: load.Plan{Connections: 64, NewConnections: true, Resume: true}}

	besideFloor = []scenario{keepAlive8, keepAlive64, handshake, resumption}
)

// comparison is what came of one scenario for Kubemint and for what it is measured by.
type comparison struct {
	name          string
	kubemint, bar samples
}

// compare measures two servers by turns, each of them first every other time, so that what changes with time favours neither.
func (b *bench) compare(ctx context.Context, s scenario, kubemint, bar *server) (comparison, error) {
	c := comparison{name: s.name}
	for round := range b.rounds * max(s.times, 1) {
		turns := []func() error{
			func() error { return b.measure(ctx, s, kubemint, &c.kubemint) },
			func() error { return b.measure(ctx, s, bar, &c.bar) },
		}
		if round%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return c, err
			}
		}
	}
	note("%-34s %s", s.name, c.summary())
	return c, nil
}

// measure adds a sample.
func (b *bench) measure(ctx context.Context, s scenario, on *server, to *samples) error {
	plan := s.plan
	plan.Duration = b.duration
	plan.Requests = b.requests(on)
	result, cpu, err := attack(ctx, on, plan)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	*to = append(*to, sample{
		cpu:       cpu / time.Duration(result.Requests),
		perSecond: float64(result.Requests) / result.Elapsed.Seconds(),
		p99:       result.P99,
		statuses:  result.Statuses,
		resumed:   float64(result.Resumed) / float64(result.Requests),
	})
	return nil
}

// differentRequests is how many requests are sent by turns, spread over all clients. There are as many of them in the generator's memory
// where there are fewer clients: its own caches would be measured else.
const differentRequests = 10_000

func (b *bench) requests(on *server) [][]byte {
	requests := make([][]byte, differentRequests)
	for i := range requests {
		requests[i] = on.request(i * max(b.registered/differentRequests, 1))
	}
	return requests
}

// warmUp lets a server come to its steady state: memory, connections, and what it has made up its mind about.
func (b *bench) warmUp(ctx context.Context, servers ...*server) error {
	for _, on := range servers {
		var ignored samples
		if err := b.measure(ctx, keepAlive64, on, &ignored); err != nil {
			return err
		}
	}
	return nil
}

// median returns the median of a figure.
func (s samples) median(figure func(sample) float64) float64 {
	values := make([]float64, len(s))
	for i, one := range s {
		values[i] = figure(one)
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// The figures of a sample. Times are in microseconds.
func cpuTime(s sample) float64   { return float64(s.cpu) / float64(time.Microsecond) }
func perSecond(s sample) float64 { return s.perSecond }
func p99(s sample) float64       { return float64(s.p99) / float64(time.Microsecond) }
func resumed(s sample) float64   { return s.resumed }

// ratio returns Kubemint's median of a figure over that of what it is measured by.
func (c comparison) ratio(figure func(sample) float64) float64 {
	return c.kubemint.median(figure) / c.bar.median(figure)
}

func (c comparison) summary() string {
	return fmt.Sprintf("CPU %.3f (%.1f µs, %.1f µs)   requests/s %.3f (%.0f, %.0f)   p99 %.2f (%.2f ms, %.2f ms)", c.ratio(cpuTime),
		c.kubemint.median(cpuTime), c.bar.median(cpuTime), c.ratio(perSecond), c.kubemint.median(perSecond), c.bar.median(perSecond),
		c.ratio(p99), c.kubemint.median(p99)/1000, c.bar.median(p99)/1000)
}
