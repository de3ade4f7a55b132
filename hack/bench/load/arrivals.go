package load

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// arrivals says when the requests of an open loop are due: independently of one another, so many a second on average, as those of many
// callers are (a Poisson process). They are the same in every run. When a request is due it is received from the channel, which ends with
// the plan; the callers that there are take it when they can.
func (g *generator) arrivals() <-chan time.Time {
	due := make(chan time.Time, int(2*g.Rate*g.Duration.Seconds())+1) // As good as endless: who is late does not delay the next.
	go func() {
		defer close(due)
		g.dueErr = g.sendArrivals(due)
	}()
	return due
}

func (g *generator) sendArrivals(due chan<- time.Time) error {
	timer, err := newTimer()
	if err != nil {
		return fmt.Errorf("make a timer: %w", err)
	}
	defer timer.stop()
	random := rand.New(rand.NewPCG(1, 2))
	for next := g.begin; ; {
		next = next.Add(time.Duration(random.ExpFloat64() / g.Rate * float64(time.Second)))
		if !next.Before(g.end) {
			return nil
		}
		if err := timer.wait(time.Until(next)); err != nil {
			return fmt.Errorf("wait for the next request: %w", err)
		}
		due <- next
	}
}
