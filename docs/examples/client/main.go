// A client: it calls each URL that it is given with an access token, which it gets with the files of a mounted Secret.
//
// It uses a token until 30 seconds before it expires, and reads the files for each new one, so that a rotation needs no restart. Copy it.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	workload := workload{
		secret:   cmp.Or(os.Getenv("SECRET"), "/var/run/oauth"),
		identity: cmp.Or(os.Getenv("IDENTITY"), "/var/run/identity/token"),
	}
	client := &http.Client{
		Transport: &oauth2.Transport{Source: oauth2.ReuseTokenSourceWithExpiry(nil, workload, 30*time.Second)},
		Timeout:   10 * time.Second,
	}
	for _, url := range os.Args[1:] {
		if err := call(client, url); err != nil {
			log.Fatal(err)
		}
	}
}

func call(client *http.Client, url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s, %s", url, response.Status, response.Header.Get("WWW-Authenticate"))
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

// workload is who gets tokens: by the client secret in the Secret, or by a projected service account token where there is one.
type workload struct{ secret, identity string }

func (w workload) Token() (*oauth2.Token, error) {
	files := files{directory: w.secret}
	config := clientcredentials.Config{
		ClientID: files.read("client_id"), TokenURL: files.read("token_url"), Scopes: []string{"invoices:read"},
		AuthStyle: oauth2.AuthStyleInHeader, // Else it finds out, with a request that may fail.
	}
	if identity, err := os.ReadFile(w.identity); err == nil {
		config.AuthStyle = oauth2.AuthStyleInParams
		config.EndpointParams = url.Values{
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {string(identity)},
		}
	} else {
		config.ClientSecret = files.read("client_secret")
	}
	client, err := httpClient(files.read("ca.crt"))
	if err = cmp.Or(files.err, err); err != nil {
		return nil, fmt.Errorf("read the Secret: %w", err)
	}
	defer client.CloseIdleConnections()
	return config.Token(context.WithValue(context.Background(), oauth2.HTTPClient, client))
}

// files are those of a directory. The first error stays.
type files struct {
	directory string
	err       error
}

func (f *files) read(name string) string {
	content, err := os.ReadFile(filepath.Join(f.directory, name))
	f.err = cmp.Or(f.err, err)
	return string(content)
}

// httpClient returns a client that trusts a CA.
func httpClient(caCert string) (*http.Client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(caCert)) {
		return nil, fmt.Errorf("ca.crt holds no certificate")
	}
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true},
		Timeout:   10 * time.Second,
	}, nil
}
