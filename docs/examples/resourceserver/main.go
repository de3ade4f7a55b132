// A resource server: an API that lets in whoever shows an access token of the issuer with the right scope.
//
// It verifies tokens locally, with keys that it fetches once by the issuer's metadata, using github.com/coreos/go-oidc. Copy it.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

func main() {
	issuer := flag.String("issuer", "", "URL of the issuer whose tokens are accepted")
	audience := flag.String("audience", "", "audience that tokens must be for (default: the issuer's URL)")
	scope := flag.String("scope", "orders:read", "scope that a token must have")
	metadata := flag.String("metadata", "", "URL of the API's protected resource metadata, which callers without a token are told (default: none)")
	caFile := flag.String("ca-file", "", "CA certificate to verify the issuer with, PEM (default: the system's)")
	address := flag.String("address", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	if *audience == "" {
		*audience = *issuer
	}

	client, err := httpClient(*caFile)
	if err != nil {
		log.Fatal(err)
	}
	ctx := oidc.ClientContext(context.Background(), client)
	provider, err := oidc.NewProvider(ctx, *issuer)
	if err != nil {
		log.Fatalf("discover the issuer: %v", err)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: *audience}) // It checks signature, iss, aud and exp.

	gate := gate{verifier: verifier, scope: *scope, metadata: *metadata}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", gate.protect(http.HandlerFunc(orders)))
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(listener))
}

// gate is who gets in: by tokens that a verifier accepts, with a scope.
type gate struct {
	verifier *oidc.IDTokenVerifier
	scope    string
	metadata string
}

// protect lets a request through that carries a valid access token with the scope (RFC 6750).
func (g gate) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			g.challenge(w)
			http.Error(w, "an access token is missing", http.StatusUnauthorized)
			return
		}
		verified, err := g.verifier.Verify(r.Context(), token)
		if err != nil || !isAccessToken(token) {
			g.challenge(w, `error="invalid_token"`)
			http.Error(w, "the access token is not valid", http.StatusUnauthorized)
			return
		}
		var claims struct {
			ClientID     string          `json:"client_id"`
			Scope        string          `json:"scope"`
			Confirmation json.RawMessage `json:"cnf"`
		}
		err = verified.Claims(&claims)
		if err == nil && claims.Confirmation != nil {
			// Whoever shows it must prove to have its key (RFC 7800, section 3.1; RFC 9449, section 7.2), which is not checked here.
			g.challenge(w, `error="invalid_token"`)
			http.Error(w, "the access token is bound to a key, and no bearer token", http.StatusUnauthorized)
			return
		}
		if err != nil || !slices.Contains(strings.Fields(claims.Scope), g.scope) {
			g.challenge(w, `error="insufficient_scope"`, fmt.Sprintf("scope=%q", g.scope))
			http.Error(w, "the access token lacks the scope "+g.scope, http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, claims.ClientID)))
	})
}

// challenge says what was wrong with the token, and where a caller finds out how to get one (RFC 9728, section 5.1).
func (g gate) challenge(w http.ResponseWriter, parameters ...string) {
	if g.metadata != "" {
		parameters = append(parameters, fmt.Sprintf("resource_metadata=%q", g.metadata))
	}
	w.Header().Set("WWW-Authenticate", strings.TrimSpace("Bearer "+strings.Join(parameters, ", ")))
}

// isAccessToken reports whether a token that was verified is one: an issuer may sign others too (RFC 9068, section 4).
func isAccessToken(token string) bool {
	encoded, _, _ := strings.Cut(token, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	var header struct {
		Type string `json:"typ"`
	}
	return err == nil && json.Unmarshal(decoded, &header) == nil && strings.EqualFold(header.Type, "at+jwt")
}

type callerKey struct{}

func orders(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "{\"orders\": [4711, 4712], \"caller\": %q}\n", r.Context().Value(callerKey{}))
}

// httpClient returns a client that trusts the CA in a file, or the system's.
func httpClient(caFile string) (*http.Client, error) {
	if caFile == "" {
		return http.DefaultClient, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		Timeout:   10 * time.Second,
	}, nil
}
