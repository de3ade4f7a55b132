package registry

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Bounds of what is remembered of reviews. What the API server said of a token counts for reviewFor: so long, a pod that is gone may get
// tokens.
const (
	reviewFor     = 10 * time.Second
	reviewTimeout = 5 * time.Second
	maxReviews    = 10_000
)

// reviews asks the API server about service account tokens, and remembers the answers for a moment.
type reviews struct {
	api       client.Client
	audiences []string
	now       func() time.Time

	mu   sync.Mutex
	said map[[sha256.Size]byte]review
}

type review struct {
	good  bool
	until time.Time
}

// ReviewTokens returns a function that asks the API server whether a service account token for one of some audiences is still good: whether
// the pod that it is bound to, and the service account, are there. It needs the right to create TokenReviews.
func (r *Registry) ReviewTokens(audiences ...string) func(ctx context.Context, token string) (good bool, err error) {
	reviews := &reviews{api: r.api, audiences: audiences, now: r.now, said: map[[sha256.Size]byte]review{}}
	return reviews.isGood
}

func (r *reviews) isGood(ctx context.Context, token string) (bool, error) {
	digest := sha256.Sum256([]byte(token))
	if known, ok := r.remembered(digest); ok {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	asked := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: r.audiences}}
	if err := r.api.Create(ctx, asked); err != nil {
		return false, fmt.Errorf("create a TokenReview: %w", err)
	}
	// An API server that knows no audiences returns none, and has said nothing of whom the token is for.
	good := asked.Status.Authenticated && slices.ContainsFunc(asked.Status.Audiences, func(audience string) bool {
		return slices.Contains(r.audiences, audience)
	})
	r.remember(digest, good)
	return good, nil
}

func (r *reviews) remembered(digest [sha256.Size]byte) (good, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	said, ok := r.said[digest]
	return said.good, ok && r.now().Before(said.until)
}

func (r *reviews) remember(digest [sha256.Size]byte, good bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.said) >= maxReviews {
		clear(r.said) // They are asked again.
	}
	r.said[digest] = review{good, r.now().Add(reviewFor)}
}
