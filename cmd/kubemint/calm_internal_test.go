package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
)

// What libraries call an error is one until the process is told to stop.
func TestLibrariesAreCalmWhenStopping(t *testing.T) {
	var out bytes.Buffer
	process, stop := context.WithCancel(t.Context())
	log := slog.New(&calmWhenStopping{slog.NewTextHandler(&out, nil), process}).With("logger", "leaderelection").WithGroup("group")
	log.Error("lost")
	stop()
	log.Error("lost", "key", "value")
	log.Debug("left out")
	slog.New(&calmWhenStopping{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}), process}).Error("left out, too")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "level=ERROR") || !strings.Contains(lines[1], "level=INFO msg=lost logger=leaderelection group.key=value") {
		t.Errorf("logged %q", lines)
	}
}
