package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// writtenSecret reads the Secret that Kubemint writes for an OAuthClient.
func (c *cluster) writtenSecret(ctx context.Context, holder *v1alpha1.OAuthClient) (*corev1.Secret, error) {
	name := holder.SecretName()
	switch {
	case holder.Spec.Secret.Source == v1alpha1.SecretProvided:
		name = holder.Name + "-kubemint"
	case holder.Status.SecretName != "": // While a new name is not to be had, the former one holds.
		name = holder.Status.SecretName
	}
	return c.secret(ctx, holder, name)
}

func (c *cluster) secret(ctx context.Context, holder *v1alpha1.OAuthClient, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := c.Get(ctx, client.ObjectKey{Namespace: holder.Namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no Secret %s yet: kubectl mint status %s -n %s says why", name, holder.Name, holder.Namespace)
	}
	if err != nil {
		return nil, err
	}
	return &secret, nil
}

// credentials are what a client's token request is made with.
type credentials struct {
	clientID, issuer, tokenURL string
	ca                         []byte
	// clientSecret and privateKey are empty where the client has none. They are never printed.
	clientSecret string
	privateKey   []byte
}

// credentialsOf reads what an OAuthClient's Secrets hold.
func (c *cluster) credentialsOf(ctx context.Context, holder *v1alpha1.OAuthClient) (*credentials, error) {
	written, err := c.writtenSecret(ctx, holder)
	if err != nil {
		return nil, fmt.Errorf("read the client's Secret: %w", err)
	}
	keys := holder.Spec.Secret.Keys
	value := func(key v1alpha1.SecretKey) string { return string(written.Data[string(key)]) }
	found := &credentials{
		clientID: value(keys.ClientID), issuer: value(keys.Issuer), tokenURL: value(keys.TokenURL), ca: []byte(value(keys.CACert)),
		clientSecret: value(keys.ClientSecret), privateKey: []byte(value(keys.PrivateKeyPEM)),
	}
	if found.clientID == "" || found.issuer == "" || found.tokenURL == "" {
		return nil, fmt.Errorf("secret %s has not yet what a token request needs: kubectl mint status %s -n %s says why", written.Name, holder.Name, holder.Namespace)
	}
	if holder.Spec.Secret.Source == v1alpha1.SecretProvided {
		provided, err := c.secret(ctx, holder, holder.SecretName())
		if err != nil {
			return nil, fmt.Errorf("read the provided Secret: %w", err)
		}
		found.clientSecret = string(provided.Data[string(keys.ClientSecret)])
	}
	return found, nil
}

var errNoCredential = errors.New("the client has neither a client secret nor a generated private key: use one of its service accounts, by --service-account; with a key or certificate of its own, only the workload itself can ask")

// authenticate adds to a token request what proves the client: an assertion by its generated private key, or else its client secret.
func (c *credentials) authenticate(request *http.Request, form url.Values) error {
	switch {
	case len(c.privateKey) > 0:
		assertion, err := c.assertion(time.Now())
		if err != nil {
			return err
		}
		c.assert(form, assertion)
		return nil
	case c.clientSecret != "":
		request.SetBasicAuth(url.QueryEscape(c.clientID), url.QueryEscape(c.clientSecret)) // RFC 6749, section 2.3.1
		return nil
	default:
		return errNoCredential
	}
}

// assert adds an assertion to a token request (RFC 7521, section 4.2).
func (c *credentials) assert(form url.Values, assertion string) {
	form.Set("client_id", c.clientID)
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", assertion)
}

// assertionLife leaves some of the minute that an issuer allows to clocks that differ.
const assertionLife = 45 * time.Second

// assertion signs an assertion with the private key (RFC 7523).
func (c *credentials) assertion(now time.Time) (string, error) {
	key, err := jwt.ParseECPrivateKeyFromPEM(c.privateKey)
	if err != nil {
		return "", errors.New("the Secret's private key is none: Kubemint makes it good in a moment, so try again") // The error might quote the key.
	}
	return jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": c.clientID, "sub": c.clientID, "aud": c.issuer, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	}).SignedString(key)
}

// serviceAccountTokenLife is the shortest that the API server gives.
const serviceAccountTokenLife = 10 * time.Minute

// serviceAccountToken requests a token of a service account, for an audience.
func (c *cluster) serviceAccountToken(ctx context.Context, name, audience string) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{audience}, ExpirationSeconds: ptr.To(int64(serviceAccountTokenLife.Seconds())),
	}}
	if err := c.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("request a token of service account %s: %w", name, err)
	}
	return request.Status.Token, nil
}
