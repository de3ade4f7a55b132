package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// curlAnswer is what curl got.
type curlAnswer struct {
	status, httpVersion string
	body                struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error"`
	}
}

func tryCurl(ctx context.Context, t *trial) error {
	for option, version := range map[string]string{"--http2": "2", "--http1.1": "1.1"} {
		for how, credentials := range curlCredentials(t.secret.clientID, t.secret.clientSecret) {
			if err := t.curlToken(ctx, version, append(credentials, option)); err != nil {
				return fmt.Errorf("%s %s: %w", option, how, err)
			}
		}
	}
	for how, credentials := range curlCredentials(t.secret.clientID, t.secret.clientSecret+"x") {
		if err := t.curlRefusal(ctx, credentials); err != nil {
			return fmt.Errorf("a wrong secret %s: %w", how, err)
		}
	}
	return nil
}

// curlCredentials are curl's arguments for each way to show the client's secret.
func curlCredentials(id, secret string) map[string][]string {
	return map[string][]string{
		"by basic": {"--user", id + ":" + secret},
		"by post":  {"--data-urlencode", "client_id=" + id, "--data-urlencode", "client_secret=" + secret},
	}
}

func (t *trial) curlToken(ctx context.Context, httpVersion string, arguments []string) error {
	answer, err := t.curl(ctx, arguments)
	if err != nil {
		return err
	}
	if answer.status != "200" || answer.body.AccessToken == "" {
		return fmt.Errorf("no token: %s %s", answer.status, answer.body.Error)
	}
	if answer.httpVersion != httpVersion {
		return fmt.Errorf("it came by HTTP/%s", answer.httpVersion)
	}
	return nil
}

func (t *trial) curlRefusal(ctx context.Context, arguments []string) error {
	answer, err := t.curl(ctx, arguments)
	if err != nil {
		return err
	}
	if answer.status != "401" || answer.body.Error != "invalid_client" {
		return fmt.Errorf("%s %s, want 401 invalid_client", answer.status, answer.body.Error)
	}
	return nil
}

func (t *trial) curl(ctx context.Context, arguments []string) (answer curlAnswer, err error) {
	arguments = append([]string{
		"--silent", "--show-error", "--cacert", t.secret.file("ca.crt"), "--write-out", "\n%{http_code} %{http_version}",
		"--data", "grant_type=client_credentials", t.secret.tokenURL,
	}, arguments...)
	output, err := exec.CommandContext(ctx, "curl", arguments...).Output()
	if err != nil {
		return answer, withStderr(err)
	}
	body, written, _ := strings.Cut(string(output), "\n") // The answer has no line break of its own.
	answer.status, answer.httpVersion, _ = strings.Cut(written, " ")
	if err := json.Unmarshal([]byte(body), &answer.body); err != nil {
		return answer, fmt.Errorf("status %s: read the answer: %w", answer.status, err)
	}
	return answer, nil
}

// withStderr adds to the error of a command what it wrote.
func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}
