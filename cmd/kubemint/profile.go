//go:build profile && unix

package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// profileVariable names the file that the profile is written to.
const profileVariable = "KUBEMINT_PROFILE"

// A program that is built with -tags profile writes where it spends its CPU time, from one SIGUSR1 to the next. `make profile` has it
// under load, and makes default.pgo of it, by which the compiler knows what to optimize.
func init() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		if err := writeProfile(os.Getenv(profileVariable), signals); err != nil {
			fmt.Fprintln(os.Stderr, "kubemint: write a profile:", err)
		}
	}()
}

// writeProfile writes one profile. Its file is there when it is complete.
func writeProfile(file string, turns <-chan os.Signal) error {
	<-turns
	incomplete, err := os.Create(file + ".incomplete")
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(incomplete); err != nil {
		return err
	}
	<-turns
	pprof.StopCPUProfile()
	if err := incomplete.Close(); err != nil {
		return err
	}
	return os.Rename(incomplete.Name(), file)
}
