package tokenserver_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/kubemint/kubemint/tokenserver"
)

// maxStreams is how many requests may be under way on one HTTP/2 connection.
const maxStreams = 100

// T16: whoever is slow, or idle, loses its connection when its time is over. Meanwhile the others get their tokens.
func TestSlowCallers(t *testing.T) {
	const soon, never = time.Second, time.Hour
	slowHeader := tokenserver.Timeouts{ReadHeader: soon, Read: never, Write: never, Idle: never}
	slowBody := tokenserver.Timeouts{ReadHeader: never, Read: soon, Write: never, Idle: never}
	idle := tokenserver.Timeouts{ReadHeader: never, Read: never, Write: never, Idle: soon}
	slowBodyThenIdle := tokenserver.Timeouts{ReadHeader: never, Read: soon, Write: never, Idle: soon}
	for _, test := range []struct {
		name     string
		timeouts tokenserver.Timeouts
		// attack begins a connection, and returns what writes a further byte to it: nothing where that is the attack.
		attack func(*testing.T, *server) (conn net.Conn, further func() error)
	}{
		{"T16 no byte", slowHeader, func(t *testing.T, s *server) (net.Conn, func() error) { return s.dial(t).Conn, nil }},
		{"T16 slow headers", slowHeader, func(t *testing.T, s *server) (net.Conn, func() error) {
			c := s.dial(t)
			c.write(t, "POST "+tokenPath+" HTTP/1.1\r\nHost: "+host+"\r\nX-Slow: ")
			return c.Conn, c.byteByByte
		}},
		{"T16 slow body", slowBody, func(t *testing.T, s *server) (net.Conn, func() error) {
			c := s.dial(t)
			c.write(t, raw("HTTP/1.1", "", "Content-Length: 60000"))
			return c.Conn, c.byteByByte
		}},
		{"T16 idle", idle, func(t *testing.T, s *server) (net.Conn, func() error) {
			c := s.dial(t)
			c.write(t, raw("HTTP/1.1", grantType, contentLength))
			c.answer(t)
			return c.Conn, nil
		}},
		// Headers that have not ended make no request, so that the connection counts as idle.
		{"T16 slow headers, HTTP/2", idle, func(t *testing.T, s *server) (net.Conn, func() error) {
			c := s.frames(t)
			longHeader := []byte{0x10, 1, 'x', 0x7f, 0x81, 0x7c} // Its name is x, and its value has 16 000 bytes, which are to follow.
			block := append(c.block("GET", tokenserver.JWKSPath), longHeader...)
			c.must(t, c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block}))
			return c.conn, func() error { return c.WriteContinuation(1, false, []byte{'x'}) }
		}},
		{"T16 slow body, HTTP/2", slowBodyThenIdle, func(t *testing.T, s *server) (net.Conn, func() error) {
			c := s.frames(t)
			c.must(t, c.open(1, "POST", tokenPath, false))
			return c.conn, func() error { return c.WriteData(1, false, []byte{'x'}) }
		}},
		{"T16 idle, HTTP/2", idle, func(t *testing.T, s *server) (net.Conn, func() error) {
			c := s.frames(t)
			c.must(t, c.open(1, "GET", tokenserver.JWKSPath, true))
			return c.conn, nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, newCluster(t, nil), func(config *tokenserver.Config) { config.Timeouts = test.timeouts })
			conn, further := test.attack(t, s)
			if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // So that a server that hangs fails one test by its name.
				t.Fatal(err)
			}
			closed := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, conn)
				closed <- err
			}()
			written := 0
			for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
				s.mustIssue(t, s.callers[written%2], "beside a slow caller")
				if further != nil && further() == nil {
					written++
				}
				select {
				case err := <-closed:
					if attest(t, "closed", closedBy(err)); errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error("the connection was not closed")
					}
					if further != nil && written < 3 {
						t.Errorf("the connection was closed after %d bytes, not for being slow", written)
					}
					return
				default:
				}
			}
		})
	}
}

// closedBy says how a connection ended from which all was read.
func closedBy(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "open"
	}
	return "closed"
}

func (c connection) byteByByte() error {
	_, err := io.WriteString(c.Conn, "x")
	return err
}

// frames is a connection to the server on which a test writes what HTTP/2 frames it likes.
type frames struct {
	*http2.Framer
	conn *tls.Conn
}

// frames opens a connection for HTTP/2, and exchanges settings.
func (s *server) frames(t *testing.T) frames {
	t.Helper()
	conn, err := s.handshake(t, func(config *tls.Config) { config.NextProtos = []string{"h2"} })
	if err != nil {
		t.Fatal(err)
	}
	f := frames{http2.NewFramer(conn, conn), conn}
	f.must(t, conn.SetReadDeadline(time.Now().Add(time.Minute))) // So that a server that hangs fails one test by its name.
	_, err = io.WriteString(conn, http2.ClientPreface)
	f.must(t, err)
	f.must(t, f.WriteSettings())
	first, err := f.ReadFrame()
	f.must(t, err)
	settings, ok := first.(*http2.SettingsFrame)
	if !ok {
		t.Fatalf("the server began with %v", first)
	}
	if streams, _ := settings.Value(http2.SettingMaxConcurrentStreams); streams != maxStreams {
		t.Errorf("the server allows %d streams at once", streams)
	}
	f.must(t, f.WriteSettingsAck())
	return f
}

