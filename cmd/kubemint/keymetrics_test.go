package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kubemint/kubemint/controllers"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// view is a registry that tests fill by hand.
type view struct {
	ring  *signing.Ring
	valid bool
}

func (view) Count() int            { return 0 }
func (view) LastEvent() time.Time  { return time.Time{} }
func (v view) Ring() *signing.Ring { return v.ring }
func (v view) RingValid() bool     { return v.valid }

func TestSigningKeyMetrics(t *testing.T) {
	at := time.Unix(1_900_000_000, 0)
	key := func(state signing.State) signing.Key {
		key, err := signing.NewKey(signing.ES256, at.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if state != signing.Prepared {
			key.Activate(at)
		}
		if state == signing.Retired {
			key.Retire(at)
		}
		return key
	}
	prepared, active, retired := key(signing.Prepared), key(signing.Active), key(signing.Retired)
	ring := func(keys ...signing.Key) *signing.Ring {
		ring, err := signing.NewRing(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	for name, test := range map[string]struct {
		view  view
		every time.Duration
		lines []string
		not   []string
	}{
		"none yet": {view{}, time.Hour, []string{"kubemint_signing_keys_valid 0"}, []string{"kubemint_signing_key_"}},
		"one": {view{ring(active), true}, 24 * time.Hour, []string{
			"kubemint_signing_keys_valid 1",
			`kubemint_signing_key_info{algorithm="ES256",kid="` + active.ID + `",state="active"} 1`,
			`kubemint_signing_key_created_timestamp_seconds{kid="` + active.ID + `"} 1.8999964e+09`,
			`kubemint_signing_key_activated_timestamp_seconds{kid="` + active.ID + `"} 1.9e+09`,
			"kubemint_signing_key_next_rotation_timestamp_seconds 1.9000864e+09",
		}, nil},
		"on request only": {view{ring(active), true}, 0, []string{"kubemint_signing_key_next_rotation_timestamp_seconds 0"}, nil},
		"all states, from before": {view{ring(prepared, active, retired), false}, 0, []string{
			"kubemint_signing_keys_valid 0",
			`kubemint_signing_key_info{algorithm="ES256",kid="` + prepared.ID + `",state="prepared"} 1`,
			`kubemint_signing_key_info{algorithm="ES256",kid="` + retired.ID + `",state="retired"} 1`,
			`kubemint_signing_key_activated_timestamp_seconds{kid="` + retired.ID + `"} 1.9e+09`,
			"kubemint_signing_key_next_rotation_timestamp_seconds 1.9e+09",
		}, []string{`activated_timestamp_seconds{kid="` + prepared.ID}},
	} {
		t.Run(name, func(t *testing.T) {
			body := scrapeMetrics(newMetrics(test.view, controllers.SigningKeyPolicy(signing.ES256, test.every), nil))
			for _, line := range test.lines {
				if !strings.Contains(body, "\n"+line+"\n") {
					t.Errorf("there is no %s", line)
				}
			}
			for _, not := range test.not {
				if strings.Contains(body, not) {
					t.Errorf("there is a %s", not)
				}
			}
		})
	}
}

func TestServingCertificateMetric(t *testing.T) {
	const name = "kubemint_serving_certificate_expiry_timestamp_seconds"
	serving := &tls.Certificate{Leaf: &x509.Certificate{NotAfter: time.Unix(1_900_000_000, 0)}}
	for title, test := range map[string]struct {
		get  getCertificate
		want bool
	}{
		"plain HTTP": {nil, false},
		"none yet":   {func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none yet") }, false},
		"one":        {func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return serving, nil }, true},
	} {
		body := scrapeMetrics(newMetrics(view{}, controllers.SigningKeyPolicy(signing.ES256, 0), test.get))
		if got := strings.Contains(body, "\n"+name+" 1.9e+09\n"); got != test.want || strings.Contains(body, name) != test.want {
			t.Errorf("%s: told: %t", title, got)
		}
	}
}

func scrapeMetrics(m *metrics) string {
	recorder := httptest.NewRecorder()
	metricsHandler(m.registry).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return recorder.Body.String()
}
