package tokenserver_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kubemint/kubemint/tokenserver"
)

// maxBody is the largest body that the token endpoint reads.
const maxBody = 64 << 10

func TestMethods(t *testing.T) {
	s := start(t, newCluster(t, nil))
	credentials := grantType + "&client_id=" + worker + "&client_secret=" + secret
	preflight := post("").by(http.MethodOptions).anonymous().with("Origin", "https://evil.test").
		with("Access-Control-Request-Method", "POST").with("Access-Control-Request-Headers", "authorization")
	s.run(t, []row{
		{"T01 POST", post(grantType), issued},
		{"T02 GET is refused", get(tokenPath).asking(credentials), notAllowed},
		{"T03 HEAD is refused", post("").by(http.MethodHead), "405"},
		{"T03 PUT is refused", post(grantType).by(http.MethodPut), notAllowed},
		{"T03 PATCH is refused", post(grantType).by(http.MethodPatch), notAllowed},
		{"T03 DELETE is refused", post(grantType).by(http.MethodDelete), notAllowed},
		{"T03 TRACE is refused", post("").by(http.MethodTrace), notAllowed},
		{"T03 another case is another method", post(grantType).by("post"), notAllowed},
		{"T04 OPTIONS is refused", post("").by(http.MethodOptions).anonymous(), notAllowed},
		{"T05 CORS preflight allows nothing", preflight, notAllowed},
		{"T06 Origin changes nothing", post(grantType).with("Origin", "https://evil.test"), issued},
	})
	t.Run("T02 GET authenticates nobody", func(t *testing.T) {
		s.untouched(t, func() { s.ask(t, s.callers[0], get(tokenPath).asking(credentials)) })
		if strings.Contains(logged.String(), credentials) {
			t.Error("the query was logged")
		}
	})
}

func TestContentType(t *testing.T) {
	s := start(t, newCluster(t, nil))
	as := func(contentType string) request { return post(grantType).with("Content-Type", contentType) }
	multipart := post("--b\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--b--\r\n").
		with("Content-Type", "multipart/form-data; boundary=b")
	s.run(t, []row{
		{"T07 charset=UTF-8", as("application/x-www-form-urlencoded; charset=UTF-8"), issued},
		{"T07 upper case", as(`APPLICATION/X-WWW-FORM-URLENCODED; CHARSET="UTF-8"`), issued},
		{"T07 extra spaces", as("application/x-www-form-urlencoded  ;   charset=utf-8"), issued},
		{"T08 charset=ISO-8859-1", as("application/x-www-form-urlencoded; charset=ISO-8859-1"), invalidRequest},
		{"T08 charset=utf-16", as("application/x-www-form-urlencoded; charset=utf-16"), invalidRequest},
		{"T09 no Content-Type", post(grantType).with("Content-Type"), invalidRequest},
		{"T09 text/plain", as("text/plain"), invalidRequest},
		{"T09 JSON", post(`{"grant_type":"client_credentials"}`).with("Content-Type", "application/json"), invalidRequest},
		{"T09 JSON, said to be a form", post(`{"grant_type":"client_credentials"}`), invalidRequest},
		{"T10 multipart/form-data", multipart, invalidRequest},
		{"T11 gzip", post(gzipped(t, grantType)).with("Content-Encoding", "gzip"), unsupportedMedia},
		{"T11 gzip, not said to be", post(gzipped(t, grantType)), invalidRequest},
		{"T12 empty body", post(""), invalidRequest},
	})
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return compressed.String()
}

func TestSizes(t *testing.T) {
	s := start(t, newCluster(t, nil))
	padded := func(size int) string { return grantType + "&x=" + strings.Repeat("x", size-len(grantType+"&x=")) }
	s.run(t, []row{
		{"T13 body of the limit: it is read, and holds too much", post(padded(maxBody)), invalidRequest},
		{"T13 body of the limit, chunked", post(padded(maxBody)).inChunks(), invalidRequest},
		{"T13 body of the limit + 1", post(padded(maxBody + 1)), tooLarge},
		{"T13 body of the limit + 1, chunked", post(padded(maxBody + 1)).inChunks(), tooLarge},
		{"T14 10 001 parameters", post(strings.Repeat("x=1&", 10_000) + grantType), invalidRequest},
		{"T14 5 000 ampersands", post(grantType + strings.Repeat("&", 5_000)), invalidRequest},
		{"T14 a key of 60 KiB and no other", post(strings.Repeat("x", 60<<10) + "=1"), invalidRequest},
		{"T14 a key of 60 KiB beside the others", post(grantType + "&" + strings.Repeat("x", 60<<10) + "=1"), invalidRequest},
		{"T14 unknown parameters of 8 KiB", post(padded(8<<10 + len(grantType+"&"))), issued},
	})
	for name, request := range map[string]request{
		"T13 too large: nobody is looked up and the connection is closed":          post(padded(maxBody + 1)),
		"T13 too large, chunked: nobody is looked up and the connection is closed": post(padded(maxBody + 1)).inChunks(),
	} {
		t.Run(name, func(t *testing.T) {
			s.untouched(t, func() {
				a := s.ask(t, s.callers[0], request)
				if attest(t, tooLarge, a.outcome()); !a.closed {
					t.Error("the connection stays open, with the rest of the body in it")
				}
			})
		})
	}
}

