// workload is what runs in the pods of the end-to-end test: a client that gets a token again and again with what its pod was given,
// calls an API with it, and counts. It tries nothing twice, so that no failure is hidden. Each line that it writes is a Report.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kubemint/kubemint/hack/e2e/report"
)

// timeout of a request: long beside the milliseconds that it takes, short enough to see that one hangs.
const timeout = 5 * time.Second

func main() {
	proof := flag.String("proof", "files", "how the client proves who it is: files, environment, or service-account")
	directory := flag.String("secret", "/var/run/oauth", "where the client's Secret is mounted, but for environment")
	identity := flag.String("identity", "/var/run/identity/token", "the service account token, for service-account")
	api := flag.String("api", "", "URL to call with each token; empty: none")
	rate := flag.Int("rate", 5, "token requests a second")
	flag.Parse()

	w := &worker{proof: proofs[*proof], directory: *directory, identity: *identity, api: *api}
	if w.proof == nil {
		log.Fatalf("-proof=%s: use files, environment or service-account", *proof)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	w.run(ctx, *rate)
	stop()
}

// credentials are what a request for a token needs.
type credentials struct {
	tokenURL, ca string
	id, secret   string     // for Basic authentication; or else
	form         url.Values // what proves it
}

// proofs read the credentials, anew for each request, as a program does that follows rotations.
var proofs = map[string]func(*worker) (credentials, error){
	"files": func(w *worker) (c credentials, err error) {
		err = errors.Join(w.file("token_url", &c.tokenURL), w.file("ca.crt", &c.ca), w.file("client_id", &c.id), w.file("client_secret", &c.secret))
		return c, err
	},
	"environment": func(*worker) (credentials, error) {
		return credentials{tokenURL: os.Getenv("TOKEN_URL"), ca: os.Getenv("CA_CERT"), id: os.Getenv("CLIENT_ID"), secret: os.Getenv("CLIENT_SECRET")}, nil
	},
	"service-account": func(w *worker) (c credentials, err error) {
		token, err := os.ReadFile(w.identity)
		c.form = url.Values{
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {string(token)},
		}
		return c, errors.Join(err, w.file("token_url", &c.tokenURL), w.file("ca.crt", &c.ca))
	},
}

// worker is the client.
type worker struct {
	proof               func(*worker) (credentials, error)
	directory, identity string
	api                 string

	mutex  sync.Mutex
	counts report.Counts
	kept   *http.Client // keeps its connection
	keptCA string
}

// file reads one of the Secret's values.
func (w *worker) file(name string, value *string) error {
	content, err := os.ReadFile(filepath.Join(w.directory, name))
	*value = string(content)
	return err
}

// run makes requests at the rate, however long each takes, until the context ends.
func (w *worker) run(ctx context.Context, rate int) {
	next, line := time.NewTicker(time.Second/time.Duration(rate)), time.NewTicker(time.Second)
	var running sync.WaitGroup
	defer running.Wait()
	for number := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-line.C:
			w.mutex.Lock()
			write(report.Report{Counts: &w.counts})
			w.counts.Slowest = 0
			w.mutex.Unlock()
		case <-next.C:
			number++
			running.Go(func() { w.try(number) })
		}
	}
}

// try gets one token, and calls the API with it. Odd ones open a new connection, as most clients do that ask once an hour.
func (w *worker) try(number int) {
	started := time.Now()
	c, err := w.proof(w)
	if err != nil {
		w.count("token", err, started, c)
		return
	}
	client, err := w.client(c.ca, number%2 == 0)
	if err != nil {
		w.count("token", err, started, c)
		return
	}
	token, err := requestToken(client, c)
	w.count("token", err, started, c)
	if err != nil || w.api == "" {
		return
	}
	started = time.Now()
	w.count("call", call(w.api, token), started, c)
}

// client trusts the CA that the pod was given, and nobody else.
func (w *worker) client(ca string, keep bool) (*http.Client, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if keep && w.kept != nil && w.keptCA == ca {
		return w.kept, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(ca)) {
		return nil, errors.New("ca.crt holds no certificate")
	}
	client := &http.Client{Timeout: timeout, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: !keep,
	}}
	if keep {
		w.kept, w.keptCA = client, ca
	}
	return client, nil
}

func requestToken(client *http.Client, c credentials) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	for name, values := range c.form {
		form[name] = values
	}
	request, err := http.NewRequest(http.MethodPost, c.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.secret != "" {
		request.SetBasicAuth(c.id, c.secret)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := do(client, request, &answer); err != nil {
		return "", err
	}
	if answer.AccessToken == "" {
		return "", errors.New("the answer holds no access_token")
	}
	return answer.AccessToken, nil
}

// call shows the token to the API, which verifies it.
func call(api, token string) error {
	request, err := http.NewRequest(http.MethodGet, api, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	var answer map[string]any
	return do(&http.Client{Timeout: timeout}, request, &answer)
}

func do(client *http.Client, request *http.Request, answer any) error {
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d: %.300s", request.URL.Host, response.StatusCode, body)
	}
	return json.Unmarshal(body, answer)
}

func (w *worker) count(what string, err error, started time.Time, c credentials) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	first := false
	switch {
	case err != nil && what == "token":
		w.counts.FailedTokens++
	case err != nil:
		w.counts.FailedCalls++
	case what == "token":
		w.counts.Tokens++
		first = w.counts.Tokens == 1
	default:
		w.counts.Calls++
		first = w.counts.Calls == 1
	}
	w.counts.Slowest = max(w.counts.Slowest, time.Since(started))
	w.counts.Secret = fingerprint(c.secret)
	switch {
	case err != nil:
		write(report.Report{Failed: what, Error: err.Error()})
	case first:
		write(report.Report{First: what})
	}
}

// fingerprint tells one secret from another, and nothing else about it.
func fingerprint(secret string) string {
	if secret == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:4])
}

func write(r report.Report) {
	r.Time = time.Now()
	line, err := json.Marshal(r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}
