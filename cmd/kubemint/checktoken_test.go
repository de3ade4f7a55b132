package main

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// helm test shows what check-token says: where a value of the installation is the cause, it names that.
func TestCheckTokenSaysWhyTheIssuerCannotBeReached(t *testing.T) {
	proxy := httptest.NewTLSServer(http.NotFoundHandler())
	defer proxy.Close()
	own := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}))
	for name, row := range map[string]struct{ issuer, ca, remedy string }{
		"a name that nobody knows here": {"https://id.invalid", "", "pods must reach the issuer's URL as everybody does"},
		"nobody listens":                {"https://127.0.0.1:1", "", "pods must reach the issuer's URL as everybody does"},
		"a CA of its own":               {proxy.URL, "", "set tls.caKey"},
		"a certificate of another name": {strings.Replace(proxy.URL, "127.0.0.1", "localhost", 1), own, "set tls.hosts"},
		"another server":                {proxy.URL, own, "answers 404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			files := map[string]string{"issuer": row.issuer, "token_url": row.issuer + "/oauth2/token", "client_id": "a.b", "client_secret": "c"}
			if row.ca != "" {
				files["ca.crt"] = row.ca
			}
			for file, content := range files {
				if err := os.WriteFile(filepath.Join(directory, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := checkToken(t.Context(), directory, io.Discard); err == nil || !strings.Contains(err.Error(), row.remedy) {
				t.Errorf("it does not say %q: %v", row.remedy, err)
			}
		})
	}
}
