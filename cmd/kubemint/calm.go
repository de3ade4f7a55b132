package main

import (
	"context"
	"log/slog"
)

// calmWhenStopping is the log of libraries, some of which call it an error that they were told to stop: once the process is to, that is an
// information, so that an error in the log is one.
type calmWhenStopping struct {
	slog.Handler
	process context.Context // It is asked whether it has ended, and nothing else.
}

// Handle implements slog.Handler.
func (c *calmWhenStopping) Handle(ctx context.Context, record slog.Record) error {
	if c.process.Err() != nil {
		record.Level = min(record.Level, slog.LevelInfo)
	}
	if !c.Enabled(ctx, record.Level) {
		return nil
	}
	return c.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (c *calmWhenStopping) WithAttrs(attributes []slog.Attr) slog.Handler {
	return &calmWhenStopping{c.Handler.WithAttrs(attributes), c.process}
}

// WithGroup implements slog.Handler.
func (c *calmWhenStopping) WithGroup(name string) slog.Handler {
	return &calmWhenStopping{c.Handler.WithGroup(name), c.process}
}
