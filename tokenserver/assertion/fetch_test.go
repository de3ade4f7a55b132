package assertion

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// host is an HTTPS server that publishes a key set, in the way that a test sets.
type host struct {
	*httptest.Server
	requests atomic.Int32
	answer   atomic.Pointer[http.HandlerFunc]
}

func newHost(t *testing.T, answer http.HandlerFunc) *host {
	t.Helper()
	h := &host{}
	h.answers(answer)
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.requests.Add(1)
		(*h.answer.Load())(w, r)
	}))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

func (h *host) answers(answer http.HandlerFunc) { h.answer.Store(&answer) }

func (h *host) wantRequests(t *testing.T, want int32) {
	t.Helper()
	if got := h.requests.Load(); got != want {
		t.Errorf("%d requests, want %d", got, want)
	}
}

// serve answers with a key set, fresh as long as a Cache-Control says.
func serve(cacheControl string, signers ...signer) http.HandlerFunc {
	published := make([]members, len(signers))
	for i, signer := range signers {
		published[i] = signer.jwk()
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", cacheControl)
		_, _ = w.Write(jwks(published...))
	}
}

func broken(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// newSets returns key sets that may be fetched from the hosts of a test.
func newSets(t *testing.T, timeout time.Duration, hosts ...*host) (*KeySets, *clock) {
	t.Helper()
	clock, roots := &clock{}, x509.NewCertPool()
	for _, host := range hosts {
		roots.AddCert(host.Certificate())
	}
	return NewKeySets(FetchOptions{AllowedNetworks: loopback, RootCAs: roots, Timeout: timeout, Now: clock.now}), clock
}

// settle waits until no fetch is under way.
func settle(t *testing.T, sets *KeySets, address string) {
	t.Helper()
	sets.mu.Lock()
	var underway chan struct{}
	if set := sets.sets[address]; set != nil {
		underway = set.underway
	}
	sets.mu.Unlock()
	if underway == nil {
		return
	}
	select {
	case <-underway:
	case <-time.After(10 * time.Second):
		t.Fatal("a fetch does not end")
	}
}

func wantKeys(t *testing.T, sets *KeySets, address, keyID string, want ...string) {
	t.Helper()
	keys, err := sets.Keys(t.Context(), address, keyID)
	if err != nil {
		t.Errorf("no keys: %v", err)
		return
	}
	var got []string
	for _, key := range keys.keys {
		got = append(got, key.id)
	}
	if !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
}

func wantNoKeys(t *testing.T, sets *KeySets, address, want string) {
	t.Helper()
	keys, err := sets.Keys(t.Context(), address, "")
	if err == nil || keys != nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, %v, want %q", keys, err, want)
	}
}

func TestKeysAreFetchedOnceWhileFresh(t *testing.T) {
	host := newHost(t, serve("max-age=600", newES256("1")))
	sets, clock := newSets(t, 0, host)
	for range 3 {
		wantKeys(t, sets, host.URL, "1", "1")
		clock.advance(time.Minute)
	}
	host.wantRequests(t, 1)
}

func TestKeysAreFetchedInTheBackgroundBeforeTheyGoStale(t *testing.T) {
	host := newHost(t, serve("max-age=600", newES256("1")))
	sets, clock := newSets(t, 0, host)
	wantKeys(t, sets, host.URL, "", "1")
	release := make(chan struct{})
	next := serve("max-age=600", newES256("2"))
	host.answers(func(w http.ResponseWriter, r *http.Request) {
		<-release
		next(w, r)
	})
	clock.advance(450 * time.Second)
	for range 3 {
		wantKeys(t, sets, host.URL, "1", "1") // Nobody waits.
	}
	close(release)
	settle(t, sets, host.URL)
	wantKeys(t, sets, host.URL, "", "2")
	host.wantRequests(t, 2)
}

func TestWhoAsksForStaleKeysWaitsForFreshOnes(t *testing.T) {
	host := newHost(t, serve("max-age=600", newES256("1")))
	sets, clock := newSets(t, 0, host)
	wantKeys(t, sets, host.URL, "", "1")
	host.answers(serve("max-age=600", newES256("2")))
	clock.advance(600 * time.Second)
	wantKeys(t, sets, host.URL, "1", "2")
}

