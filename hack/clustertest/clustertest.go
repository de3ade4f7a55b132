// Package clustertest is what tests against a real API server share.
package clustertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// Scheme knows Kubernetes' own kinds and Kubemint's.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	return scheme, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
}

// Client returns a client that reads from the API server, never from a cache.
func Client(config *rest.Config) (client.Client, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// pollInterval is how often an awaited condition is looked at.
const pollInterval = 10 * time.Millisecond

// Await waits until a condition holds, and ends the test with its last error if it does not come to in time.
func Await(t testing.TB, within time.Duration, what string, condition func() error) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(pollInterval) {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
	}
}

// Create creates an object.
func Create(t testing.TB, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// NewNamespace makes a namespace for one test.
func NewNamespace(t testing.TB, c client.Client) *corev1.Namespace {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	Create(t, c, namespace)
	return namespace
}

// Change changes an object as somebody with kubectl edit would, trying again where it changed meanwhile.
func Change[T client.Object](t testing.TB, c client.Client, within time.Duration, object T, how func(T)) {
	t.Helper()
	Await(t, within, "changing "+object.GetName(), func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		how(object)
		return c.Update(t.Context(), object)
	})
}

// AwaitReady waits until the status of an OAuthClient speaks of the newest spec, and its condition Ready has a reason.
func AwaitReady(t testing.TB, c client.Client, within time.Duration, object *v1alpha1.OAuthClient, reason string) *metav1.Condition {
	t.Helper()
	var ready *metav1.Condition
	Await(t, within, object.Name+" to be "+reason, func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		ready = meta.FindStatusCondition(object.Status.Conditions, v1alpha1.ConditionReady)
		if object.Status.ObservedGeneration != object.Generation || ready == nil || ready.Reason != reason {
			return fmt.Errorf("status is %+v", object.Status)
		}
		return nil
	})
	return ready
}
