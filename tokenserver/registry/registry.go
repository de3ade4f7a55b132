// Package registry is the clients, the signing keys and the serving certificate as the token server sees them: what it last
// watched in the Kubernetes API, held in memory. It is the only package of the token server that knows Kubernetes.
package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/assertion"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// Registry is a view of the cluster. It writes nothing but when client secrets were last used. While the API server is away it goes on
// serving what it last saw.
type Registry struct {
	namespace string
	log       *slog.Logger
	now       func() time.Time
	api       client.WithWatch
	clients   *clients
	cluster   *clusterIssuer
	ring      atomic.Pointer[signing.Ring]
	ringValid atomic.Bool
	cert      atomic.Pointer[tls.Certificate]
	lastEvent atomic.Pointer[time.Time]

	oauthClients    views[*v1alpha1.OAuthClient]
	resourceServers views[*v1alpha1.ResourceServer]
	secrets         views[*corev1.Secret]
}

// New returns a registry that watches all OAuthClients and ResourceServers, or those in the namespaces watched where that names some, the
// Secrets with their credentials, and Kubemint's own Secrets in namespace. Nothing is read until Run. now is the clock.
func New(config *rest.Config, scheme *runtime.Scheme, namespace string, watched []string, policy consent.Policy, now func() time.Time, log *slog.Logger) (*Registry, error) {
	api, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("set up the registry's client: %w", err)
	}
	cluster, err := newClusterIssuer(config, now, log)
	if err != nil {
		return nil, err
	}
	servers := newResourceServers()
	r := &Registry{namespace: namespace, log: log, now: now, api: api, clients: newClients(policy, servers), cluster: cluster}
	clientsIn := &view[*v1alpha1.OAuthClient]{
		seal: sealClient, replace: r.clients.replace, set: r.clients.set, delete: r.clients.delete, seen: r.noteEvent}
	serversIn := &view[*v1alpha1.ResourceServer]{
		seal: sealResourceServer, replace: servers.replace, set: servers.set, delete: servers.delete, seen: r.noteEvent}
	secretsIn := &view[*corev1.Secret]{
		seal: r.seal, replace: r.replaceSecrets, set: r.setSecret, delete: r.clients.deleteSecret, seen: r.noteEvent}
	r.oauthClients, r.resourceServers, r.secrets = clientsIn.in(watched), serversIn.in(watched), secretsIn.in(withOwn(watched, namespace))
	return r, nil
}

// withOwn adds Kubemint's own namespace, for its own Secrets, where only some namespaces are watched.
func withOwn(watched []string, own string) []string {
	if len(watched) == 0 || slices.Contains(watched, own) {
		return watched
	}
	return append(slices.Clone(watched), own)
}

// Run watches, and reports the last uses of client secrets, until the context ends.
func (r *Registry) Run(ctx context.Context) error {
	var views sync.WaitGroup
	for _, v := range r.oauthClients {
		views.Go(func() {
			v.follow(ctx, r.api, &v1alpha1.OAuthClient{}, func() client.ObjectList { return &v1alpha1.OAuthClientList{} }, "")
		})
	}
	for _, v := range r.resourceServers {
		views.Go(func() {
			v.follow(ctx, r.api, &v1alpha1.ResourceServer{}, func() client.ObjectList { return &v1alpha1.ResourceServerList{} }, "")
		})
	}
	for _, v := range r.secrets {
		views.Go(func() {
			v.follow(ctx, r.api, &corev1.Secret{}, func() client.ObjectList { return &corev1.SecretList{} }, v1alpha1.LabelComponent)
		})
	}
	views.Go(func() { r.keepTellingUses(ctx) })
	views.Go(func() { r.cluster.follow(ctx) })
	views.Wait()
	return nil
}

// Client returns the client with an identifier, or nil.
func (r *Registry) Client(id string) *grant.Client { return r.clients.get(id) }

// ClientsOf returns the identifiers of the clients that a service account proves.
func (r *Registry) ClientsOf(namespace, serviceAccount string) []string {
	return r.clients.provedBy(namespace, serviceAccount)
}

// ServiceAccountIssuer returns the issuer of the cluster's service account tokens; empty while it is not known.
func (r *Registry) ServiceAccountIssuer() string { return r.cluster.issuer() }

