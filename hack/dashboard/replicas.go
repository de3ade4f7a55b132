package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/kubemint/kubemint/hack/localcluster"
)

// replica is a running kubemint, named as a Deployment's pod would be.
type replica struct {
	*localcluster.Kubemint
	pod string
}

// replicas are those that clients reach. One that is to end is taken out of them before, as Kubernetes takes a pod out of a Service.
type replicas struct {
	mutex   sync.Mutex
	reached []replica
	issuer  string
}

func (r *replicas) all() []replica {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return slices.Clone(r.reached)
}

func (r *replicas) add(added replica) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.reached = append(r.reached, added)
}

func (r *replicas) takeOutFirst() replica {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	first := r.reached[0]
	r.reached = r.reached[1:]
	return first
}

func (r *replicas) stop() error {
	var errs []error
	for _, running := range r.all() {
		errs = append(errs, running.Stop())
	}
	return errors.Join(errs...)
}

func (s *stage) startReplicas(ctx context.Context) error {
	say("Starting two replicas of kubemint")
	for _, pod := range []string{"kubemint-7d9c5b8f64-2xkqp", "kubemint-7d9c5b8f64-m8tzv"} {
		if err := s.startReplica(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

// startReplica starts a replica; the first one's address is the issuer of all.
func (s *stage) startReplica(ctx context.Context, pod string) error {
	log, err := os.Create(filepath.Join(s.directory, pod+".log"))
	if err != nil {
		return err
	}
	options := localcluster.KubemintOptions{Log: log}
	if s.replicas.issuer != "" {
		options.Args = []string{"--issuer=" + s.replicas.issuer}
	}
	started, err := s.cluster.StartKubemint(ctx, options)
	if err != nil {
		return fmt.Errorf("%w (see %s)", err, log.Name())
	}
	if s.replicas.issuer == "" {
		s.replicas.issuer = started.Issuer
	}
	s.replicas.add(replica{started, pod})
	return nil
}
