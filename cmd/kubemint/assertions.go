package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/clientauth"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// assertionOptions are the flags of how clients prove who they are without a shared secret.
type assertionOptions struct {
	tokenEndpointAudience bool
	maxAge                time.Duration
	maxTokenAge           time.Duration
	reviewTokens          bool
	trustedIssuersFile    string
	keySetNetworks        []string
	keySetCAFile          string

	networks []netip.Prefix
	roots    *x509.CertPool
	trusted  []trustedIssuer
}

// Bounds of --assertion-max-age and --service-account-token-max-age. Kubernetes issues no service account token for less than ten minutes.
const (
	minAssertionAge, maxAssertionAge = 10 * time.Second, 5 * time.Minute
	minTokenAge, maxTokenAge         = 10 * time.Minute, 24 * time.Hour
)

// assertionLeeway is how much the clock of who made an assertion may differ.
const assertionLeeway = 10 * time.Second

func (o *assertionOptions) addFlags(flags *pflag.FlagSet) {
	flags.DurationVar(&o.maxAge, "assertion-max-age", time.Minute, "how far ahead a client assertion may expire, and how long ago it may have been made: 10s to 5m. One that somebody has read can be used once more on each other replica until then")
	flags.BoolVar(&o.tokenEndpointAudience, "accept-token-endpoint-audience", false, "accept client assertions whose aud is the token endpoint's URL, for clients that cannot be changed, beside the issuer's URL (rfc7523bis)")
	flags.StringSliceVar(&o.keySetNetworks, "key-set-networks", nil, "networks that are not public from which key sets of clients (jwksURI) may be fetched all the same, for example the cluster's services: 10.96.0.0/12")
	flags.StringVar(&o.keySetCAFile, "key-set-ca-file", "", "CA certificates, PEM, to verify the hosts of key sets with, beside those of the system")
	flags.DurationVar(&o.maxTokenAge, "service-account-token-max-age", time.Hour, "how old a service account token may be, and how far ahead it may expire: 10m to 24h")
	flags.BoolVar(&o.reviewTokens, "review-service-account-tokens", false, "ask the API server whether the pod of a service account token is still there, and remember that for 10s (ClusterRole kubemint-token-reviewer). While the API server is away, such requests get 503")
	flags.StringVar(&o.trustedIssuersFile, "trusted-issuers-file", "", "YAML file of further issuers whose tokens may prove clients (docs/authentication.md)")
}

// complete checks the flags, and reads the files that they name.
func (o *assertionOptions) complete(issuer string) (err error) {
	if o.maxAge < minAssertionAge || o.maxAge > maxAssertionAge {
		return fmt.Errorf("--assertion-max-age is %s: write a duration from %s to %s", o.maxAge, minAssertionAge, maxAssertionAge)
	}
	if o.maxTokenAge < minTokenAge || o.maxTokenAge > maxTokenAge {
		return fmt.Errorf("--service-account-token-max-age is %s: write a duration from %s to %s", o.maxTokenAge, minTokenAge, maxTokenAge)
	}
	for _, text := range o.keySetNetworks {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("--key-set-networks: %q is no network: write an address and its bits, for example 10.96.0.0/12", text)
		}
		o.networks = append(o.networks, network.Masked())
	}
	if o.keySetCAFile != "" {
		if o.roots, err = readRoots("--key-set-ca-file", o.keySetCAFile); err != nil {
			return err
		}
	}
	if o.trustedIssuersFile != "" {
		o.trusted, err = readTrustedIssuers(o.trustedIssuersFile, issuer)
	}
	return err
}

// readRoots returns the CA certificates of the system and of a file.
func readRoots(of, file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file) //nolint:gosec // An administrator names it.
	if err != nil {
		return nil, fmt.Errorf("%s: %w", of, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s %s holds no certificate: it must be PEM (BEGIN CERTIFICATE)", of, file)
	}
	return roots, nil
}

// trustedIssuer is an entry of --trusted-issuers-file.
type trustedIssuer struct {
	// Issuer is the iss of its tokens.
	Issuer string `json:"issuer"`
	// JWKSURI is where its keys are; empty: where its metadata says (OpenID Connect Discovery).
	JWKSURI string `json:"jwksURI,omitempty"`
	// Audiences are those of which the one audience of its tokens must be one; none: the URL of our own issuer.
	Audiences []string `json:"audiences,omitempty"`
	// MaxTokenAge bounds the age of its tokens; zero: as for service account tokens.
	MaxTokenAge metav1.Duration `json:"maxTokenAge,omitzero"`
	// CAFile is of CA certificates to verify its host with, beside those of the system.
	CAFile string `json:"caFile,omitempty"`

	roots *x509.CertPool
}

// maxTrustedIssuers bounds how many there are.
const maxTrustedIssuers = 64

