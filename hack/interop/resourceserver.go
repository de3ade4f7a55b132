package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/localcluster"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// serves tries an example program that is an API: it lets in by the genuine token alone, and says what is wrong with others (RFC 6750).
func serves(command ...string) func(context.Context, *trial) error {
	return func(ctx context.Context, t *trial) error {
		apis := map[string]string{}
		for _, audience := range []string{t.secret.issuer, otherAudience} {
			url, stop, err := t.startAPI(ctx, audience, command)
			if err != nil {
				return fmt.Errorf("start the API: %w", err)
			}
			defer stop()
			apis[audience] = url
		}
		if err := t.judge(ctx, func(ctx context.Context, token, audience string) error {
			return mustAnswer(ctx, apis[audience], "Bearer "+token, http.StatusOK, "")
		}); err != nil {
			return err
		}
		return t.judgeChallenges(ctx, apis[t.secret.issuer])
	}
}

// judgeChallenges asks an API without a token, and with what is none for it: of the issuer's own make, but for another purpose.
func (t *trial) judgeChallenges(ctx context.Context, api string) error {
	const (
		none    = "Bearer"
		invalid = `Bearer error="invalid_token"`
		scope   = `Bearer error="insufficient_scope", scope="invoices:read"`
	)
	minted, err := t.mint(ctx)
	if err != nil {
		return fmt.Errorf("mint tokens: %w", err)
	}
	for _, try := range []struct {
		what, authorization string
		status              int
		challenge           string
	}{
		{"no token", "", http.StatusUnauthorized, none},
		{"a password", "Basic YTpi", http.StatusUnauthorized, none},
		{"nonsense", "Bearer nonsense", http.StatusUnauthorized, invalid},
		{"a token of another type", "Bearer " + minted.ofAnotherType, http.StatusUnauthorized, invalid},
		{"an expired token", "Bearer " + minted.expired, http.StatusUnauthorized, invalid},
		{"a token that names another issuer", "Bearer " + minted.ofAnotherIssuer, http.StatusUnauthorized, invalid},
		{"a token that is bound to a key", "Bearer " + minted.bound, http.StatusUnauthorized, invalid},
		{"a token without the scope", "Bearer " + minted.withoutScope, http.StatusForbidden, scope},
	} {
		if err := mustAnswer(ctx, api, try.authorization, try.status, try.challenge); err != nil {
			return fmt.Errorf("%s: %w", try.what, err)
		}
	}
	return nil
}

func mustAnswer(ctx context.Context, api, authorization string, status int, challenge string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/orders", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", authorization)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // It is not read.
	if got := response.Header.Get("WWW-Authenticate"); response.StatusCode != status || got != challenge {
		return fmt.Errorf("answer %d %s, want %d %s", response.StatusCode, got, status, challenge)
	}
	return nil
}

// minted are tokens that are signed with Kubemint's own key, as only it could.
type minted struct{ ofAnotherType, expired, ofAnotherIssuer, bound, withoutScope string }

func (t *trial) mint(ctx context.Context) (minted, error) {
	key, err := t.signingKey(ctx)
	if err != nil {
		return minted{}, err
	}
	genuine := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(t.tokens.Genuine, genuine); err != nil {
		return minted{}, err
	}
	var problems []error
	sign := func(mediaType string, changes map[string]any) string {
		claims := maps.Clone(genuine)
		maps.Copy(claims, changes)
		encoded, err := json.Marshal(claims)
		if err == nil {
			encoded, err = appendSigned(key, mediaType, encoded)
		}
		problems = append(problems, err)
		return string(encoded)
	}
	const accessToken = "at+jwt"
	return minted{
		ofAnotherType:   sign("JWT", nil),
		expired:         sign(accessToken, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
		ofAnotherIssuer: sign(accessToken, map[string]any{"iss": "https://somebody-else.example"}),
		bound:           sign(accessToken, map[string]any{"cnf": map[string]string{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}),
		withoutScope:    sign(accessToken, map[string]any{"scope": "invoices:read-only"}),
	}, errors.Join(problems...)
}

func appendSigned(key *signing.Key, mediaType string, claims []byte) ([]byte, error) {
	token, err := key.Sign(mediaType, text(claims))
	return []byte(token), err
}

// text is claims as they stand.
type text []byte

func (c text) AppendText(b []byte) ([]byte, error) { return append(b, c...), nil }

// signingKey is Kubemint's, which administrators alone may see.
func (t *trial) signingKey(ctx context.Context) (*signing.Key, error) {
	output, err := t.cluster.Kubectl(ctx, "get", "secret", "-n", localcluster.Namespace, v1alpha1.SigningKeysSecretName, "-o", "jsonpath={.data}")
	if err != nil {
		return nil, err
	}
	var data map[string][]byte
	if err := json.Unmarshal([]byte(output), &data); err != nil {
		return nil, err
	}
	ring, err := signing.ParseRing(data[v1alpha1.SigningKeysKey])
	if err != nil {
		return nil, err
	}
	return ring.Active(), nil
}

// startAPI starts an example program for tokens of an audience. It says on which URL it listens.
func (t *trial) startAPI(ctx context.Context, audience string, command []string) (url string, stop func(), err error) {
	log, err := os.CreateTemp(t.directory, "api-*.log")
	if err != nil {
		return "", nil, err
	}
	ca := t.secret.file("ca.crt")
	replace := strings.NewReplacer("{issuer}", t.secret.issuer, "{audience}", audience, "{ca}", ca)
	arguments := make([]string, len(command))
	for n, argument := range command {
		arguments[n] = replace.Replace(argument)
	}
	process := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	process.Env = append(os.Environ(), "ISSUER="+t.secret.issuer, "AUDIENCE="+audience, "ALGORITHM="+t.algorithm, "PORT=0",
		"SSL_CERT_FILE="+ca, "NODE_EXTRA_CA_CERTS="+ca)
	process.Stderr = log
	output, err := process.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := process.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = process.Process.Kill() // Nobody needs its last words.
		_ = process.Wait()
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	_, url, listens := strings.Cut(strings.TrimSpace(line), "listening on ")
	if err != nil || !listens {
		stop()
		return "", nil, fmt.Errorf("it does not listen, but says %q (see %s): %w", line, log.Name(), err)
	}
	go io.Copy(io.Discard, output) //nolint:errcheck // It ends with the process.
	return url, stop, nil
}

// goExample is a program of docs/examples that buildExamples built.
func (i *interop) goExample(name string) string { return filepath.Join(i.directory, name) }
