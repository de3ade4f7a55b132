package tokenserver

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlaces(t *testing.T) {
	full := func(t *testing.T) places {
		t.Helper()
		p := newPlaces()
		for i := range cap(p) {
			if !p.take(t.Context()) {
				t.Fatalf("there is no place after %d of %d", i, cap(p))
			}
		}
		return p
	}
	// In these bubbles time moves only when all stand still.
	t.Run("L09 a place that comes free in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := full(t)
			time.AfterFunc(maxWaitForPlace-1, p.leave)
			if !p.take(t.Context()) {
				t.Error("it was not taken")
			}
		})
	})
	t.Run("L09 no place", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, began := full(t), time.Now()
			if p.take(t.Context()) {
				t.Error("it took one more than there are")
			}
			if waited := time.Since(began); waited != maxWaitForPlace {
				t.Errorf("it waited for %s", waited)
			}
		})
	})
	t.Run("L09 the caller is gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, began := full(t), time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if p.take(ctx) || time.Since(began) != 0 {
				t.Error("it waited for somebody who does not")
			}
		})
	})
}
