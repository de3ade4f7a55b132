package tokenserver_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const tooManyFailures = "429 temporarily_unavailable"

// failUntilLimited fails to authenticate until the server has had enough.
func (s *server) failUntilLimited(t *testing.T, r request) answer {
	t.Helper()
	for range 1_000 {
		switch a := s.ask(t, s.callers[0], r); a.outcome() {
		case uniform401:
		case tooManyFailures:
			return a
		default:
			t.Fatalf("answer %s", a.outcome())
		}
	}
	t.Fatal("1 000 failures were let through")
	return answer{}
}

// A25: failures are limited, for known clients and unknown ones alike, and a good client is never locked out by them.
func TestA25FailureBudget(t *testing.T) {
	s := start(t, newCluster(t, nil))
	s.add("billing.other", secret)
	wrong := post(grantType).as(worker, "wrong-secret")
	known := s.failUntilLimited(t, wrong)
	unknown := s.failUntilLimited(t, post(grantType).as("billing.unknown", "wrong-secret"))
	if string(known.body) != string(unknown.body) {
		t.Errorf("known: %s\nunknown: %s", known.body, unknown.body)
	}
	for _, limited := range []answer{known, unknown} {
		attest(t, tooManyFailures, limited.outcome())
		if got := limited.header.Get("Retry-After"); got != "2" {
			t.Errorf("Retry-After %q", got)
		}
		if got := limited.header.Get("WWW-Authenticate"); got != "" {
			t.Errorf("429 with WWW-Authenticate %q", got)
		}
	}
	s.run(t, []row{
		{"A25 wrong secret, in the body", postSecret(worker, "wrong-secret"), tooManyFailures},
		{"A25 the right secret from the same source", post(grantType), issued},
		{"A25 after which the budget is still spent", wrong, tooManyFailures},
		{"A25 malformed requests are no failures", post(grantType).with("Authorization", basic(worker, "x"), "y"), invalidRequest},
		{"A25 another client from the same source", post(grantType).as("billing.other", "wrong-secret"), uniform401},
	})
	s.failUntilLimited(t, post(grantType).anonymous()) // By now, the source itself.
	s.run(t, []row{
		{"A25 another client, the source's budget spent", post(grantType).as("billing.other", "wrong-secret"), tooManyFailures},
		{"A25 with its right secret", post(grantType).as("billing.other", secret), issued},
	})
}

// A25: golang.org/x/oauth2 finds out by trial how a server takes secrets: first by Basic, then in the body. That is no attack.
func TestA25AutomaticAuthStyle(t *testing.T) {
	s := start(t, newCluster(t, nil))
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, s.callers[0])
	tokenWith := func(secret string) error {
		config := clientcredentials.Config{ClientID: worker, ClientSecret: secret, TokenURL: issuerURL + tokenPath}
		token, err := config.Token(ctx)
		if err == nil {
			keepTokenOutOfLogs(token.AccessToken)
		}
		return err
	}
	for range 10 { // A client that restarts with a secret that was rotated away.
		var refused *oauth2.RetrieveError
		if err := tokenWith("wrong-secret"); !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" {
			t.Fatalf("wrong secret: %v", err)
		}
	}
	s.failUntilLimited(t, postSecret(worker, "wrong-secret"))
	var refused *oauth2.RetrieveError
	if err := tokenWith("wrong-secret"); !errors.As(err, &refused) || refused.Response.StatusCode != http.StatusTooManyRequests ||
		!strings.Contains(refused.ErrorDescription, "failed too often") {
		t.Errorf("budget spent: %v", err)
	}
	if err := tokenWith(secret); err != nil {
		t.Errorf("the right secret: %v", err)
	}
}
