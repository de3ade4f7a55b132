package assertion

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a clock that stands until it is moved.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return now.Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

var smallLimits = Limits{Clients: 3, Own: 2, Lent: 3, PerClient: 4}

func newReplays(limits Limits) (*Replays, *clock) {
	clock := &clock{}
	return NewReplays(limits, clock.now), clock
}

func wantUse(t *testing.T, replays *Replays, client, id string, until time.Time, want error) {
	t.Helper()
	if err := replays.Use(client, id, until); !errors.Is(err, want) {
		t.Errorf("%s uses %s: %v, want %v", client, id, err, want)
	}
}

func TestC11JTIOnce(t *testing.T) {
	replays, clock := newReplays(smallLimits)
	end := now.Add(time.Minute)
	wantUse(t, replays, "a", "1", end, nil)
	wantUse(t, replays, "a", "1", end, errReplayed)
	wantUse(t, replays, "a", "1", end.Add(time.Hour), errReplayed)
	wantUse(t, replays, "a", "2", end, nil)
	clock.advance(time.Minute - 1)
	wantUse(t, replays, "a", "1", end, errReplayed)
}

func TestC11UntilTheEndOfTheLeeway(t *testing.T) {
	replays, clock := newReplays(smallLimits)
	es := signers()[ES256]
	keys := keysOf(t, es)
	token, err := Parse(es.assertion(claims()))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		advance time.Duration
		want    error
	}{{0, nil}, {0, errReplayed}, {time.Minute + expected.Leeway - 1, errReplayed}, {1, errExpired}, {time.Hour, errExpired}} {
		clock.advance(step.advance)
		expected := expected
		expected.Now = clock.now()
		if _, err := replays.VerifyOnce(token, keys, expected); !errors.Is(err, step.want) {
			t.Errorf("after %v: %v, want %v", clock.now().Sub(now), err, step.want)
		}
	}
}

func TestC12JTIManyTimesAtOnce(t *testing.T) {
	const ids, callers = 20_000, 20
	replays, _ := newReplays(Limits{Clients: 1, Own: ids, PerClient: ids})
	var accepted atomic.Int32
	var all sync.WaitGroup
	begin := make(chan struct{})
	for caller := range callers {
		all.Go(func() {
			<-begin
			for i := range ids { // From another one on each, so that all note new ones at once.
				if replays.Use("a", fmt.Sprint((i+caller*ids/callers)%ids), now.Add(time.Minute)) == nil {
					accepted.Add(1)
				}
			}
		})
	}
	close(begin)
	all.Wait()
	if accepted.Load() != ids || replays.Len() != ids {
		t.Errorf("%d assertions were accepted %d times, and %d are remembered", ids, accepted.Load(), replays.Len())
	}
}

func TestC13JTIOfAnotherClient(t *testing.T) {
	replays, _ := newReplays(smallLimits)
	end := now.Add(time.Minute)
	wantUse(t, replays, "a", "bc", end, nil)
	wantUse(t, replays, "ab", "c", end, nil)
	wantUse(t, replays, "abc", "", end, nil)
}

func TestC14JTIIsNotedAfterAllElse(t *testing.T) {
	es := signers()[ES256]
	keys := keysOf(t, es)
	for name, token := range map[string]string{
		"another aud":       es.assertion(claims().with("aud", "https://other.example")),
		"expired":           es.assertion(claims().with("exp", now.Add(-time.Hour).Unix())),
		"another signature": newES256("es").assertion(claims()),
		"an unknown key":    newES256("other").assertion(claims()),
	} {
		t.Run(name, func(t *testing.T) {
			replays, _ := newReplays(smallLimits)
			if _, err := replays.VerifyOnce(parse(t, token), keys, expected); err == nil {
				t.Fatal("accepted")
			}
			if replays.Len() != 0 {
				t.Error("what was refused is remembered")
			}
			if _, err := replays.VerifyOnce(parse(t, es.assertion(claims())), keys, expected); err != nil {
				t.Errorf("with the same jti, and all right: %v", err)
			}
		})
	}
}

