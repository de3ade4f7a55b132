package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kubemint/kubemint/hack/localcluster"
)

// credentials are those of the client billing/invoice-worker, as a pod finds them in its mounted Secret.
type credentials struct {
	ClientID     []byte `json:"client_id"`
	ClientSecret []byte `json:"client_secret"`
	TokenURL     []byte `json:"token_url"`
	CACert       []byte `json:"ca.crt"`
	caFile       string
}

func (d *demo) startCluster(ctx context.Context) (err error) {
	say("Starting a control plane: etcd, kube-apiserver and kube-controller-manager (about 10 s)")
	d.cluster, err = localcluster.Start(ctx, localcluster.Options{
		Dir: d.directory, ControllerManager: true, AuthenticationConfig: true, CRDs: []string{"config/crd/bases"},
	})
	if err != nil {
		return err
	}
	return d.show(ctx, "kubectl version", "version")
}

func (d *demo) startKubemint(ctx context.Context) error {
	say("Installing Kubemint's CRDs and RBAC, and starting kubemint as its own service account, with just these rights")
	if err := d.cluster.InstallKubemint(ctx); err != nil {
		return err
	}
	logFile, err := os.Create(filepath.Join(d.directory, "kubemint.log"))
	if err != nil {
		return err
	}
	d.kubemint, err = d.cluster.StartKubemint(ctx, localcluster.KubemintOptions{Log: logFile})
	if err != nil {
		return fmt.Errorf("%w (see %s)", err, logFile.Name())
	}
	note("it is ready; its issuer is %s, its log %s", d.kubemint.Issuer, logFile.Name())
	return nil
}

func (d *demo) applySamples(ctx context.Context) error {
	say("A workload asks for an identity: an OAuthClient")
	manifest, err := os.ReadFile("config/samples/oauthclient.yaml")
	if err != nil {
		return err
	}
	fmt.Print(indent(string(manifest)))
	for _, args := range [][]string{
		{"apply", "-k", "config/samples"},
		{"wait", "-n", "billing", "--for=condition=Ready", "oac", "--all", "--timeout=30s"},
		{"get", "-n", "billing", "oac"},
	} {
		if err := d.show(ctx, "kubectl "+strings.Join(args, " "), args...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) showSecret(ctx context.Context) error {
	say("Its credentials are in a Secret of the same name, ready to be mounted into pods")
	if err := d.show(ctx, "kubectl describe secret -n billing invoice-worker", "describe", "secret", "-n", "billing", "invoice-worker"); err != nil {
		return err
	}
	return d.readSecret(ctx)
}

// readSecret reads the credentials as a pod does.
func (d *demo) readSecret(ctx context.Context) error {
	data, err := d.kubectl(ctx, "get", "secret", "-n", "billing", "invoice-worker", "-o", "jsonpath={.data}")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(data), &d.credentials); err != nil {
		return fmt.Errorf("read the Secret: %w", err)
	}
	d.credentials.caFile = filepath.Join(d.directory, "ca.crt")
	return os.WriteFile(d.credentials.caFile, d.credentials.CACert, 0o600)
}

func (d *demo) requestToken(ctx context.Context) error {
	say("With them the workload gets an access token: the client credentials grant of OAuth 2.0")
	answer, err := d.askForToken(ctx)
	if err != nil {
		return err
	}
	if d.token, err = accessToken(answer); err != nil {
		return err
	}
	note("the first token came %.0f s after the demo started", time.Since(d.started).Seconds())
	return nil
}

func (d *demo) decodeToken(context.Context) error {
	say("It is a signed JWT (RFC 9068), which says who calls, whom, and what for")
	parts := strings.Split(d.token, ".")
	if len(parts) != 3 {
		return fmt.Errorf("the token has %d parts", len(parts))
	}
	for _, part := range parts[:2] {
		value, err := decode(part)
		if err != nil {
			return err
		}
		pretty, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			return err
		}
		fmt.Println(indent(string(pretty)))
	}
	return nil
}

// decode returns the members of a token's header or claims.
func decode(part string) (map[string]any, error) {
	decoded, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, fmt.Errorf("decode the token: %w", err)
	}
	var members map[string]any
	if err := json.Unmarshal(decoded, &members); err != nil {
		return nil, fmt.Errorf("decode the token: %w", err)
	}
	return members, nil
}

