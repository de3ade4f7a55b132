// The benchmark of the token endpoint: the real binary with its registry filled from a real API server, beside the floor, under
// load from another process on another core. It ends with an error where Kubemint breaks a promise. Run it with `make bench`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubemint/kubemint/hack/bench/load"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == loadCommand {
		exit(load.Serve(os.Stdin, os.Stdout))
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each measurement, by turns")
	flag.DurationVar(&o.duration, "duration", 3*time.Second, "length of each measurement of a round")
	flag.IntVar(&o.clients, "clients", 10_000, "clients that are registered while Kubemint is measured beside the floor")
	flag.IntVar(&o.many, "many", 100_000, "clients that are registered at the end; 0 leaves this part out")
	flag.StringVar(&o.profile, "profile", "", "file to write a CPU profile to, of "+profiledProgram+"; then nothing is measured")
	flag.Parse()
	exit(pin(generatorCore))

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	log.SetLogger(logr.Discard()) // envtest's, which would complain of having none.
	err := run(ctx, o)
	stop()
	exit(err)
}

// exit ends the program where there is an error.
func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "\nbench: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	rounds, clients, many int
	duration              time.Duration
	profile               string
}

// The servers run on a core of their own. All else, the load generator and the API server included, has another.
const (
	generatorCore = "0"
	serverCore    = "1"
)

// coresVariable is set in the environment of the program once it is pinned, to how many cores the machine has.
const coresVariable = "KUBEMINT_BENCH_CORES"

// isPinned reports whether the program has a core of its own, so that the servers can have another.
func isPinned() bool { return os.Getenv(coresVariable) != "" }

// machineCores returns how many cores the machine has.
func machineCores() string {
	if isPinned() {
		return os.Getenv(coresVariable)
	}
	return strconv.Itoa(runtime.NumCPU())
}

// pin starts the program anew on one core, unless it is there already, or there is no other or no taskset, which is of Linux.
func pin(core string) error {
	taskset, err := exec.LookPath("taskset")
	if err != nil || isPinned() || runtime.NumCPU() < 2 {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(taskset, append([]string{"taskset", "-c", core, self}, os.Args[1:]...),
		append(os.Environ(), coresVariable+"="+strconv.Itoa(runtime.NumCPU())))
}

func run(ctx context.Context, o options) (err error) {
	b := &bench{options: o}
	defer func() { err = errors.Join(err, b.cleanUp()) }()
	for _, step := range []func(context.Context) error{
		b.startCluster,
		b.learn,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if o.profile != "" {
		return b.writeProfile(ctx)
	}
	version, err := b.cluster.Version()
	if err != nil {
		return err
	}
	measured, err := b.measureAll(ctx)
	if err != nil {
		return err
	}
	return measured.report(b, version)
}

func say(format string, args ...any)  { fmt.Printf(format+"\n", args...) }
func note(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }
