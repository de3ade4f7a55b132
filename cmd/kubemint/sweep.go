package main

import (
	"runtime"
	"time"
)

// Go sweeps garbage in small parts, between which it runs what can run. Where it has one processor, it does not look for what has come from
// the network as long as there is more to sweep, up to ten milliseconds (findRunnable and sysmon of runtime/proc.go, Go 1.26): requests
// that come meanwhile wait. But it looks each time that it starts the world, after it was stopped for whatever reason.
const (
	maxUnseen = 10 * time.Millisecond
	lookEach  = 500 * time.Microsecond
)

// lookAtNetworkWhileSweeping lets requests come in between two parts of a sweep, as they do with more processors.
func lookAtNetworkWhileSweeping() {
	sweeps := make(chan struct{}, 1)
	afterEachCollection(func() {
		select {
		case sweeps <- struct{}{}:
		default: // There is one to see to.
		}
	})
	go func() {
		var ignored runtime.MemStats
		for range sweeps {
			for range maxUnseen / lookEach {
				if runtime.GOMAXPROCS(0) > 1 {
					break
				}
				time.Sleep(lookEach)
				runtime.ReadMemStats(&ignored) // It stops the world, for some microseconds.
			}
		}
	}()
}

// afterEachCollection calls a function each time that what lives has been marked, and the sweep goes on.
func afterEachCollection(do func()) {
	type garbage struct{ _ *garbage } // A pointer, as what has none may share its memory with what lives.
	var again func(*garbage)
	again = func(g *garbage) {
		do()
		runtime.SetFinalizer(g, again)
	}
	runtime.SetFinalizer(new(garbage), again)
}
