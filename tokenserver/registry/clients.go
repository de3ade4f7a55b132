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

// clients joins each OAuthClient with its own Secrets, and with what it may ask for, into one immutable grant.Client.
type clients struct {
	policy  consent.Policy
	servers *resourceServers

	mu sync.RWMutex // Guards what follows. Who holds it may take that of servers, but not the other way round.
	// entries are what requests are answered from, by client identifier.
	entries map[string]*grant.Client
	// askers are the OAuthClients that ask for scopes at ResourceServers, by client identifier.
	askers map[string]*asker
	// proofs are what proves OAuthClients without a shared secret, by client identifier.
	proofs map[string]*proof
	// secrets are those of each OAuthClient. While a Secret is being renamed, there are two.
	secrets map[owner][]held
	// accounts are the identifiers of the clients that each service account proves.
	accounts map[account][]string
	// owners tells whose a Secret was when it was last seen.
	owners map[types.NamespacedName]owner
}

// held is what counts of a Secret: the client secrets that it proves, and the public halves of its private keys.
type held struct {
	name     string
	accepted []credential.Accepted
	keys     []heldKey
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
		entries:  map[string]*grant.Client{},
		askers:   map[string]*asker{},
		proofs:   map[string]*proof{},
		secrets:  map[owner][]held{},
		accounts: map[account][]string{},
		owners:   map[types.NamespacedName]owner{},
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
		decided := *c.entries[id]
		c.decide(&decided, a)
		c.entries[id] = &decided
	}
	return c.entries[id]
}

// find returns a client by its identifier, and whether that is by the ResourceServers as they are now.
func (c *clients) find(id string) (entry *grant.Client, current bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	a := c.askers[id]
	return c.entries[id], a == nil || a.decidedAt == c.servers.generation.Load()
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
	for id, entry := range c.entries {
		if !there[id] {
			c.forget(id, entry.Namespace)
		}
	}
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
	c.prove(entry)
	c.decide(entry, a)
	c.entries[entry.ID] = entry
	if len(object.Spec.Resources) > 0 {
		c.askers[entry.ID] = a
	} else {
		delete(c.askers, entry.ID)
	}
}

func (c *clients) delete(object *v1alpha1.OAuthClient) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(object.ClientID(), object.Namespace)
}

func (c *clients) forget(id, namespace string) {
	c.noteAccounts(id, namespace, c.proofs[id], nil)
	delete(c.entries, id)
	delete(c.askers, id)
	delete(c.proofs, id)
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
	if o = o.inOnePlace(); key.Name == o.name {
		key = types.NamespacedName{Namespace: o.namespace, Name: o.name}
	}
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
	keys := keysIn(s, c.secrets[o])
	c.secrets[o] = append(without(c.secrets[o], key.Name), held{key.Name, accepted, keys})
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
		c.prove(&joined)
		c.entries[entry.ID] = &joined
	}
}

// prove says what proves a client: what is in its own Secrets, those that its UID owns and not an OAuthClient that had its name before, and
// what its manifest names.
func (c *clients) prove(entry *grant.Client) {
	secrets := c.secrets[owner{entry.Namespace, entry.Name, types.UID(entry.UID)}]
	entry.Credentials = nil
	if !entry.Secretless {
		entry.Credentials = credentialsIn(secrets)
	}
	entry.Asymmetric = c.proofs[entry.ID].with(secrets)
}

// credentialsIn returns the client secrets that a client's own Secrets prove.
func credentialsIn(secrets []held) []credential.Accepted {
	if len(secrets) == 1 {
		return secrets[0].accepted
	}
	var accepted []credential.Accepted
	for _, s := range secrets {
		accepted = append(accepted, s.accepted...)
	}
	return accepted
}

// clientOf returns the entry of an OAuthClient, but for its credentials and what it may ask for.
func clientOf(object *v1alpha1.OAuthClient) *grant.Client {
	// One text holds all names of a client, so that they are in one place in memory.
	id, space := object.ClientID(), len(object.Namespace)
	names := id + string(object.UID)
	return &grant.Client{
		ID:         names[:len(id)],
		Namespace:  names[:space],
		Name:       names[space+1 : len(id)],
		UID:        names[len(id):],
		Suspended:  object.Spec.Suspend,
		Secretless: object.Spec.Secret.Source == v1alpha1.SecretNone,
	}
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

// inOnePlace returns the owner with all its texts in one place in memory, so that no other part of the Secret is kept.
func (o owner) inOnePlace() owner {
	text, name := o.namespace+o.name+string(o.uid), len(o.namespace)
	uid := name + len(o.name)
	return owner{text[:name], text[name:uid], types.UID(text[uid:])}
}

func keyOf(object metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}
