package main_test

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/hack/localcluster"
)

// victim is who has an API, and a client that may call it.
type victim struct {
	client *v1alpha1.OAuthClient
	server *v1alpha1.ResourceServer
	secret *corev1.Secret
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{server: newResourceServer(newNamespace(t), "https://orders.tenants.test")}
	v.client = newAsker(v.server.Namespace, v.server)
	allow(v.server.Namespace)(v.server)
	create(t, v.server)
	v.secret = issued(t, v.client)
	awaitAnswer(t, v.secret, "", "scope=orders:read")
	await(t, "the victim's status", func() error {
		if err := suite.admin.Get(t.Context(), client.ObjectKeyFromObject(v.client), v.client); err != nil {
			return err
		}
		if err := suite.admin.Get(t.Context(), client.ObjectKeyFromObject(v.server), v.server); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(v.client.Status.Conditions, v1alpha1.ConditionScopesGranted) || v.server.Status.ClientCount != 1 {
			return fmt.Errorf("%+v, %+v", v.client.Status, v.server.Status)
		}
		return nil
	})
	awaitNextSecond(t, v.server) // Of two from the same second, the UIDs decide who has an audience.
	return v
}

// words are what the victim is known by.
func (v *victim) words() []string {
	return []string{
		v.client.Namespace, v.client.Name, v.server.Name, v.client.ClientID(), v.server.Namespace + "/" + v.server.Name,
		string(v.client.UID), string(v.server.UID), string(v.secret.UID), string(v.server.Spec.Audience), suite.kubemint.Issuer,
	}
}

// state is what others can see of the victim, and of Kubemint itself: objects, and what its tokens say.
func (v *victim) state(t *testing.T) map[string]any {
	t.Helper()
	state := map[string]any{}
	for _, object := range append(objectsIn(t, t.Context(), v.client.Namespace), objectsIn(t, t.Context(), localcluster.Namespace)...) {
		key := fmt.Sprintf("%T %s/%s", object, object.GetNamespace(), object.GetName())
		switch o := object.(type) {
		case *v1alpha1.OAuthClient:
			o.Status.Credentials = nil // They say when a client secret was last used.
			state[key] = []any{metadataOf(o), o.Spec, o.Status}
		case *v1alpha1.ResourceServer:
			state[key] = []any{metadataOf(o), o.Spec, o.Status}
		default:
			state[key] = object.GetResourceVersion()
		}
	}
	for _, parameters := range [][]string{nil, {"scope=orders:read"}, {"resource=" + string(v.server.Spec.Audience)}} {
		claims := claimsOf(t, mustGetToken(t, v.secret, parameters...).AccessToken)
		claims["exp"] = claims["exp"].(float64) - claims["iat"].(float64)
		delete(claims, "iat")
		delete(claims, "jti")
		state[fmt.Sprint("token for ", parameters)] = claims
	}
	return state
}

func metadataOf(object client.Object) any {
	return []any{object.GetUID(), object.GetGeneration(), object.GetLabels(), object.GetAnnotations(), object.GetOwnerReferences(),
		object.GetFinalizers(), object.GetDeletionTimestamp()}
}

// objectsIn are the objects of a namespace that Kubemint reads or writes.
func objectsIn(t *testing.T, ctx context.Context, namespace string) (objects []client.Object) {
	t.Helper()
	for _, list := range []client.ObjectList{&v1alpha1.OAuthClientList{}, &v1alpha1.ResourceServerList{}, &corev1.SecretList{}} {
		if err := suite.admin.List(ctx, list, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			objects = append(objects, item.(client.Object))
		}
	}
	return objects
}