// readTrustedIssuers reads and checks a file of issuers.
func readTrustedIssuers(file, own string) ([]trustedIssuer, error) {
	content, err := os.ReadFile(file) //nolint:gosec // An administrator names it.
	if err != nil {
		return nil, fmt.Errorf("--trusted-issuers-file: %w", err)
	}
	var list struct {
		TrustedIssuers []trustedIssuer `json:"trustedIssuers"`
	}
	if err := yaml.UnmarshalStrict(content, &list); err != nil {
		return nil, fmt.Errorf("--trusted-issuers-file %s: %w: write trustedIssuers: [{issuer: https://...}], see docs/authentication.md", file, err)
	}
	if len(list.TrustedIssuers) > maxTrustedIssuers {
		return nil, fmt.Errorf("--trusted-issuers-file %s has more than %d issuers: leave some out", file, maxTrustedIssuers)
	}
	for i := range list.TrustedIssuers {
		trusted := &list.TrustedIssuers[i]
		if err := trusted.complete(own); err != nil {
			return nil, fmt.Errorf("--trusted-issuers-file %s, issuer %d: %w", file, i+1, err)
		}
		if slices.ContainsFunc(list.TrustedIssuers[:i], func(other trustedIssuer) bool { return other.Issuer == trusted.Issuer }) {
			return nil, fmt.Errorf("--trusted-issuers-file %s has issuer %s twice: leave one out", file, trusted.Issuer)
		}
	}
	return list.TrustedIssuers, nil
}

func (t *trustedIssuer) complete(own string) (err error) {
	switch {
	case t.Issuer == own:
		return errors.New("it is this issuer itself, whose access tokens prove no client: leave it out")
	case assertion.CheckURL(t.Issuer) != nil || strings.ContainsAny(t.Issuer, "?"):
		return fmt.Errorf("issuer %q must be an https URL, exactly as the iss of its tokens", t.Issuer)
	case t.JWKSURI != "" && assertion.CheckURL(t.JWKSURI) != nil:
		return fmt.Errorf("jwksURI: %w", assertion.CheckURL(t.JWKSURI))
	case slices.Contains(t.Audiences, ""):
		return errors.New("audiences must not be empty texts")
	case t.MaxTokenAge.Duration != 0 && (t.MaxTokenAge.Duration < minAssertionAge || t.MaxTokenAge.Duration > maxTokenAge):
		return fmt.Errorf("maxTokenAge is %s: write a duration from %s to %s", t.MaxTokenAge.Duration, minAssertionAge, maxTokenAge)
	case t.CAFile != "":
		t.roots, err = readRoots("caFile", t.CAFile)
	}
	return err
}

// anywhere is every address: an administrator names the hosts of trusted issuers.
var anywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// verifier returns how the issuer's tokens are verified.
func (t *trustedIssuer) verifier() clientauth.TrustedIssuer {
	sets := assertion.NewKeySets(assertion.FetchOptions{AllowedNetworks: anywhere, RootCAs: t.roots})
	keys := func(ctx context.Context, keyID string) (*assertion.Keys, error) {
		return sets.KeysOf(ctx, t.Issuer, keyID)
	}
	if t.JWKSURI != "" {
		keys = func(ctx context.Context, keyID string) (*assertion.Keys, error) {
			return sets.Keys(ctx, t.JWKSURI, keyID)
		}
	}
	return clientauth.TrustedIssuer{Keys: keys, Audiences: t.Audiences, MaxTokenAge: t.MaxTokenAge.Duration}
}

// policy returns what a JWT must be to prove a client. review asks the API server about service account tokens.
func (o *assertionOptions) policy(issuer grant.Issuer, review func(context.Context, string) (bool, error)) clientauth.AssertionPolicy {
	policy := clientauth.AssertionPolicy{
		Audiences: []string{issuer.URL}, MaxAge: o.maxAge, MaxTokenAge: o.maxTokenAge, Leeway: assertionLeeway,
		Trusted: map[string]clientauth.TrustedIssuer{},
	}
	if o.tokenEndpointAudience {
		policy.Audiences = append(policy.Audiences, issuer.Endpoint(tokenserver.TokenPath))
	}
	if o.reviewTokens {
		policy.Review = review
	}
	for i := range o.trusted {
		policy.Trusted[o.trusted[i].Issuer] = o.trusted[i].verifier()
	}
	return policy
}

// issuers returns the further issuers whose tokens may prove clients.
func (o *assertionOptions) issuers() []string {
	var issuers []string
	for i := range o.trusted {
		issuers = append(issuers, o.trusted[i].Issuer)
	}
	return issuers
}

// keySets returns the key sets that clients publish, none of which is fetched yet.
func (o *assertionOptions) keySets() *assertion.KeySets {
	return assertion.NewKeySets(assertion.FetchOptions{AllowedNetworks: o.networks, RootCAs: o.roots})
}
