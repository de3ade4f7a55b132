package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubemint/kubemint/hack/bench/load"
	"github.com/kubemint/kubemint/hack/localcluster"
)

const (
	namespace = "billing"
	// secretless is the client whose pods prove themselves with their service account's token.
	secretless = "report-writer"
	// playTime is how long the play lasts, and beat how long nothing changes in it.
	playTime = 3 * time.Minute
	beat     = 5 * time.Second
)

// clients that ask for tokens, among the many that are there.
var clients = []string{"invoice-worker", "ledger", "payments"}

// applyClients makes the clients that there are from the beginning.
func (s *stage) applyClients(ctx context.Context) error {
	say("Applying 30 OAuthClients")
	manifest := fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: %[2]s, namespace: %[1]s}}
---
apiVersion: oauth.kubemint.dev/v1alpha1
kind: OAuthClient
metadata: {name: %[2]s, namespace: %[1]s}
spec: {scopes: [reports:write], authentication: {serviceAccounts: [{name: %[2]s}]}, secret: {source: None}}
`, namespace, secretless)
	for _, name := range clients {
		manifest += oauthClient(name)
	}
	for i := range 26 {
		manifest += oauthClient(fmt.Sprintf("batch-%02d", i))
	}
	if _, err := s.cluster.ApplyYAML(ctx, manifest); err != nil {
		return err
	}
	_, err := s.cluster.Kubectl(ctx, "wait", "-n", namespace, "oac", "--all", "--for=condition=Ready", "--timeout=60s")
	return err
}

func oauthClient(name string) string {
	return fmt.Sprintf(`---
