package v1alpha1

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StatusPatch returns a status as a server-side apply, for the OAuthClient as it was read.
func (c *OAuthClient) StatusPatch(status OAuthClientStatus) ([]byte, error) {
	return statusPatch("OAuthClient", &c.ObjectMeta, status)
}

// StatusPatch returns a status as a server-side apply, for the ResourceServer as it was read.
func (s *ResourceServer) StatusPatch(status ResourceServerStatus) ([]byte, error) {
	return statusPatch("ResourceServer", &s.ObjectMeta, status)
}

// statusPatch is for the object as it was read: its resourceVersion keeps the patch from one that changed since, or was deleted and
// made anew (of a custom resource, the status subresource ignores a UID).
func statusPatch(kind string, object *metav1.ObjectMeta, status any) ([]byte, error) {
	patch, err := json.Marshal(map[string]any{
		"apiVersion": GroupVersion.String(),
		"kind":       kind,
		"metadata":   map[string]any{"name": object.Name, "namespace": object.Namespace, "resourceVersion": object.ResourceVersion},
		"status":     status,
	})
	if err != nil {
		return nil, fmt.Errorf("encode the status: %w", err)
	}
	return patch, nil
}
