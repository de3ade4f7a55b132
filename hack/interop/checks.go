package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

// check is a client or a verifier, and what is tried with it.
type check struct {
	role, what string
	title      title
	run        func(context.Context, *trial) error

	name string // the title, when it is known
}

// title finds out the name and the version of what is tried.
type title func(context.Context) (string, error)

// allChecks are what Kubemint is tried with.
func (i *interop) allChecks(ctx context.Context) (checks []check, err error) {
	const client, verifier = "CLIENT", "VERIFIER"
	nodeExample := func(name string) string { return filepath.Join(i.directory, "node", name) }
	pythonExample := filepath.Join(examplesDirectory, "python")
	checks = []check{
		{role: client, title: program("curl", "curl"), what: "basic and post, over HTTP/2 and HTTP/1.1", run: tryCurl},
		{role: client, title: module("x/oauth2", "golang.org/x/oauth2"), what: "basic, post, and finding out which", run: tryOAuth2},
		{role: client, title: module("x/oauth2", "golang.org/x/oauth2"), what: "private_key_jwt, by EndpointParams", run: tryPrivateKeyJWT},
		{role: client, title: module("x/oauth2", "golang.org/x/oauth2"), what: "mutual TLS; cnf of the token", run: tryCertificate},
		{role: client, title: packages("openid-client"), what: "RFC 8414 discovery; basic and post", run: node("openid-client.mjs")},
		{role: client, title: packages("openid-client"), what: "PrivateKeyJwt, with the Secret's JWK", run: node("private-key-jwt.mjs")},
		{role: client, title: packages("openid-client", "undici"), what: "TlsClientAuth; cnf of the token", run: node("openid-client-tls.mjs")},
		{role: client, title: packages("openid-client", "jose"), what: "DPoP, with nonces; cnf.jkt is the key's", run: node("dpop.mjs")},
		{role: client, title: packages("oauth4webapi"), what: "RFC 8414, strictly; the challenge of a 401", run: node("oauth4webapi.mjs")},
		{role: client, title: module("x/oauth2", "golang.org/x/oauth2"), what: "docs/examples/client",
			run: calls("go", i.goExample("client"))},
		{role: client, title: packages("openid-client"), what: "docs/examples/node/client.mjs",
			run: calls("node", "node", nodeExample("client.mjs"))},
		{role: client, title: i.pythonPackages("requests-oauthlib"), what: "docs/examples/python/client.py",
			run: calls("python", i.python, filepath.Join(pythonExample, "client.py"))},
		{role: client, title: program("Java", "java"), what: "docs/examples/java/Client.java",
			run: calls("java", "java", "-cp", i.jackson, filepath.Join(examplesDirectory, "java", "Client.java"))},
		{role: client, title: program("curl", "curl"), what: "docs/examples/shell/client.sh",
			run: calls("shell", filepath.Join(examplesDirectory, "shell", "client.sh"))},
		{role: client, title: program("Prometheus", i.prometheus), what: "docs/examples/prometheus, to scrape a target", run: tryPrometheus},

		{role: verifier, title: module("go-oidc", "github.com/coreos/go-oidc/v3"), what: "NewProvider and Verify, with defaults", run: tryGoOIDC},
		{role: verifier, title: module("jwx", "github.com/lestrrat-go/jwx/v3"), what: "jwk.Fetch and jwt.Parse", run: tryJWX},
		{role: verifier, title: packages("oauth4webapi"), what: "validateJwtAccessToken (RFC 9068, strictly)", run: node("oauth4webapi-verify.mjs")},
		{role: verifier, title: packages("jose"), what: "createRemoteJWKSet and jwtVerify, typ at+jwt", run: node("jose.mjs")},
		{role: verifier, title: packages("jsonwebtoken", "jwks-rsa"), what: "verify, with the keys of jwks-rsa", run: node("jsonwebtoken.mjs")},
		{role: verifier, title: module("go-oidc", "github.com/coreos/go-oidc/v3"), what: "docs/examples/resourceserver",
			run: serves(i.goExample("resourceserver"), "--issuer={issuer}", "--audience={audience}", "--ca-file={ca}", "--scope=invoices:read")},
		{role: verifier, title: packages("jose"), what: "docs/examples/node/resourceserver.mjs", run: serves("node", nodeExample("resourceserver.mjs"))},
		{role: verifier, title: i.pythonPackages("PyJWT"), what: "docs/examples/python/resourceserver.py",
			run: serves(i.python, filepath.Join(pythonExample, "resourceserver.py"))},
		{role: verifier, title: i.apiServer, what: "docs/examples/kube-apiserver; scopes as groups", run: tryAPIServer},
	}
	for n := range checks {
		if checks[n].name, err = checks[n].title(ctx); err != nil {
			return nil, err
		}
	}
	return checks, nil
}

// patience is for one check; kube-apiserver alone takes half a minute.
const patience = 3 * time.Minute

// try runs a check, and says how it went.
func (c check) try(ctx context.Context, t *trial) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	started := time.Now()
	err := c.run(ctx, t)
	note("%-6s %s: %s (%.1f s)", verdict(err), c.name, c.what, time.Since(started).Seconds())
	return err
}

func verdict(err error) string {
	if err != nil {
		return "FAILED"
	}
	return "ok"
}

// module is a Go module that this program is built with.
func module(name, path string) title {
	return func(context.Context) (string, error) {
		build, _ := debug.ReadBuildInfo()
		for _, module := range build.Deps {
			if module.Path == path {
				return name + " " + module.Version, nil
			}
		}
		return "", fmt.Errorf("the program is built without %s", path)
	}
}

// program is one that says its version: the first word of digits and dots. One that was built from its Go module may know none; its
// file's name tells the module's.
func program(name, path string) title {
	return func(ctx context.Context) (string, error) {
		output, err := exec.CommandContext(ctx, path, "--version").Output()
		if err != nil {
			return "", fmt.Errorf("ask %s for its version: %w", path, withStderr(err))
		}
		for _, word := range strings.Fields(string(output)) {
			if strings.Trim(word, "0123456789.") == "" {
				return name + " " + word, nil
			}
		}
		if _, version, ok := strings.Cut(filepath.Base(path), "@"); ok {
			return name + " " + version, nil
		}
		return "", fmt.Errorf("%s tells no version", path)
	}
}

// pythonPackages are packages that the Python has.
func (i *interop) pythonPackages(name string) title {
	return func(ctx context.Context) (string, error) {
		script := "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
		output, err := exec.CommandContext(ctx, i.python, "-c", script, name).Output()
		if err != nil {
			return "", fmt.Errorf("find the Python package %s: %w", name, withStderr(err))
		}
		return name + " " + strings.TrimSpace(string(output)), nil
	}
}

func (i *interop) apiServer(ctx context.Context) (string, error) {
	output, err := i.cluster.Kubectl(ctx, "version")
	_, version, _ := strings.Cut(output, "Server Version: ")
	return "kube-apiserver " + strings.TrimSpace(version), err
}
