package simulation_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// caller speaks HTTPS to replicas, trusting one CA bundle.
type caller struct {
	bundle   []byte
	tls      *tls.Config
	replicas map[string]*http.Client
	http     *http.Client // to the replica that is asked next
}

func newCaller(bundle []byte, now func() time.Time) *caller {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	return &caller{bundle: bundle, tls: &tls.Config{RootCAs: pool, ServerName: host, Time: now}, replicas: map[string]*http.Client{}}
}

// to has the next request go to a replica, on the connection from before if there is one, or on a new one.
func (c *caller) to(r *replica, anew bool) *caller {
	if c.http = c.replicas[r.address]; c.http == nil {
		c.http = &http.Client{Timeout: patience, Transport: &http.Transport{
			TLSClientConfig: c.tls.Clone(),
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, r.address)
			},
		}}
		c.replicas[r.address] = c.http
	}
	if anew {
		c.http.CloseIdleConnections()
	}
	return c
}

// close ends the caller's connections.
func (c *caller) close() {
	for _, client := range c.replicas {
		client.CloseIdleConnections()
	}
}

func (c *caller) token(id, secret string) (string, error) {
	request, err := http.NewRequest(http.MethodPost, issuer+tokenserver.TokenPath, strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode()))
	if err != nil {
		return "", err
	}
	request.SetBasicAuth(id, secret)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := c.do(request)
	if err != nil {
		return "", err
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	return token.AccessToken, json.Unmarshal(answer, &token)
}

func (c *caller) keySet() (keySet, error) {
	request, err := http.NewRequest(http.MethodGet, issuer+tokenserver.JWKSPath, nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.do(request)
	if err != nil {
		return nil, err
	}
	return parseKeySet(answer)
}

func (c *caller) do(request *http.Request) ([]byte, error) {
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // It was read to its end.
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(answer))
	}
	return answer, err
}

// keySet is the keys that a verifier has, by kid.
type keySet map[string]*ecdsa.PublicKey

func parseKeySet(body []byte) (keySet, error) {
	var document struct {
		Keys []struct {
			KeyID string `json:"kid"`
			X     string `json:"x"`
			Y     string `json:"y"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return nil, err
	}
	set := keySet{}
	for _, key := range document.Keys {
		x, errX := base64.RawURLEncoding.DecodeString(key.X)
		y, errY := base64.RawURLEncoding.DecodeString(key.Y)
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, append(x, y...)...))
		if err := errors.Join(errX, errY, err); err != nil {
			return nil, err
		}
		set[key.KeyID] = public
	}
	return set, nil
}

// verify checks a token as a resource server does, with the keys that it has.
func (k keySet) verify(token string, now func() time.Time) (kid string, expires time.Time, err error) {
	parsed, err := jwt.Parse(token, func(t *jwt.Token) (any, error) {
		kid, _ = t.Header["kid"].(string)
		if key, known := k[kid]; known {
			return key, nil
		}
		return nil, fmt.Errorf("no key %s", kid)
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(issuer), jwt.WithAudience(issuer), jwt.WithTimeFunc(now), jwt.WithExpirationRequired())
	if err != nil {
		return kid, time.Time{}, err
	}
	at, err := parsed.Claims.GetExpirationTime()
	return kid, at.Time, err
}

// verifier keeps a key set for as long as it may be kept, and asks for none before, whatever kid it sees: the strictest one.
type verifier struct {
	keys    keySet
	fetched time.Time
}

func (v *verifier) verify(token string, now func() time.Time, fetch func() (keySet, error)) (kid string, expires time.Time, err error) {
	if now().Sub(v.fetched) >= signing.PublishedMaxAge {
		if v.keys, err = fetch(); err != nil {
			return "", time.Time{}, fmt.Errorf("fetch the key set: %w", err)
		}
		v.fetched = now()
	}
	return v.keys.verify(token, now)
}
