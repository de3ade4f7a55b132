package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// bareClient makes the two writes that an OAuthClient takes, and does nothing else: it watches nothing, reads nothing,
// decides nothing. No controller can be faster, so it is what Kubemint is measured by.
type bareClient struct {
	client.Client

	// secret and status are an example of what Kubemint writes, which the bare client writes for every OAuthClient.
	secret corev1.Secret
	status v1alpha1.OAuthClientStatus
}

// serve writes the Secret of an OAuthClient and then its status.
func (b *bareClient) serve(ctx context.Context, c *v1alpha1.OAuthClient) error {
	if err := b.createSecret(ctx, c); err != nil {
		return fmt.Errorf("create Secret %s: %w", c.Name, err)
	}
	if err := b.applyStatus(ctx, c); err != nil {
		return fmt.Errorf("apply the status of OAuthClient %s: %w", c.Name, err)
	}
	return nil
}

func (b *bareClient) createSecret(ctx context.Context, c *v1alpha1.OAuthClient) error {
	example := b.secret.DeepCopy()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.Namespace, Name: c.Name, Labels: example.Labels, Annotations: example.Annotations,
			OwnerReferences: example.OwnerReferences,
		},
		Type: example.Type,
		Data: example.Data,
	}
	secret.Data["client_id"] = []byte(c.ClientID())
	secret.Labels[v1alpha1.LabelClientUID] = string(c.UID)
	secret.OwnerReferences[0].Name, secret.OwnerReferences[0].UID = c.Name, c.UID
	return b.Create(ctx, secret)
}

// applyStatus is a server-side apply as the controller's is.
func (b *bareClient) applyStatus(ctx context.Context, c *v1alpha1.OAuthClient) error {
	status := b.status.DeepCopy()
	ready := &status.Conditions[0]
	ready.Message = strings.ReplaceAll(ready.Message, status.SecretName, c.Name)
	status.ClientID, status.SecretName = c.ClientID(), c.Name
	patch, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(),
		"kind":       "OAuthClient",
		"metadata":   map[string]any{"name": c.Name, "namespace": c.Namespace, "uid": c.UID},
		"status":     status,
	})
	if err != nil {
		return err
	}
	target := &v1alpha1.OAuthClient{ObjectMeta: metav1.ObjectMeta{Name: c.Name, Namespace: c.Namespace}}
	return b.Status().Patch(ctx, target, client.RawPatch(types.ApplyPatchType, patch), client.ForceOwnership)
}
