package registry

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
	"github.com/kubemint/kubemint/tokenserver/oauth2"
)

// clients joins each OAuthClient with its own Secrets, and with what it may ask for, into one grant.Client.
type clients struct {
	policy  consent.Policy
	servers *resourceServers

	mu sync.RWMutex // Guards what follows. Who holds it may take that of servers, but not the other way round.
	// table is what requests are answered from.
	table *table
	// askers are the OAuthClients that ask for scopes at ResourceServers, by client identifier.
	askers map[string]*asker
	// proofs are what proves OAuthClients without a shared secret, by client identifier.
	proofs map[string]*proof
	// keys are the private keys in Secrets, by the Secret's name: their public halves.
	keys map[types.NamespacedName][]heldKey
	// accounts are the identifiers of the clients that each service account proves.
	accounts map[account][]string
	// revision is the last one that a client was given.
	revision uint64
}

// owner is an OAuthClient as an owner reference names it. The namespace is the Secret's own: an owner is always in the same
// one, so that a Secret elsewhere proves nothing.
type owner struct {
	namespace string
	name      string
	uid       types.UID
}

// asker is an OAuthClient that asks for scopes at ResourceServers.
type asker struct {
	object *v1alpha1.OAuthClient
	// decidedAt is the generation of the ResourceServers at which its entry was decided.
	decidedAt uint64
}

func newClients(policy consent.Policy, servers *resourceServers) *clients {
	return &clients{
		policy:   policy,
		servers:  servers,
		table:    newTable(policy.DefaultAudience),
		askers:   map[string]*asker{},
		proofs:   map[string]*proof{},
		keys:     map[types.NamespacedName][]heldKey{},
		accounts: map[account][]string{},
	}
}

// get returns a client by its identifier, or nil. One whose ResourceServers may have changed is decided anew: at its next request and
// not at the change, which may concern many that ask for nothing meanwhile.
func (c *clients) get(id string) *grant.Client {
	entry, current := c.find(id)
	if current {
		return entry
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.askers[id]; a != nil { // Unless it is gone meanwhile.
		k := c.table.get(id)
		c.decide(k.client, a)
		c.put(k)
	}
	return c.entry(id)
}

// entry returns a client by its identifier, or nil, as it was decided last.
func (c *clients) entry(id string) *grant.Client {
	entry := c.table.client(id)
	if p := c.proofs[id]; entry != nil && p != nil {
		entry.Asymmetric = p.now
	}
	return entry
}

// find returns a client by its identifier, and whether that is by the ResourceServers as they are now.
func (c *clients) find(id string) (entry *grant.Client, current bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	a := c.askers[id]
	return c.entry(id), a == nil || a.decidedAt == c.servers.generation.Load()
}

// decide says what an OAuthClient may ask for.
func (c *clients) decide(entry *grant.Client, a *asker) {
	c.servers.mu.RLock()
	defer c.servers.mu.RUnlock()
	entry.Accesses = c.policy.Decide(a.object, c.servers).Accesses()
	a.decidedAt = c.servers.generation.Load()
}

// published returns what is published of a ResourceServer: nothing where it has not its audience.
func (c *clients) published(key types.NamespacedName) *oauth2.ProtectedResource {
	c.servers.mu.RLock()
	defer c.servers.mu.RUnlock()
	s := c.servers.Get(key)
	if s == nil || s.Spec.Metadata == nil {
		return nil
	}
	if reason, _ := c.policy.Ownership(s, c.servers); reason != v1alpha1.ReasonAudienceOwned {
		return nil
	}
	resource := &oauth2.ProtectedResource{Resource: string(s.Spec.Audience), Scopes: []string{},
		Name: s.Spec.Metadata.ResourceName, Documentation: s.Spec.Metadata.Documentation}
	for _, scope := range s.Spec.Scopes {
		resource.Scopes = append(resource.Scopes, string(scope.Name))
	}
	return resource
}

func (c *clients) count() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.table.registered
}

// replace takes over all OAuthClients that there are in a namespace, and forgets those that there are no more; empty: in all.
func (c *clients) replace(namespace string, objects []*v1alpha1.OAuthClient) {
	there := make(map[string]bool, len(objects))
	for _, object := range objects {
		there[object.ClientID()] = true
		c.set(object)
	}
	for _, id := range c.gone(namespace, there) {
		c.remove(id)
	}
}

// gone returns the identifiers of the clients of a namespace that are not among those that there are.
func (c *clients) gone(namespace string, there map[string]bool) (gone []string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for k := range c.table.all() {
		if k.client != nil && within(namespace, k.client.Namespace) && !there[k.id] {
			gone = append(gone, k.id)
		}
	}
	return gone
}

