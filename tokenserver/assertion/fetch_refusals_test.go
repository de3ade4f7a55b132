package assertion

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

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

// Whoever reads why a fetch failed learns no address that the names of hosts, or of name servers, stand for.
func TestReasonsTellNoAddress(t *testing.T) {
	host := newHost(t, serve("", newES256("1")))
	host.Close()
	sets, _ := newSets(t, 0, host)
	_, refused := sets.Keys(t.Context(), host.URL, "")
	resolving := &net.DNSError{Err: "no such host", Name: "host.example", Server: "10.96.0.10:53"}
	for want, err := range map[string]error{
		"connection refused": refused,
		"check the name":     reason(&url.Error{Op: "Get", Err: &net.OpError{Op: "dial", Net: "tcp", Err: resolving}}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "10.96") {
			t.Errorf("%v, want %q without an address", err, want)
		}
	}
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