func TestFreshness(t *testing.T) {
	for cacheControl, want := range map[string]time.Duration{
		"":                                 10 * time.Minute,
		"public":                           10 * time.Minute,
		"max-age=300":                      5 * time.Minute,
		"public, MAX-AGE=300":              5 * time.Minute,
		`max-age="300"`:                    5 * time.Minute,
		"max-age=0":                        time.Minute,
		"max-age=1000000":                  time.Hour,
		"max-age=99999999999999999999":     10 * time.Minute,
		"max-age=-1":                       10 * time.Minute,
		"max-age=300, no-cache":            time.Minute,
		"no-store":                         time.Minute,
		"s-maxage=5,stale-if-error=100000": 10 * time.Minute,
	} {
		if got := freshness(http.Header{"Cache-Control": {cacheControl}}); got != want {
			t.Errorf("%q is fresh for %v, want %v", cacheControl, got, want)
		}
	}
}

func TestAnUnknownKeyIsLookedForOnceAMinute(t *testing.T) {
	host := newHost(t, serve("max-age=3600", newES256("1")))
	sets, clock := newSets(t, 0, host)
	wantKeys(t, sets, host.URL, "1", "1")
	host.answers(serve("max-age=3600", newES256("1"), newES256("2")))
	clock.advance(time.Minute - 1)
	wantKeys(t, sets, host.URL, "2", "1")
	host.wantRequests(t, 1)
	clock.advance(1)
	wantKeys(t, sets, host.URL, "2", "1", "2")
	host.wantRequests(t, 2)
	for range 10 {
		wantKeys(t, sets, host.URL, "3", "1", "2")
		clock.advance(5 * time.Second)
	}
	host.wantRequests(t, 2)
	clock.advance(10 * time.Second)
	wantKeys(t, sets, host.URL, "3", "1", "2")
	host.wantRequests(t, 3)
}

func TestTheLastGoodSetStaysInUseForAWhile(t *testing.T) {
	host := newHost(t, serve("max-age=600", newES256("1")))
	sets, clock := newSets(t, 0, host)
	wantKeys(t, sets, host.URL, "", "1")
	for name, answer := range map[string]http.HandlerFunc{
		"an error":     broken,
		"an empty set": serve(""),
		"no key set":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
	} {
		host.answers(answer)
		clock.advance(11 * time.Minute)
		wantKeys(t, sets, host.URL, "", "1")
		if t.Failed() {
			t.Fatalf("with %s", name)
		}
	}
	clock.advance(37*time.Minute - 1)
	wantKeys(t, sets, host.URL, "", "1")
	clock.advance(1) // Fresh for 10 minutes, and stale for an hour.
	wantNoKeys(t, sets, host.URL, "")

	host.answers(serve("", newES256("2")))
	clock.advance(maxBackoff)
	wantKeys(t, sets, host.URL, "", "2")
}

func TestFailuresBackOff(t *testing.T) {
	host := newHost(t, broken)
	sets, clock := newSets(t, 0, host)
	for i, seconds := range []int{5, 10, 20, 40, 80, 160, 300, 300} {
		wantNoKeys(t, sets, host.URL, "its URL answers 500")
		clock.advance(time.Duration(seconds)*time.Second - 1)
		wantNoKeys(t, sets, host.URL, "its URL answers 500")
		host.wantRequests(t, int32(i+1))
		clock.advance(1)
	}
	host.answers(serve("max-age=60", newES256("1")))
	wantKeys(t, sets, host.URL, "", "1")
	host.answers(broken)
	clock.advance(time.Minute)
	wantKeys(t, sets, host.URL, "", "1")
	host.wantRequests(t, 10)
	clock.advance(5 * time.Second) // The failures from before no longer count.
	wantKeys(t, sets, host.URL, "", "1")
	host.wantRequests(t, 11)
}

func TestManyWhoAskAtOnceShareOneFetch(t *testing.T) {
	release := make(chan struct{})
	next := serve("", newES256("1"))
	host := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		next(w, r)
	})
	sets, _ := newSets(t, 0, host)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { wantKeys(t, sets, host.URL, "", "1") })
	}
	close(release)
	all.Wait()
	host.wantRequests(t, 1)
}

// One who goes takes the fetch away from nobody.
func TestWhoGoesDoesNotEndTheFetch(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	next := serve("", newES256("1"))
	host := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
		next(w, r)
	})
	sets, _ := newSets(t, 0, host)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := sets.Keys(ctx, host.URL, ""); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want %v", err, context.Canceled)
	}
	close(release)
	wantKeys(t, sets, host.URL, "", "1")
	host.wantRequests(t, 1)
}

