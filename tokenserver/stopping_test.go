package tokenserver_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kubemint/kubemint/tokenserver"
)

// countingListener counts the connections that were made to it.
type countingListener struct {
	net.Listener
	accepted atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return conn, err
}

// A server that is told to stop fails no request for as long as some still come, on old connections and on new ones, and sends
// its callers away from the old ones.
func TestLingering(t *testing.T) {
	lingering, nobodyComes := make(chan struct{}), make(chan struct{})
	listener := &countingListener{}
	var err error
	if listener.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s := startOn(t, listener, newCluster(t, nil), func(config *tokenserver.Config) {
		config.Linger = func() { close(lingering); <-nobodyComes }
	})

	callersLeave := sync.OnceFunc(func() { close(nobodyComes) })
	t.Cleanup(callersLeave) // Before the server's own, which waits for it.

	const before, after = 5, 25
	var load, warm sync.WaitGroup
	for i := range 8 {
		warm.Add(1)
		load.Go(func() {
			for n := range before {
				s.mustIssue(t, s.callers[i%2], fmt.Sprintf("request %d before", n))
			}
			warm.Done()
			for stopping, left := false, after; left > 0 && !t.Failed(); {
				select {
				case <-lingering:
					stopping = true
				default:
				}
				if s.mustIssue(t, s.callers[i%2], fmt.Sprintf("while stopping: %t", stopping)); stopping {
					left--
				}
			}
		})
	}
	warm.Wait()
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	load.Wait()

	for _, caller := range s.callers {
		opened := listener.accepted.Load()
		for tries := 0; listener.accepted.Load() < opened+2; tries++ { // The first is the one that is sent away.
			if s.mustIssue(t, caller, "one at a time"); tries > 1_000 {
				t.Fatal("1 000 requests went over one connection to a server that stops")
			}
		}
	}
	for _, caller := range s.callers {
		// One that was opened and not used yet would be waited for: net/http closes such a connection of HTTP/1.1 only.
		caller.CloseIdleConnections()
	}
	callersLeave()
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if conn, err := net.Dial("tcp", s.address); err == nil {
		_ = conn.Close()
		t.Error("the server still takes connections")
	}
}

// mustIssue asks for a token, from any goroutine.
func (s *server) mustIssue(t *testing.T, caller *http.Client, when string) {
	t.Helper()
	s.mustAnswer(t, caller, when, issued)
}

// mustAnswer makes a right request, from any goroutine, which must be answered in one way.
func (s *server) mustAnswer(t *testing.T, caller *http.Client, when, want string) {
	t.Helper()
	r := post(grantType)
	sent, err := http.NewRequest(r.method, issuerURL+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Error(err)
		return
	}
	sent.Header = r.header
	response, err := caller.Do(sent)
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return
	}
	a := read(t, response)
	if a.outcome() != want {
		t.Errorf("%s: answer %s, want %s", when, a.outcome(), want)
	}
	if a.status == http.StatusOK {
		keepTokenOutOfLogs(a.token(t).AccessToken)
	}
}
