package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// examplesDirectory has what docs/consumers shows: whole programs and configurations.
const examplesDirectory = "docs/examples"

// buildExamples builds the programs in Go, and puts those for Node.js where they find their packages.
func (i *interop) buildExamples(ctx context.Context) error {
	for _, name := range []string{"client", "resourceserver"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(i.directory, name), "./"+filepath.Join(examplesDirectory, name))
		if output, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", name, err, output)
		}
	}
	if err := os.CopyFS(filepath.Join(i.directory, "node"), os.DirFS(filepath.Join(examplesDirectory, "node"))); err != nil {
		return err
	}
	modules, err := filepath.Abs(filepath.Join(nodeDirectory, "node_modules"))
	if err != nil {
		return err
	}
	return os.Symlink(modules, filepath.Join(i.directory, "node", "node_modules"))
}

// example is a configuration of docs/examples with what stands there for a cluster replaced by what there is here.
func example(path string, replacements ...string) (string, error) {
	content, err := os.ReadFile(filepath.Join(examplesDirectory, path))
	if err != nil {
		return "", err
	}
	for n := 0; n < len(replacements); n += 2 {
		if !strings.Contains(string(content), replacements[n]) {
			return "", fmt.Errorf("%s has no %q", path, replacements[n])
		}
	}
	return strings.NewReplacer(replacements...).Replace(string(content)), nil
}

// The tokens of the clients below live for a minute, and are to be renewed half a minute before they end.
const (
	tokenLifetime = time.Minute
	renewal       = 30 * time.Second
)

// caller is an example program with an OAuthClient of its own, and the API that it calls.
type caller struct {
	*trial
	name    string
	command []string
	mounted secret

	mu    sync.Mutex
	shown []string // the tokens that the API was shown, call by call
}

// calls tries an example program that calls the URLs it is given: it uses one token for several requests, renews it in time, takes up a
// rotated secret while it runs, and is refused with a wrong one. With a service account token it needs no secret.
func calls(name string, command ...string) func(context.Context, *trial) error {
	return func(ctx context.Context, t *trial) error {
		c := &caller{trial: t, name: "example-" + name, command: command}
		if err := c.register(ctx); err != nil {
			return fmt.Errorf("register the client: %w", err)
		}
		for _, step := range []struct {
			what string
			try  func(context.Context) error
		}{
			{"through a rotation", c.throughRotation},
			{"with a wrong secret", c.withWrongSecret},
			{"by service account", c.byServiceAccount},
		} {
			if err := step.try(ctx); err != nil {
				return fmt.Errorf("%s: %w", step.what, err)
			}
		}
		return nil
	}
}

func (c *caller) register(ctx context.Context) error {
	if _, err := c.cluster.ApplyYAML(ctx, fmt.Sprintf(`apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s, namespace: %[2]s}
---
apiVersion: oauth.kubemint.dev/v1alpha1
kind: OAuthClient
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  scopes: [invoices:read]
  token: {lifetime: %[3]s}
  authentication: {serviceAccounts: [{name: %[1]s}]}
`, c.name, c.namespace(), tokenLifetime)); err != nil {
		return err
	}
	if _, err := c.cluster.Kubectl(ctx, "wait", "-n", c.namespace(), "--for=condition=Ready", "oac/"+c.name, "--timeout=60s"); err != nil {
		return err
	}
	return c.mountSecret(ctx)
}

// mountSecret does what the kubelet does when a Secret changes.
func (c *caller) mountSecret(ctx context.Context) (err error) {
	c.mounted, err = c.readSecret(ctx, c.name, filepath.Join(c.directory, c.name))
	return err
}

