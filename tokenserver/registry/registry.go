// Package registry is the clients, the signing keys and the serving certificate as the token server sees them: what it last
// watched in the Kubernetes API, held in memory. It is the only package of the token server that knows Kubernetes.
package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// Registry is a read-only view of the cluster. While the API server is away it goes on serving what it last saw.
type Registry struct {
	namespace string
	log       *slog.Logger
	cache     cache.Cache
	clients   *clients
	ring      atomic.Pointer[signing.Ring]
	cert      atomic.Pointer[tls.Certificate]
	synced    atomic.Bool
	lastEvent atomic.Pointer[time.Time]
}

// New returns a registry that watches all OAuthClients, the Secrets with their credentials, and Kubemint's own Secrets in
// namespace. Nothing is read until Run.
func New(config *rest.Config, scheme *runtime.Scheme, namespace string, log *slog.Logger) (*Registry, error) {
	ours, err := labels.NewRequirement(v1alpha1.LabelComponent, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("select Kubemint's Secrets: %w", err)
	}
	r := &Registry{namespace: namespace, log: log, clients: newClients()}
	r.cache, err = cache.New(config, cache.Options{
		Scheme: scheme,
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.OAuthClient{}: {Transform: dropStatus},
			&corev1.Secret{}:        {Label: labels.NewSelector().Add(*ours), Transform: r.seal},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("set up the registry's cache: %w", err)
	}
	return r, nil
}

// Run watches until the context ends.
func (r *Registry) Run(ctx context.Context) error {
	clientsSynced, err := r.watch(ctx, &v1alpha1.OAuthClient{}, handler[*v1alpha1.OAuthClient]{
		seen:   r.noteEvent,
		set:    r.clients.set,
		delete: r.clients.delete,
	})
	if err != nil {
		return err
	}
	secretsSynced, err := r.watch(ctx, &corev1.Secret{}, handler[*corev1.Secret]{
		seen:   r.noteEvent,
		set:    r.setSecret,
		delete: r.clients.deleteSecret,
	})
	if err != nil {
		return err
	}
	go func() {
		if toolscache.WaitForCacheSync(ctx.Done(), clientsSynced, secretsSynced) {
			r.synced.Store(true)
			r.log.Info("registry synced", "clients", r.clients.count())
		}
	}()
	if err := r.cache.Start(ctx); err != nil {
		return fmt.Errorf("watch OAuthClients and Secrets: %w", err)
	}
	return nil
}

// Client returns the client with an identifier, or nil.
func (r *Registry) Client(id string) *grant.Client { return r.clients.get(id) }

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

// Ready reports whether every client has been seen once and a key is there to sign with.
func (r *Registry) Ready() bool { return r.synced.Load() && r.ring.Load() != nil }

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

// setRing takes over the signing keys. Bad key material never replaces good.
func (r *Registry) setRing(secret *corev1.Secret) {
	ring, err := signing.ParseRing(secret.Data[v1alpha1.SigningKeysKey])
	if err != nil {
		r.log.Error("signing keys not usable, keeping the last good ones", "secret", secret.Name, "error", err)
		return
	}
	if previous := r.ring.Swap(ring); previous == nil || previous.Active().ID != ring.Active().ID {
		r.log.Info("signing key active", "kid", ring.Active().ID, "algorithm", ring.Active().Algorithm)
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

// seal keeps of a Secret what decides: whose it is, and the digests of client secrets in it. Kubemint's own keys and certificate
// stay as they are.
func (r *Registry) seal(object any) (any, error) {
	if secret, ok := object.(*corev1.Secret); ok {
		secret.ManagedFields = nil
		secret.Labels, secret.Annotations = nil, nil
		own := secret.Namespace == r.namespace &&
			(secret.Name == v1alpha1.SigningKeysSecretName || secret.Name == v1alpha1.ServingCertificateSecretName)
		if !own {
			secret.Data = credential.SealSecrets(secret.Data)
		}
	}
	return object, nil
}

// dropStatus keeps of an OAuthClient what decides, which is its spec: a status can neither grant nor deny.
func dropStatus(object any) (any, error) {
	if c, ok := object.(*v1alpha1.OAuthClient); ok {
		c.ManagedFields = nil
		c.Labels, c.Annotations = nil, nil
		c.Status = v1alpha1.OAuthClientStatus{}
	}
	return object, nil
}

// handler receives the changes of one kind of object.
type handler[T client.Object] struct {
	seen        func() // is called after each
	set, delete func(T)
}

// watch registers a handler, and returns a function that says whether it has seen all that there was at first.
func (r *Registry) watch(ctx context.Context, kind client.Object, h toolscache.ResourceEventHandler) (toolscache.InformerSynced, error) {
	// The cache is not started yet, so do not wait for it.
	informer, err := r.cache.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch %T: %w", kind, err)
	}
	registration, err := informer.AddEventHandler(h)
	if err != nil {
		return nil, fmt.Errorf("watch %T: %w", kind, err)
	}
	return registration.HasSynced, nil
}

// OnAdd implements toolscache.ResourceEventHandler.
func (h handler[T]) OnAdd(object any, _ bool) {
	h.set(object.(T))
	h.seen()
}

// OnUpdate implements toolscache.ResourceEventHandler.
func (h handler[T]) OnUpdate(_, object any) {
	h.set(object.(T))
	h.seen()
}

// OnDelete implements toolscache.ResourceEventHandler.
func (h handler[T]) OnDelete(object any) {
	if tombstone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	if typed, ok := object.(T); ok {
		h.delete(typed)
	}
	h.seen()
}
