//go:build timing

package tokenserver_test

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/scope"
)

// Timing is measured in the manner of dudect (Reparaz, Balasch, Verbauwhede, 2017): Welch's t-test over the durations of two
// kinds of requests, of which it takes this many each.
const (
	samples = 20_000
	// maxT is dudect's own bound: by chance alone, |t| passes it in one measurement of a hundred thousand.
	maxT = 4.5
	// measurements are made where t passes the bound. A leak passes it in the same direction every time; what else the machine
	// had to do does not.
	measurements = 3
)

// A07: how long a refusal takes tells nobody whether there is such a client, nor how it stands with it.
func TestTimingOfRefusals(t *testing.T) {
	c := newCluster(t, nil)
	c.add("billing.paused", secret).Suspended = true
	c.add("billing.scopes", secret).Accesses[0].Grant = scope.Grant{}
	wrong := func(id string) request { return post(grantType).as(id, "wrong-secret") }
	for name, id := range map[string]string{"unknown id": "billing.nobody", "suspended client": "billing.paused",
		"client without scopes": "billing.scopes"} {
		t.Run("A07 wrong secret and "+name, func(t *testing.T) { sameDuration(t, c, wrong(worker), wrong(id)) })
	}
}

// A08: nor how much of a guess is right.
func TestTimingOfGuesses(t *testing.T) {
	// Of the same characters, for it may well take longer to decode others.
	characters := []byte(secret)
	slices.Reverse(characters)
	far := string(characters)
	nearly, isA := strings.CutSuffix(secret, "A")
	if nearly += "B"; !isA {
		nearly = secret[:len(secret)-1] + "A"
	}
	t.Run("A08 long common prefix and none", func(t *testing.T) {
		sameDuration(t, newCluster(t, nil), post(grantType).as(worker, nearly), post(grantType).as(worker, far))
	})
}

// sameDuration fails the test if the durations of two requests can be told apart.
func sameDuration(t *testing.T, c *cluster, a, b request) {
	t.Helper()
	handler := newTimedHandler(t, c)
	var all []string
	var above, below int
	for len(all) < measurements {
		value := welch(measure(t, handler, a, b))
		all = append(all, fmt.Sprintf("%+.1f", value))
		switch {
		case value >= maxT:
			above++
		case value <= -maxT:
			below++
		default:
			attest(t, "|t| < 4.5", "t = "+strings.Join(all, ", then "))
			return
		}
	}
	if attest(t, "|t| < 4.5", "t = "+strings.Join(all, ", ")); above == measurements || below == measurements {
		t.Errorf("the two can be told apart: t = %s", strings.Join(all, ", "))
	}
}

// newTimedHandler returns a handler whose clock goes on by a minute each time, so that the budget for failures is never spent.
func newTimedHandler(t *testing.T, c *cluster) http.Handler {
	t.Helper()
	config, now := configOf(c), noon
	config.Issuer.Now = func() time.Time { now = now.Add(time.Minute); return now }
	config.Log = slog.New(slog.DiscardHandler)
	handler, err := tokenserver.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// measure times two requests in random order, without a network between, which would hide more than it shows.
func measure(t *testing.T, handler http.Handler, requests ...request) (durations [2][]float64) {
	t.Helper()
	order := make([]int, 2*samples)
	for i := range order {
		order[i] = i % 2
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, which := range order {
		r := requests[which]
		sent := httptest.NewRequest(r.method, r.path, strings.NewReader(r.body))
		sent.Header = r.header
		recorder := httptest.NewRecorder()
		began := time.Now()
		handler.ServeHTTP(recorder, sent)
		took := time.Since(began)
		if recorder.Code != http.StatusUnauthorized {
			t.Fatalf("answer %d", recorder.Code)
		}
		durations[which] = append(durations[which], float64(took))
	}
	return durations
}

// welch returns the t of Welch's t-test, without the slowest tenth of the samples: those measure the machine.
func welch(durations [2][]float64) float64 {
	all := slices.Sorted(slices.Values(slices.Concat(durations[0], durations[1])))
	slowest := all[len(all)*9/10]
	var mean, variance, count [2]float64
	for i, list := range durations {
		list = slices.DeleteFunc(list, func(d float64) bool { return d > slowest })
		count[i] = float64(len(list))
		for _, d := range list {
			mean[i] += d / count[i]
		}
		for _, d := range list {
			variance[i] += (d - mean[i]) * (d - mean[i]) / (count[i] - 1)
		}
	}
	return (mean[0] - mean[1]) / math.Sqrt(variance[0]/count[0]+variance[1]/count[1])
}
