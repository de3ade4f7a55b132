//go:build profile && unix

package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// profileFile is where the profile goes, seen from the root of the repository. It is there when it is complete.
const profileFile = "bin/kubemint.pprof"

// A program that is built with -tags profile writes where it spends its CPU time, from one SIGUSR1 to the next. `make profile` has it
// do so under load: it becomes default.pgo, by which the compiler knows what to optimize.
func init() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		if err := writeProfile(signals); err != nil {
			fmt.Fprintln(os.Stderr, "kubemint: write a profile:", err)
		}
	}()
}

func writeProfile(turns <-chan os.Signal) error {
	<-turns
	const incomplete = profileFile + ".incomplete"
	file, err := os.Create(incomplete)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	<-turns
	pprof.StopCPUProfile()
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(incomplete, profileFile)
}
