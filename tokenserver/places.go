package tokenserver

import (
	"context"
	"runtime"
	"time"
)

// Bounds on the requests whose credentials are verified and whose tokens are signed at once. That takes well under a millisecond
// of one processor, so that this many each stand for a queue already, and one that waits in vain for a place would only make the
// queue longer: it is better told at once to come back.
const (
	placesPerProcessor = 16
	maxWaitForPlace    = 100 * time.Millisecond
)

// places are taken by requests while they are worked on. A request takes one when it has been read, and leaves it before its
// answer is written, so that slow callers hold none.
type places chan struct{}

func newPlaces() places { return make(places, placesPerProcessor*runtime.GOMAXPROCS(0)) }

// take waits a moment for a place, and reports whether there was one.
func (p places) take(ctx context.Context) bool {
	select {
	case p <- struct{}{}:
		return true
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, maxWaitForPlace)
	defer cancel()
	select {
	case p <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p places) leave() { <-p }
