package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubemint/kubemint/controllers"
	"github.com/kubemint/kubemint/controllers/rotation"
	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// Values of --mode.
const (
	modeAll         = "all"
	modeController  = "controller"
	modeTokenServer = "tokenserver"
)

// Values of --unowned-scopes.
const (
	unownedAllow  = "allow"
	unownedForbid = "forbid"
)

// Values of --tls-mode.
const (
	tlsManaged  = "managed"
	tlsFiles    = "files"
	tlsDisabled = "disabled"
)

// Bounds of --signing-key-rotation. A key stays published for a good day after it signed, so that with shorter intervals the key set
// would fill; ten years are as good as never.
const (
	minKeyRotation = 24 * time.Hour
	maxKeyRotation = 10 * 365 * 24 * time.Hour
)

// serviceAccountNamespace is where a pod finds the namespace it runs in.
const serviceAccountNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// options are the flags of kubemint.
type options struct {
	mode       string
	kubeconfig string
	namespace  string

	watchNamespaces []string

	issuer          string
	defaultAudience string
	unownedScopes   string
	unownedIn       []string
	maxLifetime     time.Duration
	algorithm       string
	keyRotation     time.Duration

	tokenAddress   string
	healthAddress  string
	metricsAddress string

	tlsMode      string
	tlsCertFile  string
	tlsKeyFile   string
	tlsHosts     []string
	caFile       string
	clientCAFile string

	workers          int
	leaderElect      bool
	watchPods        bool
	restartWorkloads bool

	assertions assertionOptions

	dpop          string
	tokenReuse    time.Duration
	shutdownDelay time.Duration

	logLevel  slog.Level
	logFormat string

	otlpEndpoint string
}

func (o *options) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.issuer, "issuer", "", "URL of the issuer, the iss of every token: https, as clients and resource servers reach it (required)")
	flags.StringVar(&o.defaultAudience, "default-audience", "", "aud of tokens for spec.scopes of OAuthClients (default: the issuer's URL)")
	flags.StringVar(&o.unownedScopes, "unowned-scopes", unownedAllow, "whether OAuthClients may have scopes at the default audience (spec.scopes), to which nobody consents: allow, or forbid, so that every scope has an owner (docs/scopes.md)")
	flags.StringSliceVar(&o.unownedIn, "unowned-scopes-namespaces", nil, "namespaces whose OAuthClients may have them all the same, for --unowned-scopes=forbid")
	flags.DurationVar(&o.maxLifetime, "max-token-lifetime", 24*time.Hour, "how long a token is valid at most, 60s to 24h: the shortest of this, the client's and the resource server's counts")
	flags.StringVar(&o.algorithm, "signing-algorithm", string(signing.ES256), "algorithm that tokens are signed with: ES256 or RS256; a change rotates the signing key, so that the other algorithm signs an hour later")
	flags.DurationVar(&o.keyRotation, "signing-key-rotation", 90*24*time.Hour, "how long a signing key signs before another one follows: 24h to 87600h; 0 means until somebody asks for it (docs/rotation.md)")

	flags.StringVar(&o.mode, "mode", modeAll, "what to run: all, controller (no token endpoint), or tokenserver (no controllers: any number of replicas, each answering alone)")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file of the cluster (default: $KUBECONFIG, else the pod's service account)")
	flags.StringVar(&o.namespace, "namespace", "", "namespace of Kubemint's own Secrets and lease (default: $POD_NAMESPACE, else the pod's)")

	flags.StringSliceVar(&o.watchNamespaces, "watch-namespaces", nil, "namespaces whose OAuthClients and ResourceServers are looked at, so that rights in these and in --namespace are enough (default: all)")

	flags.StringVar(&o.tokenAddress, "token-bind-address", ":8443", "address of the token endpoint, the key set and the metadata")
	flags.StringVar(&o.healthAddress, "health-bind-address", ":8081", "address of /healthz and /readyz")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "address of /metrics; 0 turns it off")

	flags.StringVar(&o.tlsMode, "tls-mode", tlsManaged, "how the token endpoint gets its certificate: managed (Kubemint's own CA signs it), files (--tls-cert-file and --tls-key-file, reloaded when they change), or disabled (plain HTTP, for a proxy in front that ends TLS)")
	flags.StringVar(&o.tlsCertFile, "tls-cert-file", "", "certificate chain, PEM, for --tls-mode=files")
	flags.StringVar(&o.tlsKeyFile, "tls-key-file", "", "private key, PEM, for --tls-mode=files")
	flags.StringSliceVar(&o.tlsHosts, "tls-hosts", nil, "further DNS names and IP addresses, beside the issuer's host, that the managed certificate is for")
	flags.StringVar(&o.caFile, "ca-file", "", "CA certificate, PEM, that clients are given as ca.crt when --tls-mode is files or disabled")
	flags.StringVar(&o.clientCAFile, "client-ca-file", "", "CA certificates, PEM, that may sign the TLS certificates by which clients authenticate (spec.authentication.tls, RFC 8705), reloaded when they change; empty turns mutual TLS off (docs/configuration.md)")

	o.assertions.addFlags(flags)

	flags.IntVar(&o.workers, "workers", 10, "OAuthClients reconciled at once, 1 to 100")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "let one replica at a time run the controllers; all of them issue tokens")
	flags.BoolVar(&o.watchPods, "watch-pods", false, "watch pods, to see which of them run with a client secret from before a rotation (ClusterRole kubemint-pod-reader)")
	flags.BoolVar(&o.restartWorkloads, "restart-workloads", false, "restart the workloads in spec.rollout.restart of an OAuthClient when its client secret has changed (ClusterRole kubemint-workload-restarter)")

	flags.StringVar(&o.dpop, "dpop", string(tokenserver.DPoPOff), "whether clients may bind their tokens to a key, by DPoP proofs (RFC 9449): off, on, or nonce, so that a proof must hold a nonce of the server's (docs/configuration.md)")
	flags.DurationVar(&o.tokenReuse, "token-reuse", 0, "how long a client that asks again for the same scopes gets the same token, with what is left of its lifetime; at most 1m, 0 turns it off. For clients that ask for a token with each call")
	flags.DurationVar(&o.shutdownDelay, "shutdown-delay", 5*time.Second, "time between the signal to stop, when /readyz turns 503, and the end of the token endpoint: as long as it takes until no requests are sent here any more")

	flags.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "least level of log lines: DEBUG, INFO, WARN or ERROR")
	flags.StringVar(&o.logFormat, "log-format", "json", "form of log lines: json or text")
	flags.StringVar(&o.otlpEndpoint, "otlp-endpoint", "", "URL of the OpenTelemetry collector that traces of token requests and reconciliations are sent to, by OTLP over HTTP, for example http://collector.monitoring:4318 (default: $OTEL_EXPORTER_OTLP_ENDPOINT; where that is empty too, nothing is traced). $OTEL_TRACES_SAMPLER and the like count (docs/observability.md)")
}

