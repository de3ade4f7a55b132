package controllers

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/consent"
)

// What is read here is the cache's own, without a copy, as one ResourceServer may have very many clients: it must not be changed.

// cachedServers are the ResourceServers in the cache, as consent asks for them. What one reconciliation has read stays as it was.
type cachedServers struct {
	ctx        context.Context
	reader     client.Reader
	byName     map[types.NamespacedName]*v1alpha1.ResourceServer
	byAudience map[v1alpha1.Audience][]*v1alpha1.ResourceServer
	// err is why something could not be read: no decision may be taken then.
	err error
}

func newCachedServers(ctx context.Context, reader client.Reader) *cachedServers {
	return &cachedServers{
		ctx: ctx, reader: reader,
		byName:     map[types.NamespacedName]*v1alpha1.ResourceServer{},
		byAudience: map[v1alpha1.Audience][]*v1alpha1.ResourceServer{},
	}
}

// Get implements consent.ResourceServers.
func (s *cachedServers) Get(key types.NamespacedName) *v1alpha1.ResourceServer {
	if read, known := s.byName[key]; known {
		return read
	}
	read := &v1alpha1.ResourceServer{}
	err := s.reader.Get(s.ctx, key, read, client.DisableReadYourWritesConsistency, client.UnsafeDisableDeepCopy)
	if err != nil {
		read = nil
	}
	if err != nil && !apierrors.IsNotFound(err) {
		s.err = fmt.Errorf("read ResourceServer %s: %w", key, err)
	}
	s.byName[key] = read
	return read
}

// Naming implements consent.ResourceServers.
func (s *cachedServers) Naming(audience v1alpha1.Audience) []*v1alpha1.ResourceServer {
	if read, known := s.byAudience[audience]; known {
		return read
	}
	var list v1alpha1.ResourceServerList
	if err := s.reader.List(s.ctx, &list, client.MatchingFields{indexAudience: string(audience)},
		client.DisableReadYourWritesConsistency, client.UnsafeDisableDeepCopy); err != nil {
		s.err = fmt.Errorf("list the ResourceServers that name audience %s: %w", audience, err)
	}
	naming := make([]*v1alpha1.ResourceServer, len(list.Items))
	for i := range list.Items {
		naming[i] = &list.Items[i]
	}
	s.byAudience[audience] = naming
	return naming
}

// serversAsked returns the ResourceServers of which an OAuthClient asks for scopes, each once.
func serversAsked(c *v1alpha1.OAuthClient) []types.NamespacedName {
	var servers []types.NamespacedName
	for i := range c.Spec.Resources {
		if server := c.Spec.Resources[i].ResourceServer.In(c.Namespace); !slices.Contains(servers, server) {
			servers = append(servers, server)
		}
	}
	return servers
}

// clientsAskingAt returns the OAuthClients that ask for scopes of a ResourceServer.
func clientsAskingAt(ctx context.Context, reader client.Reader, server types.NamespacedName) ([]v1alpha1.OAuthClient, error) {
	var asking v1alpha1.OAuthClientList
	if err := reader.List(ctx, &asking, client.MatchingFields{indexAskedAt: server.String()},
		client.DisableReadYourWritesConsistency, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the OAuthClients that ask for scopes of ResourceServer %s: %w", server, err)
	}
	return asking.Items, nil
}

// serversConcerned returns the ResourceServers that may grant something else after a change of one: itself, and where it has its
// audience, or had it until it was deleted, all that name the audience. Who names an audience that another one has changes
// nothing for others, and so makes no work, however many clients there are.
func serversConcerned(ctx context.Context, reader client.Reader, changed *v1alpha1.ResourceServer) []types.NamespacedName {
	concerned := []types.NamespacedName{client.ObjectKeyFromObject(changed)}
	// It reads from the cache, which does not fail.
	naming := newCachedServers(ctx, reader).Naming(changed.Spec.Audience)
	others := slices.DeleteFunc(slices.Clone(naming), func(s *v1alpha1.ResourceServer) bool { return s.UID == changed.UID })
	if consent.Owner(append(others, changed)) != changed {
		return concerned
	}
	for _, other := range others {
		concerned = append(concerned, client.ObjectKeyFromObject(other))
	}
	return concerned
}
