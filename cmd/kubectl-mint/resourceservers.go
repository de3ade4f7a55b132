package main

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// serverList is all ResourceServers of the cluster.
type serverList []*v1alpha1.ResourceServer

// resourceServers lists the ResourceServers of all namespaces: which of them has an audience, no part of them can tell.
func (c *cluster) resourceServers(ctx context.Context) (serverList, error) {
	var list v1alpha1.ResourceServerList
	if err := c.List(ctx, &list); err != nil {
		return nil, err
	}
	servers := make(serverList, len(list.Items))
	for i := range list.Items {
		servers[i] = &list.Items[i]
	}
	return servers, nil
}

// Get implements consent.ResourceServers.
func (l serverList) Get(key types.NamespacedName) *v1alpha1.ResourceServer {
	i := slices.IndexFunc(l, func(s *v1alpha1.ResourceServer) bool { return keyOf(s) == key })
	if i < 0 {
		return nil
	}
	return l[i]
}

// Naming implements consent.ResourceServers.
func (l serverList) Naming(audience v1alpha1.Audience) []*v1alpha1.ResourceServer {
	var naming []*v1alpha1.ResourceServer
	for _, s := range l {
		if s.Spec.Audience == audience {
			naming = append(naming, s)
		}
	}
	return naming
}

// declaring returns the ResourceServers that have a scope.
func (l serverList) declaring(scope v1alpha1.Scope) []types.NamespacedName {
	var keys []types.NamespacedName
	for _, s := range l {
		if slices.ContainsFunc(s.Spec.Scopes, func(d v1alpha1.ScopeDefinition) bool { return d.Name == scope }) {
			keys = append(keys, keyOf(s))
		}
	}
	return keys
}

// reserved returns the audiences that Kubemint reports to be the issuer's own: which those are is configuration.
func (l serverList) reserved() []string {
	var audiences []string
	for _, s := range l {
		ready := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && ready.Reason == v1alpha1.ReasonAudienceReserved {
			audiences = append(audiences, string(s.Spec.Audience))
		}
	}
	return audiences
}

func keyOf(s *v1alpha1.ResourceServer) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}
