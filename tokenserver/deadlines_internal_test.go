package tokenserver

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

// timers tells of each deadline that is set on a connection itself.
type timers struct {
	net.Conn
	set chan time.Time
}

func (t timers) SetReadDeadline(at time.Time) error {
	err := t.Conn.SetReadDeadline(at)
	t.set <- at
	return err
}

func (t timers) SetWriteDeadline(at time.Time) error {
	err := t.Conn.SetWriteDeadline(at)
	t.set <- at
	return err
}

// pipe returns a connection, its other end, and what timers are set on it.
func pipe(t *testing.T) (*deadlineConn, net.Conn, chan time.Time) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	set := make(chan time.Time, 100)
	return &deadlineConn{Conn: timers{near, set}}, far, set
}

// transfer is a read or a write under way.
type transfer struct {
	n   int
	err error
}

func begin(operate func([]byte) (int, error), p []byte) chan transfer {
	done := make(chan transfer, 1)
	go func() {
		n, err := operate(p)
		done <- transfer{n, err}
	}()
	return done
}

var (
	soon = func() time.Time { return time.Now().Add(10 * time.Millisecond) }
	late = func() time.Time { return time.Now().Add(time.Hour) }
	past = time.Unix(1, 0)
)

// await returns what comes, or fails the test.
func await[T any](t *testing.T, what string, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(10 * time.Second):
		t.Fatalf("waited in vain for %s", what)
	}
	return value
}

// exchange lets a call read one byte.
func exchange(t *testing.T, c *deadlineConn, far net.Conn) {
	t.Helper()
	done := begin(c.Read, make([]byte, 1))
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := await(t, "a byte", done); got != (transfer{1, nil}) {
		t.Fatalf("Read = %v", got)
	}
}

func TestDeadlinesSetFewTimers(t *testing.T) {
	c, far, set := pipe(t)
	first := late()
	earlier := first.Add(-time.Minute)
	for _, at := range []time.Time{first, {}, first.Add(time.Second), past, {}, first.Add(time.Minute), first, earlier, first} {
		if err := c.SetReadDeadline(at); err != nil {
			t.Fatal(err)
		}
		if at != past { // Which would end the call.
			exchange(t, c, far)
		}
	}
	close(set)
	var got []time.Time
	for at := range set {
		got = append(got, at)
	}
	if want := []time.Time{first, earlier}; !slices.Equal(got, want) {
		t.Errorf("timers %v, want %v", got, want)
	}
}

func TestDeadlineEndsACall(t *testing.T) {
	// Each starts a call, which the deadline is to end.
	for name, call := range map[string]func(c *deadlineConn, set chan time.Time, start func() chan transfer) chan transfer{
		"set before": func(c *deadlineConn, _ chan time.Time, start func() chan transfer) chan transfer {
			_ = c.SetDeadline(soon())
			return start()
		},
		"passed before": func(c *deadlineConn, _ chan time.Time, start func() chan transfer) chan transfer {
			_ = c.SetDeadline(past)
			return start()
		},
		"moved to the past meanwhile": func(c *deadlineConn, set chan time.Time, start func() chan transfer) chan transfer {
			_ = c.SetDeadline(late())
			done := start()
			<-set
			_ = c.SetDeadline(past)
			return done
		},
		"moved to an earlier time meanwhile": func(c *deadlineConn, set chan time.Time, start func() chan transfer) chan transfer {
			_ = c.SetDeadline(late())
			done := start()
			<-set
			_ = c.SetDeadline(soon())
			return done
		},
	} {
		t.Run("read, "+name, func(t *testing.T) {
			c, far, set := pipe(t)
			done := call(c, set, func() chan transfer { return begin(c.Read, make([]byte, 1)) })
			if got := await(t, "the end of a read", done); got.n != 0 || !errors.Is(got.err, os.ErrDeadlineExceeded) {
				t.Errorf("Read = %v", got)
			}
			// This is how net/http ends a read in the background, and goes on with the connection.
			_ = c.SetDeadline(time.Time{})
			exchange(t, c, far)
		})
		t.Run("write, "+name, func(t *testing.T) {
			c, _, set := pipe(t)
			done := call(c, set, func() chan transfer { return begin(c.Write, make([]byte, 1)) })
			if got := await(t, "the end of a write", done); got.n != 0 || !errors.Is(got.err, os.ErrDeadlineExceeded) {
				t.Errorf("Write = %v", got)
			}
		})
	}
}

// A timer that was set for a deadline from before must not end a call before its own deadline.
func TestStaleTimerEndsNoCall(t *testing.T) {
	for name, deadline := range map[string]time.Time{"no deadline": {}, "a later deadline": late().Add(time.Hour)} {
		t.Run("read, "+name, func(t *testing.T) {
			c, far, set := pipe(t)
			_ = c.SetReadDeadline(late())
			reading := begin(c.Read, make([]byte, 1))
			<-set
			_ = c.SetReadDeadline(deadline)
			_ = c.Conn.(timers).Conn.SetReadDeadline(past) // The timer fires.
			if got := await(t, "the timer, set anew", set); got != deadline {
				t.Errorf("timer for %s, want %s", got, deadline)
			}
			_, _ = far.Write([]byte("x"))
			if got := await(t, "a byte", reading); got != (transfer{1, nil}) {
				t.Errorf("Read = %v", got)
			}
		})
		t.Run("write, "+name, func(t *testing.T) {
			c, far, set := pipe(t)
			sent, received := bytes.Repeat([]byte("0123456789"), 100), make([]byte, 1000)
			_ = c.SetWriteDeadline(late())
			writing := begin(c.Write, sent)
			<-set
			_ = c.SetWriteDeadline(deadline)
			if _, err := io.ReadFull(far, received[:10]); err != nil {
				t.Fatal(err)
			}
			_ = c.Conn.(timers).Conn.SetWriteDeadline(past) // The timer fires, in the midst of a write.
			if got := await(t, "the timer, set anew", set); got != deadline {
				t.Errorf("timer for %s, want %s", got, deadline)
			}
			if _, err := io.ReadFull(far, received[10:]); err != nil {
				t.Fatal(err)
			}
			if got := await(t, "the end of a write", writing); got != (transfer{1000, nil}) || !bytes.Equal(sent, received) {
				t.Errorf("Write = %v, received %q", got, received)
			}
		})
	}
}
