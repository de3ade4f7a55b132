package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
)

// What lives in the cache costs the token server of the same process CPU time with every garbage collection. So the objects are kept
// small here, and only what has a name of its own choice is in an index: the rest is found by name.

// Indexes of the cache.
const (
	// indexOwner finds Secrets by the UID of the OAuthClient that controls them, unless they have its name.
	indexOwner = "owner"
	// indexSecretName finds OAuthClients by the names of the Secrets that they want written or have provided, but for their own name.
	indexSecretName = "secretName"
	// indexAskedAt finds OAuthClients by the ResourceServers of which they ask for scopes, as NAMESPACE/NAME.
	indexAskedAt = "askedAt"
	// indexAudience finds ResourceServers by the audience that they name.
	indexAudience = "audience"
)

// CacheOptions limits the cache to what the controllers read: of the Secrets, only Kubemint's own by label. The values of
// those that hold client credentials are sealed: no client secret stays in memory, and none can be written back from it. Where watched names
// namespaces, it holds what is in them, and Kubemint's own Secrets in namespace.
func CacheOptions(namespace string, watched ...string) cache.Options {
	ours, err := labels.NewRequirement(v1alpha1.LabelComponent, selection.Exists, nil)
	if err != nil {
		panic("controllers: a constant label selector is invalid: " + err.Error())
	}
	texts := &sharedTexts{}
	return cache.Options{
		DefaultTransform:  cache.TransformStripManagedFields(),
		DefaultNamespaces: inNamespaces(watched),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: {Transform: stripPod},
			&v1alpha1.OAuthClient{}: {Transform: func(object any) (any, error) {
				if c, ok := object.(*v1alpha1.OAuthClient); ok {
					shrinkClient(c, texts)
				}
				return object, nil
			}},
			&v1alpha1.ResourceServer{}: {Transform: func(object any) (any, error) {
				if s, ok := object.(*v1alpha1.ResourceServer); ok {
					shrinkResourceServer(s, texts)
				}
				return object, nil
			}},
			&corev1.Secret{}: {
				Label:      labels.NewSelector().Add(*ours),
				Namespaces: inNamespaces(watched, namespace),
				Transform: func(object any) (any, error) {
					if secret, ok := object.(*corev1.Secret); ok {
						secret.ManagedFields = nil
						if secret.Namespace != namespace || secret.Labels[v1alpha1.LabelComponent] == v1alpha1.ComponentClientCredentials {
							secret.Data = credential.SealData(secret.Data)
							shrinkSecret(secret, texts)
						}
					}
					return object, nil
				},
			},
		},
	}
}

// inNamespaces limits a cache to the namespaces watched and to others; where none is watched in particular, not at all.
func inNamespaces(watched []string, others ...string) map[string]cache.Config {
	if len(watched) == 0 {
		return nil
	}
	in := map[string]cache.Config{}
	for _, namespace := range slices.Concat(watched, others) {
		in[namespace] = cache.Config{}
	}
	return in
}

// InNamespaces returns a client to which there are OAuthClients and ResourceServers in the namespaces watched only. A cache that is limited to
// them answers whoever asks for one elsewhere, as an OAuthClient may that names a ResourceServer there, with an error that never goes
// away. Where no namespace is watched in particular, it is the client itself.
func InNamespaces(c client.Client, watched []string) client.Client {
	if len(watched) == 0 {
		return c
	}
	return &limitedClient{c, watched}
}

type limitedClient struct {
	client.Client
	watched []string
}

// Get implements client.Reader.
func (c *limitedClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if !slices.Contains(c.watched, key.Namespace) {
		switch object.(type) {
		case *v1alpha1.OAuthClient:
			return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("oauthclients").GroupResource(), key.Name)
		case *v1alpha1.ResourceServer:
			return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("resourceservers").GroupResource(), key.Name)
		}
	}
	return c.Client.Get(ctx, key, object, options...)
}