// ServiceAccountKeys returns the keys that verify the cluster's service account tokens; keyID is the kid of the one that is looked for.
// It waits where they have to be fetched first.
func (r *Registry) ServiceAccountKeys(ctx context.Context, keyID string) (*assertion.Keys, error) {
	return r.cluster.keys(ctx, keyID)
}

// ProtectedResource returns what is published of a ResourceServer, or nil.
func (r *Registry) ProtectedResource(namespace, name string) *oauth2.ProtectedResource {
	return r.clients.published(types.NamespacedName{Namespace: namespace, Name: name})
}

// Count returns the number of clients.
func (r *Registry) Count() int { return r.clients.count() }

// LastEvent returns when a change was last seen; the zero time before the first.
func (r *Registry) LastEvent() time.Time {
	if last := r.lastEvent.Load(); last != nil {
		return *last
	}
	return time.Time{}
}

func (r *Registry) noteEvent() {
	now := time.Now()
	r.lastEvent.Store(&now)
}

// Ring returns the signing keys, or nil before they have been seen.
func (r *Registry) Ring() *signing.Ring { return r.ring.Load() }

// RingValid reports whether the signing keys that were last seen are in use: not before they have been seen, and not while they
// cannot be read and the last good ones are used.
func (r *Registry) RingValid() bool { return r.ringValid.Load() }

// Ready reports whether every client and every ResourceServer has been seen once and a key is there to sign with.
func (r *Registry) Ready() bool {
	return r.oauthClients.synced() && r.resourceServers.synced() && r.secrets.synced() && r.ring.Load() != nil
}

// HasCertificate reports whether GetCertificate has one.
func (r *Registry) HasCertificate() bool { return r.cert.Load() != nil }

// GetCertificate returns the serving certificate that Kubemint's own CA signed; it fits tls.Config.
func (r *Registry) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert := r.cert.Load()
	if cert == nil {
		return nil, errors.New("no serving certificate yet: the controller has not made it")
	}
	return cert, nil
}

// replaceSecrets takes over all Secrets of a namespace; empty: of all. The signing keys and the serving certificate stay where there are
// none.
func (r *Registry) replaceSecrets(namespace string, secrets []*corev1.Secret) {
	r.clients.keepSecrets(namespace, secrets)
	for _, secret := range secrets {
		r.setSecret(secret)
	}
}

func (r *Registry) setSecret(secret *corev1.Secret) {
	if secret.Namespace == r.namespace {
		switch secret.Name {
		case v1alpha1.SigningKeysSecretName:
			r.setRing(secret)
			return
		case v1alpha1.ServingCertificateSecretName:
			r.setCertificate(secret)
			return
		}
	}
	r.clients.setSecret(secret)
}

// setRing takes over the signing keys, as a replica that published others before. Bad key material never replaces good.
func (r *Registry) setRing(secret *corev1.Secret) {
	ring, err := signing.ParseRing(secret.Data[v1alpha1.SigningKeysKey])
	r.ringValid.Store(err == nil)
	if err != nil {
		r.log.Error("signing keys not usable, keeping the last good ones", "secret", secret.Name, "error", err)
		return
	}
	now, previous := r.now(), r.ring.Load()
	ring = ring.TakeOver(previous, now)
	r.ring.Store(ring) // Nobody else does: one view follows the Secrets.
	if previous == nil || previous.Active().ID != ring.Active().ID {
		r.log.Info("signing key active", "kid", ring.Active().ID, "algorithm", ring.Active().Algorithm, "signsNow", ring.Signer(now).ID)
	}
}

func (r *Registry) setCertificate(secret *corev1.Secret) {
	cert, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		r.log.Error("serving certificate not usable, keeping the last good one", "secret", secret.Name, "error", err)
		return
	}
	r.cert.Store(&cert)
}

// sealClient keeps of an OAuthClient what is read here.
func sealClient(c *v1alpha1.OAuthClient) {
	c.ManagedFields, c.Labels, c.Annotations = nil, nil, nil
	c.Status = v1alpha1.OAuthClientStatus{}
}

// seal keeps plaintext out of memory: of a Secret's values it keeps the digests of client secrets. Kubemint's own keys and
// certificate stay as they are.
func (r *Registry) seal(secret *corev1.Secret) {
	own := secret.Namespace == r.namespace &&
		(secret.Name == v1alpha1.SigningKeysSecretName || secret.Name == v1alpha1.ServingCertificateSecretName)
	if !own {
		secret.Data = credential.SealSecrets(secret.Data)
	}
}
