package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// results are all that was measured.
type results struct {
	// few is with a hundred clients, many with options.many; each on kept connections, beside the floor. side is the latter beside the former,
	// by turns in one cluster: what else differs between two parts of a long run is more than what is to be told.
	few, many, side comparison
	// beside is Kubemint beside the floor in each scenario.
	beside []comparison
	// latency is at a fixed rate of requests, which is half of what the floor can do.
	latency comparison
	rate    float64
	// refused are requests that get no token, beside those that get one.
	refused []comparison
	// reusing is with the option to reuse tokens, for clients that ask again and again.
	reusing comparison
	// crowded is with unrelated Secrets in the cluster.
	crowded comparison
	// starts are the states in which Kubemint was started.
	starts []start
}

// start is what a start of Kubemint took.
type start struct {
	what   string
	ready  time.Duration
	memory int // resident, in bytes, after the measurements
}

const (
	few            = 100
	unrelated      = 10_000
	unrelatedBytes = 100 << 10
)

// measureAll is the story: one start of Kubemint for each number of clients.
func (b *bench) measureAll(ctx context.Context) (r results, err error) {
	floor, err := b.startFloor(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()

	err = b.withClients(ctx, few, fmt.Sprintf("%d clients", few), &r, func(kubemint *server) (err error) {
		r.few, err = b.compare(ctx, keepAlive8, kubemint, &floor.server)
		return err
	})
	if err != nil {
		return r, err
	}
	err = b.withClients(ctx, b.clients, fmt.Sprintf("%d clients", b.clients), &r, func(kubemint *server) error {
		return b.measureBeside(ctx, kubemint, &floor.server, &r)
	})
	if err != nil {
		return r, err
	}
	reusing := fmt.Sprintf("%d clients, --token-reuse=30s", b.clients)
	err = b.withClients(ctx, b.clients, reusing, &r, func(kubemint *server) (err error) {
		r.reusing, err = b.compare(ctx, keepAlive8, kubemint, &floor.server)
		return err
	}, "--token-reuse=30s")
	if err != nil || b.many == 0 {
		return r, err
	}
	say("Adding %d Secrets of %d KiB that are none of Kubemint's business (about 2 min)", unrelated, unrelatedBytes>>10)
	if err := b.seedUnrelated(ctx, unrelated, unrelatedBytes); err != nil {
		return r, err
	}
	crowded := fmt.Sprintf("%d clients, %d unrelated Secrets", b.clients, unrelated)
	err = b.withClients(ctx, b.clients, crowded, &r, func(kubemint *server) (err error) {
		r.crowded, err = b.compare(ctx, keepAlive8, kubemint, &floor.server)
		return err
	})
	if err != nil {
		return r, err
	}
	if err := b.seed(ctx, fewNamespace, 0, few); err != nil {
		return r, err
	}
	return r, b.withClients(ctx, b.many, fmt.Sprintf("%d clients", b.many), &r, func(kubemint *server) (err error) {
		if r.many, err = b.compare(ctx, keepAlive8, kubemint, &floor.server); err != nil {
			return err
		}
		r.side, err = b.besideFew(ctx, kubemint)
		return err
	})
}

// besideFew measures a server beside another one that looks at few clients only.
func (b *bench) besideFew(ctx context.Context, kubemint *server) (c comparison, err error) {
	other, err := b.startAnother(ctx, 0, "--mode=tokenserver", "--watch-namespaces="+fewNamespace)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, other.Stop()) }()
	withFew := &server{name: "Kubemint with few clients", address: fmt.Sprintf("127.0.0.1:%d", other.Port), pid: other.PID(),
		request: func(i int) []byte { // Requests are spread over all clients that there are elsewhere.
			return tokenRequest(fewNamespace+"."+clientName(i/max(b.registered/differentRequests, 1)%few), b.secret, grantType)
		}}
	if err := b.warmUp(ctx, withFew); err != nil {
		return c, err
	}
	s := keepAlive8
	s.name, s.times = fmt.Sprintf("beside %d clients", few), 3
	return b.compare(ctx, s, kubemint, withFew)
}

