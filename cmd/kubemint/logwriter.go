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
type logWriter struct {
	out io.Writer

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
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line...)
	if w.pausing && len(w.lines) < maxLogLines {
		return len(line), nil
	}
	return len(line), w.write()
}

// Flush writes what waits.
func (w *logWriter) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines) > 0 {
		_ = w.write() // There is nobody to tell.
	}
}

func (w *logWriter) endPause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pausing = len(w.lines) > 0; w.pausing {
		_ = w.write() // There is nobody to tell.
	}
}

// write writes all lines, and begins a pause.
func (w *logWriter) write() error {
	_, err := w.out.Write(w.lines)
	w.lines = w.lines[:0]
	w.pausing = true
	w.pause.Reset(logPause)
	return err
}
