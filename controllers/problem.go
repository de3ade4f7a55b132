package controllers

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// problem is why an OAuthClient cannot be ready here and now, in words for its user. It becomes a condition, and is tried again
// with backoff.
type problem struct {
	reason  string
	message string
	// stalled problems last until somebody acts.
	stalled bool
	// quiet problems pass, or end with the object, and so are worth no event.
	quiet bool
}

func (p *problem) Error() string { return p.reason + ": " + p.message }

func secretConflict(format string, args ...any) *problem {
	return &problem{reason: v1alpha1.ReasonSecretConflict, message: fmt.Sprintf(format, args...), stalled: true}
}

// writeFailed classes the API server's refusal to write a Secret. A write that only came too late is no problem: it is
// returned as it is, for the next try to see what is there now.
func writeFailed(secretName string, err error) error {
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return fmt.Errorf("write Secret %q: %w", secretName, err)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return &problem{reason: v1alpha1.ReasonNamespaceTerminating, quiet: true,
			message: "the namespace is being deleted, and takes no new Secret: create the OAuthClient in another one"}
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), " quota: "): // "exceeded quota: NAME" or "status unknown for quota: NAME"
		return &problem{reason: v1alpha1.ReasonQuotaExceeded,
			message: fmt.Sprintf("a ResourceQuota leaves no room for Secret %q: raise it or delete Secrets (%v)", secretName, err)}
	case apierrors.IsForbidden(err):
		return &problem{reason: v1alpha1.ReasonForbidden,
			message: fmt.Sprintf("Kubemint may not write Secret %q: allow its service account to (RBAC or an admission policy; %v)", secretName, err)}
	default:
		return &problem{reason: v1alpha1.ReasonSecretWriteFailed,
			message: fmt.Sprintf("Secret %q could not be written, and is tried again; if it lasts, see to what the API server says: %v", secretName, err)}
	}
}
