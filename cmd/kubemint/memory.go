package main

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// How much garbage there may be beside what lives, in percent. What lives hardly changes: to look through the controllers' cache as
// often as Go does by default (100) would take a tenth of a token's CPU time. A token server on its own has next to nothing to look
// through but what every Go program has, which takes 1 to 3 ms however many clients there are. It comes back the more often the less
// there is beside it: with 400 that is two percent of the CPU time under full load, with 800 one percent, for 20 to 40 MiB more.
const (
	gcPercent            = 400
	gcPercentTokenServer = 800
)

// tuneMemory spends memory to save CPU time, up to 90 % of the container's limit. GOGC and GOMEMLIMIT decide where they are set.
func tuneMemory(mode string, log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		percent := gcPercent
		if mode == modeTokenServer {
			percent = gcPercentTokenServer
		}
		debug.SetGCPercent(percent)
	}
	limit, err := memlimit.Set()
	if err != nil { // As where there are no containers.
		log.Debug("no memory limit found", "error", err)
		return
	}
	log.Debug("memory limit", "bytes", limit)
}
