package registry

import (
	"context"
	goruntime "runtime"
	"slices"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// view hands on what is watched of one kind of object. Unlike an informer's store it keeps no object: the registry needs a few
// hundred bytes of each, and what lives costs CPU time with every garbage collection. It implements cache.TransformingStore.
type view[T client.Object] struct {
	// namespace is that of the objects; empty: all.
	namespace string
	// seal takes out of an object what must not stay in memory. It may be called twice.
	seal func(T)
	// replace is given the namespace and all objects that there are in it, set one that is new or changed, and delete one that is gone.
	replace     func(string, []T)
	set, delete func(T)
	// seen is called after each of them.
	seen func()

	synced atomic.Bool
}

// views are the views of one kind of object, of a namespace each, or one of all.
type views[T client.Object] []*view[T]

// in returns views like this one, of some namespaces; without any, of all.
func (v *view[T]) in(namespaces []string) views[T] {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	views := make(views[T], len(namespaces))
	for i, namespace := range namespaces {
		views[i] = &view[T]{namespace: namespace, seal: v.seal, replace: v.replace, set: v.set, delete: v.delete, seen: v.seen}
	}
	return views
}

// synced reports whether all objects have been seen once.
func (v views[T]) synced() bool {
	return !slices.ContainsFunc(v, func(v *view[T]) bool { return !v.synced.Load() })
}

// How long to wait until a watch that failed is tried again: an API server that is back is soon noticed, by many replicas at
// different times.
var patience = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.5, Steps: 10, Cap: 5 * time.Second}

// follow watches a kind of object until the context ends. A label selects those that have it; empty, it selects all.
func (v *view[T]) follow(ctx context.Context, api client.WithWatch, kind T, newList func() client.ObjectList, label string) {
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.LabelSelector = label
			list := newList()
			return list, api.List(ctx, list, &client.ListOptions{Namespace: v.namespace, Raw: &options})
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (apiwatch.Interface, error) {
			options.LabelSelector = label
			return api.Watch(ctx, newList(), &client.ListOptions{Namespace: v.namespace, Raw: &options})
		},
	}
	backoff := patience
	cache.NewReflectorWithOptions(source, kind, v, cache.ReflectorOptions{Name: "registry", Backoff: &backoff}).RunWithContext(ctx)
}

// Replace implements cache.ReflectorStore.
func (v *view[T]) Replace(objects []any, _ string) error {
	all := make([]T, len(objects))
	for i, object := range objects {
		all[i] = object.(T)
		v.seal(all[i])
	}
	v.replace(v.namespace, all)
	v.synced.Store(true)
	v.seen()
	time.AfterFunc(untilListIsGarbage, goruntime.GC)
	return nil
}

// untilListIsGarbage is how long after Replace nobody holds the list any more. It is collected then. Else the collector, which saw it
// live, would let the memory grow to a multiple of it, two gigabytes for a hundred thousand clients; and a request that takes memory
// which was never used before takes longer.
const untilListIsGarbage = time.Second

// Add implements cache.ReflectorStore.
func (v *view[T]) Add(object any) error { return v.Update(object) }

// Update implements cache.ReflectorStore.
func (v *view[T]) Update(object any) error {
	v.seal(object.(T))
	v.set(object.(T))
	v.seen()
	return nil
}

// Delete implements cache.ReflectorStore.
func (v *view[T]) Delete(object any) error {
	v.delete(object.(T))
	v.seen()
	return nil
}

// Resync implements cache.ReflectorStore.
func (v *view[T]) Resync() error { return nil }

// Transformer implements cache.TransformingStore: a reflector gathers all objects before it calls Replace.
func (v *view[T]) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		v.seal(object.(T))
		return object, nil
	}
}
