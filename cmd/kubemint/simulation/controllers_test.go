package simulation_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/controllers"
	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// leader runs the controllers, wired as in cmd/kubemint. They follow what changes by themselves; that time has passed, they are told.
type leader struct {
	parts []part
	now   func() time.Time
	stop  func()
}

// part is one reconciler with the object that it is for, and when it is to look at it again.
type part struct {
	reconcile func(context.Context, ctrl.Request) (ctrl.Result, error)
	object    types.NamespacedName
	due       time.Time
}

func startLeader(t *testing.T, config *rest.Config, now func() time.Time) *leader {
	t.Helper()
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Cache: controllers.CacheOptions(namespace),
		Client:  client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
		Metrics: metricsserver.Options{BindAddress: "0"},
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	writer, live := client.WithFieldOwner(manager.GetClient(), v1alpha1.ManagedBy), manager.GetAPIReader()
	recorder := manager.GetEventRecorder(v1alpha1.ManagedBy)
	keys := &controllers.SigningKeysReconciler{Client: writer, Live: live, Events: recorder, Namespace: namespace, Now: now,
		Policy: controllers.SigningKeyPolicy(signing.ES256, keyInterval)}
	certificates := &controllers.CertificatesReconciler{Client: writer, Live: live, Events: recorder, Namespace: namespace, Now: now,
		Hosts: []string{host}, Lifetimes: lifetimes}
	clients := &controllers.OAuthClientReconciler{Client: writer, Live: live, Events: recorder, Namespace: namespace, Now: now,
		Issuer: controllers.Issuer{URL: issuer, TokenURL: issuer + tokenserver.TokenPath}, Workers: 2}
	must(t, keys.SetupWithManager(manager))
	must(t, certificates.SetupWithManager(manager))
	must(t, clients.SetupWithManager(ctx, manager))

	l := &leader{now: now, parts: []part{
		{reconcile: keys.Reconcile, object: types.NamespacedName{Namespace: namespace, Name: v1alpha1.SigningKeysSecretName}},
		{reconcile: certificates.Reconcile, object: types.NamespacedName{Namespace: namespace, Name: v1alpha1.ServingCertificateSecretName}},
		{reconcile: clients.Reconcile, object: types.NamespacedName{Namespace: namespace, Name: clientName}},
	}}
	var running sync.WaitGroup
	running.Go(func() {
		if err := manager.Start(ctx); err != nil {
			t.Errorf("the controllers ended: %v", err)
		}
	})
	l.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(l.stop)
	if !manager.GetCache().WaitForCacheSync(ctx) {
		t.Fatal("the controllers' cache did not sync")
	}
	return l
}

// due returns when the first of the controllers is to look again.
func (l *leader) due() time.Time {
	first := l.parts[0].due
	for _, p := range l.parts {
		if p.due.Before(first) {
			first = p.due
		}
	}
	return first
}

// turn has every controller that is due look, until all of them have something later to wait for.
func (l *leader) turn(t *testing.T) {
	t.Helper()
	for i := range l.parts {
		p := &l.parts[i]
		if p.due.After(l.now()) {
			continue
		}
		await(t, p.object.Name+" to be done with", func() error {
			result, err := p.reconcile(t.Context(), ctrl.Request{NamespacedName: p.object})
			if err != nil {
				return err // It came too late, behind the same controller that saw a change.
			}
			p.due = l.now().Add(6 * time.Hour) // What changes without it is seen by then.
			if result.RequeueAfter > 0 {
				p.due = l.now().Add(min(result.RequeueAfter, 6*time.Hour))
			}
			return nil
		})
	}
}
