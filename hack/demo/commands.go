package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func say(text string)                 { fmt.Printf("\n=== %s\n", text) }
func note(format string, args ...any) { fmt.Printf("  ("+format+")\n", args...) }
func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}
func shell(command string) { fmt.Printf("  $ %s\n", command) }

// kubectl runs kubectl as the cluster's administrator.
func (d *demo) kubectl(ctx context.Context, args ...string) (string, error) {
	return d.cluster.Kubectl(ctx, args...)
}

// show runs kubectl and prints the command and its output.
func (d *demo) show(ctx context.Context, command string, args ...string) error {
	shell(command)
	output, err := d.kubectl(ctx, args...)
	fmt.Print(indent(output))
	return err
}

// request is an HTTP request that the demo makes.
type request struct {
	url     string
	user    string // ID:SECRET, for Basic authentication
	form    []string
	headers []string
}

// answer is what came back.
type answer struct {
	status int
	body   string
}

// curl makes a request with curl, as a reader would, and prints the command, its secrets hidden, and the answer. Where curl is
// not installed, Go makes the same request.
func (d *demo) curl(ctx context.Context, r request, what string) (answer, error) {
	args := []string{"--silent", "--show-error", "--cacert", d.credentials.caFile}
	if r.user != "" {
		args = append(args, "--user", r.user)
	}
	for _, field := range r.form {
		args = append(args, "--data", field)
	}
	for _, header := range r.headers {
		args = append(args, "--header", header)
	}
	args = append(args, r.url)
	if what != "" {
		note("%s", what)
	}
	shell(printable(args))

	var result answer
	var err error
	if _, missing := exec.LookPath("curl"); missing == nil {
		result, err = runCurl(ctx, args)
	} else {
		note("curl is not installed: Go makes the same request")
		result, err = d.doRequest(ctx, r)
	}
	if err != nil {
		return answer{}, err
	}
	fmt.Printf("    %d %s\n", result.status, strings.TrimSpace(result.body))
	return result, nil
}

// printable returns a curl command with its secrets as variables.
func printable(args []string) string {
	words := []string{"curl"}
	for i, arg := range args {
		switch {
		case arg == "--silent" || arg == "--show-error":
			continue
		case i > 0 && args[i-1] == "--user":
			id, _, _ := strings.Cut(arg, ":")
			arg = id + ":$CLIENT_SECRET"
		case strings.HasPrefix(arg, "client_assertion="):
			arg = `"client_assertion=$ASSERTION"`
		case strings.HasPrefix(arg, "Authorization: Bearer "):
			arg = `"Authorization: Bearer $TOKEN"`
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

func runCurl(ctx context.Context, args []string) (answer, error) {
	output, err := exec.CommandContext(ctx, "curl", append(args, "--write-out", "\n%{http_code}")...).CombinedOutput()
	if err != nil {
		return answer{}, fmt.Errorf("curl: %w: %s", err, output)
	}
	end := strings.LastIndexByte(string(output), '\n') // --write-out put the status on a line of its own.
	status, err := strconv.Atoi(string(output[end+1:]))
	if err != nil {
		return answer{}, fmt.Errorf("curl printed no status: %s", output)
	}
	return answer{status: status, body: string(output[:end])}, nil
}

func (d *demo) doRequest(ctx context.Context, r request) (answer, error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(d.credentials.CACert)
	method, body := http.MethodGet, ""
	if len(r.form) > 0 {
		method, body = http.MethodPost, strings.Join(r.form, "&")
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if len(r.form) > 0 {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if id, secret, ok := strings.Cut(r.user, ":"); ok {
		req.SetBasicAuth(id, secret)
	}
	for _, header := range r.headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	response, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	content, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, body: string(content)}, err
}

// tokenRequest is the request of the client billing/invoice-worker for a token.
func (d *demo) tokenRequest(form ...string) request {
	return request{
		url:  string(d.credentials.TokenURL),
		user: string(d.credentials.ClientID) + ":" + string(d.credentials.ClientSecret),
		form: append([]string{"grant_type=client_credentials"}, form...),
	}
}

func (d *demo) askForToken(ctx context.Context, form ...string) (answer, error) {
	return d.curl(ctx, d.tokenRequest(form...), "")
}

// awaitToken waits, for the moment that the watch takes, until the token endpoint gives the client a token, and shows how.
func (d *demo) awaitToken(ctx context.Context, who string, form ...string) (string, error) {
	return d.awaitTokenBy(ctx, who, d.tokenRequest(form...))
}

// awaitTokenBy does so by a request of its own.
func (d *demo) awaitTokenBy(ctx context.Context, who string, r request) (string, error) {
	if err := eventually(ctx, 5*time.Second, func() error {
		got, err := d.doRequest(ctx, r)
		if err == nil && got.status != http.StatusOK {
			err = fmt.Errorf("%s gets no token: %d %s", who, got.status, got.body)
		}
		return err
	}); err != nil {
		return "", err
	}
	got, err := d.curl(ctx, r, "")
	if err != nil {
		return "", err
	}
	return accessToken(got)
}

// accessToken returns the access token in an answer of the token endpoint.
func accessToken(got answer) (string, error) {
	if got.status != http.StatusOK {
		return "", fmt.Errorf("no token: %d %s", got.status, got.body)
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(got.body), &token); err != nil {
		return "", fmt.Errorf("the token endpoint's answer is no JSON: %w", err)
	}
	return token.AccessToken, nil
}

// awaitRefusal waits, for the moment that the watch takes, until the token endpoint refuses the client, and shows it.
func (d *demo) awaitRefusal(ctx context.Context, code string, form ...string) error {
	if err := eventually(ctx, 5*time.Second, func() error {
		got, err := d.doRequest(ctx, d.tokenRequest(form...))
		if err == nil && !strings.Contains(got.body, code) {
			err = fmt.Errorf("the token endpoint answered %d instead of %s", got.status, code)
		}
		return err
	}); err != nil {
		return err
	}
	_, err := d.askForToken(ctx, form...)
	return err
}

// startResourceServer builds and starts the example, and returns its URL.
func (d *demo) startResourceServer(ctx context.Context) (string, func(), error) {
	binary := filepath.Join(d.directory, "resourceserver")
	if output, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./docs/examples/resourceserver").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("build the resource server: %w\n%s", err, output)
	}
	server := exec.CommandContext(ctx, binary, "--issuer", d.kubemint.Issuer, "--ca-file", d.credentials.caFile,
		"--audience", ordersAudience, "--scope", ordersScope)
	server.Stderr = os.Stderr
	output, err := server.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := server.Start(); err != nil {
		return "", nil, fmt.Errorf("start the resource server: %w", err)
	}
	stop := func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	address, found := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !found {
		stop()
		return "", nil, errors.Join(errors.New("the resource server did not start"), err)
	}
	note("it listens on %s", address)
	return address, stop, nil
}

// eventually tries until it succeeds, for as long as patience lasts.
func eventually(ctx context.Context, patience time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s still: %w", patience, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
