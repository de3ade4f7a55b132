package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubemint/kubemint/tokenserver/assertion"
)

// Where the API server publishes the issuer of service account tokens, and the keys that verify them (Kubernetes, service account
// issuer discovery). The latter also where the metadata names a public copy, which may not be reached from here.
const (
	issuerPath = "/.well-known/openid-configuration"
	keysPath   = "/openid/v1/jwks"
)

const (
	// clusterTimeout bounds a request for either.
	clusterTimeout = 5 * time.Second
	// issuerRefresh is how often the issuer is read again, and issuerRetry how often while it is not known.
	issuerRefresh = 10 * time.Minute
	issuerRetry   = 10 * time.Second
	// clusterStale is how long keys stay in use while the API server is away: it alone changes them, and tokens end earlier.
	clusterStale = 7 * 24 * time.Hour
)

// clusterIssuer is the issuer of the cluster's own service account tokens.
type clusterIssuer struct {
	log    *slog.Logger
	client *http.Client
	host   string
	name   atomic.Pointer[string]
	sets   *assertion.KeySets
}

func newClusterIssuer(config *rest.Config, now func() time.Time, log *slog.Logger) (*clusterIssuer, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("set up a client for the cluster's service account issuer: %w", err)
	}
	host, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("set up a client for the cluster's service account issuer: %w", err)
	}
	return &clusterIssuer{log: log, client: client, host: strings.TrimSuffix(host.String(), "/"),
		sets: assertion.NewKeySets(assertion.FetchOptions{Client: client, Timeout: clusterTimeout, MaxStale: clusterStale, Now: now})}, nil
}

// issuer returns the iss of the tokens; empty while it is not known.
func (c *clusterIssuer) issuer() string {
	if name := c.name.Load(); name != nil {
		return *name
	}
	return ""
}

func (c *clusterIssuer) keys(ctx context.Context, keyID string) (*assertion.Keys, error) {
	return c.sets.Keys(ctx, c.host+keysPath, keyID)
}

// follow learns the issuer, and its keys before they are first asked for, until the context ends.
func (c *clusterIssuer) follow(ctx context.Context) {
	told := false
	for {
		wait := issuerRefresh
		name, err := c.learn(ctx)
		switch {
		case err == nil:
			c.name.Store(&name)
		case ctx.Err() != nil:
			return
		default:
			if c.issuer() == "" {
				wait = issuerRetry
			}
			if !told {
				c.log.Warn("service account tokens cannot be verified, trying again; where that is forbidden, bind the ClusterRole system:service-account-issuer-discovery", "error", err)
			}
		}
		told = err != nil
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// learn reads the issuer, and has its keys fetched if they are not there or due.
func (c *clusterIssuer) learn(ctx context.Context) (issuer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.host+issuerPath, nil)
	if err != nil {
		return "", err
	}
	response, err := c.client.Do(request)
	if err != nil {
		return "", fmt.Errorf("read the service account issuer: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("read the service account issuer: the API server answers %d", response.StatusCode)
	}
	var metadata struct {
		Issuer string `json:"issuer"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, response.Body, 64<<10)).Decode(&metadata); err != nil || metadata.Issuer == "" {
		return "", errors.New("read the service account issuer: the API server's metadata names none")
	}
	_, err = c.keys(ctx, "")
	return metadata.Issuer, err
}
