package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// writes is what was written, one element to a write.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

func TestLogWriter(t *testing.T) {
	long := strings.Repeat("x", maxLogLines)
	for _, test := range []struct {
		name string
		log  func(*logWriter)
		want []string
	}{
		{"a line is written at once", func(w *logWriter) { log(w, "a") }, []string{"a"}},
		{"lines that come in the pause are written together when it ends", func(w *logWriter) {
			log(w, "a", "b", "c")
			pause()
		}, []string{"a", "bc"}},
		{"after a pause without lines, one is written at once again", func(w *logWriter) {
			log(w, "a")
			pause()
			log(w, "b")
		}, []string{"a", "b"}},
		{"pauses follow one another", func(w *logWriter) {
			log(w, "a", "b")
			pause()
			log(w, "c", "d")
			pause()
		}, []string{"a", "b", "cd"}},
		{"more than may wait is written at once", func(w *logWriter) { log(w, "a", long) }, []string{"a", long}},
		{"Flush ends the wait", func(w *logWriter) {
			log(w, "a", "b")
			w.Flush()
		}, []string{"a", "b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got writes
				test.log(newLogWriter(&got))
				if !slices.Equal(got, test.want) {
					t.Errorf("writes %.20q, want %.20q", got, test.want)
				}
			})
		})
	}
}

func log(w *logWriter, lines ...string) {
	for _, line := range lines {
		_, _ = w.Write([]byte(line))
	}
}

// pause lets the pause pass, on the clock of the synctest bubble.
func pause() {
	time.Sleep(logPause)
	synctest.Wait()
}

// A slow reader of the log delays no token request: lines can come while others are written.
func TestLogWriterDoesNotWaitForItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := make(slowReader)
		w := newLogWriter(reader)
		go log(w, "a") // Waits for the reader.
		synctest.Wait()
		log(w, "b", "c")
		if got := <-reader; got != "a" {
			t.Errorf("first %q, want a", got)
		}
		pause()
		log(w, "d")
		if got := <-reader; got != "bc" {
			t.Errorf("then %q, want bc", got)
		}
		if got := <-reader; got != "d" {
			t.Errorf("then %q, want d", got)
		}
	})
}

// slowReader takes a write when it is received from.
type slowReader chan string

func (r slowReader) Write(p []byte) (int, error) {
	r <- string(p)
	return len(p), nil
}
