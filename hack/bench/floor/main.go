// The floor is what the token endpoint's speed is measured by: the smallest honest server that does the same job. It parses the
// form, compares one secret, and issues the claims that Kubemint issues, with net/http and golang-jwt as they come. It has no
// log, no metric, no limit and no second client.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const lifetime = time.Hour

func main() {
	f := floor{}
	address := flag.String("address", "127.0.0.1:0", "to listen on")
	certFile := flag.String("cert", "", "file with the serving certificate")
	keyFile := flag.String("key", "", "file with its key")
	flag.StringVar(&f.issuer, "issuer", "", "iss and aud of the tokens")
	flag.StringVar(&f.id, "client-id", "", "the one client")
	flag.StringVar(&f.uid, "client-uid", "", "the UID that its tokens show")
	flag.Parse()
	f.secret = os.Getenv("CLIENT_SECRET")
	if err := f.serve(*address, *certFile, *keyFile); err != nil {
		log.Fatalf("floor: %v", err)
	}
}

type floor struct {
	issuer, id, uid, secret string
	key                     *ecdsa.PrivateKey
}

func (f *floor) serve(address, certFile, keyFile string) (err error) {
	if f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", f.token)
	server := &http.Server{Handler: mux, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return server.ServeTLS(listener, certFile, keyFile)
}

func (f *floor) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
		http.Error(w, `{"error":"invalid_request"}`, http.StatusBadRequest)
		return
	}
	id, secret, _ := r.BasicAuth()
	if id != f.id || subtle.ConstantTimeCompare([]byte(secret), []byte(f.secret)) != 1 {
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		return
	}
	namespace, name, _ := strings.Cut(id, ".")
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": f.issuer, "sub": id, "aud": f.issuer, "client_id": id, "scope": "invoices:read invoices:write",
		"iat": now.Unix(), "exp": now.Add(lifetime).Unix(), "jti": newID(),
		"kubernetes.io": map[string]string{"namespace": namespace, "name": name, "uid": f.uid},
	})
	token.Header["typ"], token.Header["kid"] = "at+jwt", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
	signed, err := token.SignedString(f.key)
	if err != nil {
		http.Error(w, `{"error":"server_error"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": signed, "token_type": "Bearer", "expires_in": int(lifetime.Seconds()), "scope": "invoices:read invoices:write",
	})
}

func newID() string {
	var id [16]byte
	rand.Read(id[:]) // It never fails.
	return base64.RawURLEncoding.EncodeToString(id[:])
}
