package tokenserver_test

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kubemint/kubemint/tokenserver"
)

// L09: with as many requests in work as there may be, four times as many more are told to come back. Public documents are not
// affected, and those in work end as if nothing had been.
func TestL09Overload(t *testing.T) {
	var observed sync.Map
	s := start(t, newCluster(t, nil), func(config *tokenserver.Config) {
		config.Observe = func(o tokenserver.Observation) { observed.Store(o.Outcome, true) }
	})
	places := 16 * runtime.GOMAXPROCS(0)
	var entered atomic.Int64
	full, goOn := make(chan struct{}), make(chan struct{})
	s.change(func() {
		s.hook = func() { // The first lookup of each request is that of its client.
			if nth := entered.Add(1); nth <= int64(places) {
				if nth == int64(places) {
					close(full)
				}
				<-goOn
			}
		}
	})
	var inWork sync.WaitGroup
	for i := range places {
		inWork.Go(func() { s.mustIssue(t, s.callers[i%2], "a request in work") })
	}
	<-full
	s.untouched(t, func() {
		var beyond sync.WaitGroup
		for i := range 4 * places {
			beyond.Go(func() { s.mustAnswer(t, s.callers[i%2], "a request too many", unavailable) })
		}
		beyond.Wait()
		for _, caller := range s.callers {
			for name, request := range map[string]request{"right": post(grantType), "wrong": post(grantType).as(worker, "wrong-secret")} {
				a := s.ask(t, caller, request)
				attest(t, unavailable, a.outcome())
				if a.outcome() != unavailable || a.header.Get("Retry-After") != "1" {
					t.Errorf("%s secret: answer %s, Retry-After %q", name, a.outcome(), a.header.Get("Retry-After"))
				}
			}
		}
	})
	// What is refused for what it is needs no place, nor does what is the same for all.
	if got := s.ask(t, s.callers[0], post("grant_type=password")).outcome(); got != unsupportedGrant {
		t.Errorf("another grant: answer %s", got)
	}
	if a := s.send(t, s.callers[0], get(tokenserver.JWKSPath)); a.status != http.StatusOK {
		t.Errorf("key set: %d", a.status)
	}
	close(goOn)
	inWork.Wait()
	for range 2 * places { // Every place was left.
		s.token(t, post(grantType))
	}
	if err := s.stop(); err != nil { // So that all has been observed.
		t.Fatal(err)
	}
	for outcome, want := range map[string]bool{"overloaded": true, "temporarily_unavailable": false} {
		if _, got := observed.Load(outcome); got != want {
			t.Errorf("observed as %s: %t", outcome, got)
		}
	}
}

// L09: a place is left by a request whose handler panics, too.
func TestL09PanicsLeaveTheirPlace(t *testing.T) {
	s := start(t, newCluster(t, nil))
	s.change(func() { s.hook = func() { panic("some bug") } })
	for range 16*runtime.GOMAXPROCS(0) + 1 {
		if got := s.ask(t, s.callers[0], post(grantType)).outcome(); got != serverError {
			t.Fatalf("answer %s", got)
		}
	}
}
