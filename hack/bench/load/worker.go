package load

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// worker sends requests one after the other on a connection of its own.
type worker struct {
	*generator
	tls       *tls.Config
	conn      *tls.Conn
	reader    *bufio.Reader
	latencies []time.Duration
	statuses  map[int]int
	resumed   int
	err       error
}

func newWorker(g *generator) *worker {
	w := &worker{generator: g, tls: g.tls.Clone(), reader: bufio.NewReader(nil), statuses: map[int]int{}}
	if g.Resume {
		w.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return w
}

// prepare opens the connection.
func (w *worker) prepare() {
	if err := w.connect(); err != nil {
		w.err = fmt.Errorf("connect: %w", err)
	}
}

func (w *worker) run() {
	defer w.hangUp()
	for w.err == nil {
		number, due, more := w.next()
		if !more {
			return
		}
		if err := w.ask(w.Requests[number%len(w.Requests)]); err != nil {
			w.err = fmt.Errorf("request %d: %w", number, err)
			return
		}
		w.latencies = append(w.latencies, time.Since(due))
	}
}

// ask sends a request, on a new connection where there is none, and reads the answer.
func (w *worker) ask(request []byte) error {
	if w.conn == nil {
		if err := w.connect(); err != nil {
			return err
		}
	}
	// A server that refuses a body before it has come may close the connection under it; its answer tells.
	_, writeErr := w.conn.Write(request)
	status, closes, err := readAnswer(w.reader)
	if err != nil {
		return errors.Join(writeErr, err)
	}
	w.statuses[status]++
	if w.NewConnections || closes {
		w.hangUp()
	}
	return nil
}

func (w *worker) connect() error {
	tcp, err := net.Dial("tcp", w.Address)
	if err != nil {
		return err
	}
	w.conn = tls.Client(tcp, w.tls)
	w.reader.Reset(w.conn)
	if err := w.conn.Handshake(); err != nil {
		return fmt.Errorf("shake hands: %w", err)
	}
	if w.conn.ConnectionState().DidResume {
		w.resumed++
	}
	return nil
}

func (w *worker) hangUp() {
	if w.conn != nil {
		_ = w.conn.Close() // Its work is done.
		w.conn = nil
	}
}

var (
	contentLength   = []byte("Content-Length: ")
	connectionClose = []byte("Connection: close")
)

// readAnswer reads an answer whose length its header tells, as the servers here send them.
func readAnswer(reader *bufio.Reader) (status int, closes bool, err error) {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return 0, false, fmt.Errorf("read the answer: %w", err)
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, false, fmt.Errorf("the answer begins with %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, false, fmt.Errorf("the answer begins with %q", line)
	}
	length := -1
	for {
		if line, err = reader.ReadSlice('\n'); err != nil {
			return 0, false, fmt.Errorf("read the answer's header: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if value, found := bytes.CutPrefix(line, contentLength); found {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, false, fmt.Errorf("Content-Length %q", value)
			}
		}
		closes = closes || bytes.Equal(line, connectionClose)
	}
	if length < 0 {
		return 0, false, errors.New("the answer has no Content-Length")
	}
	if _, err = io.CopyN(io.Discard, reader, int64(length)); err != nil {
		return 0, false, fmt.Errorf("read the answer's body: %w", err)
	}
	return status, closes, nil
}