// throughRotation has the program call an API for as long as a token lives, and longer. On the first call its secret becomes void.
func (c *caller) throughRotation(ctx context.Context) error {
	url, stop, err := c.serveAPI(ctx, func(call int) error {
		if call == 0 {
			return c.voidSecret(ctx)
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer stop()
	// The others but the last are answered late, so that half a minute passes, and the last one comes with another token.
	slow := slices.Repeat([]string{url + "/slow"}, int((tokenLifetime-renewal+latency)/slowness)+1)
	output, err := c.run(ctx, c.mounted.directory, "", slices.Concat([]string{url}, slow, []string{url})...)
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return c.renewedOnce()
}

const (
	// slowness is how long a slow call takes: less than the programs have patience for.
	slowness = 6 * time.Second
	// latency is by how much a program may think that its token ends later: it counts from when the answer came.
	latency = 5 * time.Second
)

// renewedOnce makes sure that one token was used until shortly before its end, and then one other.
func (c *caller) renewedOnce() error {
	distinct := slices.Compact(slices.Clone(c.shown))
	if len(distinct) != 2 {
		return fmt.Errorf("it used %d tokens in %d calls, want 2", len(distinct), len(c.shown))
	}
	if calls := slices.Index(c.shown, distinct[1]); calls < 3 {
		return fmt.Errorf("it used its first token for %d calls", calls)
	}
	return nil
}

// voidSecret replaces the client's secret by another, and the one before is good for nothing at once.
func (c *caller) voidSecret(ctx context.Context) error {
	former := c.mounted.clientSecret
	if _, err := c.cluster.Kubectl(ctx, "delete", "secret", "-n", c.namespace(), c.name); err != nil {
		return err
	}
	return eventually(ctx, slowness, func() error {
		if err := c.mountSecret(ctx); err != nil {
			return err
		}
		if c.mounted.clientSecret == former {
			return errors.New("the secret is the same")
		}
		return nil
	})
}

func (c *caller) withWrongSecret(ctx context.Context) error {
	directory := c.mounted.directory + "-wrong"
	if err := os.CopyFS(directory, os.DirFS(c.mounted.directory)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(directory, "client_secret"), []byte(c.mounted.clientSecret+"x"), 0o600); err != nil {
		return err
	}
	url, stop, err := c.serveAPI(ctx, func(int) error { return errors.New("called with a wrong secret") })
	if err != nil {
		return err
	}
	defer stop()
	output, err := c.run(ctx, directory, "", url)
	if err == nil || !regexp.MustCompile("invalid_client|401").MatchString(output) {
		return fmt.Errorf("it ends with %w: %s, not with invalid_client", err, output)
	}
	return nil
}

// byServiceAccount leaves the program nothing secret but a service account token.
func (c *caller) byServiceAccount(ctx context.Context) error {
	directory := c.mounted.directory + "-public"
	if err := os.CopyFS(directory, os.DirFS(c.mounted.directory)); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(directory, "client_secret")); err != nil {
		return err
	}
	token, err := c.cluster.Kubectl(ctx, "create", "token", "-n", c.namespace(), c.name, "--audience="+c.secret.issuer, "--duration=10m")
	if err != nil {
		return err
	}
	identity := directory + "-identity"
	if err := os.WriteFile(identity, []byte(strings.TrimSpace(token)), 0o600); err != nil {
		return err
	}
	url, stop, err := c.serveAPI(ctx, func(int) error { return nil })
	if err != nil {
		return err
	}
	defer stop()
	output, err := c.run(ctx, directory, identity, url)
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// run runs the program.
func (c *caller) run(ctx context.Context, directory, identity string, urls ...string) (output string, err error) {
	command := exec.CommandContext(ctx, c.command[0], append(slices.Clone(c.command[1:]), urls...)...)
	if identity == "" {
		identity = filepath.Join(directory, "no-identity")
	}
	command.Env = append(os.Environ(),
		"SECRET="+directory, "IDENTITY="+identity, "NODE_EXTRA_CA_CERTS="+filepath.Join(directory, "ca.crt"))
	written, err := command.CombinedOutput()
	return strings.TrimSpace(string(written)), err
}

// serveAPI serves an API to whoever has a token of the client, and notes the tokens. A call may do something first.
func (c *caller) serveAPI(ctx context.Context, first func(call int) error) (url string, stop func(), err error) {
	provider, err := oidc.NewProvider(c.withClient(ctx), c.secret.issuer)
	if err != nil {
		return "", nil, err
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: c.secret.issuer})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	c.shown = nil
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call, token, err := c.note(r, verifier)
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		if err := first(call); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if r.URL.Path == "/slow" && c.isFirst(call) {
			c.delay(r.Context(), token)
		}
		_, _ = io.WriteString(w, "4711\n")
	})}
	go server.Serve(listener) //nolint:errcheck // It ends when it is closed.
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

// note verifies the token of a request, and remembers it.
func (c *caller) note(r *http.Request, verifier *oidc.IDTokenVerifier) (call int, token *oidc.IDToken, err error) {
	raw := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token, err = verifier.Verify(r.Context(), raw); err != nil {
		return 0, nil, err
	}
	if token.Subject != c.mounted.clientID {
		return 0, nil, fmt.Errorf("the token is %s's", token.Subject)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = append(c.shown, raw)
	return len(c.shown) - 1, token, nil
}

// isFirst reports whether a call came with the token of the first one.
func (c *caller) isFirst(call int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown[call] == c.shown[0]
}

// delay waits for a while, but not longer than until the token is to be renewed.
func (c *caller) delay(ctx context.Context, token *oidc.IDToken) {
	select {
	case <-ctx.Done():
	case <-time.After(min(slowness, time.Until(token.Expiry.Add(latency-renewal)))):
	}
}