apiVersion: oauth.kubemint.dev/v1alpha1
kind: OAuthClient
metadata: {name: %s, namespace: %s}
spec: {scopes: ["invoices:read"], authentication: {clientSecret: {rotation: {overlap: 1h}}}}
`, name, namespace)
}

// play lets applications ask for tokens while things happen.
func (s *stage) play(ctx context.Context) error {
	requests, err := s.allRequests(ctx)
	if err != nil {
		return err
	}
	say("The play begins, of %s", playTime)
	s.begin = time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.ask(ctx, requests) })
	group.Go(func() error { return s.happen(ctx) })
	return group.Wait()
}

// happen is what operators and machines do meanwhile.
func (s *stage) happen(ctx context.Context) error {
	for _, event := range []struct {
		at   time.Duration
		what string
		do   func(context.Context) error
	}{
		{20 * time.Second, "30 more OAuthClients are applied", s.applyMoreClients},
		{40 * time.Second, "the client secrets of all are rotated", s.rotateClientSecrets},
		{60 * time.Second, "the next signing key is prepared", s.rotateSigningKey},
		{95 * time.Second, "the API server is away", s.apiServerAway},
		{130 * time.Second, "a replica is replaced", s.replaceReplica},
	} {
		select {
		case <-time.After(time.Until(s.begin.Add(event.at))):
		case <-ctx.Done():
			return ctx.Err()
		}
		say("  %3.0f s  %s", time.Since(s.begin).Seconds(), event.what)
		if err := event.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", event.what, err)
		}
	}
	return nil
}

func (s *stage) applyMoreClients(ctx context.Context) error {
	var manifest strings.Builder
	for i := range 30 {
		manifest.WriteString(oauthClient(fmt.Sprintf("nightly-%02d", i)))
	}
	_, err := s.cluster.ApplyYAML(ctx, manifest.String())
	return err
}

func (s *stage) rotateClientSecrets(ctx context.Context) error {
	_, err := s.cluster.Kubectl(ctx, "annotate", "oac", "-n", namespace, "--all", "oauth.kubemint.dev/rotate=now")
	return err
}

func (s *stage) rotateSigningKey(ctx context.Context) error {
	_, err := s.cluster.Kubectl(ctx, "annotate", "secret", "-n", localcluster.Namespace, "kubemint-signing-keys", "oauth.kubemint.dev/rotate=now")
	return err
}

func (s *stage) apiServerAway(ctx context.Context) error {
	if err := s.cluster.StopAPIServer(); err != nil {
		return err
	}
	select {
	case <-time.After(beat):
	case <-ctx.Done():
	}
	return s.cluster.StartAPIServer()
}

// replaceReplica ends a replica when no client reaches it any more, and starts another, as a rolling update does.
func (s *stage) replaceReplica(ctx context.Context) error {
	ended := s.replicas.takeOutFirst()
	select {
	case <-time.After(2 * beat): // Until then, those that ask it go on.
	case <-ctx.Done():
	}
	if err := ended.Stop(); err != nil {
		return err
	}
	if err := s.startReplica(ctx, "kubemint-7d9c5b8f64-qw4sj"); err != nil {
		return err
	}
	return s.prometheus.scrape(s.replicas.all())
}

// asker is a kind of request, and how many of them come in a second at a time of the play.
type asker struct {
	requests [][]byte
	rate     func(elapsed float64) float64
	wrong    bool // and refused
}

// ask sends requests until the end of the play. Each right request must get a token.
func (s *stage) ask(ctx context.Context, askers []asker) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, asker := range askers {
		group.Go(func() error {
			for time.Since(s.begin) < playTime && ctx.Err() == nil {
				if err := asker.askAll(s.replicas.all(), asker.rate(time.Since(s.begin).Seconds())); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

// askAll sends requests to all replicas for a beat.
func (a asker) askAll(reached []replica, rate float64) error {
	if rate == 0 {
		time.Sleep(time.Second)
		return nil
	}
	var group errgroup.Group
	for _, replica := range reached {
		group.Go(func() error { return a.send(replica, rate/float64(len(reached))) })
	}
	return group.Wait()
}

func (a asker) send(to replica, rate float64) error {
	result, err := load.Run(load.Plan{
		Address: fmt.Sprintf("127.0.0.1:%d", to.Port), ServerName: "localhost",
		Requests: a.requests, Connections: 1 + int(rate/10), Duration: beat, Rate: rate,
	})
	if err != nil {
		return fmt.Errorf("ask %s: %w", to.pod, err)
	}
	if tokens := result.Statuses[200]; a.wrong != (tokens == 0) || !a.wrong && tokens != result.Requests {
		return fmt.Errorf("%s answered %v", to.pod, result.Statuses)
	}
	return nil
}

// allRequests are those of the play: tides of right ones, a client that asks for too much, one with a wrong secret, and one that nobody knows.
func (s *stage) allRequests(ctx context.Context) ([]asker, error) {
	secrets := map[string]string{}
	for _, name := range clients {
		secret, err := s.readSecret(ctx, name)
		if err != nil {
			return nil, err
		}
		secrets[name] = secret
	}
	token, err := s.cluster.Kubectl(ctx, "create", "token", "-n", namespace, secretless, "--audience="+s.replicas.issuer, "--duration=1h")
	if err != nil {
		return nil, err
	}
	first, last := clients[0], clients[len(clients)-1]
	const unknown, quiet = "nobody", "batch-00" // who else never asks
	post := fmt.Sprintf("%s&client_id=%s.%s&client_secret=%s", grant, namespace, last, secrets[last])
	return []asker{
		{requests: [][]byte{byBasic(first, secrets[first], grant), byBasic(clients[1], secrets[clients[1]], grant)}, rate: tide(80, 40)},
		{requests: [][]byte{tokenRequest(post)}, rate: tide(40, 15)},
		{requests: [][]byte{tokenRequest(grant + assertion + strings.TrimSpace(token))}, rate: tide(30, 20)},
		{requests: [][]byte{byBasic(first, secrets[first], grant+"&scope=payroll%3Aread")}, rate: between(30, 160, 4), wrong: true},
		{requests: [][]byte{byBasic(quiet, secrets[last], grant)}, rate: between(50, 90, 6), wrong: true},
		{requests: [][]byte{byBasic(unknown, secrets[last], grant)}, rate: between(70, 85, 3), wrong: true},
	}, nil
}

// tide is a rate that rises and falls.
func tide(mean, height float64) func(float64) float64 {
	return func(elapsed float64) float64 { return mean + height*math.Sin(elapsed/playTime.Seconds()*3*math.Pi) }
}

// between is a rate for a part of the play only.
func between(from, to, rate float64) func(float64) float64 {
	return func(elapsed float64) float64 {
		if elapsed < from || elapsed >= to {
			return 0
		}
		return rate
	}
}

func (s *stage) readSecret(ctx context.Context, name string) (string, error) {
	output, err := s.cluster.Kubectl(ctx, "get", "secret", "-n", namespace, name, "-o", "json")
	if err != nil {
		return "", err
	}
	var secret struct {
		Data map[string][]byte `json:"data"`
	}
	if err := json.Unmarshal([]byte(output), &secret); err != nil {
		return "", fmt.Errorf("read the Secret %s: %w", name, err)
	}
	if len(secret.Data["client_secret"]) == 0 {
		return "", errors.New("the Secret " + name + " has no client_secret")
	}
	return string(secret.Data["client_secret"]), nil
}
