package tokenserver

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// deadlineListener gives out connections whose deadlines cost little.
type deadlineListener struct{ net.Listener }

// Accept implements net.Listener.
func (l deadlineListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &deadlineConn{Conn: conn}, nil
}

// deadlineConn is a connection that sets a timer only where the one that runs would be too late. net/http and crypto/tls move the
// deadlines of a connection nine times for a single request, mostly to a later time; each time, the runtime would stop a timer and
// start another, a hundredth in all of what a new connection costs.
type deadlineConn struct {
	net.Conn
	read, write deadline
}

// Read implements net.Conn.
func (c *deadlineConn) Read(p []byte) (int, error) {
	return c.read.call(p, c.Conn.Read, c.Conn.SetReadDeadline)
}

// Write implements net.Conn.
func (c *deadlineConn) Write(p []byte) (int, error) {
	return c.write.call(p, c.Conn.Write, c.Conn.SetWriteDeadline)
}

// SetDeadline implements net.Conn.
func (c *deadlineConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *deadlineConn) SetReadDeadline(t time.Time) error {
	return c.read.move(t, c.Conn.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (c *deadlineConn) SetWriteDeadline(t time.Time) error {
	return c.write.move(t, c.Conn.SetWriteDeadline)
}

// deadline is that of one direction of a connection.
type deadline struct {
	mu sync.Mutex
	// at is when calls are to end, and timer when the connection's own timer ends them. The zero time is never.
	at, timer time.Time
	fired     bool // The timer has: until it is set anew, it ends every call.
	calls     int  // Under way.
}

// move changes the deadline, for calls under way too.
func (d *deadline) move(to time.Time, set func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = to
	if d.calls == 0 {
		return nil // The next call sees to the timer.
	}
	return d.arm(set)
}

// arm sets the timer, unless the one that runs does not end calls too late.
func (d *deadline) arm(set func(time.Time) error) error {
	inTime := d.at.IsZero() || !d.timer.IsZero() && !d.timer.After(d.at)
	if inTime && !d.fired {
		return nil
	}
	d.timer, d.fired = d.at, false
	return set(d.at)
}

// call reads or writes until the deadline, however often a timer from before ends that too early.
func (d *deadline) call(p []byte, operate func([]byte) (int, error), set func(time.Time) error) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	defer func() { d.calls-- }()
	for {
		if err := d.arm(set); err != nil {
			return n, err
		}
		d.mu.Unlock()
		done, err := operate(p[n:])
		d.mu.Lock()
		n += done
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		d.fired = true
		if !d.at.IsZero() && !d.at.After(time.Now()) {
			return n, err
		}
	}
}
