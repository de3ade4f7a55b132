package assertion

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
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
	for i, wait := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300} {
		wantNoKeys(t, sets, host.URL, "its URL answers 500")
		clock.advance(wait*time.Second - 1)
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
	sets, _ := newSets(t, 300*time.Millisecond, slow, good)
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

func TestAnswersThatAreRefused(t *testing.T) {
	elsewhere := newHost(t, serve("", newES256("1")))
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}, "answers 302: it must answer 200, and redirects are not followed"},
		{"not found", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "answers 404"},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "answers 204"},
		{"too long", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat(" ", 10<<20)))
		}, "longer than 64 KiB"},
		{"headers that are too long", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, "header"},
		{"compressed", func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Accept-Encoding"); got != "" {
				t.Errorf("accepts %q", got)
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte("\x1f\x8b"))
		}, "JSON"},
		{"a private key", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(jwks(newES256("1").jwk().with("d", "AAAA")))
		}, "publish only public keys"},
		{"an end before the end", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"keys":`))
		}, "unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			host := newHost(t, test.answer)
			sets, _ := newSets(t, 0, host, elsewhere)
			wantNoKeys(t, sets, host.URL+"/?secret=hunter2", test.want)
			_, err := sets.Keys(t.Context(), host.URL+"/?secret=hunter2", "")
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes the URL: %v", err)
			}
		})
	}
	elsewhere.wantRequests(t, 0)
}

func TestACertificateThatIsNotTrusted(t *testing.T) {
	host := newHost(t, serve("", newES256("1")))
	sets, _ := newSets(t, 0)
	wantNoKeys(t, sets, host.URL, "certificate")
	host.wantRequests(t, 0)
}

// C18: nothing in an assertion leads to a request, which TestAnUnknownKeyIsLookedForOnceAMinute bounds for kid.
func TestURLsThatAreRefused(t *testing.T) {
	sets, _ := newSets(t, 0)
	for address, want := range map[string]string{
		"":                               "begin with https://",
		"http://host.example/jwks":       "begin with https://",
		"file:///etc/passwd":             "begin with https://",
		"https:///jwks":                  "begin with https://",
		"https:host.example":             "begin with https://",
		"https://:443/jwks":              "begin with https://",
		"https://u:p@host.example/":      "no user",
		"https://host.example/#x":        "fragment",
		"https://host.example/#":         "fragment",
		"https://host.example/\n":        "must be a URL",
		"https://h/" + long(maxURL):      "at most 2048 bytes",
		"https://host.example:99999/":    "",
		"https://host.example/jwks?x=%2": "",
	} {
		if err := CheckURL(address); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
		if want != "" {
			wantNoKeys(t, sets, address, want)
		}
	}
	if len(sets.sets) != 0 {
		t.Error("what is no URL of a key set is remembered")
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func TestAddresses(t *testing.T) {
	services := []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "2a00:1450:4001::1": true, "64:ff9b::8.8.8.8": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "127.8.8.8": false, "0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.168.1.1": false, "169.254.169.254": false, "168.63.129.16": false, "100.64.0.1": false, "100.100.100.200": false,
		"198.18.0.1": false, "192.0.0.192": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
		"fec0::1": false, "2001:db8::1": false, "2001::1": false, "2002:a00:1::": false, "::ffff:127.0.0.1": false,
		"::ffff:169.254.169.254": false, "64:ff9b::127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b:1::1": false,
		"::7f00:1": false, "100::1": false, "4000::1": false,
		"10.96.0.1": true, "10.111.255.255": true, "10.112.0.0": false, "::ffff:10.96.0.1": true, "64:ff9b::10.96.0.1": true,
	} {
		if got := mayDial(netip.MustParseAddr(address), services); got != want {
			t.Errorf("may dial %s: %v, want %v", address, got, want)
		}
	}
}

// The address is looked at when it is dialled: a name that resolves to a private one is refused as the address itself is.
func TestPrivateAddressesAreNotDialled(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	connected := make(chan struct{})
	go func() {
		if _, err := listener.Accept(); err == nil {
			close(connected)
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	sets := NewKeySets(FetchOptions{})
	for _, name := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"} {
		address := fmt.Sprintf("https://%s:%d/jwks", name, port)
		_, err := sets.Keys(t.Context(), address, "")
		if !errors.Is(err, errAddress) {
			t.Errorf("%s: %v, want %v", name, err, errAddress)
		} else if strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("the error tells the address: %v", err)
		}
	}
	select {
	case <-connected:
		t.Error("it was dialled")
	default:
	}
}

// A proxy would be dialled in place of the host, whatever the host's address.
func TestNoProxyIsTakenFromTheEnvironment(t *testing.T) {
	transport := newClient(nil, nil, time.Second).Transport.(*http.Transport)
	if transport.Proxy != nil {
		t.Error("the transport has a proxy")
	}
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