func (d *demo) callAPIServer(ctx context.Context) error {
	say("kube-apiserver itself takes it, told to trust the issuer (structured authentication; it looks again every 10 s)")
	config := fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: %[1]s
    audiences: [%[1]s]
    certificateAuthority: |
%[2]s
  claimMappings:
    username: {claim: sub, prefix: "kubemint:"}
    groups: {expression: 'claims.scope.split(" ").map(s, "kubemint:" + s)'}
`, d.kubemint.Issuer, strings.ReplaceAll(indent(string(d.credentials.CACert)), "\n    ", "\n      "))
	if err := d.cluster.SetAuthenticationConfig([]byte(strings.Replace(config, "    -----BEGIN", "      -----BEGIN", 1))); err != nil {
		return err
	}
	var output string
	if err := eventually(ctx, time.Minute, func() (err error) {
		output, err = d.cluster.KubectlWithToken(ctx, d.token, "auth", "whoami")
		return err
	}); err != nil {
		return err
	}
	fmt.Printf("  $ kubectl auth whoami --token $TOKEN\n%s", indent(output))
	if want := "kubemint:billing.invoice-worker"; !strings.Contains(output, want) {
		return fmt.Errorf("kube-apiserver does not know the bearer as %s", want)
	}
	return nil
}

func (d *demo) rotate(ctx context.Context) error {
	say("The client secret is changed, and nobody notices: the one before stays valid until it is no longer used")
	for _, args := range [][]string{
		{"annotate", "oac", "-n", "billing", "invoice-worker", "oauth.kubemint.dev/rotate=now"},
		{"wait", "-n", "billing", "--for=condition=Rotating", "oac/invoice-worker", "--timeout=30s"},
	} {
		if err := d.show(ctx, "kubectl "+strings.Join(args, " "), args...); err != nil {
			return err
		}
	}
	before := string(d.credentials.ClientSecret)
	if err := d.mustGetToken(ctx, "a pod that still has the secret from before"); err != nil {
		return err
	}
	if err := d.readSecret(ctx); err != nil {
		return err
	}
	if string(d.credentials.ClientSecret) == before {
		return errors.New("the client secret is the same")
	}
	if err := d.mustGetToken(ctx, "a pod that has the new one"); err != nil {
		return err
	}
	const path = `jsonpath={range .status.credentials[*]}{"version "}{.version}{" created "}{.created}{" expires "}{.expires}{"\n"}{end}`
	return d.show(ctx, "kubectl get oac -n billing invoice-worker -o '"+path+"'", "get", "oac", "-n", "billing", "invoice-worker", "-o", path)
}

// mustGetToken gets a token with the credentials that were read last.
func (d *demo) mustGetToken(ctx context.Context, who string) error {
	note("%s:", who)
	_, err := d.awaitToken(ctx, who)
	return err
}

func (d *demo) suspend(ctx context.Context) error {
	say("The kill switch: suspend the client, and its next request is refused")
	const patch = `{"spec":{"suspend":true}}`
	if err := d.show(ctx, "kubectl patch oac -n billing invoice-worker --type=merge -p '"+patch+"'",
		"patch", "oac", "-n", "billing", "invoice-worker", "--type=merge", "-p", patch); err != nil {
		return err
	}
	if err := d.awaitRefusal(ctx, "unauthorized_client"); err != nil {
		return err
	}
	return d.show(ctx, "kubectl get oac -n billing", "get", "oac", "-n", "billing")
}

func (d *demo) deleteClient(ctx context.Context) error {
	say("Delete it, and its Secret goes too")
	if err := d.show(ctx, "kubectl delete oac -n billing invoice-worker", "delete", "oac", "-n", "billing", "invoice-worker"); err != nil {
		return err
	}
	if err := d.awaitRefusal(ctx, "invalid_client"); err != nil {
		return err
	}
	if err := eventually(ctx, time.Minute, func() error {
		output, err := d.kubectl(ctx, "get", "secret", "-n", "billing", "invoice-worker", "--ignore-not-found", "-o", "name")
		if err == nil && strings.TrimSpace(output) != "" {
			err = fmt.Errorf("%s is still there", strings.TrimSpace(output))
		}
		return err
	}); err != nil {
		return err
	}
	return d.show(ctx, "kubectl get secrets -n billing", "get", "secrets", "-n", "billing")
}