// shrinkClient keeps of an OAuthClient what the controllers read: they write nothing but its status.
func shrinkClient(c *v1alpha1.OAuthClient, texts *sharedTexts) {
	c.ManagedFields = nil
	delete(c.Annotations, corev1.LastAppliedConfigAnnotation)
	texts.share(&c.Kind, &c.APIVersion, &c.Namespace)
	shareAll(texts, c.Spec.Scopes)
	shareAll(texts, c.Spec.DefaultScopes)
	shareAll(texts, c.Status.GrantedScopes)
	for i := range c.Spec.Resources {
		shareReference(texts, &c.Spec.Resources[i].ResourceServer)
		shareAll(texts, c.Spec.Resources[i].Scopes)
	}
	for i := range c.Status.Resources {
		resource := &c.Status.Resources[i]
		shareReference(texts, &resource.ResourceServer)
		texts.share((*string)(&resource.Audience))
		for j := range resource.Scopes {
			texts.share((*string)(&resource.Scopes[j].Name), (*string)(&resource.Scopes[j].State), &resource.Scopes[j].Reason)
		}
	}
	keys := &c.Spec.Secret.Keys
	for _, key := range []*v1alpha1.SecretKey{&keys.ClientID, &keys.ClientSecret, &keys.Issuer, &keys.TokenURL, &keys.Scope, &keys.CACert,
		&keys.Type, &keys.Provider, &keys.PrivateKeyJWK, &keys.PrivateKeyPEM, &keys.PrivateKeyID, &keys.EnvFile} {
		*key = v1alpha1.SecretKey(texts.get(string(*key)))
	}
	shareConditions(texts, c.Status.Conditions)
	for _, name := range []*string{&c.Status.SecretName, bindingName(c)} {
		if name != nil && *name == c.Name {
			*name = c.Name
		}
	}
}

// shrinkResourceServer keeps of a ResourceServer what the controllers read: they write nothing but its status.
func shrinkResourceServer(s *v1alpha1.ResourceServer, texts *sharedTexts) {
	s.ManagedFields = nil
	delete(s.Annotations, corev1.LastAppliedConfigAnnotation)
	texts.share(&s.Kind, &s.APIVersion, &s.Namespace, (*string)(&s.Spec.Audience))
	for i := range s.Spec.Scopes {
		texts.share((*string)(&s.Spec.Scopes[i].Name))
	}
	for i := range s.Spec.AllowedClients {
		allowed := &s.Spec.AllowedClients[i]
		texts.share((*string)(&allowed.Namespace)) // Names of clients are hardly ever the same.
		shareAll(texts, allowed.Scopes)
	}
	for i := range s.Status.Clients {
		granted := &s.Status.Clients[i]
		texts.share((*string)(&granted.Namespace))
		shareAll(texts, granted.Scopes)
	}
	shareAll(texts, s.Status.Scopes)
	shareConditions(texts, s.Status.Conditions)
}

func shareReference(texts *sharedTexts, reference *v1alpha1.ResourceServerReference) {
	texts.share((*string)(&reference.Namespace), (*string)(&reference.Name))
}

func shareConditions(texts *sharedTexts, conditions []metav1.Condition) {
	for i := range conditions {
		texts.share(&conditions[i].Type, &conditions[i].Reason, (*string)(&conditions[i].Status))
	}
}

func bindingName(c *v1alpha1.OAuthClient) *string {
	if c.Status.Binding == nil {
		return nil
	}
	return &c.Status.Binding.Name
}

// shrinkSecret puts the texts of a Secret, sealed, that others have too in one place.
func shrinkSecret(s *corev1.Secret, texts *sharedTexts) {
	texts.share(&s.Namespace, (*string)(&s.Type))
	for i := range s.OwnerReferences {
		owner := &s.OwnerReferences[i]
		texts.share(&owner.APIVersion, &owner.Kind)
		if owner.Name == s.Name {
			owner.Name = s.Name
		}
		if uid := s.Labels[v1alpha1.LabelClientUID]; uid == string(owner.UID) {
			s.Labels[v1alpha1.LabelClientUID] = string(owner.UID)
		}
	}
	s.Labels = sharedKeys(s.Labels, texts)
	s.Annotations = sharedKeys(s.Annotations, texts)
	s.Data = sharedKeys(s.Data, texts)
}

