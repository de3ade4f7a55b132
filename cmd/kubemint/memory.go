package main

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// How much garbage there may be beside what lives, in percent. What lives is the clients, which hardly change: to look through them
// as often as Go does by default (100) would take a tenth of a token's CPU time. A token server on its own keeps a quarter as much
// of each client, so that it may have more.
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
