package registry

import (
	"maps"
	"slices"
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

// clients joins each OAuthClient with its own Secrets into one immutable grant.Client.
type clients struct {
	mu sync.RWMutex // Guards what follows.
	// entries are what requests are answered from, by client identifier.
	entries map[string]*grant.Client
	// secrets are those of each OAuthClient. While a Secret is being renamed, there are two.
	secrets map[owner][]held
	// owners tells whose a Secret was when it was last seen.
	owners map[types.NamespacedName]owner
}

// held is what counts of a Secret: the client secrets that it proves.
type held struct {
	name     string
	accepted []credential.Accepted
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
		entries: map[string]*grant.Client{},
		secrets: map[owner][]held{},
		owners:  map[types.NamespacedName]owner{},
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

// replace takes over all OAuthClients that there are, and forgets those that there are no more.
func (c *clients) replace(objects []*v1alpha1.OAuthClient) {
	there := make(map[string]bool, len(objects))
	for _, object := range objects {
		there[object.ClientID()] = true
		c.set(object)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.entries, func(id string, _ *grant.Client) bool { return !there[id] })
}

func (c *clients) set(object *v1alpha1.OAuthClient) {
	if !object.DeletionTimestamp.IsZero() {
		c.delete(object)
		return
	}
	entry := clientOf(object)
	c.mu.Lock()
	defer c.mu.Unlock()
	entry.Credentials = c.credentials(entry)
	c.entries[entry.ID] = entry
}

func (c *clients) delete(object *v1alpha1.OAuthClient) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, object.ClientID())
}

// keepSecrets forgets the Secrets that are not among those that there are.
func (c *clients) keepSecrets(secrets []*corev1.Secret) {
	there := make(map[types.NamespacedName]bool, len(secrets))
	for _, s := range secrets {
		there[keyOf(s)] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, o := range c.owners {
		if !there[key] {
			c.forgetSecret(key, o)
		}
	}
}

func (c *clients) setSecret(s *corev1.Secret) {
	key := keyOf(s)
	o, owned := ownerOf(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	previous, known := c.owners[key]
	if known && previous != o {
		c.forgetSecret(key, previous)
	}
	if !owned {
		return
	}
	c.owners[key] = o
	accepted := acceptedBy(s)
	keepUse(accepted, c.secrets[o])
	c.secrets[o] = append(without(c.secrets[o], key.Name), held{key.Name, accepted})
	c.join(o)
}

func (c *clients) deleteSecret(s *corev1.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o, known := c.owners[keyOf(s)]; known {
		c.forgetSecret(keyOf(s), o)
	}
}

func (c *clients) forgetSecret(key types.NamespacedName, o owner) {
	delete(c.owners, key)
	if c.secrets[o] = without(c.secrets[o], key.Name); len(c.secrets[o]) == 0 {
		delete(c.secrets, o)
	}
	c.join(o)
}

// without returns Secrets less the one of a name.
func without(secrets []held, name string) []held {
	return slices.DeleteFunc(secrets, func(s held) bool { return s.name == name })
}

// join makes the entry of an OAuthClient anew after a change of its Secrets.
func (c *clients) join(o owner) {
	if entry, ok := c.entries[o.clientID()]; ok {
		joined := *entry
		joined.Credentials = c.credentials(entry)
		c.entries[entry.ID] = &joined
	}
}

// credentials are those in a client's own Secrets: those that its UID owns, not an OAuthClient that had its name before.
func (c *clients) credentials(entry *grant.Client) []credential.Accepted {
	secrets := c.secrets[owner{entry.Namespace, entry.Name, types.UID(entry.UID)}]
	if len(secrets) == 1 {
		return secrets[0].accepted
	}
	var accepted []credential.Accepted
	for _, s := range secrets {
		accepted = append(accepted, s.accepted...)
	}
	return accepted
}

// clientOf returns the entry of an OAuthClient, but for its credentials: everything else comes from the OAuthClient.
func clientOf(object *v1alpha1.OAuthClient) *grant.Client {
	// One text holds all names of a client, so that they are in one place in memory.
	id, space := object.ClientID(), len(object.Namespace)
	names := id + string(object.UID)
	return &grant.Client{
		ID:        names[:len(id)],
		Namespace: names[:space],
		Name:      names[space+1 : len(id)],
		UID:       names[len(id):],
		Scopes:    scope.Granted(object.Spec.Scopes, object.Spec.DefaultScopes),
		Lifetime:  object.Spec.Token.Lifetime.Duration,
		Claims:    claimsOf(object),
		Suspended: object.Spec.Suspend,
	}
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

// acceptedBy returns the client secrets that a sealed Secret proves: those in its record, and any well-formed one that it holds,
// under whatever key, so that renaming the key refuses nobody, and one that the record does not know yet works at once.
func acceptedBy(secret *corev1.Secret) []credential.Accepted {
	var accepted []credential.Accepted
	if stored, ok := secret.Annotations[v1alpha1.AnnotationCredentials]; ok {
		// One that was spoilt says nothing: the controller makes it good.
		if record, err := credential.ParseRecord(stored); err == nil {
			accepted = record.Accepted()
		}
	}
	for _, value := range secret.Data {
		digest, wellFormed := credential.Unseal(value)
		known := slices.ContainsFunc(accepted, func(a credential.Accepted) bool { return a.Digest == digest })
		if wellFormed && !known {
			accepted = append(accepted, credential.Accepted{Digest: digest, Use: new(credential.Use)})
		}
	}
	return accepted
}

// keepUse lets client secrets that an OAuthClient's Secrets had before go on with their use.
func keepUse(accepted []credential.Accepted, before []held) {
	for i := range accepted {
		for _, s := range before {
			for _, former := range s.accepted {
				if former.Digest == accepted[i].Digest {
					accepted[i].Use = former.Use
				}
			}
		}
	}
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