// complete fills in defaults that depend on where kubemint runs, and checks the flags. An error says what to write.
func (o *options) complete() error {
	if err := o.completeIssuer(); err != nil {
		return err
	}
	if err := o.completeTLS(); err != nil {
		return err
	}
	if err := o.completeScopes(); err != nil {
		return err
	}
	if err := o.assertions.complete(o.issuer); err != nil {
		return err
	}
	if o.namespace == "" {
		o.namespace = os.Getenv("POD_NAMESPACE")
	}
	if o.namespace == "" {
		if inPod, err := os.ReadFile(serviceAccountNamespace); err == nil {
			o.namespace = strings.TrimSpace(string(inPod))
		}
	}
	if o.namespace == "" {
		return errors.New("--namespace is missing: name the namespace for Kubemint's own Secrets, for example kubemint-system")
	}
	if err := o.completeWatchNamespaces(); err != nil {
		return err
	}
	if o.algorithm != string(signing.ES256) && o.algorithm != string(signing.RS256) {
		return fmt.Errorf("--signing-algorithm is %q: write ES256 or RS256", o.algorithm)
	}
	if o.keyRotation != 0 && (o.keyRotation < minKeyRotation || o.keyRotation > maxKeyRotation) {
		return fmt.Errorf("--signing-key-rotation is %s: write 24h to 87600h, or 0 to rotate on request only", o.keyRotation)
	}
	if o.mode != modeAll && o.mode != modeController && o.mode != modeTokenServer {
		return fmt.Errorf("--mode is %q: write %s, %s or %s", o.mode, modeAll, modeController, modeTokenServer)
	}
	if o.workers < 1 || o.workers > 100 {
		return fmt.Errorf("--workers is %d: write a number from 1 to 100", o.workers)
	}
	switch tokenserver.DPoP(o.dpop) {
	case tokenserver.DPoPOff, tokenserver.DPoPOn, tokenserver.DPoPNonce:
	default:
		return fmt.Errorf("--dpop is %q: write %s, %s or %s", o.dpop, tokenserver.DPoPOff, tokenserver.DPoPOn, tokenserver.DPoPNonce)
	}
	if o.tokenReuse < 0 || o.tokenReuse > tokenserver.MaxReuse {
		return fmt.Errorf("--token-reuse is %s: write 0s to 1m", o.tokenReuse)
	}
	if o.shutdownDelay < 0 {
		return fmt.Errorf("--shutdown-delay is %s: write 0s or more", o.shutdownDelay)
	}
	if o.logFormat != "json" && o.logFormat != "text" {
		return fmt.Errorf("--log-format is %q: write json or text", o.logFormat)
	}
	return o.completeTraces()
}

// completeWatchNamespaces checks the namespaces, and takes each once.
func (o *options) completeWatchNamespaces() error {
	for _, namespace := range o.watchNamespaces {
		if len(validation.IsDNS1123Label(namespace)) > 0 {
			return fmt.Errorf("--watch-namespaces: %q is no namespace: write names with commas between them; there are no patterns", namespace)
		}
	}
	slices.Sort(o.watchNamespaces)
	o.watchNamespaces = slices.Compact(o.watchNamespaces)
	return nil
}