func TestVerifyOnceNeedsAnID(t *testing.T) {
	replays, _ := newReplays(smallLimits)
	es := signers()[ES256]
	reusable := expected
	reusable.Reusable = true
	token := parse(t, es.assertion(claims().with("jti", nil)))
	if _, err := replays.VerifyOnce(token, keysOf(t, es), reusable); !errors.Is(err, errNoID) {
		t.Errorf("%v, want %v", err, errNoID)
	}
}

func parse(t *testing.T, token string) *Assertion {
	t.Helper()
	parsed, err := Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestAClientIsRefusedWhenItHasNoRoom(t *testing.T) {
	replays, clock := newReplays(smallLimits)
	for i := range 4 {
		wantUse(t, replays, "a", fmt.Sprint(i), now.Add(time.Duration(i+1)*time.Minute), nil)
	}
	wantUse(t, replays, "a", "more", now.Add(time.Minute), errOwnRoom)
	wantUse(t, replays, "a", "0", now.Add(time.Minute), errReplayed)
	clock.advance(time.Minute)
	wantUse(t, replays, "a", "more", now.Add(2*time.Minute), nil)
	wantUse(t, replays, "a", "yet more", now.Add(2*time.Minute), errOwnRoom)
	if replays.Len() != 4 {
		t.Errorf("%d are remembered, want 4", replays.Len())
	}
}

func TestNoClientTakesAnothersShare(t *testing.T) {
	replays, clock := newReplays(smallLimits)
	end := now.Add(time.Minute)
	for i := range 4 {
		wantUse(t, replays, "a", fmt.Sprint(i), end, nil)
	}
	for i := range 3 {
		wantUse(t, replays, "b", fmt.Sprint(i), end, nil)
	}
	wantUse(t, replays, "b", "more", end, errAllRoom)
	wantUse(t, replays, "c", "1", end, nil)
	wantUse(t, replays, "c", "2", end, nil)
	wantUse(t, replays, "c", "3", end, errAllRoom)
	wantUse(t, replays, "d", "1", end, errClientsRoom)
	if want := smallLimits.Clients*smallLimits.Own + smallLimits.Lent; replays.Len() != want {
		t.Errorf("%d are remembered, want %d: all that there is room for", replays.Len(), want)
	}
	// Once all have ended, all there was is there again.
	clock.advance(time.Minute)
	end = end.Add(time.Minute)
	for i := range 4 {
		wantUse(t, replays, "d", fmt.Sprint(i), end, nil)
	}
	wantUse(t, replays, "e", "1", end, nil)
	wantUse(t, replays, "f", "1", end, nil)
	if replays.lent != 2 || replays.Len() != 6 || len(replays.clients) != 3 {
		t.Errorf("%d lent, %d remembered, %d clients", replays.lent, replays.Len(), len(replays.clients))
	}
}

// What was forgotten because its end had come is not accepted again when the clock is set back to before that.
func TestClockSetBack(t *testing.T) {
	replays, clock := newReplays(smallLimits)
	end := now.Add(time.Minute)
	wantUse(t, replays, "a", "1", end, nil)
	clock.advance(time.Hour)
	wantUse(t, replays, "a", "2", now.Add(2*time.Hour), nil)
	clock.advance(-time.Hour)
	wantUse(t, replays, "a", "1", end, errExpired)
	wantUse(t, replays, "a", "3", end.Add(time.Second), nil)
}

func BenchmarkReplays(b *testing.B) {
	for _, remembered := range []int{0, 300_000} {
		b.Run(fmt.Sprintf("remembered=%d", remembered), func(b *testing.B) {
			limits := Limits{Clients: 10_000, Own: 1 << 20, PerClient: 1 << 20}
			replays, clock := newReplays(limits)
			for i := range remembered {
				end := now.Add(1000*time.Hour + time.Duration(i))
				if err := replays.Use(fmt.Sprint(i%10_000), fmt.Sprint(i), end); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				clock.advance(time.Microsecond) // So that 1,000 are remembered beside, and one ends with each.
				if err := replays.Use("0", fmt.Sprint("x", i), clock.now().Add(time.Millisecond)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
