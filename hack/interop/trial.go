package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// trial is Kubemint with a signing key of one algorithm, and a workload that has a Secret of it.
type trial struct {
	algorithm  string
	directory  string
	cluster    *localcluster.Cluster
	prometheus string

	secret secret
	tokens tokens

	// clientCA is the file of the CA that signs certificates of clients. The other two are directories of a certificate with its key.
	clientCA, certificate, wrongCertificate string
}

// secret is all that the clients and verifiers are told, in files as a pod has it mounted.
type secret struct {
	directory                                string
	clientID, clientSecret, issuer, tokenURL string
	caCert                                   []byte
}

func (s secret) file(key string) string { return filepath.Join(s.directory, key) }

// namespace is where the workloads of a trial are.
func (t *trial) namespace() string { return "interop-" + strings.ToLower(t.algorithm) }

// tryAll tries every client and verifier with one algorithm. They do not disturb one another, and some wait for most of the
// time, so they run side by side.
func (i *interop) tryAll(ctx context.Context, algorithm string) (err error) {
	say("Starting kubemint with a new %s key, and applying an OAuthClient", algorithm)
	t := &trial{
		algorithm: algorithm, directory: filepath.Join(i.directory, algorithm),
		cluster: i.cluster, prometheus: i.prometheus,
	}
	kubemint, err := t.startKubemint(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kubemint.Stop()) }()
	if err := t.getSecret(ctx); err != nil {
		return err
	}
	if err := t.getTokens(ctx); err != nil {
		return err
	}
	results := make([]error, len(i.checks))
	var all sync.WaitGroup
	for n, c := range i.checks {
		all.Go(func() { results[n] = c.try(ctx, t) })
	}
	all.Wait()
	i.results[algorithm], i.forgeries = results, slices.Sorted(maps.Keys(t.tokens.Forged))
	return ctx.Err()
}

// startKubemint starts the binary with a signing key that it makes now.
func (t *trial) startKubemint(ctx context.Context) (*localcluster.Kubemint, error) {
	forget := []string{"delete", "secret", "-n", localcluster.Namespace, v1alpha1.SigningKeysSecretName, "--ignore-not-found"}
	if _, err := t.cluster.Kubectl(ctx, forget...); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(t.directory, 0o755); err != nil {
		return nil, err
	}
	if err := t.makeCertificates(); err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	log, err := os.Create(filepath.Join(t.directory, "kubemint.log"))
	if err != nil {
		return nil, err
	}
	// Which is nothing to clients that send neither a proof nor a certificate.
	args := []string{"--signing-algorithm=" + t.algorithm, "--dpop=nonce", "--client-ca-file=" + t.clientCA}
	kubemint, err := t.cluster.StartKubemint(ctx, localcluster.KubemintOptions{Args: args, Log: log})
	if err != nil {
		return nil, fmt.Errorf("%w (see %s)", err, log.Name())
	}
	return kubemint, nil
}

// getSecret applies an OAuthClient, and puts the Secret that it gets into files.
func (t *trial) getSecret(ctx context.Context) (err error) {
	if _, err := t.cluster.ApplyYAML(ctx, fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: oauth.kubemint.dev/v1alpha1
kind: OAuthClient
metadata: {name: worker, namespace: %[1]s}
spec:
  scopes: [invoices:read, metrics:read]
  authentication: {privateKeyJWT: {generated: {}}, tls: {sanURI: %[2]q}}
`, t.namespace(), spiffeID)); err != nil {
		return err
	}
	if _, err := t.cluster.Kubectl(ctx, "wait", "-n", t.namespace(), "--for=condition=Ready", "oac/worker", "--timeout=60s"); err != nil {
		return err
	}
	t.secret, err = t.readSecret(ctx, "worker", filepath.Join(t.directory, "secret"))
	return err
}

// readSecret puts the Secret of an OAuthClient into files.
func (t *trial) readSecret(ctx context.Context, name, directory string) (secret, error) {
	output, err := t.cluster.Kubectl(ctx, "get", "secret", "-n", t.namespace(), name, "-o", "jsonpath={.data}")
	if err != nil {
		return secret{}, err
	}
	var data map[string][]byte
	if err := json.Unmarshal([]byte(output), &data); err != nil {
		return secret{}, fmt.Errorf("read the Secret: %w", err)
	}
	return secret{
		directory:    directory,
		clientID:     string(data["client_id"]),
		clientSecret: string(data["client_secret"]),
		issuer:       string(data["issuer"]),
		tokenURL:     string(data["token_url"]),
		caCert:       data["ca.crt"],
	}, mount(data, directory)
}

// mount writes a Secret as the kubelet would: one file for each key.
func mount(data map[string][]byte, directory string) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	for key, value := range data {
		if err := os.WriteFile(filepath.Join(directory, key), value, 0o600); err != nil {
			return err
		}
	}
	return nil
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
		case <-time.After(200 * time.Millisecond):
		}
	}
}
