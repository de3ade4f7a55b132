package load

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	for _, test := range []struct {
		name        string
		plan        Plan
		connections func(requests int) int
		resumed     bool
	}{
		{"kept connections", Plan{Connections: 3}, func(int) int { return 3 }, false},
		{"new connections", Plan{Connections: 3, NewConnections: true}, func(requests int) int { return requests }, false},
		{"resumed sessions", Plan{Connections: 3, NewConnections: true, Resume: true}, func(requests int) int { return requests }, true},
		{"a fixed rate", Plan{Connections: 3, Rate: 100}, func(int) int { return 3 }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var answered, connections atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answered.Add(1)
				if body, _ := io.ReadAll(r.Body); string(body) == "bad" {
					http.Error(w, "no", http.StatusBadRequest)
				}
			}))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			server.StartTLS()
			defer server.Close()

			plan := test.plan
			plan.Address, plan.ServerName, plan.Duration = server.Listener.Addr().String(), "example.com", 300*time.Millisecond
			plan.Requests = [][]byte{
				[]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\ngood"),
				[]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nbad"),
			}
			result, err := Run(plan)
			if err != nil {
				t.Fatal(err)
			}
			if result.Requests != int(answered.Load()) || result.Statuses[200]+result.Statuses[400] != result.Requests {
				t.Errorf("counted %d requests, %v; the server answered %d", result.Requests, result.Statuses, answered.Load())
			}
			if difference := result.Statuses[200] - result.Statuses[400]; difference < 0 || difference > 1 {
				t.Errorf("the requests were not sent by turns: %v", result.Statuses)
			}
			if got, want := int(connections.Load()), test.connections(result.Requests); got != want {
				t.Errorf("%d connections, want %d", got, want)
			}
			if test.resumed != (result.Resumed > 0) {
				t.Errorf("%d sessions resumed", result.Resumed)
			}
			if result.P50 <= 0 || result.P99 < result.P50 {
				t.Errorf("latencies %s, %s", result.P50, result.P99)
			}
		})
	}
}

// The latency at a fixed rate is that of requests, not of the connections that they are sent on.
func TestKeptConnectionsAreThereFirst(t *testing.T) {
	const slow = 200 * time.Millisecond
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		time.Sleep(slow)
		return nil, nil
	}}
	server.StartTLS()
	defer server.Close()
	result, err := Run(Plan{Address: server.Listener.Addr().String(), ServerName: "example.com", Connections: 3, Rate: 100,
		Duration: 300 * time.Millisecond, Requests: [][]byte{[]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")}})
	if err != nil {
		t.Fatal(err)
	}
	if result.P99 >= slow {
		t.Errorf("99th percentile %s, which is how long a handshake takes", result.P99)
	}
}