// T19: only the endpoint's own path is answered. A redirect to it would make the client send its credentials again.
func TestPaths(t *testing.T) {
	s := start(t, newCluster(t, nil))
	for _, path := range []string{"/oauth2//token", "//oauth2/token", "/oauth2/token/", "/oauth2/./token", "/./oauth2/token",
		"/oauth2/x/../token", "/OAUTH2/TOKEN", "/oauth2/token;x", "/oauth2/token.", "/oauth2", "/token", "/"} {
		t.Run("T19 "+path, func(t *testing.T) {
			for _, caller := range s.callers {
				s.untouched(t, func() {
					a := s.send(t, caller, post(grantType).to(path))
					attest(t, "404", a.outcome())
					if a.status != http.StatusNotFound || a.header.Get("Location") != "" {
						t.Errorf("status %d, Location %q", a.status, a.header.Get("Location"))
					}
				})
			}
		})
	}
}

// T22: the issuer is configuration. Nothing that a caller says of the server's name gets into a token or a document.
func TestSpoofedHost(t *testing.T) {
	s := start(t, newCluster(t, nil))
	spoofed := func(r request) request {
		return r.at("evil.test").with("X-Forwarded-Host", "evil.test").with("X-Forwarded-Proto", "http").
			with("X-Forwarded-Prefix", "/evil").with("Forwarded", `host="evil.test";proto=http`)
	}
	t.Run("T22 token", func(t *testing.T) {
		for _, caller := range s.callers {
			a := s.ask(t, caller, spoofed(post(grantType)))
			if a.outcome() != issued {
				t.Fatalf("answer %s", a.outcome())
			}
			if _, claims := s.verify(t, a.token(t).AccessToken); claims["iss"] != issuerURL {
				t.Errorf("iss = %v", claims["iss"])
			}
		}
	})
	for name, path := range documents {
		t.Run("T22 "+name, func(t *testing.T) {
			plain := s.send(t, s.callers[0], get(path))
			for _, caller := range s.callers {
				if a := s.send(t, caller, spoofed(get(path))); a.status != 200 || !bytes.Equal(a.body, plain.body) {
					t.Errorf("status %d: %s", a.status, a.body)
				}
			}
		})
	}
}

// T23: a bug ends one request, and neither the process nor the connection.
func TestPanic(t *testing.T) {
	s := start(t, newCluster(t, nil))
	requests := map[string]request{"token endpoint": post(grantType)}
	for name, path := range documents {
		requests[name] = get(path)
	}
	for name, request := range requests {
		t.Run("T23 "+name, func(t *testing.T) {
			for _, caller := range s.callers {
				s.change(func() { s.hook = func() { panic("the cause of the panic") } })
				a := s.ask(t, caller, request)
				attest(t, serverError, a.outcome())
				if a.outcome() != serverError || bytes.Contains(a.body, []byte("panic")) || bytes.Contains(a.body, []byte("goroutine")) {
					t.Errorf("answer %s: %s", a.outcome(), a.body)
				}
				s.change(func() { s.hook = nil })
				if a := s.send(t, caller, request); a.outcome() != issued {
					t.Errorf("after it, answer %s", a.outcome())
				}
			}
		})
	}
	if !strings.Contains(logged.String(), "the cause of the panic") {
		t.Error("the panic was not logged")
	}
}

// T24: a server that does not know its clients yet must not tell them that they are unknown.
func TestNotReady(t *testing.T) {
	s := start(t, newCluster(t, nil))
	s.change(func() { s.notReady = true })
	s.run(t, []row{
		{"T24 clients not seen yet", post(grantType), unavailable},
		{"T24 unknown client", post(grantType).as("billing.unknown", secret), unavailable},
		{"T24 no credentials", post(grantType).anonymous(), unavailable},
		{"T24 malformed request", post("grant_type=&grant_type="), unavailable},
		{"T24 GET", get(tokenPath), notAllowed},
	})
	retryLater := func(t *testing.T, r request) {
		for _, caller := range s.callers {
			a := s.ask(t, caller, r)
			attest(t, unavailable, a.outcome())
			if a.outcome() != unavailable || a.header.Get("Retry-After") != "2" {
				t.Errorf("answer %s, Retry-After %q", a.outcome(), a.header.Get("Retry-After"))
			}
		}
	}
	t.Run("T24 Retry-After", func(t *testing.T) { retryLater(t, post(grantType)) })
	for name, path := range documents {
		t.Run("T24 "+name+" before the clients are seen", func(t *testing.T) {
			if a := s.send(t, s.callers[0], get(path)); a.status != 200 {
				t.Errorf("status %d, though the signing keys are known", a.status)
			}
		})
	}
	ring := s.ring
	s.change(func() { s.ring = nil })
	for name, path := range documents {
		t.Run("T24 "+name+" without signing keys", func(t *testing.T) { retryLater(t, get(path)) })
	}
	s.change(func() { s.ring, s.notReady = ring, false })
	s.run(t, []row{{"T24 once ready", post(grantType), issued}})
}

// documents are the public documents, and where they are.
var documents = map[string]string{
	"JWKS":                    tokenserver.JWKSPath,
	"metadata":                "/.well-known/oauth-authorization-server",
	"OpenID Connect metadata": "/.well-known/openid-configuration",
}