// completeScopes checks what the administrators decide of what clients may ask for.
func (o *options) completeScopes() error {
	if o.unownedScopes != unownedAllow && o.unownedScopes != unownedForbid {
		return fmt.Errorf("--unowned-scopes is %q: write %s or %s", o.unownedScopes, unownedAllow, unownedForbid)
	}
	if len(o.unownedIn) > 0 && o.unownedScopes == unownedAllow {
		return errors.New("--unowned-scopes-namespaces names the exceptions from --unowned-scopes=forbid: add that, or leave it out")
	}
	if o.maxLifetime < time.Minute || o.maxLifetime > 24*time.Hour {
		return fmt.Errorf("--max-token-lifetime is %s: write a duration from 60s to 24h", o.maxLifetime)
	}
	return nil
}

// consentPolicy is what the administrators decide of what clients may ask for.
func (o *options) consentPolicy(issuer grant.Issuer) consent.Policy {
	return consent.Policy{
		DefaultAudience: o.defaultAudience,
		Reserved:        []string{issuer.URL, issuer.Endpoint(tokenserver.TokenPath)},
		ForbidUnowned:   o.unownedScopes == unownedForbid,
		UnownedIn:       o.unownedIn,
		MaxLifetime:     o.maxLifetime,
	}
}

// signingKeyPolicy is how signing keys come and go.
func (o *options) signingKeyPolicy() rotation.RingPolicy {
	return controllers.SigningKeyPolicy(signing.Algorithm(o.algorithm), o.keyRotation)
}

// completeIssuer checks the issuer's URL (RFC 8414, section 2: https, no query, no fragment).
func (o *options) completeIssuer() error {
	const example = "for example https://kubemint.kubemint-system.svc"
	if o.issuer == "" {
		return errors.New("--issuer is missing: write the https URL at which clients and resource servers reach this server, " + example)
	}
	issuer, err := url.Parse(o.issuer)
	switch {
	case err != nil || issuer.Host == "" || issuer.Hostname() == "":
		return fmt.Errorf("--issuer %q is not a URL: write one with scheme and host, %s", o.issuer, example)
	case issuer.Scheme != "https":
		return fmt.Errorf("--issuer %q is not https: OAuth 2.0 requires TLS (RFC 6749, section 3.2), also where a proxy ends it; write %s", o.issuer, example)
	case issuer.RawQuery != "" || issuer.ForceQuery || issuer.Fragment != "" || strings.Contains(o.issuer, "#") || issuer.User != nil:
		return fmt.Errorf("--issuer %q has a query, a fragment or a user: leave it out (RFC 8414, section 2)", o.issuer)
	case issuer.RawPath != "" || strings.HasSuffix(issuer.Path, "/") || strings.Contains(issuer.Path, "//") || strings.Contains(issuer.Path, "/."):
		return fmt.Errorf("--issuer %q must not end in a slash, and its path must be plain, %s", o.issuer, example)
	}
	if o.defaultAudience == "" {
		o.defaultAudience = o.issuer
	}
	if !slices.Contains(o.tlsHosts, issuer.Hostname()) {
		o.tlsHosts = append(o.tlsHosts, issuer.Hostname())
	}
	return nil
}

func (o *options) completeTLS() error {
	files := o.tlsCertFile != "" || o.tlsKeyFile != ""
	switch o.tlsMode {
	case tlsManaged:
		if files || o.caFile != "" {
			return errors.New("--tls-cert-file, --tls-key-file and --ca-file do not go with --tls-mode=managed: add --tls-mode=files, or leave them out")
		}
	case tlsFiles:
		if o.tlsCertFile == "" || o.tlsKeyFile == "" {
			return errors.New("--tls-mode=files needs --tls-cert-file and --tls-key-file: name the mounted tls.crt and tls.key")
		}
	case tlsDisabled:
		if files {
			return errors.New("--tls-cert-file and --tls-key-file do not go with --tls-mode=disabled: leave them out, or write --tls-mode=files")
		}
		if o.clientCAFile != "" {
			return errors.New("--client-ca-file does not go with --tls-mode=disabled: a client's certificate counts only on its own TLS connection, and never in a header that a proxy forwards, for anybody could write it; let Kubemint end TLS (--tls-mode=managed or files), or leave it out")
		}
	default:
		return fmt.Errorf("--tls-mode is %q: write %s, %s or %s", o.tlsMode, tlsManaged, tlsFiles, tlsDisabled)
	}
	for _, host := range o.tlsHosts {
		if net.ParseIP(host) == nil && strings.ContainsAny(host, ":/ ") {
			return fmt.Errorf("--tls-hosts: %q is no host: write DNS names and IP addresses without scheme and port", host)
		}
	}
	return nil
}
