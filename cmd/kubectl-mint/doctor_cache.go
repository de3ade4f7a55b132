package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// cache is what a token server has seen of the cluster, by its metrics.
type cache struct {
	clients int
	// lastEvent is when it last saw a change.
	lastEvent time.Time
}

// caches checks that the token servers have seen what there is, which is what they issue tokens by.
func (e *examination) caches() []check {
	const name = "cache"
	var pods corev1.PodList
	if err := e.List(e.ctx, &pods, client.InNamespace(e.kubemintNamespace()), client.MatchingLabels{"app.kubernetes.io/name": "kubemint"}); err != nil {
		return []check{warning(name, "the token servers' pods cannot be listed: %s", oneLine(err))}
	}
	var checks []check
	for i := range pods.Items {
		pod := &pods.Items[i]
		port := namedPort(pod, "metrics")
		if port == 0 || !isReady(pod) {
			continue
		}
		seen, err := e.readCache(pod, port)
		if err != nil {
			checks = append(checks, warning(name, "the metrics of pod %s/%s cannot be read: %s", pod.Namespace, pod.Name, oneLine(err)))
			continue
		}
		all, in, err := e.clientsSeen()
		if err != nil || strings.HasPrefix(in, "namespace ") { // It knows others that the user may not list.
			all = nil
		}
		checks = append(checks, checkCache(pod.Name, seen, all, e.now()))
	}
	if len(checks) == 0 {
		return []check{warning(name, "namespace %s has no ready pod of a token server", e.kubemintNamespace())}
	}
	return checks
}

// inFlight is how long a change may take to be seen before that is worth a word, clocks that differ included.
const inFlight = 30 * time.Second

// checkCache holds what a token server has seen against the OAuthClients that there are; nil where the user may not list them.
func checkCache(pod string, seen cache, all []v1alpha1.OAuthClient, now time.Time) check {
	const name = "cache"
	settled, changed := 0, time.Time{}
	for i := range all {
		if now.Sub(all[i].CreationTimestamp.Time) > inFlight {
			settled++
		}
		if last := lastChange(&all[i]); now.Sub(last) > inFlight && last.After(changed) {
			changed = last
		}
	}
	const remedy = "its log says what it cannot watch; kubectl delete pod %s starts it anew"
	switch {
	case seen.lastEvent.IsZero():
		return failed(name, "pod %s has seen nothing of the cluster: "+remedy, pod, pod)
	case seen.clients < settled:
		return failed(name, "pod %s knows %d OAuthClients of %d, and gives the others no tokens: "+remedy, pod, seen.clients, settled, pod)
	case changed.Sub(seen.lastEvent) > inFlight:
		return failed(name, "pod %s has seen no change since %s, and there was one at %s: "+remedy, pod,
			seen.lastEvent.UTC().Format(time.RFC3339), changed.UTC().Format(time.RFC3339), pod)
	case all != nil && seen.clients > len(all):
		return warning(name, "pod %s knows %d OAuthClients, and there are %d: ask again in a moment, and if it stays so, "+remedy, pod, seen.clients, len(all), pod)
	default:
		return ok(name, "pod %s knows %d OAuthClients, and saw the last change %s ago", pod, seen.clients, max(now.Sub(seen.lastEvent), 0).Truncate(time.Second))
	}
}

// lastChange is when an object was last written, by the API server's own record.
func lastChange(c *v1alpha1.OAuthClient) time.Time {
	last := c.CreationTimestamp.Time
	for _, entry := range c.ManagedFields {
		if entry.Time != nil && entry.Time.After(last) {
			last = entry.Time.Time
		}
	}
	return last
}

// namedPort returns the port of a name of a pod's containers, or 0.
func namedPort(pod *corev1.Pod, name string) int32 {
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name {
				return port.ContainerPort
			}
		}
	}
	return 0
}

// readCache reads a token server's metrics by a port-forward.
func (e *examination) readCache(pod *corev1.Pod, port int32) (cache, error) {
	ctx, cancel := context.WithTimeout(e.ctx, issuerTimeout)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	local, err := e.forwardPort(ctx, client.ObjectKeyFromObject(pod), port, stop)
	if err != nil {
		return cache{}, fmt.Errorf("forward a port to it: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", local), nil)
	if err != nil {
		return cache{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return cache{}, err
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return cache{}, err
	}
	return parseCache(string(body))
}

// parseCache finds the two metrics of the cache, which have no labels.
func parseCache(metrics string) (cache, error) {
	values := map[string]float64{}
	for line := range strings.Lines(metrics) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "kubemint_clients" || name == "kubemint_registry_last_event_timestamp_seconds" {
			number, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return cache{}, fmt.Errorf("%s: %w", name, err)
			}
			values[name] = number
		}
	}
	if len(values) != 2 {
		return cache{}, fmt.Errorf("they say nothing of what it has seen: is it of the version of this plugin (%s)?", versionString())
	}
	seen := cache{clients: int(values["kubemint_clients"])}
	if last := values["kubemint_registry_last_event_timestamp_seconds"]; last > 0 {
		seen.lastEvent = time.UnixMilli(int64(last * 1000))
	}
	return seen, nil
}
