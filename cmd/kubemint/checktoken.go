package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubemint/kubemint/tokenserver/assertion"
)

// checkTimeout bounds the whole check, and maxCheckedBody each answer.
const (
	checkTimeout   = 30 * time.Second
	maxCheckedBody = 1 << 20
)

// newCheckToken returns the command that helm test runs in a pod: the image has no shell, and no other program.
func newCheckToken() *cobra.Command {
	return &cobra.Command{
		Use:   "check-token DIRECTORY",
		Short: "Get a token as a workload does, and verify it as an API does",
		Long: `Get a token with the credentials in a directory, where the Secret of an OAuthClient is mounted under its default keys,
and verify it with the issuer's published key set. It says what the token is for, and never shows it.`,
		Example: `  kubemint check-token /var/run/oauth`,
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(command.Context(), checkTimeout)
			defer cancel()
			return checkToken(ctx, args[0], command.OutOrStdout())
		},
	}
}

func checkToken(ctx context.Context, directory string, out io.Writer) error {
	mounted, err := readMounted(directory)
	if err != nil {
		return err
	}
	token, err := mounted.getToken(ctx)
	if err != nil {
		return err
	}
	keys, err := mounted.getKeys(ctx)
	if err != nil {
		return err
	}
	payload, err := keys.Payload(token)
	if err != nil {
		return fmt.Errorf("the token does not verify with the key set of %s: %w", mounted.issuer, err)
	}
	var claims struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
		Scope   string `json:"scope"`
		Expires int64  `json:"exp"`
		// Audience is a text or a list of texts.
		Audience any `json:"aud"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return fmt.Errorf("the token's claims are no JSON: %w", err)
	}
	if claims.Issuer != mounted.issuer || claims.Subject != mounted.clientID {
		return fmt.Errorf("the token is of issuer %s for %s, not of %s for %s", claims.Issuer, claims.Subject, mounted.issuer, mounted.clientID)
	}
	expires := time.Unix(claims.Expires, 0)
	if !expires.After(time.Now()) {
		return fmt.Errorf("the token expired at %s: compare the clocks of this pod and of Kubemint", expires.UTC().Format(time.RFC3339))
	}
	_, err = fmt.Fprintf(out, "a token for %s, verified: audience %v, scope %q, valid for %s\n",
		claims.Subject, claims.Audience, claims.Scope, time.Until(expires).Round(time.Second))
	return err
}

// mounted is the Secret of an OAuthClient as a pod sees it.
type mounted struct {
	issuer, tokenURL, clientID, clientSecret string
	client                                   *http.Client
}

func readMounted(directory string) (*mounted, error) {
	var m mounted
	for name, into := range map[string]*string{"issuer": &m.issuer, "token_url": &m.tokenURL, "client_id": &m.clientID, "client_secret": &m.clientSecret} {
		content, err := os.ReadFile(filepath.Join(directory, name)) //nolint:gosec // Whoever runs it names it.
		if err != nil {
			return nil, fmt.Errorf("mount the Secret of an OAuthClient there: %w", err)
		}
		*into = string(content)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	caCert, err := os.ReadFile(filepath.Join(directory, "ca.crt")) //nolint:gosec // As above.
	switch {
	case err == nil:
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(caCert) {
			return nil, errors.New("ca.crt holds no certificate: it must be PEM (BEGIN CERTIFICATE)")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	case !errors.Is(err, os.ErrNotExist): // Else the certificate is one that everybody trusts.
		return nil, err
	}
	m.client = &http.Client{Transport: transport}
	return &m, nil
}

func (m *mounted) getToken(ctx context.Context) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("token_url: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(m.clientID, m.clientSecret)
	var answer struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
	}
	if err := m.get(request, &answer); err != nil {
		return "", fmt.Errorf("no token for %s: %w", m.clientID, err)
	}
	if answer.AccessToken == "" || answer.TokenType != "Bearer" {
		return "", fmt.Errorf("no token for %s: the answer has none of type Bearer", m.clientID)
	}
	return answer.AccessToken, nil
}

// getKeys finds the key set by the issuer's metadata, as a verifier does.
func (m *mounted) getKeys(ctx context.Context) (*assertion.Keys, error) {
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	var jwks json.RawMessage
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.issuer+"/.well-known/openid-configuration", nil)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if err := m.get(request, &metadata); err != nil {
		return nil, fmt.Errorf("read the issuer's metadata: %w", err)
	}
	if metadata.Issuer != m.issuer {
		return nil, fmt.Errorf("the metadata at %s is that of issuer %q", m.issuer, metadata.Issuer)
	}
	if request, err = http.NewRequestWithContext(ctx, http.MethodGet, metadata.JWKSURI, nil); err != nil {
		return nil, fmt.Errorf("jwks_uri of the issuer's metadata: %w", err)
	}
	if err := m.get(request, &jwks); err != nil {
		return nil, fmt.Errorf("read the issuer's key set: %w", err)
	}
	return assertion.ParseKeys(jwks)
}

// get sends a request and reads its answer, whose error, if it is one, it tells as OAuth 2.0 has it.
func (m *mounted) get(request *http.Request, answer any) error {
	response, err := m.client.Do(request)
	if err != nil {
		return fmt.Errorf("%w%s", err, whatToDo(err))
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(io.LimitReader(response.Body, maxCheckedBody))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		var refusal struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}
		_ = json.Unmarshal(body, &refusal) // A proxy may have answered.
		return fmt.Errorf("%s answers %s %s %s", request.URL.Host, response.Status, refusal.Error, refusal.Description)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("the answer of %s is not what it should be: %w", request.URL, err)
	}
	return nil
}

// whatToDo is said with an error of the connection that the installation's values explain.
func whatToDo(err error) string {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var name *net.DNSError
	var dial *net.OpError
	switch {
	case errors.As(err, &authority):
		return ": clients are given no CA that signs this certificate: set tls.caKey, or with a proxy in front have it show a certificate that everybody trusts"
	case errors.As(err, &host):
		return ": the certificate is not for the issuer's host: set tls.hosts, or have it made for that name"
	case errors.As(err, &name), errors.As(err, &dial) && dial.Op == "dial":
		return ": pods must reach the issuer's URL as everybody does: look at its DNS name here, at NetworkPolicies, and at the proxy in front (docs/helm.md, A public issuer)"
	default:
		return ""
	}
}
