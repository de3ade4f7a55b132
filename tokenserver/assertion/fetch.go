package assertion

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How long a fetched key set is taken for fresh: as long as its Cache-Control says, within bounds, or as long as unsaid.
const (
	minFresh     = time.Minute
	maxFresh     = time.Hour
	unsaidFresh  = 10 * time.Minute
	refreshAfter = 0.75 // Of that time, a set that is used is fetched again in the background.
)

// defaultMaxStale is how long a set that is no longer fresh stays in use while it cannot be fetched.
const defaultMaxStale = time.Hour

// How long after a failure the next fetch of a URL waits: it doubles with each.
const (
	minBackoff = 5 * time.Second
	maxBackoff = 5 * time.Minute
)

// unknownKeyInterval is how often a set is fetched again for a key that is not in it, at most.
const unknownKeyInterval = time.Minute

const (
	// maxFetches is how many fetches are under way at a time; each further one waits, within its timeout.
	maxFetches = 32
	// maxURLs is how many sets are remembered. Beyond it, that which was not asked for the longest is forgotten.
	maxURLs = 10_000
	// maxURL bounds a URL, in bytes.
	maxURL = 2048
)

// FetchOptions say how key sets are fetched.
type FetchOptions struct {
	// AllowedNetworks are those that may be fetched from beside public addresses: that of a cluster's own services, say.
	AllowedNetworks []netip.Prefix
	// RootCAs verify the hosts' certificates; nil stands for those of the system.
	RootCAs *x509.CertPool
	// Timeout bounds a fetch from its beginning to the last byte; 0 stands for 5 s.
	Timeout time.Duration
	// Client fetches in place of the one that gets to public addresses and AllowedNetworks only. It is for a host that an administrator
	// chose, and nobody else.
	Client *http.Client
	// MaxStale is how long a set that is no longer fresh stays in use while it cannot be fetched; 0 stands for an hour.
	MaxStale time.Duration
	// Now is the clock; nil stands for time.Now.
	Now func() time.Time
}

// KeySets are key sets by their URL. They are fetched when they are first asked for, and again before they go stale as long as
// they are asked for. Each has one fetch under way at most, and waits after failures for itself, so that one that is slow or
// broken slows nobody else.
type KeySets struct {
	now     func() time.Time
	timeout time.Duration
	stale   time.Duration
	client  *http.Client
	slots   chan struct{}

	mu   sync.Mutex
	sets map[string]*keySet
}

// keySet is what is known of a URL.
type keySet struct {
	// keys are the last that were fetched, nil if none were.
	keys *Keys
	// refreshFrom is when the keys are fetched again in the background, freshUntil when who asks for them waits for that, and
	// staleUntil when they are no longer used.
	refreshFrom, freshUntil, staleUntil time.Time
	// failures are those since the last fetch that did not fail, failure is the last of them, and retryFrom when the next may be.
	failures  int
	failure   error
	retryFrom time.Time
	// started is when the last fetch began, asked when the keys were last asked for.
	started, asked time.Time
	// underway is closed when the fetch ends that is under way; nil if there is none.
	underway chan struct{}
}

// NewKeySets returns key sets of which none is fetched yet.
func NewKeySets(options FetchOptions) *KeySets {
	if options.Timeout == 0 {
		options.Timeout = 5 * time.Second
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.MaxStale == 0 {
		options.MaxStale = defaultMaxStale
	}
	if options.Client == nil {
		options.Client = newClient(options.AllowedNetworks, options.RootCAs, options.Timeout)
	}
	return &KeySets{
		now: options.Now, timeout: options.Timeout, stale: options.MaxStale, client: options.Client,
		slots: make(chan struct{}, maxFetches), sets: map[string]*keySet{},
	}
}

// CheckURL checks the form of a URL that keys are to be fetched from.
func CheckURL(address string) error {
	parsed, err := url.Parse(address)
	switch {
	case err != nil || len(address) > maxURL:
		return fmt.Errorf("the key set's URL must be a URL of at most %d bytes", maxURL)
	case parsed.Scheme != "https" || parsed.Hostname() == "":
		return errors.New("the key set's URL must begin with https:// and a host")
	case parsed.User != nil || strings.Contains(address, "#"):
		return errors.New("the key set's URL must have no user, password or fragment: a key set is public")
	default:
		return nil
	}
}

// Keys returns the key set at a URL: one that is fresh, or was while it cannot be fetched. Where it has no key of the kid that is
// asked for, if any is, it is fetched again, once a minute at most.
func (s *KeySets) Keys(ctx context.Context, address, keyID string) (*Keys, error) {
	if err := CheckURL(address); err != nil {
		return nil, err
	}
	s.mu.Lock()
	set, wait := s.ask(address, keyID)
	s.mu.Unlock()
	if set == nil {
		return nil, errTooMany
	}
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return set.usable(s.now())
}

// ask returns the set of a URL, and what to wait for before it is used: the fetch under way, which it begins if need be, or nil.
// It returns no set if there is no room for one more.
func (s *KeySets) ask(address, keyID string) (*keySet, <-chan struct{}) {
	now := s.now()
	set, ok := s.sets[address]
	if !ok {
		if !s.makeRoom() {
			return nil, nil
		}
		set = &keySet{}
		s.sets[address] = set
	}
	set.asked = now
	fresh := set.keys != nil && now.Before(set.freshUntil)
	unknown := set.keys != nil && keyID != "" && !set.keys.Has(keyID)
	due := !fresh || !now.Before(set.refreshFrom) || unknown && now.Sub(set.started) >= unknownKeyInterval
	if due && set.underway == nil && !now.Before(set.retryFrom) {
		s.begin(address, set, now)
	}
	if fresh && !unknown {
		return set, nil
	}
	return set, set.underway
}

// makeRoom forgets the set that was not asked for the longest, if there are too many. One that is being fetched is not
// forgotten: it would be fetched twice. It reports whether there is room for one more.
func (s *KeySets) makeRoom() bool {
	if len(s.sets) < maxURLs {
		return true
	}
	var oldest string
	for address, set := range s.sets {
		if set.underway == nil && (oldest == "" || set.asked.Before(s.sets[oldest].asked)) {
			oldest = address
		}
	}
	delete(s.sets, oldest)
	return oldest != ""
}

// begin begins a fetch. It goes on when who asked for it has gone, as others may wait for it.
func (s *KeySets) begin(address string, set *keySet, now time.Time) {
	ended := make(chan struct{})
	set.started, set.underway = now, ended
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
		defer cancel()
		keys, fresh, err := s.fetch(ctx, address)
		s.mu.Lock()
		defer s.mu.Unlock()
		set.underway = nil
		set.ended(keys, fresh, s.stale, err, s.now())
		close(ended)
	}()
}

