package registry

import (
	"slices"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// resourceServers are those of the cluster. It implements consent.ResourceServers for who holds the lock.
type resourceServers struct {
	mu         sync.RWMutex // Guards the maps.
	byName     map[types.NamespacedName]*v1alpha1.ResourceServer
	byAudience map[v1alpha1.Audience][]*v1alpha1.ResourceServer
	// generation counts the changes by which a decision may become another.
	generation atomic.Uint64
}

func newResourceServers() *resourceServers {
	return &resourceServers{
		byName:     map[types.NamespacedName]*v1alpha1.ResourceServer{},
		byAudience: map[v1alpha1.Audience][]*v1alpha1.ResourceServer{},
	}
}

// Get implements consent.ResourceServers.
func (s *resourceServers) Get(key types.NamespacedName) *v1alpha1.ResourceServer {
	return s.byName[key]
}

// Naming implements consent.ResourceServers.
func (s *resourceServers) Naming(audience v1alpha1.Audience) []*v1alpha1.ResourceServer {
	return s.byAudience[audience]
}

// replace takes over all ResourceServers that there are in a namespace, and forgets those that there are no more; empty: in all.
func (s *resourceServers) replace(namespace string, objects []*v1alpha1.ResourceServer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.byName {
		if within(namespace, key.Namespace) {
			s.remove(key)
		}
	}
	for _, object := range objects {
		s.add(object)
	}
	s.generation.Add(1)
}

func (s *resourceServers) set(object *v1alpha1.ResourceServer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.byName[keyOf(object)]; before != nil && sameDecisions(before, object) {
		return // Its status changed.
	}
	s.remove(keyOf(object))
	s.add(object)
	s.generation.Add(1)
}

func (s *resourceServers) delete(object *v1alpha1.ResourceServer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(keyOf(object))
	s.generation.Add(1)
}

func (s *resourceServers) add(object *v1alpha1.ResourceServer) {
	s.byName[keyOf(object)] = object
	s.byAudience[object.Spec.Audience] = append(s.byAudience[object.Spec.Audience], object)
}

func (s *resourceServers) remove(key types.NamespacedName) {
	object := s.byName[key]
	if object == nil {
		return
	}
	delete(s.byName, key)
	audience := object.Spec.Audience
	s.byAudience[audience] = slices.DeleteFunc(s.byAudience[audience], func(other *v1alpha1.ResourceServer) bool { return other == object })
	if len(s.byAudience[audience]) == 0 {
		delete(s.byAudience, audience)
	}
}

// sameDecisions reports whether two states of a ResourceServer say the same: the API server counts the changes of spec.
func sameDecisions(a, b *v1alpha1.ResourceServer) bool {
	return a.UID == b.UID && a.Generation == b.Generation && a.DeletionTimestamp.Equal(b.DeletionTimestamp)
}

// sealResourceServer keeps of a ResourceServer what is read here.
func sealResourceServer(s *v1alpha1.ResourceServer) {
	s.ManagedFields, s.Labels, s.Annotations, s.Finalizers = nil, nil, nil, nil
	s.Status = v1alpha1.ResourceServerStatus{}
	s.TypeMeta = metav1.TypeMeta{}
}
