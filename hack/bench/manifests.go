package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// workers is how many OAuthClients are applied at once, and how many the bare client serves at once: Kubemint's default.
const workers = 10

// manifests is how long many OAuthClients at once took, round by round.
type manifests struct {
	clients        int
	kubemint, bare []time.Duration
}

// measureManifests measures many OAuthClients at once, in rounds of Kubemint and of the bare client by turns.
func (b *bench) measureManifests(ctx context.Context, clients, rounds int) (manifests, error) {
	m := manifests{clients: clients}
	say("%d manifests at once, %d rounds (about %d s)", clients, rounds, rounds*(5+clients/65))
	for round := range rounds {
		err := alternate(round,
			func() error { return record(&m.kubemint)(b.kubemintRound(ctx, clients)) },
			func() error { return record(&m.bare)(b.bareRound(ctx, clients)) })
		if err != nil {
			return m, err
		}
		note("round %d: Kubemint %.2f s, bare client %.2f s", round+1, m.kubemint[round].Seconds(), m.bare[round].Seconds())
	}
	return m, nil
}

// record returns a function that keeps a measured time where there is no error.
func record(times *[]time.Duration) func(time.Duration, error) error {
	return func(elapsed time.Duration, err error) error {
		if err == nil {
			*times = append(*times, elapsed)
		}
		return err
	}
}

// kubemintRound applies OAuthClients while Kubemint runs, and returns how long it took from the first create until a watch
// had seen the last of them Ready.
func (b *bench) kubemintRound(ctx context.Context, clients int) (elapsed time.Duration, err error) {
	err = b.withKubemint(ctx, func(ctx context.Context, namespace string) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		group, ctx := errgroup.WithContext(ctx)
		ready, err := b.watchReady(ctx, namespace)
		if err != nil {
			return err
		}
		begin := time.Now()
		group.Go(func() error { return b.apply(ctx, namespace, make(chan *v1alpha1.OAuthClient, clients)) })
		group.Go(func() error { return ready.await(ctx, clients+1) }) // The first client is seen too.
		err = group.Wait()
		elapsed = time.Since(begin)
		return err
	})
	return elapsed, err
}

// bareRound applies OAuthClients while the bare client serves each that is created, and returns how long it took from the
// first create until the last write had returned.
func (b *bench) bareRound(ctx context.Context, clients int) (elapsed time.Duration, err error) {
	err = b.withBareClient(ctx, func(ctx context.Context, namespace string) error {
		group, ctx := errgroup.WithContext(ctx)
		created := make(chan *v1alpha1.OAuthClient, clients)
		begin := time.Now()
		group.Go(func() error { return b.apply(ctx, namespace, created) })
		group.Go(func() error { return b.bare.serveAll(ctx, created) })
		err := group.Wait()
		elapsed = time.Since(begin)
		return err
	})
	return elapsed, err
}

// apply creates as many OAuthClients as the channel holds, as fast as the workers can, and hands on each.
func (b *bench) apply(ctx context.Context, namespace string, created chan<- *v1alpha1.OAuthClient) error {
	defer close(created)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range cap(created) {
		group.Go(func() error {
			c, err := b.create(ctx, namespace, fmt.Sprintf("client-%05d", i))
			if err == nil {
				created <- c // There is room for all.
			}
			return err
		})
	}
	return group.Wait()
}

// serveAll serves OAuthClients until the channel is closed.
func (b *bareClient) serveAll(ctx context.Context, created <-chan *v1alpha1.OAuthClient) error {
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error {
			for c := range created {
				if err := b.serve(ctx, c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}
