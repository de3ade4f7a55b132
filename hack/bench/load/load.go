// Package load sends requests to a server as fast as it answers, or at a fixed rate, and counts what comes back. It writes and
// reads the bytes of HTTP/1.1 itself, so that it takes a fraction of the server's work.
package load

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Plan is what to send. It travels to the process that sends as JSON.
type Plan struct {
	// Address is where the server listens, and ServerName what it is asked for. Its certificate is not verified.
	Address, ServerName string
	// Requests are sent by turns, byte by byte as they stand.
	Requests [][]byte
	// Connections is how many there are at once.
	Connections int
	Duration    time.Duration
	// Rate is requests a second on average, each due at a time of its own whether or not those before have been answered; 0 means that
	// each connection sends one after the other.
	Rate float64
	// NewConnections opens one for every request; Resume lets it take up the TLS session of the one before.
	NewConnections, Resume bool
}

// Result is what came back.
type Result struct {
	Requests int
	Elapsed  time.Duration
	Statuses map[int]int
	// Resumed is how many TLS handshakes took up an earlier session.
	Resumed int
	// P50 and P99 are of the time from when a request was due until its answer had been read.
	P50, P99 time.Duration
}

// Run carries out a plan.
func Run(plan Plan) (Result, error) {
	g := &generator{Plan: plan}
	// To verify a chain takes a client as long as half of the server's handshake: the generator would be measured, and not the server.
	g.tls = &tls.Config{InsecureSkipVerify: true, ServerName: plan.ServerName, MinVersion: tls.VersionTLS13}
	workers := make([]*worker, plan.Connections)
	for i := range workers {
		workers[i] = newWorker(g)
	}
	// Connections that are kept are there when the time begins. At a fixed rate, the requests that came due while so many are opened at
	// once would wait for them: more than one in a hundred, so that the 99th percentile would tell of nothing else.
	if !plan.NewConnections {
		each(workers, (*worker).prepare)
	}
	g.begin = time.Now()
	g.end = g.begin.Add(plan.Duration)
	if plan.Rate > 0 {
		g.due = g.arrivals()
	}
	each(workers, (*worker).run)
	return g.result(workers)
}

// each lets all workers do something at once, and waits for them.
func each(workers []*worker, do func(*worker)) {
	var group sync.WaitGroup
	for _, w := range workers {
		group.Go(func() { do(w) })
	}
	group.Wait()
}

// maxMemory is from where on Serve collects garbage after all, in bytes.
const maxMemory = 1 << 30

// Serve carries out the plan that it reads, and writes the result.
func Serve(in io.Reader, out io.Writer) error {
	// It lives for seconds: a garbage collection of its own would be measured, and not the server.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(maxMemory)
	var plan Plan
	if err := json.NewDecoder(in).Decode(&plan); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	result, err := Run(plan)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

// generator is what the workers share.
type generator struct {
	Plan
	tls        *tls.Config
	begin, end time.Time
	sent       atomic.Int64
	// due is when the requests are due where the rate is fixed, and dueErr why it ended early.
	due    <-chan time.Time
	dueErr error
}

// next returns the number of the next request and when it is due; false at the end.
func (g *generator) next() (number int, due time.Time, more bool) {
	if g.due != nil {
		due, more = <-g.due
	} else {
		due = time.Now()
		more = due.Before(g.end)
	}
	if !more {
		return 0, due, false
	}
	return int(g.sent.Add(1) - 1), due, true
}

func (g *generator) result(workers []*worker) (Result, error) {
	r := Result{Elapsed: time.Since(g.begin), Statuses: map[int]int{}}
	if g.dueErr != nil {
		return r, g.dueErr
	}
	var latencies []time.Duration
	for _, w := range workers {
		if w.err != nil {
			return r, w.err
		}
		for status, count := range w.statuses {
			r.Statuses[status] += count
		}
		r.Resumed += w.resumed
		latencies = append(latencies, w.latencies...)
	}
	if r.Requests = len(latencies); r.Requests == 0 {
		return r, errors.New("no request was answered in time")
	}
	slices.Sort(latencies)
	r.P50, r.P99 = latencies[len(latencies)/2], latencies[len(latencies)*99/100]
	return r, nil
}
