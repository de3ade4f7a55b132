package tokenserver_test

import (
	"bytes"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// Each row asks for a token, lets time pass and something happen, and asks again.
func TestReuse(t *testing.T) {
	const window, hour = 30 * time.Second, time.Hour
	otherRing, err := signing.NewRingWithKey(signing.ES256, noon)
	if err != nil {
		t.Fatal(err)
	}
	otherSecret := credential.Generate()
	nothing := func(*cluster) {}
	for _, row := range []struct {
		name             string
		window, lifetime time.Duration
		pass             time.Duration
		happen           func(*cluster)
		again            request
		same             bool
		expiresIn        string
	}{
		{"off", 0, hour, 0, nothing, post(grantType), false, "3600"},
		{"at once", window, hour, 0, nothing, post(grantType), true, "3600"},
		{"before the window ends", window, hour, window - time.Second, nothing, post(grantType), true, "3571"},
		{"when the window has ended", window, hour, window, nothing, post(grantType), false, "3600"},
		{"half of the lifetime is left", window, 40 * time.Second, 19 * time.Second, nothing, post(grantType), true, "21"},
		{"less is left", window, 40 * time.Second, 20 * time.Second, nothing, post(grantType), false, "40"},
		{"the same scopes, named", window, hour, 0, nothing, post(grantType + "&scope=write+read"), true, "3600"},
		{"other scopes", window, hour, 0, nothing, post(grantType + "&scope=read"), false, "3600"},
		{"the same scopes at another audience", window, hour, 0, nothing, post(grantType + "&resource=" + url.QueryEscape(orders)), false, "900"},
		{"another client", window, hour, 0, nothing, post(grantType).as("billing.other", otherSecret), false, "3600"},
		{"the client has changed", window, hour, 0, remake, post(grantType), false, "3600"},
		{"another key signs", window, hour, 0, func(c *cluster) { c.ring = otherRing }, post(grantType), false, "3600"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			var passed atomic.Int64
			c := newCluster(t, map[string]string{"billing.other": otherSecret})
			c.clients[worker].Accesses[0].Lifetime = row.lifetime
			c.clients[worker].Accesses[0].Listed = c.clients[worker].Accesses[0].Granted
			c.clients[worker].Accesses = append(c.clients[worker].Accesses, accessAt(orders, "read", "write"))
			s := start(t, c, tee(&log, inText), func(config *tokenserver.Config) {
				config.Reuse = row.window
				config.Issuer.Now = func() time.Time { return noon.Add(time.Duration(passed.Load())) }
			})
			first := s.token(t, post(grantType))
			passed.Store(int64(row.pass))
			c.change(func() { row.happen(c) })
			second := s.token(t, row.again)
			if same := first.AccessToken == second.AccessToken; same != row.same {
				t.Errorf("the same token: %t, want %t", same, row.same)
			}
			if got := second.ExpiresIn.String(); got != row.expiresIn {
				t.Errorf("expires_in %s, want %s", got, row.expiresIn)
			}
			if again := bytes.Contains(log.Bytes(), []byte("token issued again")); again != row.same {
				t.Errorf("logged as issued again: %t, want %t", again, row.same)
			}
		})
	}
}

// remake makes the entry of worker anew, as the registry does after every change.
func remake(c *cluster) {
	client := *c.clients[worker]
	client.Revision++
	c.clients[worker] = &client
}

// A client that may get no more tokens gets none of before either.
func TestReuseDoesNotOutliveTheGrant(t *testing.T) {
	s := start(t, newCluster(t, nil), func(config *tokenserver.Config) { config.Reuse = time.Minute })
	s.token(t, post(grantType))
	s.change(func() { remake(s.cluster); s.clients[worker].Suspended = true })
	attest(t, unauthorizedClient, s.ask(t, s.callers[0], post(grantType)).outcome())
}