func (frames) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open begins a request.
func (f frames) open(id uint32, method, path string, complete bool) error {
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block(method, path), EndHeaders: true, EndStream: complete})
}

// block returns the encoded headers of a request.
func (frames) block(method, path string) []byte {
	return encode(hpack.HeaderField{Name: ":method", Value: method}, hpack.HeaderField{Name: ":scheme", Value: "https"},
		hpack.HeaderField{Name: ":authority", Value: host}, hpack.HeaderField{Name: ":path", Value: path},
		hpack.HeaderField{Name: "content-type", Value: "application/x-www-form-urlencoded"})
}

// encode encodes headers without the dynamic table, so that they can be sent any number of times.
func encode(fields ...hpack.HeaderField) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		field.Sensitive = true
		_ = encoder.WriteField(field) // A buffer always takes it.
	}
	return block.Bytes()
}

// What the server may say to a flood.
const (
	streamRefused  = "stream refused"
	streamAnswered = "stream answered"
)

// events reads what the server says until it closes the connection.
func (f frames) events() <-chan string {
	events := make(chan string, 1_000_000) // Never full, so that the reader never waits.
	go func() {
		defer close(events)
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.GoAwayFrame:
				events <- "GOAWAY " + frame.ErrCode.String()
			case *http2.RSTStreamFrame:
				events <- streamRefused
			case *http2.HeadersFrame:
				events <- streamAnswered
			}
		}
	}()
	return events
}

// jam holds up the first lookups of the signing keys, and with them their requests, until it is released.
func (s *server) jam(t *testing.T, lookups int64) (full <-chan struct{}, release func()) {
	var entered atomic.Int64
	filled, goOn := make(chan struct{}), make(chan struct{})
	s.change(func() {
		s.hook = func() {
			nth := entered.Add(1)
			if nth == lookups {
				close(filled)
			}
			if nth <= lookups {
				<-goOn
			}
		}
	})
	release = sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(release) // Before the server's own, which waits for it.
	return filled, release
}

// T17: one connection gets so many requests and no more, whatever it does with them. Meanwhile the others get their tokens.
func TestFloods(t *testing.T) {
	t.Run("T17 rapid reset", func(t *testing.T) {
		s := start(t, newCluster(t, nil))
		check := s.bystanders(t)
		f := s.frames(t)
		full, _ := s.jam(t, maxStreams)
		events := f.events()
		go func() {
			for id := uint32(1); id < 2*100_000; id += 2 {
				if f.open(id, "GET", tokenserver.JWKSPath, true) != nil || f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
					return
				}
			}
		}()
		<-full
		end, seen := "open", 0
		for event := range events {
			if seen++; seen%100 == 1 {
				check()
			}
			if strings.HasPrefix(event, "GOAWAY") {
				end = event
			}
		}
		if attest(t, "GOAWAY ENHANCE_YOUR_CALM", end); end != "GOAWAY ENHANCE_YOUR_CALM" {
			t.Errorf("the flood ended with %s", end)
		}
		check()
	})
	t.Run("T17 1 000 streams", func(t *testing.T) {
		const streams = 1_000
		s := start(t, newCluster(t, nil))
		check := s.bystanders(t)
		f := s.frames(t)
		full, release := s.jam(t, maxStreams)
		events := f.events()
		for i := range uint32(streams) {
			f.must(t, f.open(2*i+1, "GET", tokenserver.JWKSPath, true))
		}
		<-full
		count := map[string]int{}
		until := func(what string, times int) { // Or until the connection is closed.
			for event := range events {
				if count[event]++; count[what] == times {
					return
				}
			}
		}
		until(streamRefused, streams-maxStreams)
		check()
		release()
		until(streamAnswered, maxStreams)
		got := fmt.Sprintf("%d answered, %d refused", count[streamAnswered], count[streamRefused])
		if attest(t, "100 answered, 900 refused", got); got != "100 answered, 900 refused" {
			t.Error(got)
		}
	})
	t.Run("T17 CONTINUATION flood", func(t *testing.T) {
		s := start(t, newCluster(t, nil))
		check := s.bystanders(t)
		f := s.frames(t)
		events := f.events()
		field := encode(hpack.HeaderField{Name: "x-flood", Value: strings.Repeat("x", 16_000)})
		f.must(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block("GET", tokenserver.JWKSPath)}))
		sent := 0
		for sent < 10_000 && f.WriteContinuation(1, false, field) == nil {
			if sent++; sent%10 == 0 {
				check()
			}
		}
		for range events { // Until the connection is closed.
		}
		got := "closed"
		if sent == 10_000 {
			got = "140 MB were read"
			t.Error(got)
		}
		attest(t, "closed", got)
		check()
	})
}

// bystanders returns a check that other callers get their tokens, and that there are not many more goroutines than before.
func (s *server) bystanders(t *testing.T) (check func()) {
	t.Helper()
	served := func() {
		for _, caller := range s.callers {
			s.mustIssue(t, caller, "beside a flood")
		}
	}
	served()
	before := goroutines()
	return func() {
		served()
		if now := goroutines(); now > before+maxStreams+20 { // A few for the connection itself.
			t.Fatalf("%d goroutines, after %d", now, before)
		}
	}
}

// goroutines counts them while the world is stopped: runtime.NumGoroutine also counts up to 33 ended ones while they are put aside.
func goroutines() int {
	n, _ := runtime.GoroutineProfile(make([]runtime.StackRecord, 1)) // An empty slice would not stop the world.
	return n
}
