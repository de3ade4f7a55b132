package main

import (
	"io"
	"sync"
	"time"
)

const (
	// logPause is the shortest time from one write to the next.
	logPause = 10 * time.Millisecond
	// maxLogLines bounds, in bytes, the lines that wait for the pause to end.
	maxLogLines = 256 << 10
)

// logWriter writes a line at once, unless it wrote less than a logPause ago: then it writes all that have come when the pause
// ends. A container's standard error is a pipe, and each write to it wakes its reader, which would take a tenth of the CPU time of
// a busy token server. What waits is lost where the process is killed (SIGKILL); a quiet server loses nothing.
//
// Lines come while others are written, so that no token request waits for a slow reader, unless as many as may wait do already.
type logWriter struct {
	// writing keeps the lines in order. Who holds it may take mu, but not the other way round.
	writing sync.Mutex
	out     io.Writer
	written []byte // Room for lines again.

	mu      sync.Mutex
	pausing bool
	lines   []byte // Wait for the end of the pause.
	pause   *time.Timer
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out}
	w.pause = time.AfterFunc(logPause, w.endPause) // Which is the end of none, this first time.
	return w
}

// Write implements io.Writer. An error may be that of lines before.
func (w *logWriter) Write(line []byte) (int, error) {
	if w.mayWait(line) {
		return len(line), nil
	}
	return len(line), w.write()
}

// mayWait adds a line, and reports whether it is written when the pause ends. Else the pause begins with it.
func (w *logWriter) mayWait(line []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line...)
	if w.pausing && len(w.lines) < maxLogLines {
		return true
	}
	w.pausing = true
	return false
}

// Flush writes what waits.
func (w *logWriter) Flush() { _ = w.write() } // There is nobody to tell.

func (w *logWriter) endPause() {
	w.mu.Lock()
	w.pausing = len(w.lines) > 0
	goesOn := w.pausing
	w.mu.Unlock()
	if goesOn {
		_ = w.write() // There is nobody to tell.
	}
}

// write writes all lines, and the pause begins anew.
func (w *logWriter) write() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	if w.take(); len(w.written) == 0 { // Another one has written them.
		return nil
	}
	_, err := w.out.Write(w.written)
	w.pause.Reset(logPause)
	return err
}

// take takes all lines to be written.
func (w *logWriter) take() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines, w.written = w.written[:0], w.lines
}
