package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// httpClient trusts the CA of the Secret, and no other.
func (t *trial) httpClient() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(t.secret.caCert)
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true},
		Timeout:   10 * time.Second,
	}
}

// withClient makes x/oauth2 and go-oidc use the client.
func (t *trial) withClient(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, t.httpClient())
}

func (t *trial) clientCredentials(style oauth2.AuthStyle) *clientcredentials.Config {
	return &clientcredentials.Config{
		ClientID: t.secret.clientID, ClientSecret: t.secret.clientSecret, TokenURL: t.secret.tokenURL, AuthStyle: style,
	}
}

func tryOAuth2(ctx context.Context, t *trial) error {
	styles := map[string]oauth2.AuthStyle{
		"by basic": oauth2.AuthStyleInHeader, "by post": oauth2.AuthStyleInParams, "finding out how": oauth2.AuthStyleAutoDetect,
	}
	for how, style := range styles {
		if err := t.tryStyle(ctx, style); err != nil {
			return fmt.Errorf("%s: %w", how, err)
		}
	}
	return nil
}

func (t *trial) tryStyle(ctx context.Context, style oauth2.AuthStyle) error {
	ctx = t.withClient(ctx)
	config := t.clientCredentials(style)
	token, err := config.Token(ctx)
	if err != nil {
		return err
	}
	if token.Type() != "Bearer" || token.Expiry.Before(time.Now()) {
		return fmt.Errorf("the token is of type %s and expires at %s", token.Type(), token.Expiry)
	}
	config.ClientSecret += "x"
	_, err = config.Token(ctx)
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" {
		return fmt.Errorf("with a wrong secret: %w, not invalid_client", err)
	}
	return nil
}

// tryPrivateKeyJWT gets a token with an assertion that is signed with the private key of the Secret.
func tryPrivateKeyJWT(ctx context.Context, t *trial) error {
	ctx = t.withClient(ctx)
	file, err := os.ReadFile(t.secret.file("private_key_pem"))
	if err != nil {
		return err
	}
	key, err := gojwt.ParseECPrivateKeyFromPEM(file)
	if err != nil {
		return err
	}
	if _, err := t.byAssertion(key).Token(ctx); err != nil {
		return err
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	_, err = t.byAssertion(stranger).Token(ctx)
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" {
		return fmt.Errorf("with a stranger's key: %w, not invalid_client", err)
	}
	return nil
}

// byAssertion authenticates by a new assertion, which is good for one request.
func (t *trial) byAssertion(key *ecdsa.PrivateKey) *clientcredentials.Config {
	assertion, _ := gojwt.NewWithClaims(gojwt.SigningMethodES256, gojwt.RegisteredClaims{
		Issuer: t.secret.clientID, Subject: t.secret.clientID, Audience: gojwt.ClaimStrings{t.secret.issuer}, ID: rand.Text(),
		IssuedAt: gojwt.NewNumericDate(time.Now()), ExpiresAt: gojwt.NewNumericDate(time.Now().Add(time.Minute)),
	}).SignedString(key) // A key of P-256 signs.
	return &clientcredentials.Config{
		ClientID: t.secret.clientID, TokenURL: t.secret.tokenURL, AuthStyle: oauth2.AuthStyleInParams,
		EndpointParams: url.Values{
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {assertion},
		},
	}
}

func tryGoOIDC(ctx context.Context, t *trial) error {
	ctx = t.withClient(ctx)
	provider, err := oidc.NewProvider(ctx, t.secret.issuer)
	if err != nil {
		return err
	}
	return t.judge(ctx, func(ctx context.Context, token, audience string) error {
		_, err := provider.Verifier(&oidc.Config{ClientID: audience}).Verify(ctx, token)
		return err
	})
}

func tryJWX(ctx context.Context, t *trial) error {
	keys, err := t.keySet(ctx)
	if err != nil {
		return err
	}
	return t.judge(ctx, func(_ context.Context, token, audience string) error {
		_, err := jwt.Parse([]byte(token), jwt.WithKeySet(keys), jwt.WithIssuer(t.secret.issuer), jwt.WithAudience(audience))
		return err
	})
}

// keySet gets the key set from where the issuer's metadata says.
func (t *trial) keySet(ctx context.Context) (jwk.Set, error) {
	provider, err := oidc.NewProvider(t.withClient(ctx), t.secret.issuer)
	if err != nil {
		return nil, err
	}
	var metadata struct {
		JWKSURI string `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return nil, err
	}
	keys, err := jwk.Fetch(ctx, metadata.JWKSURI, jwk.WithHTTPClient(t.httpClient()))
	if err != nil {
		return nil, fmt.Errorf("get the key set: %w", err)
	}
	return keys, nil
}
