package registry

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubemint/kubemint/api/v1alpha1"
	"github.com/kubemint/kubemint/tokenserver/credential"
	"github.com/kubemint/kubemint/tokenserver/grant"
)

// methodUse is when a client last proved who it is in one way, and when that was last told; in Unix seconds, 0 for never.
type methodUse struct {
	method     v1alpha1.AuthenticationMethod
	last, told int64
	use        *credential.Use // Nil for the client secret, whose versions tell.
}

// methodUses returns when a client that has others than the client secret last used each way to prove who it is.
func methodUses(entry *grant.Client) []methodUse {
	if entry.Asymmetric == nil {
		return nil
	}
	uses := entry.Asymmetric.Uses
	secret := methodUse{method: v1alpha1.MethodClientSecret}
	for _, use := range secretUses(entry) {
		secret.last, secret.told = max(secret.last, use.Last()), max(secret.told, use.Told.Load())
	}
	of := func(method v1alpha1.AuthenticationMethod, use *credential.Use) methodUse {
		return methodUse{method, use.Last(), use.Told.Load(), use}
	}
	return []methodUse{
		secret,
		of(v1alpha1.MethodPrivateKeyJWT, &uses.PrivateKey),
		of(v1alpha1.MethodServiceAccount, &uses.ServiceAccount),
		of(v1alpha1.MethodTrustedToken, &uses.TrustedToken),
		of(v1alpha1.MethodTLS, &uses.Certificate),
	}
}

// methodUntold reports whether a use of one of the ways is worth a write: the first, or one so long after the last one that was told.
func methodUntold(entry *grant.Client, after time.Duration) bool {
	return slices.ContainsFunc(methodUses(entry), func(u methodUse) bool {
		return u.use != nil && (u.told == 0 && u.last > 0 || isUntold(u.last, u.told, after))
	})
}

// noteMethods brings a status up to date in when each way was last used, the latest first, and reports whether it was too far behind.
func noteMethods(status *v1alpha1.OAuthClientStatus, entry *grant.Client, after time.Duration) bool {
	behind := false
	updated := slices.Clone(status.Authentication)
	for _, u := range methodUses(entry) {
		i := slices.IndexFunc(updated, func(s v1alpha1.AuthenticationStatus) bool { return s.Method == u.method })
		switch used := metav1.NewTime(time.Unix(u.last, 0)); {
		case u.last == 0:
		case i < 0:
			updated, behind = append(updated, v1alpha1.AuthenticationStatus{Method: u.method, LastUsed: used}), true
		case u.last > updated[i].LastUsed.Unix():
			behind = behind || isUntold(u.last, updated[i].LastUsed.Unix(), after)
			updated[i].LastUsed = used
		}
	}
	if behind {
		slices.SortStableFunc(updated, func(a, b v1alpha1.AuthenticationStatus) int { return b.LastUsed.Compare(a.LastUsed.Time) })
		status.Authentication = updated
	}
	return behind
}

// noteMethodsTold remembers which uses the status tells of.
func noteMethodsTold(status *v1alpha1.OAuthClientStatus, entry *grant.Client) {
	for _, u := range methodUses(entry) {
		for _, told := range status.Authentication {
			if told.Method == u.method && u.use != nil {
				u.use.Told.Store(told.LastUsed.Unix())
			}
		}
	}
}
