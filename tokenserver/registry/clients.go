package registry

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/scope"
)

// clients joins each OAuthClient with its own Secret into one immutable grant.Client.
type clients struct {
	mu sync.RWMutex // Guards what follows.
	// objects are the OAuthClients, by client identifier.
	objects map[string]*v1alpha1.OAuthClient
	// secrets are the digests that a client's Secrets hold, by owner and by the Secret's name. While a Secret is being
	// renamed, there are two.
	secrets map[owner]map[string][]credential.Digest
	// owners tells whose a Secret was when it was last seen.
	owners map[types.NamespacedName]owner

	// entries are what requests are answered from, by client identifier.
	entries map[string]*grant.Client
}

// owner is an OAuthClient as an owner reference names it. The namespace is the Secret's own: an owner is always in the same
// one, so that a Secret elsewhere proves nothing.
type owner struct {
	namespace string
	name      string
	uid       types.UID
}

func newClients() *clients {
	return &clients{
		objects: map[string]*v1alpha1.OAuthClient{},
		secrets: map[owner]map[string][]credential.Digest{},
		owners:  map[types.NamespacedName]owner{},
		entries: map[string]*grant.Client{},
	}
}

func (c *clients) get(id string) *grant.Client {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries[id]
}

func (c *clients) count() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.entries)
}

func (c *clients) set(object *v1alpha1.OAuthClient) {
	if !object.DeletionTimestamp.IsZero() {
		c.delete(object)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[object.ClientID()] = object
	c.join(object.ClientID())
}

func (c *clients) delete(object *v1alpha1.OAuthClient) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.objects, object.ClientID())
	c.join(object.ClientID())
}

func (c *clients) setSecret(secret *corev1.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, owned := ownerOf(secret)
	if previous, ok := c.owners[keyOf(secret)]; ok && previous != o {
		c.forgetSecret(secret, previous)
	}
	if !owned {
		return
	}
	if c.secrets[o] == nil {
		c.secrets[o] = map[string][]credential.Digest{}
	}
	c.secrets[o][secret.Name] = digestsIn(secret)
	c.owners[keyOf(secret)] = o
	c.join(o.clientID())
}

func (c *clients) deleteSecret(secret *corev1.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o, ok := c.owners[keyOf(secret)]; ok {
		c.forgetSecret(secret, o)
	}
}

func (c *clients) forgetSecret(secret *corev1.Secret, o owner) {
	delete(c.owners, keyOf(secret))
	delete(c.secrets[o], secret.Name)
	if len(c.secrets[o]) == 0 {
		delete(c.secrets, o)
	}
	c.join(o.clientID())
}

// join makes the entry of a client anew. Everything but its credentials comes from the OAuthClient.
func (c *clients) join(id string) {
	object, ok := c.objects[id]
	if !ok {
		delete(c.entries, id)
		return
	}
	// One text holds all names of a client, so that they are in one place in memory.
	names, space := id+string(object.UID), len(object.Namespace)
	entry := &grant.Client{
		ID:        names[:len(id)],
		Namespace: names[:space],
		Name:      names[space+1 : len(id)],
		UID:       names[len(id):],
		Scopes:    scope.Granted(object.Spec.Scopes, object.Spec.DefaultScopes),
		Lifetime:  object.Spec.Token.Lifetime.Duration,
		Claims:    claimsOf(object),
		Suspended: object.Spec.Suspend,
	}
	for _, digests := range c.secrets[owner{object.Namespace, object.Name, object.UID}] {
		entry.Credentials = append(entry.Credentials, digests...)
	}
	c.entries[entry.ID] = entry
}

// claimsOf returns the extra claims of a client, less those that an older CRD did not refuse yet.
func claimsOf(object *v1alpha1.OAuthClient) map[string]string {
	if len(object.Spec.Token.Claims) == 0 {
		return nil
	}
	claims := make(map[string]string, len(object.Spec.Token.Claims))
	for name, value := range object.Spec.Token.Claims {
		if !v1alpha1.ReservedClaim(name) {
			claims[name] = string(value)
		}
	}
	return claims
}

// digestsIn returns the digests of the well-formed client secrets in a sealed Secret, under whatever key, so that renaming the
// key refuses nobody.
func digestsIn(secret *corev1.Secret) []credential.Digest {
	var digests []credential.Digest
	for _, value := range secret.Data {
		if digest, wellFormed := credential.Unseal(value); wellFormed {
			digests = append(digests, digest)
		}
	}
	return digests
}

// ownerOf returns the OAuthClient whose controller owner reference a Secret carries.
func ownerOf(secret *corev1.Secret) (owner, bool) {
	reference := metav1.GetControllerOfNoCopy(secret)
	if reference == nil || reference.Kind != "OAuthClient" {
		return owner{}, false
	}
	version, err := schema.ParseGroupVersion(reference.APIVersion)
	if err != nil || version.Group != v1alpha1.GroupVersion.Group {
		return owner{}, false
	}
	return owner{secret.Namespace, reference.Name, reference.UID}, true
}

func (o owner) clientID() string { return o.namespace + "." + o.name }

func keyOf(secret *corev1.Secret) types.NamespacedName {
	return types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name}
}
