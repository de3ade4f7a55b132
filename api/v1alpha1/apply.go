package v1alpha1

import (
	"encoding/json"
	"fmt"
)

// StatusPatch returns a status as a server-side apply, for the object as it was read: its resourceVersion keeps the patch from
// one that changed since, or was deleted and made anew (of a custom resource, the status subresource ignores a UID).
func (c *OAuthClient) StatusPatch(status OAuthClientStatus) ([]byte, error) {
	patch, err := json.Marshal(map[string]any{
		"apiVersion": GroupVersion.String(),
		"kind":       "OAuthClient",
		"metadata":   map[string]any{"name": c.Name, "namespace": c.Namespace, "resourceVersion": c.ResourceVersion},
		"status":     status,
	})
	if err != nil {
		return nil, fmt.Errorf("encode the status: %w", err)
	}
	return patch, nil
}
