package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// issuerFlags say which issuer is meant, and how it is reached.
type issuerFlags struct {
	url               string
	caFile            string
	via               string
	kubemintNamespace string
}

// Values of --via.
const (
	viaAuto        = "auto"
	viaDirect      = "direct"
	viaPortForward = "port-forward"
)

// addFlags adds the flags of commands that ask an issuer.
func (f *issuerFlags) addFlags(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.caFile, "ca-file", "", "CA certificates, PEM, that the issuer's is verified with (default: ca.crt of a client's Secret, else the system's)")
	flags.StringVar(&f.via, "via", viaAuto, "how to reach the issuer: direct, port-forward to its Service, or auto: directly, and where that does not work by port-forward")
	f.addNamespaceFlag(command)
	_ = command.RegisterFlagCompletionFunc("via", cobra.FixedCompletions([]string{viaAuto, viaDirect, viaPortForward}, cobra.ShellCompDirectiveNoFileComp))
}

func (f *issuerFlags) addURLFlag(command *cobra.Command, usage string) {
	command.Flags().StringVar(&f.url, "issuer", "", usage)
}

func (f *issuerFlags) addNamespaceFlag(command *cobra.Command) {
	command.Flags().StringVar(&f.kubemintNamespace, "kubemint-namespace", "kubemint-system", "namespace in which Kubemint runs")
}

// place is where an issuer is, and what its certificate is verified with.
type place struct {
	issuer string
	ca     []byte // PEM; nil: the system's CAs
	source string // who said so
}

var errNoIssuer = errors.New("which issuer is meant is not known, as you may read neither a client's Secret nor Kubemint's Deployment: name it by --issuer, and its CA by --ca-file")

// find returns the issuer that the flags name, or else that of the cluster; nil is no cluster.
func (f *issuerFlags) find(ctx context.Context, c *cluster) (place, error) {
	found := place{issuer: f.url, source: "--issuer"}
	if c != nil && (f.url == "" || f.caFile == "") {
		if inCluster := f.findInCluster(ctx, c); f.url == "" {
			found = inCluster
		} else if inCluster.issuer == f.url {
			found.ca = inCluster.ca
		}
	}
	if found.issuer == "" {
		return place{}, errNoIssuer
	}
	var err error
	if f.caFile != "" {
		found.ca, err = readCA(f.caFile)
	}
	return found, err
}

func readCA(file string) ([]byte, error) {
	ca, err := os.ReadFile(file) //nolint:gosec // The user names it.
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	return ca, nil
}

// findInCluster returns the issuer of the cluster, empty where nothing that the user may read tells. A client's Secret goes before
// Kubemint's Deployment, as it has the CA.
func (f *issuerFlags) findInCluster(ctx context.Context, c *cluster) place {
	for _, namespace := range []string{c.namespace, ""} {
		clients, err := c.oauthClients(ctx, namespace)
		if err != nil {
			continue
		}
		if found := c.placeOfAny(ctx, clients); found.issuer != "" {
			return found
		}
	}
	deployments, err := c.kubemintDeployments(ctx, f.kubemintNamespace)
	if err != nil || len(deployments) == 0 {
		return place{}
	}
	deployment := &deployments[0]
	return place{issuer: argument(deployment, "--issuer"), source: "Deployment " + deployment.Namespace + "/" + deployment.Name}
}

// maxSecretsRead bounds how many clients' Secrets are tried: whoever may not read the first few will hardly read another.
const maxSecretsRead = 4

// placeOfAny returns the issuer by the first of the clients whose Secret the user may read.
func (c *cluster) placeOfAny(ctx context.Context, clients []v1alpha1.OAuthClient) place {
	clients = slices.DeleteFunc(clients, func(c v1alpha1.OAuthClient) bool { return c.Status.SecretName == "" })
	for i := range min(len(clients), maxSecretsRead) {
		holder := &clients[i]
		secret, err := c.writtenSecret(ctx, holder)
		if err != nil {
			continue
		}
		keys := holder.Spec.Secret.Keys
		return place{
			issuer: string(secret.Data[string(keys.Issuer)]), ca: secret.Data[string(keys.CACert)],
			source: fmt.Sprintf("Secret %s/%s", secret.Namespace, secret.Name),
		}
	}
	return place{}
}

