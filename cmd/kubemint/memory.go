package main

import (
	"log/slog"
	"os"
	"runtime/debug"
	gometrics "runtime/metrics"

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

// maxGarbage is how many bytes of garbage a token server has, unless more than that lives. Beside one of a hundred clients, one of a
// hundred thousand took 4, 3 and 2 percent more CPU time with 32, 64 and 96 MiB. With eight times of what lives it took more again: memory
// that was not used for long is slow.
const maxGarbage = 96 << 20

// tuneMemory spends memory to save CPU time, up to 90 % of the container's limit. GOGC and GOMEMLIMIT decide where they are set.
func tuneMemory(mode string, log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		percent := gcPercent
		if mode == modeTokenServer {
			percent = gcPercentTokenServer
			afterEachCollection(limitGarbage)
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

// limitGarbage keeps a token server's garbage to maxGarbage until the next collection.
func limitGarbage() { debug.SetGCPercent(tokenServersPercent(living())) }

// tokenServersPercent returns how much garbage there may be in a token server beside so many living bytes, in percent.
func tokenServersPercent(living uint64) int {
	return min(gcPercentTokenServer, int(max(100, maxGarbage*100/max(living, 1)))) //nolint:gosec // It is small.
}

// living returns how many bytes the last collection left.
func living() uint64 {
	sample := []gometrics.Sample{{Name: "/gc/heap/live:bytes"}}
	gometrics.Read(sample)
	return sample[0].Value.Uint64()
}
