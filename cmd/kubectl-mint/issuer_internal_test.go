package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What speaks for another issuer is not believed (RFC 8414, section 3.3): its keys would verify tokens that are none of the issuer's.
func TestMetadataOfAnotherIssuerIsRefused(t *testing.T) {
	issuer := ""
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer": %q, "token_endpoint": "https://x/token", "jwks_uri": "https://x/jwks"}`, issuer)
	}))
	defer server.Close()

	issuer = "https://another.example.com"
	if _, _, err := discover(t.Context(), server.Client(), server.URL); err == nil || !strings.Contains(err.Error(), issuer) {
		t.Errorf("the error is %v", err)
	}
	issuer = server.URL
	if _, _, err := discover(t.Context(), server.Client(), server.URL); err != nil {
		t.Errorf("of the issuer itself: %v", err)
	}
	if _, _, err := fetch(t.Context(), server.Client(), strings.Replace(server.URL, "https", "http", 1)); err == nil {
		t.Error("what comes without TLS is believed")
	}
}
