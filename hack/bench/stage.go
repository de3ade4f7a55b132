package main

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// firstName is that of the OAuthClient that comes before a measurement. When it is served, connections stand, and of Kubemint
// the controllers run, which the readiness of the token server does not say.
const firstName = "first-client"

// measurement measures in a fresh namespace.
type measurement func(ctx context.Context, namespace string) error

// withKubemint runs Kubemint for one measurement.
func (b *bench) withKubemint(ctx context.Context, measure measurement) error {
	return b.inNamespace(ctx, func(ctx context.Context, namespace string) error {
		kubemint, err := b.cluster.StartKubemint(ctx, localcluster.KubemintOptions{Port: b.port, Log: b.log})
		if err != nil {
			return fmt.Errorf("%w (see %s)", err, b.log.Name())
		}
		b.port = kubemint.Port
		if err = b.awaitFirst(ctx, namespace); err == nil {
			err = measure(ctx, namespace)
		}
		return errors.Join(err, kubemint.Stop())
	})
}

// withBareClient runs one measurement without Kubemint, where the bare client has just served an OAuthClient too.
func (b *bench) withBareClient(ctx context.Context, measure measurement) error {
	return b.inNamespace(ctx, func(ctx context.Context, namespace string) error {
		first, err := b.create(ctx, namespace, firstName)
		if err != nil {
			return err
		}
		if err := b.bare.serve(ctx, first); err != nil {
			return err
		}
		return measure(ctx, namespace)
	})
}

// alternate lets two measure after one another, each of them first every other time, so that what changes with time favours
// neither.
func alternate(turn int, one, other func() error) error {
	if turn%2 == 1 {
		one, other = other, one
	}
	if err := one(); err != nil {
		return err
	}
	return other()
}

// inNamespace makes a namespace for one measurement and empties it afterwards, so that each finds the API server alike.
func (b *bench) inNamespace(ctx context.Context, measure measurement) error {
	b.namespaces++
	name := fmt.Sprintf("bench-%03d", b.namespaces)
	if err := b.user.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		return fmt.Errorf("make a namespace: %w", err)
	}
	if err := measure(ctx, name); err != nil {
		return err
	}
	return b.empty(ctx, name)
}

// empty deletes what there is in a namespace. Secrets need it too, as there is no garbage collector. Nothing here has a
// finalizer, so that it is gone when the call returns.
func (b *bench) empty(ctx context.Context, namespace string) error {
	for _, kind := range []client.Object{&v1alpha1.OAuthClient{}, &corev1.Secret{}, &eventsv1.Event{}} {
		if err := b.user.DeleteAllOf(ctx, kind, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("empty namespace %s of %T: %w", namespace, kind, err)
		}
	}
	return nil
}

// create applies the least manifest that there is.
func (b *bench) create(ctx context.Context, namespace, name string) (*v1alpha1.OAuthClient, error) {
	c := &v1alpha1.OAuthClient{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.OAuthClientSpec{Scopes: []v1alpha1.Scope{"invoices:read", "invoices:write"}},
	}
	if err := b.user.Create(ctx, c); err != nil {
		return nil, fmt.Errorf("create OAuthClient %s: %w", name, err)
	}
	return c, nil
}

// awaitFirst creates the first OAuthClient of a namespace and waits until it is Ready.
func (b *bench) awaitFirst(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ready, err := b.watchReady(ctx, namespace)
	if err != nil {
		return err
	}
	if _, err := b.create(ctx, namespace, firstName); err != nil {
		return err
	}
	return ready.await(ctx, 1)
}

// readyWatch sees OAuthClients of a namespace become Ready.
type readyWatch struct{ watch.Interface }

func (b *bench) watchReady(ctx context.Context, namespace string) (readyWatch, error) {
	watcher, err := b.user.Watch(ctx, &v1alpha1.OAuthClientList{}, client.InNamespace(namespace))
	if err != nil {
		return readyWatch{}, fmt.Errorf("watch OAuthClients: %w", err)
	}
	return readyWatch{watcher}, nil
}

// await returns when so many OAuthClients are Ready.
func (w readyWatch) await(ctx context.Context, count int) error {
	ready := map[string]bool{}
	err := follow(ctx, w, func(object client.Object) bool {
		c, ok := object.(*v1alpha1.OAuthClient)
		if ok && meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) {
			ready[c.Name] = true
		}
		return len(ready) == count
	})
	if err != nil {
		return fmt.Errorf("wait until %d OAuthClients are Ready, of which %d are: %w", count, len(ready), err)
	}
	return nil
}

// follow shows the objects of a watch as they come, until one of them is enough.
func follow(ctx context.Context, watcher watch.Interface, enough func(client.Object) bool) error {
	defer watcher.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, open := <-watcher.ResultChan():
			if !open {
				return errors.New("the API server ended the watch")
			}
			if event.Type == watch.Error {
				return apierrors.FromObject(event.Object)
			}
			if object, ok := event.Object.(client.Object); ok && enough(object) {
				return nil
			}
		}
	}
}