// ended notes how a fetch ended.
func (k *keySet) ended(keys *Keys, fresh, stale time.Duration, err error, now time.Time) {
	if err != nil {
		backoff := min(minBackoff<<min(k.failures, 10), maxBackoff)
		k.failures, k.failure, k.retryFrom = k.failures+1, err, now.Add(backoff)
		return
	}
	k.failures, k.failure, k.retryFrom = 0, nil, time.Time{}
	k.keys = keys
	k.refreshFrom = now.Add(time.Duration(float64(fresh) * refreshAfter))
	k.freshUntil = now.Add(fresh)
	k.staleUntil = k.freshUntil.Add(stale)
}

var (
	errNotFetched = errors.New("fetch the key set: not yet done, try again")
	errTooMany    = errors.New("fetch the key set: too many others are being fetched, try again")
)

// usable returns the keys while they may be used, or why there are none.
func (k *keySet) usable(now time.Time) (*Keys, error) {
	switch {
	case k.keys != nil && now.Before(k.staleUntil):
		return k.keys, nil
	case k.failure != nil:
		return nil, k.failure
	default:
		return nil, errNotFetched
	}
}

// fetch fetches a key set, and returns how long it is fresh.
func (s *KeySets) fetch(ctx context.Context, address string) (*Keys, time.Duration, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, 0, errTooMany
	}
	if issuer, ok := strings.CutSuffix(address, discoveryPath); ok {
		var err error
		if address, err = s.discover(ctx, issuer); err != nil {
			return nil, 0, err
		}
	}
	body, header, err := s.get(ctx, address)
	if err != nil {
		return nil, 0, err
	}
	keys, err := ParseKeys(body)
	return keys, freshness(header), err
}

// discoveryPath is where an issuer's metadata is (OpenID Connect Discovery 1.0, section 4).
const discoveryPath = "/.well-known/openid-configuration"

// KeysOf returns the key set of an issuer, which its metadata names, as Keys does.
func (s *KeySets) KeysOf(ctx context.Context, issuer, keyID string) (*Keys, error) {
	return s.Keys(ctx, strings.TrimSuffix(issuer, "/")+discoveryPath, keyID)
}

// discover returns where an issuer's metadata says that its key set is. An issuer that ends in a slash is found without it.
func (s *KeySets) discover(ctx context.Context, issuer string) (address string, err error) {
	body, _, err := s.get(ctx, issuer+discoveryPath)
	if err != nil {
		return "", err
	}
	metadata, err := parseObject(body)
	if err != nil {
		return "", fmt.Errorf("the issuer's metadata: %w", err)
	}
	claimed, _ := metadata["issuer"].(string)
	if strings.TrimSuffix(claimed, "/") != issuer {
		return "", errors.New("the issuer's metadata names another issuer: write it as its metadata does")
	}
	address, _ = metadata["jwks_uri"].(string)
	return address, CheckURL(address)
}

// get fetches a document.
func (s *KeySets) get(ctx context.Context, address string) ([]byte, http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("fetch the key set: %w", err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("User-Agent", "kubemint")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, nil, reason(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("fetch the key set: its URL answers %d: it must answer 200, and redirects are not followed",
			response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxKeySet+1))
	if err == nil {
		err = ctx.Err() // A host may end its answer properly as it sees that it took too long.
	}
	if err != nil {
		return nil, nil, reason(err)
	}
	return body, response.Header, nil
}

// reason returns why a request failed, for whoever chose the URL: without the URL, whose query may be a secret, and without the
// addresses of hosts and of name servers, which are for nobody outside of their network to know.
func reason(err error) error {
	var resolving *net.DNSError
	var connecting *net.OpError
	var sending *url.Error
	switch {
	case errors.Is(err, errAddress):
		err = errAddress
	case errors.Is(err, context.DeadlineExceeded):
		err = errSlow
	case errors.As(err, &resolving):
		err = errNoHost
	case errors.As(err, &connecting):
		err = connecting.Err
	case errors.As(err, &sending):
		err = sending.Err
	}
	return fmt.Errorf("fetch the key set: %w", err)
}

var (
	errSlow   = errors.New("its URL answers too slowly, or not at all: check the host, the port and the network policies")
	errNoHost = errors.New("its host has no address: check the name")
)

// freshness returns how long a response says it is fresh, within bounds (RFC 9111, section 5.2.2).
func freshness(header http.Header) time.Duration {
	fresh := unsaidFresh
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				fresh = time.Duration(seconds) * time.Second
			}
		}
	}
	return min(max(fresh, minFresh), maxFresh)
}
