package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

var (
	// profiledProgram is Kubemint built with -tags profile, and profileFile where it writes one.
	profiledProgram = filepath.Join("bin", "kubemint-profile")
	profileFile     = filepath.Join("bin", "kubemint.pprof")
)

// writeProfile has Kubemint write where it spends its CPU time while it answers what it is measured by: for the compiler.
func (b *bench) writeProfile(ctx context.Context) error {
	if err := os.Remove(profileFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var ignored results
	return b.withClients(ctx, b.clients, fmt.Sprintf("%d clients", b.clients), &ignored, func(kubemint *server) error {
		if err := turnProfile(kubemint); err != nil {
			return err
		}
		for _, s := range besideFloor {
			for range b.rounds {
				if err := b.measure(ctx, s, kubemint, new(samples)); err != nil {
					return err
				}
			}
		}
		if err := turnProfile(kubemint); err != nil {
			return err
		}
		if err := awaitFile(ctx, profileFile); err != nil {
			return err
		}
		return os.Rename(profileFile, b.profile)
	})
}

// turnProfile begins the profile, or ends it.
func turnProfile(kubemint *server) error {
	if err := syscall.Kill(kubemint.pid, syscall.SIGUSR1); err != nil {
		return fmt.Errorf("signal Kubemint: %w", err)
	}
	return nil
}

// awaitFile waits until there is a file.
func awaitFile(ctx context.Context, file string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", file, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
