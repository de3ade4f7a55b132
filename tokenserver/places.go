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

// place is one that was taken.
type place struct {
	of   places
	held bool
}

// take waits a moment for a place; nil where there was none.
func (p places) take(ctx context.Context) *place {
	taken := &place{of: p}
	if !taken.take(ctx) {
		return nil
	}
	return taken
}

func (p *place) take(ctx context.Context) bool {
	select {
	case p.of <- struct{}{}:
		p.held = true
		return true
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, maxWaitForPlace)
	defer cancel()
	select {
	case p.of <- struct{}{}:
		p.held = true
		return true
	case <-ctx.Done():
		return false
	}
}

// leave leaves the place to others, if it is still held.
func (p *place) leave() {
	if p.held {
		p.held = false
		<-p.of
	}
}

// aside leaves the place while something is waited for that others do, and reports whether there was one again after it. It is a
// clientauth.Aside.
func (p *place) aside(ctx context.Context, what string, wait func(context.Context)) bool {
	p.leave()
	waiting, span := childSpan(ctx, what)
	wait(waiting)
	span.End()
	return p.take(ctx)
}