func (c *clients) set(object *v1alpha1.OAuthClient) {
	if !object.DeletionTimestamp.IsZero() {
		c.delete(object)
		return
	}
	entry, a := clientOf(object), &asker{object: object}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.proofs[entry.ID]
	if p := proofOf(object, before); p != nil {
		c.proofs[entry.ID] = p
	} else {
		delete(c.proofs, entry.ID)
	}
	c.noteAccounts(entry.ID, entry.Namespace, before, c.proofs[entry.ID])
	c.decide(entry, a)
	k := c.table.get(entry.ID)
	k.client = entry
	c.put(k)
	if len(object.Spec.Resources) > 0 {
		c.askers[entry.ID] = a
	} else {
		delete(c.askers, entry.ID)
	}
}

func (c *clients) delete(object *v1alpha1.OAuthClient) { c.remove(object.ClientID()) }

func (c *clients) remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.table.get(id)
	if k.client != nil {
		c.noteAccounts(id, k.client.Namespace, c.proofs[id], nil)
	}
	k.client = nil
	c.put(k)
	delete(c.askers, id)
	delete(c.proofs, id)
}

// put takes over what is known by a client identifier after a change.
func (c *clients) put(k known) {
	if k.client != nil {
		c.revision++
		k.client.Revision = c.revision
		if p := c.proofs[k.id]; p != nil {
			p.now = p.with(c.keysOf(k, types.UID(k.client.UID)))
		}
	}
	c.table.put(k)
}

// within reports whether a namespace is the one that is meant; empty: all are.
func within(meant, namespace string) bool { return meant == metav1.NamespaceAll || meant == namespace }

// keepSecrets forgets the Secrets of a namespace that are not among those that there are.
func (c *clients) keepSecrets(namespace string, secrets []*corev1.Secret) {
	there := make(map[types.NamespacedName]bool, len(secrets))
	for _, s := range secrets {
		there[keyOf(s)] = true
	}
	for _, key := range c.goneSecrets(namespace, there) {
		c.removeSecret(key)
	}
}

// goneSecrets returns the names of the Secrets of a namespace that are not among those that there are.
func (c *clients) goneSecrets(namespace string, there map[types.NamespacedName]bool) (gone []types.NamespacedName) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for k := range c.table.all() {
		for _, s := range k.secrets {
			if key := k.key(s); within(namespace, key.Namespace) && !there[key] {
				gone = append(gone, key)
			}
		}
	}
	return gone
}

func (c *clients) setSecret(s *corev1.Secret) {
	key := keyOf(s)
	o, owned := ownerOf(s)
	accepted := acceptedBy(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	if previous, known := c.table.ownerOf(key); known && (!owned || previous.id != o.clientID()) {
		c.forgetSecret(previous, key)
	}
	if !owned {
		return
	}
	k := c.table.get(o.clientID())
	slots := c.table.slotsOf(accepted, k.secretsOf(o.uid))
	keys := keysIn(s, c.keysOf(k, o.uid))
	if delete(c.keys, key); len(keys) > 0 {
		c.keys[key] = keys
	}
	k.secrets = append(without(k.secrets, key.Name), held{key.Name, o.uid, accepted, slots})
	c.put(k)
}

func (c *clients) deleteSecret(s *corev1.Secret) { c.removeSecret(keyOf(s)) }

func (c *clients) removeSecret(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, known := c.table.ownerOf(key); known {
		c.forgetSecret(k, key)
	}
}

func (c *clients) forgetSecret(k known, key types.NamespacedName) {
	k.secrets = without(k.secrets, key.Name)
	delete(c.keys, key)
	c.put(k)
}

// secretsOf returns those of the Secrets that the OAuthClient of a UID owns.
func (k known) secretsOf(uid types.UID) []held {
	return slices.DeleteFunc(slices.Clone(k.secrets), func(s held) bool { return s.owner != uid })
}

// without returns Secrets less the one of a name.
func without(secrets []held, name string) []held {
	return slices.DeleteFunc(secrets, func(s held) bool { return s.name == name })
}

// clientOf returns the entry of an OAuthClient, but for its credentials and what it may ask for.
func clientOf(object *v1alpha1.OAuthClient) *grant.Client {
	return &grant.Client{
		ID:         object.ClientID(),
		Namespace:  object.Namespace,
		Name:       object.Name,
		UID:        string(object.UID),
		Suspended:  object.Spec.Suspend,
		Secretless: object.Spec.Secret.Source == v1alpha1.SecretNone,
	}
}

// acceptedBy returns the client secrets that a sealed Secret proves, but for their uses: those in its record, and any well-formed one that
// it holds, under whatever key, so that renaming the key refuses nobody, and one that the record does not know yet works at once.
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
			accepted = append(accepted, credential.Accepted{Digest: digest})
		}
	}
	return accepted
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

func keyOf(object metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}
