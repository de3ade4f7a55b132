package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificatePEM returns a certificate that signed itself.
func certificatePEM(t *testing.T, name string, isCA bool) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: isCA, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return inPEM("CERTIFICATE", der)
}

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// Whatever becomes of the file, the CAs count that it held when it was last good; and what is wrong with it is an error that says what
// to do, and quotes nothing of it.
func TestClientCAs(t *testing.T) {
	first, second := certificatePEM(t, "First CA", true), certificatePEM(t, "Second CA", true)
	path := filepath.Join(t.TempDir(), "ca.crt")
	var log bytes.Buffer
	c := &clientCAs{path: path, log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := c.load(); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without a file: %v", err)
	}
	want := 0
	for _, step := range []struct {
		name, content string
		count         int    // Where it is good.
		problem       string // Where it is not.
	}{
		{"garbage", "garbage", 0, "it holds no certificate"},
		{"one CA", first, 1, ""},
		{"the same again", first, 1, ""},
		{"two, with comments", "# First\n" + first + "\n# Second\n" + second + "\n", 2, ""},
		{"nothing", "", 0, "it holds no certificate"},
		{"cut off", first + second[:len(second)-40], 0, "after certificate 1 is malformed or cut off"},
		{"no certificate in its armour", first + inPEM("CERTIFICATE", []byte("x")), 0, "certificate 2 is malformed"},
		{"a private key with it", first + inPEM("PRIVATE KEY", []byte("x")), 0, "leave private keys"},
		{"a client's certificate", first + certificatePEM(t, "worker", false), 0, "certificate 2 is no CA's"},
		{"too long", strings.Repeat(first, maxClientCAs/len(first)+1), 0, "is longer than 64 KiB"},
		{"another one", second, 1, ""},
	} {
		t.Run(step.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(step.content), 0o600); err != nil {
				t.Fatal(err)
			}
			before := c.pool.Load()
			err := c.load()
			if step.problem != "" {
				if err == nil || !strings.Contains(err.Error(), step.problem) || !strings.HasPrefix(err.Error(), "--client-ca-file") {
					t.Errorf("it says %v, want %q", err, step.problem)
				}
				if c.pool.Load() != before {
					t.Error("the CAs of before count no longer")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			expected := x509.NewCertPool()
			expected.AppendCertsFromPEM([]byte(step.content))
			if !c.pool.Load().Equal(expected) {
				t.Error("other CAs count")
			}
			want = step.count
		})
	}
	if want != 1 || strings.Count(log.String(), "client CAs reloaded") != 2 {
		t.Errorf("%d CAs at last, and logged:\n%s", want, log.String())
	}
}
