package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubemint/kubemint/hack/localcluster"
)

// Started wrongly, it says in one line what to do, and exits with an error.
func TestWrongStart(t *testing.T) {
	directory := t.TempDir()
	nowhere := filepath.Join(directory, "nowhere.kubeconfig")
	garbage := filepath.Join(directory, "garbage.pem")
	write(t, nowhere, `{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: x}}], clusters: [{name: x, cluster: {server: "https://127.0.0.1:1"}}]}`)
	write(t, garbage, "garbage")
	stranger, err := suite.cluster.TokenKubeconfig("stranger", filepath.Join(directory, "stranger.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	cluster := "--kubeconfig=" + suite.cluster.Kubeconfig()
	// A cluster without Kubemint's CRDs.
	empty, err := localcluster.Start(t.Context(), localcluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Stop() //nolint:errcheck // Nothing is left to do.

	// One with the CRDs of a version that had no ResourceServers.
	older, crds := t.TempDir(), "../../config/crd/bases/oauth.kubemint.dev_oauthclients.yaml"
	crd, err := os.ReadFile(crds)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(older, filepath.Base(crds)), string(crd))
	outdated, err := localcluster.Start(t.Context(), localcluster.Options{CRDs: []string{older}})
	if err != nil {
		t.Fatal(err)
	}
	defer outdated.Stop() //nolint:errcheck // Nothing is left to do.

	const issuer, namespace = "--issuer=https://localhost:8443", "--namespace=kubemint-system"
	for name, row := range map[string]struct {
		args   []string
		remedy string
	}{
		"no issuer":                 {nil, "--issuer is missing"},
		"issuer not https":          {[]string{"--issuer=http://localhost"}, "OAuth 2.0 requires TLS"},
		"issuer no URL":             {[]string{"--issuer=localhost"}, "write one with scheme and host"},
		"issuer with a query":       {[]string{"--issuer=https://localhost?a=b"}, "leave it out"},
		"issuer with a fragment":    {[]string{"--issuer=https://localhost#"}, "leave it out"},
		"issuer with a user":        {[]string{"--issuer=https://me@localhost"}, "leave it out"},
		"issuer ending in a slash":  {[]string{"--issuer=https://localhost/"}, "must not end in a slash"},
		"unknown flag":              {[]string{"--isuer=x"}, "--help lists the flags"},
		"superfluous argument":      {[]string{"start"}, "unknown command"},
		"no namespace":              {[]string{issuer}, "--namespace is missing"},
		"unknown algorithm":         {[]string{issuer, namespace, "--signing-algorithm=HS256"}, "write ES256 or RS256"},
		"keys for too short":        {[]string{issuer, namespace, "--signing-key-rotation=1h"}, "write 24h to 87600h, or 0"},
		"pattern of namespaces":     {[]string{issuer, namespace, "--watch-namespaces=team-*"}, "there are no patterns"},
		"check of nothing":          {[]string{"check-token"}, "accepts 1 arg"},
		"check of no credentials":   {[]string{"check-token", directory}, "mount the Secret of an OAuthClient there"},
		"unknown mode":              {[]string{issuer, namespace, "--mode=both"}, "write all, controller or tokenserver"},
		"unknown TLS mode":          {[]string{issuer, namespace, "--tls-mode=off"}, "write managed, files or disabled"},
		"files without a file":      {[]string{issuer, namespace, "--tls-mode=files"}, "needs --tls-cert-file and --tls-key-file"},
		"files with managed TLS":    {[]string{issuer, namespace, "--tls-cert-file=x"}, "add --tls-mode=files"},
		"client CAs without TLS":    {[]string{issuer, namespace, "--tls-mode=disabled", "--client-ca-file=x"}, "never in a header that a proxy forwards"},
		"no client CAs":             {[]string{issuer, namespace, cluster, "--client-ca-file=" + directory + "/no.crt"}, "--client-ca-file: "},
		"garbage for client CAs":    {[]string{issuer, namespace, cluster, "--client-ca-file=" + garbage}, "must be CA certificates, PEM"},
		"host with a port":          {[]string{issuer, namespace, "--tls-hosts=a:1"}, "without scheme and port"},
		"no workers":                {[]string{issuer, namespace, "--workers=0"}, "from 1 to 100"},
		"unknown DPoP setting":      {[]string{issuer, namespace, "--dpop=required"}, "write off, on or nonce"},
		"reuse for too long":        {[]string{issuer, namespace, "--token-reuse=2m"}, "write 0s to 1m"},
		"negative delay":            {[]string{issuer, namespace, "--shutdown-delay=-1s"}, "write 0s or more"},
		"unknown log format":        {[]string{issuer, namespace, "--log-format=xml"}, "write json or text"},
		"unknown log level":         {[]string{issuer, namespace, "--log-level=loud"}, "--help lists the flags"},
		"collector no URL":          {[]string{issuer, namespace, "--otlp-endpoint=collector:4318"}, "write one with http or https and a host"},
		"collector with a password": {[]string{issuer, namespace, "--otlp-endpoint=http://me:secret@collector:4318"}, "OTEL_EXPORTER_OTLP_HEADERS"},
		"no kubeconfig":             {[]string{issuer, namespace, "--kubeconfig=" + directory + "/missing"}, "name a kubeconfig"},
		"no cluster":                {[]string{issuer, namespace, "--kubeconfig=" + nowhere}, "cannot reach the Kubernetes API server"},
		"refused credentials":       {[]string{issuer, namespace, "--kubeconfig=" + stranger}, "refuses kubemint's credentials"},
		"no CRDs":                   {[]string{issuer, namespace, "--kubeconfig=" + empty.Kubeconfig()}, "install the CRDs"},
		"CRDs of another version":   {[]string{issuer, namespace, "--kubeconfig=" + outdated.Kubeconfig()}, "update them with kubectl apply"},
		"unreadable certificate":    {[]string{issuer, namespace, cluster, "--tls-mode=files", "--tls-cert-file=" + directory + "/no.crt", "--tls-key-file=" + directory + "/no.key"}, "must be a certificate and its private key"},
		"garbage for certificate":   {[]string{issuer, namespace, cluster, "--tls-mode=files", "--tls-cert-file=" + garbage, "--tls-key-file=" + garbage}, "must be a certificate and its private key"},
		"garbage for CA":            {[]string{issuer, namespace, cluster, "--tls-mode=disabled", "--ca-file=" + garbage, "--token-bind-address=127.0.0.1:0", "--health-bind-address=127.0.0.1:0", "--metrics-bind-address=0"}, "must be PEM"},
		"address in use":            {[]string{issuer, namespace, cluster, "--token-bind-address=" + strings.TrimPrefix(suite.kubemint.Health, "http://")}, "choose another address"},
	} {
		t.Run(name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), suite.binary, row.args...)
			command.Env = append(os.Environ(), "POD_NAMESPACE=", "KUBECONFIG=")
			command.WaitDelay = time.Minute
			var stderr bytes.Buffer
			command.Stderr = &stderr
			if err := command.Run(); command.ProcessState.ExitCode() != 1 {
				t.Errorf("exit: %v", err)
			}
			said := strings.TrimSpace(stderr.String())
			if strings.Contains(said, "\n") || !strings.HasPrefix(said, "kubemint: ") || !strings.Contains(said, row.remedy) {
				t.Errorf("it does not say %q in one line:\n%s", row.remedy, said)
			}
		})
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