// withClients runs Kubemint while so many clients are registered.
func (b *bench) withClients(ctx context.Context, count int, what string, r *results, measure func(*server) error, args ...string) (err error) {
	say("%s (about %d s until Kubemint has seen them)", what, 10+count/1000+(count-b.registered)/800)
	if err := b.seedClients(ctx, count); err != nil {
		return err
	}
	if err := b.log.Truncate(0); err != nil { // It grows by gigabytes else.
		return err
	}
	begin := time.Now()
	kubemint, err := b.startKubemint(ctx, append(args, "--mode=tokenserver")...)
	if err != nil {
		return err
	}
	s := start{what: what, ready: time.Since(begin)}
	defer func() { err = errors.Join(err, kubemint.Stop()) }()
	if err := awaitQuiet(ctx); err != nil {
		return err
	}
	server := b.serverOf(kubemint)
	if err := b.warmUp(ctx, server); err != nil {
		return err
	}
	if err := measure(server); err != nil {
		return err
	}
	if s.memory, err = residentMemory(server.pid); err != nil {
		return err
	}
	r.starts = append(r.starts, s)
	return nil
}

// How quiet the machine is to be before anything is measured: what it does in a second for anybody, and for how many seconds in a row.
const (
	quiet      = 80 * time.Millisecond
	quietTimes = 3
)

// awaitQuiet waits until nothing goes on. With a hundred thousand clients in it, it takes the API server a while after it was started, on
// the load generator's core; and what else runs on the machine would be measured too. A machine that never is quiet is measured as it is.
func awaitQuiet(ctx context.Context) error {
	deadline := time.Now().Add(patience)
	before, err := busy()
	for times := 0; err == nil && times < quietTimes; times++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		var now time.Duration
		if now, err = busy(); now-before > quiet {
			times = -1
		}
		before = now
		if time.Now().After(deadline) {
			note("the machine is busy with something else: expect worse figures than are true")
			return nil
		}
	}
	return err
}

// busy returns how long the processors have worked for anybody since the machine was started.
func busy() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read the CPU time of the machine: %w", err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(line) // cpu, user, nice, system, idle, iowait, irq, softirq, steal, ...
	if len(fields) < 9 {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	ticks := 0
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		count, err := strconv.Atoi(fields[i])
		if err != nil {
			return 0, fmt.Errorf("read the CPU time of the machine: %w", err)
		}
		ticks += count
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond), nil
}

// measureBeside measures Kubemint beside the floor, and then the requests that it refuses beside those that it answers.
func (b *bench) measureBeside(ctx context.Context, kubemint, floor *server, r *results) error {
	if err := b.warmUp(ctx, floor); err != nil {
		return err
	}
	for _, s := range besideFloor {
		c, err := b.compare(ctx, s, kubemint, floor)
		if err != nil {
			return err
		}
		r.beside = append(r.beside, c)
	}
	r.rate = r.beside[1].bar.median(perSecond) / 2
	fixed := keepAlive64
	fixed.times = 3
	fixed.name, fixed.plan.Rate = fmt.Sprintf("%.0f requests/s, 64 connections", r.rate), r.rate
	var err error
	if r.latency, err = b.compare(ctx, fixed, kubemint, floor); err != nil {
		return err
	}
	for _, refused := range b.refusals(kubemint) {
		c, err := b.compare(ctx, scenario{name: refused.name, plan: keepAlive8.plan}, refused, kubemint)
		if err != nil {
			return err
		}
		r.refused = append(r.refused, c)
	}
	return nil
}

// refusals are a server as those see it who get no token from it.
func (b *bench) refusals(kubemint *server) []*server {
	wrongSecret := strings.Repeat("x", len(b.secret))
	asking := func(name string, request func(i int) []byte) *server {
		refused := *kubemint
		refused.name, refused.request = name, request
		return &refused
	}
	return []*server{
		asking("wrong secret", func(i int) []byte { return tokenRequest(clientID(i%b.registered), wrongSecret, grantType) }),
		asking("unknown client", func(int) []byte { return tokenRequest(nobody, b.secret, grantType) }),
		asking("unknown client, body of 64 KiB", func(int) []byte { return tokenRequest(nobody, b.secret, padded(maxBody)) }),
	}
}

// nobody is the identifier of no client.
const nobody = namespace + ".nobody"

// residentMemory returns the memory of a process, by the operating system's account.
func residentMemory(pid int) (bytes int, err error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	var total, resident int
	if _, err := fmt.Sscan(string(statm), &total, &resident); err != nil {
		return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	return resident * os.Getpagesize(), nil
}
