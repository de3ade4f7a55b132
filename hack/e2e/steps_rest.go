package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

const (
	crowd     = 1000
	settle    = 30 * time.Second
	rest      = time.Minute
	maxMemory = 64 << 20
	maxCores  = 0.01
)

// deleteNamespaces deletes the clients' namespaces with all that is in them, which nothing must hold up.
func (e *e2e) deleteNamespaces(ctx context.Context) error {
	started := time.Now()
	if _, err := e.kubectl(ctx, "delete", "namespace", "billing", "crowd", "--timeout=5m"); err != nil {
		return err
	}
	return e.figure(true, "namespaces with %d clients, their Secrets and pods were gone after %.1f s", len(clients)+crowd, time.Since(started).Seconds())
}

// measureAtRest measures what each replica takes when nobody asks it for anything.
func (e *e2e) measureAtRest(ctx context.Context) error {
	if _, err := e.kubectl(ctx, "delete", "pods", "-n", "billing", "--all"); err != nil {
		return err
	}
	var manifest strings.Builder
	for i := range crowd {
		fmt.Fprintf(&manifest, "---\napiVersion: oauth.kubemint.dev/v1alpha1\nkind: OAuthClient\nmetadata: {name: client-%d, namespace: crowd}\nspec: {scopes: [\"invoices:read\"]}\n", i)
	}
	if _, err := commandWithInput(ctx, manifest.String(), kubectlPath(), "create", "-f", "-"); err != nil {
		return err
	}
	if err := e.awaitCrowd(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	earlier, err := e.usages(ctx)
	if err != nil {
		return err
	}
	if err := sleep(ctx, rest); err != nil {
		return err
	}
	now, err := e.usages(ctx)
	if err != nil {
		return err
	}
	for pod, u := range now {
		seconds := u.CPU.Time.Sub(earlier[pod].CPU.Time).Seconds()
		cores := float64(u.CPU.UsageCoreNanoSeconds-earlier[pod].CPU.UsageCoreNanoSeconds) / 1e9 / seconds
		good := seconds > 0 && cores < maxCores && u.Memory.WorkingSetBytes < maxMemory
		if err := e.figure(good, "%s with %d clients at rest: %.1f MiB (promised: less than %d), %.4f cores (promised: less than %.2f)",
			pod, crowd, float64(u.Memory.WorkingSetBytes)/(1<<20), maxMemory>>20, cores, maxCores); err != nil {
			return err
		}
	}
	return nil
}

// awaitCrowd waits until all clients of the crowd are ready.
func (e *e2e) awaitCrowd(ctx context.Context) error {
	const path = `jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}`
	return eventually(ctx, 5*time.Minute, func() error {
		states, err := e.kubectl(ctx, "get", "oauthclients", "-n", "crowd", "-o", path)
		if ready := strings.Count(states, "True"); err == nil && ready < crowd {
			err = fmt.Errorf("%d of %d clients are ready", ready, crowd)
		}
		return err
	})
}

// usage is what the kubelet says of a container, from its control group.
type usage struct {
	CPU struct {
		Time                 time.Time `json:"time"`
		UsageCoreNanoSeconds int64     `json:"usageCoreNanoSeconds"`
	} `json:"cpu"`
	Memory struct {
		WorkingSetBytes int64 `json:"workingSetBytes"`
	} `json:"memory"`
}

// usages are those of Kubemint's containers, by pod.
func (e *e2e) usages(ctx context.Context) (map[string]usage, error) {
	nodes, err := e.kubectl(ctx, "get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].spec.nodeName}")
	if err != nil {
		return nil, err
	}
	usages := map[string]usage{}
	for _, node := range strings.Fields(nodes) {
		text, err := e.kubectl(ctx, "get", "--raw", "/api/v1/nodes/"+node+"/proxy/stats/summary")
		if err != nil {
			return nil, err
		}
		var summary struct {
			Pods []struct {
				PodRef     struct{ Name, Namespace string } `json:"podRef"`
				Containers []usage                          `json:"containers"`
			} `json:"pods"`
		}
		if err := json.Unmarshal([]byte(text), &summary); err != nil {
			return nil, fmt.Errorf("read the summary of node %s: %w", node, err)
		}
		for _, pod := range summary.Pods {
			if pod.PodRef.Namespace == namespace && len(pod.Containers) == 1 {
				usages[pod.PodRef.Name] = pod.Containers[0]
			}
		}
	}
	if len(usages) == 0 {
		return nil, fmt.Errorf("the kubelet tells of no container in %s", namespace)
	}
	return usages, nil
}