// kubemintDeployments returns Kubemint's Deployments, that of the token servers first.
func (c *cluster) kubemintDeployments(ctx context.Context, namespace string) ([]appsv1.Deployment, error) {
	var list appsv1.DeploymentList
	err := c.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "kubemint"})
	slices.SortStableFunc(list.Items, func(a, b appsv1.Deployment) int { return cmp.Compare(len(a.Name), len(b.Name)) })
	return list.Items, err
}

// argument returns the value of a flag of Kubemint's container, in the form --flag=value.
func argument(deployment *appsv1.Deployment, flag string) string {
	for _, container := range deployment.Spec.Template.Spec.Containers {
		for _, arg := range container.Args {
			if value, found := strings.CutPrefix(arg, flag+"="); found {
				return value
			}
		}
	}
	return ""
}

// issuerTimeout bounds one exchange with an issuer.
const issuerTimeout = 15 * time.Second

// client returns an HTTP client that reaches an issuer as --via says, and what ends it. It follows no redirects.
func (f *issuerFlags) client(c *cluster, ca []byte, stderr io.Writer) (*http.Client, func(), error) {
	if f.via != viaAuto && f.via != viaDirect && f.via != viaPortForward {
		return nil, nil, fmt.Errorf("--via is %q: write %s, %s or %s", f.via, viaAuto, viaDirect, viaPortForward)
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(ca) {
			return nil, nil, errors.New("the CA holds no certificate in PEM: name a file that does by --ca-file")
		}
	}
	way := &road{via: f.via, cluster: c, kubemintNamespace: f.kubemintNamespace, stderr: stderr}
	transport := &http.Transport{DialContext: way.dial, TLSClientConfig: settings, ForceAttemptHTTP2: true}
	if f.via == viaDirect { // A proxy's address would be taken for the issuer's, and forwarded to.
		transport.Proxy = http.ProxyFromEnvironment
	}
	stop := func() { transport.CloseIdleConnections(); way.close() }
	return &http.Client{
		Transport: transport, Timeout: issuerTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, stop, nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// fetch gets a public document of an issuer, and returns the answer with its body read.
func fetch(ctx context.Context, httpClient *http.Client, address string) (*http.Response, []byte, error) {
	if !strings.HasPrefix(address, "https://") {
		return nil, nil, fmt.Errorf("%q is no https URL, and nothing that comes from there could be believed", address)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s answered %s", address, response.Status)
	}
	return response, body, nil
}

// metadata is what an issuer says of itself (RFC 8414; OpenID Connect Discovery).
type metadata struct {
	Issuer        string `json:"issuer"`
	TokenEndpoint string `json:"token_endpoint"`
	JWKSURI       string `json:"jwks_uri"`
}

// discover reads an issuer's metadata by OpenID Connect Discovery. What names another issuer is refused, as both RFCs demand.
func discover(ctx context.Context, httpClient *http.Client, issuer string) (metadata, *http.Response, error) {
	return readMetadata(ctx, httpClient, issuer, issuer+"/.well-known/openid-configuration")
}

// discoverOAuth reads the same by RFC 8414, whose path stands before that of the issuer.
func discoverOAuth(ctx context.Context, httpClient *http.Client, issuer string) (metadata, error) {
	address, err := url.Parse(issuer)
	if err != nil {
		return metadata{}, fmt.Errorf("%q is no URL", issuer)
	}
	address.Path = "/.well-known/oauth-authorization-server" + address.Path
	found, _, err := readMetadata(ctx, httpClient, issuer, address.String())
	return found, err
}

func readMetadata(ctx context.Context, httpClient *http.Client, issuer, address string) (metadata, *http.Response, error) {
	response, body, err := fetch(ctx, httpClient, address)
	if err != nil {
		return metadata{}, nil, err
	}
	var found metadata
	if err := json.Unmarshal(body, &found); err != nil {
		return metadata{}, response, fmt.Errorf("%s is no JSON: is another server there?", address)
	}
	if found.Issuer != issuer {
		return metadata{}, response, fmt.Errorf("%s is of the issuer %q, not of %q", address, found.Issuer, issuer)
	}
	return found, response, nil
}

// keySet reads an issuer's published keys.
func keySet(ctx context.Context, httpClient *http.Client, issuer string) ([]byte, error) {
	found, _, err := discover(ctx, httpClient, issuer)
	if err != nil {
		return nil, err
	}
	_, body, err := fetch(ctx, httpClient, found.JWKSURI)
	return body, err
}
