package tokenserver_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// newHandler returns a server to call without a network between.
func newHandler(t testing.TB, c *cluster) http.Handler {
	t.Helper()
	config := configOf(c)
	config.Log = slog.New(slog.DiscardHandler)
	handler, err := tokenserver.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func record(handler http.Handler, method string, header http.Header, body string) *http.Response {
	sent := httptest.NewRequest(method, tokenPath, strings.NewReader(body))
	sent.Header = header
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, sent)
	return recorder.Result()
}

// FuzzP16TokenRequest is P16: no bytes as body and Authorization header are answered by 5xx, which a panic is too, and none by a
// token unless they hold the secret.
func FuzzP16TokenRequest(f *testing.F) {
	const id, secret = "billing.fuzzed", "the+secret%of:fuzzed" // The same in each process that fuzzes.
	for _, seed := range []request{
		post(grantType).as(id, secret), postSecret(id, secret), post(grantType+"&scope=read").as(id, secret),
		post(grantType).as(id, "wrong"), post(grantType).as("x", secret), postSecret("x", secret), post(grantType).anonymous(),
		post(grantType).with("Authorization", rawBasic(id+":"+secret)), post(grantType).with("Authorization", "Bearer "+secret),
		post("grant_type=password").as(id, secret), post(grantType+"&client_assertion=a.b.c").as(id, secret),
		post(grantType+"&scope="+strings.Repeat("a+", 100)).as(id, secret), post(grantType+"&scope=%00%ff").as(id, secret),
		post(strings.Repeat("&", 100) + grantType), post("\ufeff" + grantType + "\r\n"), post("%zz;%"), post(grantType).as(id, ""),
	} {
		f.Add(seed.header.Get("Authorization"), seed.body)
	}
	c := &cluster{clients: map[string]*grant.Client{}, ring: ring(f)}
	c.add(id, secret)
	handler := newHandler(f, c)
	if got := record(handler, http.MethodPost, post("").as(id, secret).header, grantType); got.StatusCode != http.StatusOK {
		f.Fatalf("a right request is answered by %s", got.Status)
	}
	f.Fuzz(func(t *testing.T, authorization, body string) {
		r := post(body).with("Authorization", authorization)
		if authorization == "" {
			r = r.anonymous()
		}
		a := read(t, record(handler, http.MethodPost, r.header, body))
		a.check(t, http.MethodPost)
		switch a.status {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge:
		case http.StatusTooManyRequests: // So many failures come together.
		case http.StatusOK:
			_, inHeader := credentialsIn(authorization)
			form, _ := url.ParseQuery(strings.TrimRight(body, "\r\n"))
			if inHeader != secret && form.Get("client_secret") != secret {
				t.Errorf("a token without the secret, for %q and %q", authorization, body)
			}
		default:
			t.Errorf("answer %s", a.outcome())
		}
	})
}
