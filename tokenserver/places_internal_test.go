package tokenserver

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlaces(t *testing.T) {
	full := func(t *testing.T) (p places, last *place) {
		t.Helper()
		p = newPlaces()
		for i := range cap(p) {
			if last = p.take(t.Context()); last == nil {
				t.Fatalf("there is no place after %d of %d", i, cap(p))
			}
		}
		return p, last
	}
	// In these bubbles time moves only when all stand still.
	t.Run("L09 a place that comes free in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, last := full(t)
			time.AfterFunc(maxWaitForPlace-1, last.leave)
			if p.take(t.Context()) == nil {
				t.Error("it was not taken")
			}
		})
	})
	t.Run("L09 no place", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, _ := full(t)
			began := time.Now()
			if p.take(t.Context()) != nil {
				t.Error("it took one more than there are")
			}
			if waited := time.Since(began); waited != maxWaitForPlace {
				t.Errorf("it waited for %s", waited)
			}
		})
	})
	t.Run("L09 the caller is gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, _ := full(t)
			began := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if p.take(ctx) != nil || time.Since(began) != 0 {
				t.Error("it waited for somebody who does not")
			}
		})
	})
	t.Run("L09 a place is free for others while its request waits for something", func(t *testing.T) {
		p, last := full(t)
		back := last.aside(t.Context(), "wait", func(context.Context) {
			if other := p.take(t.Context()); other == nil {
				t.Error("it was not free")
			} else {
				other.leave()
			}
		})
		if !back || len(p) != cap(p) {
			t.Errorf("back %t, with %d of %d places taken", back, len(p), cap(p))
		}
	})
	t.Run("L09 whoever finds no place again leaves none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, last := full(t)
			if last.aside(t.Context(), "wait", func(context.Context) { p.take(t.Context()) }) {
				t.Error("it found a place where there is none")
			}
			if last.leave(); len(p) != cap(p) {
				t.Error("it left a place of others")
			}
		})
	})
}