func TestASlowURLSlowsNobodyElse(t *testing.T) {
	ended := make(chan struct{})
	slow := newHost(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // Until the client gives up.
		close(ended)
	})
	good := newHost(t, serve("", newES256("1")))
	sets, _ := newSets(t, 2*time.Second, slow, good)
	waited := make(chan error)
	go func() {
		_, err := sets.Keys(context.Background(), slow.URL, "")
		waited <- err
	}()
	for range 10 {
		wantKeys(t, sets, good.URL, "", "1")
	}
	select {
	case <-ended:
		t.Error("the slow one was waited for")
	default:
	}
	if err := <-waited; !errors.Is(err, errSlow) {
		t.Errorf("%v, want %v", err, errSlow)
	}
	wantNoKeys(t, sets, slow.URL, "too slowly") // At once: its next fetch waits.
	slow.wantRequests(t, 1)
}

func TestABodyThatDoesNotEnd(t *testing.T) {
	host := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[`))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	sets, _ := newSets(t, 300*time.Millisecond, host)
	wantNoKeys(t, sets, host.URL, "too slowly")
}

// No more is read of a body than a key set may have, beside what is buffered on the way.
func TestABodyWithoutBounds(t *testing.T) {
	written := make(chan int, 1)
	host := newHost(t, func(w http.ResponseWriter, _ *http.Request) {
		total, chunk := 0, []byte(long(64<<10))
		for {
			n, err := w.Write(chunk)
			if total += n; err != nil || total > 50<<20 {
				written <- total
				return
			}
		}
	})
	sets, _ := newSets(t, 0, host)
	wantNoKeys(t, sets, host.URL, "longer than 64 KiB")
	if total := <-written; total > 20<<20 {
		t.Errorf("%d MiB were read", total>>20)
	}
}

func TestNoMoreFetchesAtATimeThanThereAreSlots(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	var atOnce, tooMany atomic.Int32
	next := serve("", newES256("1"))
	host := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		if atOnce.Add(1) > maxFetches {
			tooMany.Add(1)
		}
		arrived <- struct{}{}
		<-release
		atOnce.Add(-1)
		next(w, r)
	})
	sets, _ := newSets(t, 10*time.Second, host)
	var all sync.WaitGroup
	for i := range 2 * maxFetches {
		all.Go(func() { wantKeys(t, sets, fmt.Sprintf("%s/%d", host.URL, i), "", "1") })
	}
	for range maxFetches {
		<-arrived
	}
	go func() {
		for range maxFetches {
			release <- struct{}{}
			<-arrived
		}
		close(release)
	}()
	all.Wait()
	if tooMany.Load() > 0 {
		t.Errorf("%d fetches beyond %d at a time", tooMany.Load(), maxFetches)
	}
}

func TestWhenTooManyFetchesAreUnderWay(t *testing.T) {
	sets, _ := newSets(t, 50*time.Millisecond)
	for range maxFetches {
		sets.slots <- struct{}{}
	}
	wantNoKeys(t, sets, "https://127.0.0.1:1", "too many others are being fetched")
}

func TestTheSetNotAskedForTheLongestIsForgotten(t *testing.T) {
	host := newHost(t, serve("", newES256("1")))
	sets, clock := newSets(t, 0, host)
	for i := range maxURLs {
		sets.sets[fmt.Sprint(i)] = &keySet{asked: clock.now()}
	}
	clock.advance(time.Second)
	sets.sets["underway"] = &keySet{underway: make(chan struct{})}
	delete(sets.sets, "0")
	sets.sets["1"].asked = now.Add(-time.Second)
	wantKeys(t, sets, host.URL, "", "1")
	if _, known := sets.sets["1"]; known || len(sets.sets) != maxURLs {
		t.Errorf("the oldest is remembered: %v, beside %d", known, len(sets.sets))
	}
	for _, set := range sets.sets {
		set.underway = make(chan struct{})
	}
	wantNoKeys(t, sets, host.URL+"/more", "too many others")
}

// Fetches, failures and changes at once: for the race detector, and that whoever asks gets keys once there were any.
func TestFlappingHost(t *testing.T) {
	var turn atomic.Int32
	good := serve("no-store", newES256("1"))
	host := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		if turn.Add(1)%2 == 0 {
			broken(w, r)
			return
		}
		good(w, r)
	})
	sets, clock := newSets(t, 0, host)
	wantKeys(t, sets, host.URL, "1", "1")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 50 {
				wantKeys(t, sets, host.URL, fmt.Sprint(i), "1")
				clock.advance(5 * time.Second)
			}
		})
	}
	all.Wait()
	if host.requests.Load() < 10 {
		t.Errorf("%d requests", host.requests.Load())
	}
}
