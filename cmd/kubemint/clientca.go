package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// maxClientCAs bounds --client-ca-file, in bytes: the names of its CAs go into each TLS handshake.
	maxClientCAs = 64 << 10
	// lookForClientCAs is how often the file is looked at. Where it is mounted, it takes up to a minute to change anyway.
	lookForClientCAs = 5 * time.Second
)

// clientCAs are the CAs that may sign certificates of clients, as they stand in a file that others rewrite: cert-manager or
// trust-manager, say.
type clientCAs struct {
	path string
	log  *slog.Logger
	pool atomic.Pointer[x509.CertPool]
	// content is what the file held when it was last looked at, good or not.
	content []byte
}

// trustClientCAs returns the CAs of --client-ca-file as they are at any time; nil where there is none, and clients have no certificates.
func trustClientCAs(ctx context.Context, group *errgroup.Group, o *options, log *slog.Logger) (func() *x509.CertPool, error) {
	if o.clientCAFile == "" {
		return nil, nil
	}
	c := &clientCAs{path: o.clientCAFile, log: log.With("file", o.clientCAFile)}
	if err := c.load(); err != nil {
		return nil, err
	}
	group.Go(func() error { c.keepLoading(ctx); return nil })
	return c.pool.Load, nil
}

// keepLoading looks at the file until the context ends. What is wrong with it is logged once; until it is put right, the CAs of before
// count.
func (c *clientCAs) keepLoading(ctx context.Context) {
	ticker := time.NewTicker(lookForClientCAs)
	defer ticker.Stop()
	failure := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := c.load()
		switch {
		case err == nil:
			failure = ""
		case err.Error() != failure:
			failure = err.Error()
			c.log.Error("client CAs not reloaded, those from before go on counting", "error", err)
		}
	}
}

// load reads the file, and takes over the CAs in it if it has changed.
func (c *clientCAs) load() error {
	content, err := readUpTo(c.path, maxClientCAs)
	if err != nil {
		return fmt.Errorf("--client-ca-file: %w", err)
	}
	if c.pool.Load() != nil && bytes.Equal(content, c.content) {
		return nil
	}
	pool, count, err := parseClientCAs(content)
	if err != nil {
		return fmt.Errorf("--client-ca-file %s: %w", c.path, err)
	}
	if c.pool.Swap(pool) != nil {
		c.log.Info("client CAs reloaded", "count", count)
	}
	c.content = content
	return nil
}

// readUpTo reads a file that may not be longer than a bound.
func readUpTo(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // The administrator named it.
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // It was only read.
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s is longer than %d KiB: name only the CAs that sign certificates of your clients", path, limit>>10)
	}
	return content, err
}

// parseClientCAs parses a bundle of CA certificates strictly: with one that is wrong among them, the others do not count either, for
// nobody would notice that it is missing.
func parseClientCAs(bundle []byte) (*x509.CertPool, int, error) {
	pool, count := x509.NewCertPool(), 0
	for {
		block, rest := pem.Decode(bundle)
		switch {
		case block == nil && bytes.Contains(rest, []byte("-----BEGIN")):
			return nil, 0, fmt.Errorf("what comes after certificate %d is malformed or cut off: it must be CA certificates, PEM (BEGIN CERTIFICATE)", count)
		case block == nil && count == 0:
			return nil, 0, errors.New("it holds no certificate: it must be CA certificates, PEM (BEGIN CERTIFICATE)")
		case block == nil:
			return pool, count, nil
		case block.Type != "CERTIFICATE":
			return nil, 0, errors.New("it holds something else than certificates: leave private keys and the like out")
		}
		count++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, 0, fmt.Errorf("certificate %d is malformed: %w", count, err)
		}
		if !certificate.IsCA {
			return nil, 0, fmt.Errorf("certificate %d is no CA's: name the CAs that sign certificates of clients, not those certificates", count)
		}
		pool.AddCert(certificate)
		bundle = rest
	}
}