// sharedKeys returns a map as small as it can be, with its keys in one place.
func sharedKeys[V any](m map[string]V, texts *sharedTexts) map[string]V {
	if m == nil {
		return nil
	}
	shared := make(map[string]V, len(m))
	for key, value := range m {
		shared[texts.get(key)] = value
	}
	return shared
}

// sharedTexts holds texts that many objects have, each once.
type sharedTexts struct {
	mu    sync.Mutex
	texts map[string]string
}

// maxSharedTexts bounds them: what tenants write may be different for each object.
const maxSharedTexts = 10_000

func (s *sharedTexts) get(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if shared, ok := s.texts[text]; ok {
		return shared
	}
	if s.texts == nil {
		s.texts = map[string]string{}
	}
	if len(s.texts) < maxSharedTexts {
		s.texts[text] = text
	}
	return text
}

func (s *sharedTexts) share(texts ...*string) {
	for _, text := range texts {
		*text = s.get(*text)
	}
}

func shareAll[T ~string](s *sharedTexts, texts []T) {
	for i := range texts {
		texts[i] = T(s.get(string(texts[i])))
	}
}

// addIndexes adds to the cache the indexes that reconciling OAuthClients and ResourceServers needs.
func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &corev1.Secret{}, indexOwner, func(object client.Object) []string {
		if owner := controllingClient(object); owner != nil && owner.Name != object.GetName() {
			return []string{string(owner.UID)}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &v1alpha1.OAuthClient{}, indexSecretName, func(object client.Object) []string {
		c := object.(*v1alpha1.OAuthClient)
		names := []string{c.SecretName(), writtenName(c)} // Two where it is provided.
		return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == c.Name })
	}); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &v1alpha1.OAuthClient{}, indexAskedAt, func(object client.Object) []string {
		var keys []string
		for _, server := range serversAsked(object.(*v1alpha1.OAuthClient)) {
			keys = append(keys, server.String())
		}
		return keys
	}); err != nil {
		return err
	}
	return indexer.IndexField(ctx, &v1alpha1.ResourceServer{}, indexAudience, func(object client.Object) []string {
		return []string{string(object.(*v1alpha1.ResourceServer).Spec.Audience)}
	})
}

// cachedSecrets returns the Secrets that an OAuthClient owns, sealed. They may be older than our own last write: at worst a live read
// follows that finds nothing to do.
func (r *OAuthClientReconciler) cachedSecrets(ctx context.Context, c *v1alpha1.OAuthClient) ([]corev1.Secret, error) {
	var owned corev1.SecretList
	if err := r.Client.List(ctx, &owned, client.InNamespace(c.Namespace), client.MatchingFields{indexOwner: string(c.UID)},
		client.DisableReadYourWritesConsistency); err != nil {
		return nil, fmt.Errorf("list the OAuthClient's Secrets: %w", err)
	}
	var namesake corev1.Secret
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(c), &namesake, client.DisableReadYourWritesConsistency)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read the OAuthClient's Secret: %w", err)
	}
	if err == nil && metav1.IsControlledBy(&namesake, c) {
		return append(owned.Items, namesake), nil
	}
	return owned.Items, nil
}

// clientsNaming returns the OAuthClients that want a Secret of a name written, or have it provided.
func (r *OAuthClientReconciler) clientsNaming(ctx context.Context, namespace, secretName string) ([]v1alpha1.OAuthClient, error) {
	var wanting v1alpha1.OAuthClientList
	if err := r.Client.List(ctx, &wanting, client.InNamespace(namespace), client.MatchingFields{indexSecretName: secretName},
		client.DisableReadYourWritesConsistency); err != nil {
		return nil, fmt.Errorf("list the OAuthClients that name Secret %q: %w", secretName, err)
	}
	var namesake v1alpha1.OAuthClient
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: secretName}, &namesake, client.DisableReadYourWritesConsistency)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read OAuthClient %q: %w", secretName, err)
	}
	if err == nil && (writtenName(&namesake) == secretName || namesake.SecretName() == secretName) {
		return append(wanting.Items, namesake), nil
	}
	return wanting.Items, nil
}
