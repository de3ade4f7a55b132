package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// block is how many samples are taken before it is the other's turn.
	block = 10
	// rest before each sample lets what the last one left behind come to its end, as if nobody else had applied anything.
	rest = 100 * time.Millisecond
	// retry is the time between token requests until the endpoint has seen the Secret.
	retry = time.Millisecond
)

// firstToken is how long single OAuthClients took: from the apply to the token, and the two writes of the bare client.
type firstToken struct {
	tokens, writes []time.Duration
	refused        int // token requests that came before the endpoint had seen the Secret
}

// measureFirstToken measures single OAuthClients one after another, in blocks of Kubemint and of the bare client by turns.
func (b *bench) measureFirstToken(ctx context.Context, samples int) (firstToken, error) {
	var f firstToken
	say("One manifest to its first token, %d times (about %d s)", samples, 5+samples/2)
	for turn := 0; len(f.tokens) < samples; turn++ {
		count := min(block, samples-len(f.tokens))
		err := alternate(turn,
			func() error { return b.withKubemint(ctx, f.repeat(count, &f.tokens, b.toToken)) },
			func() error { return b.withBareClient(ctx, f.repeat(count, &f.writes, b.toStatus)) })
		if err != nil {
			return f, err
		}
		note("%d of %d", len(f.tokens), samples)
	}
	return f, nil
}

// sample measures one OAuthClient.
type sample func(ctx context.Context, f *firstToken, namespace, name string) (time.Duration, error)

// repeat takes samples one after another.
func (f *firstToken) repeat(count int, times *[]time.Duration, take sample) measurement {
	return func(ctx context.Context, namespace string) error {
		for i := range count {
			time.Sleep(rest)
			if err := record(times)(take(ctx, f, namespace, fmt.Sprintf("client-%05d", i))); err != nil {
				return err
			}
		}
		return nil
	}
}

// toStatus is the time that the bare client takes for the two writes.
func (b *bench) toStatus(ctx context.Context, _ *firstToken, namespace, name string) (time.Duration, error) {
	c, err := b.create(ctx, namespace, name)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	err = b.bare.serve(ctx, c)
	return time.Since(begin), err
}

// toToken is the time from the return of the create call until a token has been issued with the credentials, which a watch on
// the Secret brings. The watch and the connection to the token endpoint stand before the clock starts.
func (b *bench) toToken(ctx context.Context, f *firstToken, namespace, name string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := b.connectEndpoint(ctx); err != nil {
		return 0, err
	}
	watcher, err := b.user.Watch(ctx, &corev1.SecretList{}, client.InNamespace(namespace), client.MatchingFields{"metadata.name": name})
	if err != nil {
		return 0, fmt.Errorf("watch the Secret: %w", err)
	}
	if _, err := b.create(ctx, namespace, name); err != nil {
		return 0, err
	}
	begin := time.Now()
	secret, err := awaitSecret(ctx, watcher)
	if err != nil {
		return 0, err
	}
	err = b.awaitToken(ctx, f, secret)
	return time.Since(begin), err
}

func awaitSecret(ctx context.Context, watcher watch.Interface) (secret *corev1.Secret, err error) {
	err = follow(ctx, watcher, func(object client.Object) (ok bool) {
		secret, ok = object.(*corev1.Secret)
		return ok
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the Secret: %w", err)
	}
	return secret, nil
}

// awaitToken asks for a token until one is issued.
func (b *bench) awaitToken(ctx context.Context, f *firstToken, secret *corev1.Secret) error {
	for {
		issued, err := b.requestToken(ctx, secret)
		if issued || err != nil {
			return err
		}
		f.refused++
		time.Sleep(retry)
	}
}

// requestToken makes one token request, and reports whether a token was issued rather than the client unknown.
func (b *bench) requestToken(ctx context.Context, secret *corev1.Secret) (bool, error) {
	body := strings.NewReader("grant_type=client_credentials")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, string(secret.Data["token_url"]), body)
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(string(secret.Data["client_id"]), string(secret.Data["client_secret"]))
	status, content, err := b.ask(request)
	if err != nil || status == http.StatusUnauthorized {
		return false, err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(content, &answer); err != nil || status != http.StatusOK || answer.AccessToken == "" {
		return false, fmt.Errorf("the token endpoint answered %d %s", status, content)
	}
	return true, nil
}

// trustEndpoint makes the client of the token endpoint from what a Secret says of it, as a workload would.
func (b *bench) trustEndpoint(secret *corev1.Secret) error {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(secret.Data["ca.crt"]) {
		return errors.New("ca.crt of the Secret holds no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	b.endpoint = &http.Client{Transport: transport, Timeout: patience}
	b.jwksURL = string(secret.Data["issuer"]) + "/oauth2/jwks"
	return nil
}

// connectEndpoint makes a request that costs nothing, so that a connection to the token endpoint is open.
func (b *bench) connectEndpoint(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.jwksURL, nil)
	if err != nil {
		return err
	}
	status, content, err := b.ask(request)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the key set's URL answered %d %s", status, content)
	}
	return err
}

// ask makes a request and reads the whole answer, after which the connection is free for the next.
func (b *bench) ask(request *http.Request) (status int, content []byte, err error) {
	response, err := b.endpoint.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	content, err = io.ReadAll(response.Body)
	return response.StatusCode, content, err
}
