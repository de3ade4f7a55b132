package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kubemint/kubemint/hack/e2e/report"
)

// outage is how long the API server is away.
const outage = time.Minute

// underLoad does something while the clients go on, and fails where one of their requests does.
func (e *e2e) underLoad(ctx context.Context, what string, do func() error) error {
	c, started, err := e.countDuring(ctx, do)
	if err != nil {
		return err
	}
	err = e.figure(c.FailedTokens == 0, "%s: %s", what, results(c))
	if c.FailedTokens+c.FailedCalls > 0 {
		err = errors.Join(err, e.failures(ctx, started))
	}
	return err
}

// countDuring does something, and returns what the clients counted meanwhile.
func (e *e2e) countDuring(ctx context.Context, do func() error) (c report.Counts, started time.Time, err error) {
	earlier, err := e.counts(ctx)
	if err != nil {
		return c, started, err
	}
	started = time.Now()
	if err := do(); err != nil {
		return c, started, err
	}
	if err := sleep(ctx, 3*time.Second); err != nil { // what was begun is over and counted then
		return c, started, err
	}
	now, err := e.counts(ctx)
	if err != nil {
		return c, started, err
	}
	c = now.Minus(earlier)
	if c.Slowest, err = e.slowest(ctx, started); err != nil {
		return c, started, err
	}
	if least := int(time.Since(started).Seconds()) * clients[len(clients)-1].Rate / 2; c.Tokens < least {
		return c, started, fmt.Errorf("the load was none: %d tokens, at least %d were to be asked for", c.Tokens, least)
	}
	return c, started, nil
}

func results(c report.Counts) string {
	return fmt.Sprintf("%d of %d token requests failed, and %d of %d calls of the API; the slowest request took %s",
		c.FailedTokens, c.Tokens+c.FailedTokens, c.FailedCalls, c.Calls+c.FailedCalls, c.Slowest.Round(time.Millisecond))
}

// slowest is how long the slowest request since took.
func (e *e2e) slowest(ctx context.Context, since time.Time) (slowest time.Duration, err error) {
	for _, c := range clients {
		reports, err := e.reports(ctx, c.Name, "--since-time="+since.Format(time.RFC3339))
		if err != nil {
			return 0, err
		}
		for _, r := range reports {
			if r.Counts != nil {
				slowest = max(slowest, r.Counts.Slowest)
			}
		}
	}
	return slowest, nil
}

// counts are those of all clients.
func (e *e2e) counts(ctx context.Context) (sum report.Counts, err error) {
	for _, c := range clients {
		counts, err := e.lastCounts(ctx, c.Name)
		if err != nil {
			return sum, err
		}
		sum = sum.Plus(counts)
	}
	return sum, nil
}

func (e *e2e) lastCounts(ctx context.Context, pod string) (last report.Counts, err error) {
	err = eventually(ctx, 30*time.Second, func() error {
		reports, err := e.reports(ctx, pod, "--tail=200")
		if err != nil {
			return err
		}
		for _, r := range reports {
			if r.Counts != nil {
				last = *r.Counts
			}
		}
		if last.Tokens == 0 {
			return fmt.Errorf("billing/%s has got no token", pod)
		}
		return nil
	})
	return last, err
}

// failures tells the first few failures since.
func (e *e2e) failures(ctx context.Context, since time.Time) error {
	var lines []string
	for _, c := range clients {
		reports, err := e.reports(ctx, c.Name)
		if err != nil {
			return err
		}
		for _, r := range reports {
			if r.Failed != "" && r.Time.After(since) && len(lines) < 10 {
				lines = append(lines, fmt.Sprintf("%s %s: %s: %s", r.Time.Format("15:04:05.000"), c.Name, r.Failed, r.Error))
			}
		}
	}
	return fmt.Errorf("requests failed:\n  %s", strings.Join(lines, "\n  "))
}

func (e *e2e) rotate(ctx context.Context) error {
	earlier, err := e.lastCounts(ctx, "files")
	if err != nil {
		return err
	}
	return e.underLoad(ctx, e.inMode("rotation of client secrets"), func() error {
		now := "oauth.kubemint.dev/rotate=" + time.Now().Format(time.RFC3339Nano) // Another value asks for another rotation.
		if _, err := e.kubectl(ctx, "annotate", "oauthclients", "-n", "billing", "files", "environment", "load", "--overwrite", now); err != nil {
			return err
		}
		return eventually(ctx, 3*time.Minute, func() error {
			now, err := e.lastCounts(ctx, "files")
			if err == nil && now.Secret == earlier.Secret {
				err = errors.New("the pod billing/files has its former secret")
			}
			return err
		})
	})
}

func (e *e2e) killFollower(ctx context.Context) error {
	return e.underLoad(ctx, e.inMode("a pod killed that issues tokens"), func() error {
		leader, err := e.leader(ctx)
		if err != nil {
			return err
		}
		pods, err := e.pods(ctx, tokenServers)
		if err != nil {
			return err
		}
		for _, pod := range pods {
			if pod != leader {
				return e.kill(ctx, pod)
			}
		}
		return fmt.Errorf("there is no pod but the leader %s", leader)
	})
}

func (e *e2e) killLeader(ctx context.Context) error {
	return e.underLoad(ctx, e.inMode("the leader killed"), func() error {
		former, err := e.leader(ctx)
		if err != nil {
			return err
		}
		if err := e.kill(ctx, former); err != nil {
			return err
		}
		return eventually(ctx, time.Minute, func() error {
			leader, err := e.leader(ctx)
			if err == nil && (leader == former || leader == "") {
				err = errors.New("there is no other leader")
			}
			return err
		})
	})
}

// leader is the pod that runs the controllers.
func (e *e2e) leader(ctx context.Context) (string, error) {
	holder, err := e.kubectl(ctx, "get", "lease", "-n", namespace, "kubemint-controller", "-o", "jsonpath={.spec.holderIdentity}")
	pod, _, _ := strings.Cut(holder, "_")
	return pod, err
}

// kill deletes a pod, as evictions and people do, and waits until there is another in its place.
func (e *e2e) kill(ctx context.Context, pod string) error {
	if _, err := e.kubectl(ctx, "delete", "pod", "-n", namespace, pod); err != nil {
		return err
	}
	return e.awaitReplicas(ctx)
}

// awaitReplicas waits until all replicas are ready, and those before them are gone.
func (e *e2e) awaitReplicas(ctx context.Context) error {
	deployments, err := e.kubectl(ctx, "get", "deployments", "-n", namespace, "-o", "name")
	if err != nil {
		return err
	}
	for _, deployment := range strings.Fields(deployments) {
		if _, err := e.kubectl(ctx, "rollout", "status", "-n", namespace, deployment, "--timeout=3m"); err != nil {
			return err
		}
	}
	return eventually(ctx, time.Minute, func() error {
		wanted, err := e.kubectl(ctx, "get", "deployments", "-n", namespace, "-o", "jsonpath={.items[*].spec.replicas}")
		if err != nil {
			return err
		}
		var replicas int
		for _, text := range strings.Fields(wanted) {
			number, err := strconv.Atoi(text)
			if err != nil {
				return err
			}
			replicas += number
		}
		pods, err := e.pods(ctx, "")
		if err == nil && len(pods) != replicas {
			err = fmt.Errorf("there are %d pods, and should be %d", len(pods), replicas)
		}
		return err
	})
}

// tokenServers selects the pods that issue tokens, which those of the controllers do not where they have some of their own.
const tokenServers = "app.kubernetes.io/name=kubemint"

// pods are those of Kubemint with a label, or with the empty one all.
func (e *e2e) pods(ctx context.Context, label string) ([]string, error) {
	names, err := e.kubectl(ctx, "get", "pods", "-n", namespace, "-l", label, "-o", "jsonpath={.items[*].metadata.name}")
	return strings.Fields(names), err
}

// crash kills a process as a fault of its own or the kernel would: without a warning. Requests that it has begun are lost, and until
// the node has heard of it, some reach it still. That is told, and no failure of the test: who cannot have it tries again.
func (e *e2e) crash(ctx context.Context) error {
	if e.apiServer == nil {
		note("left out: the processes are not ours to kill")
		return nil
	}
	pods, err := e.pods(ctx, tokenServers)
	if err != nil {
		return err
	}
	c, _, err := e.countDuring(ctx, func() error {
		if err := killProcess(pods[0]); err != nil {
			return err
		}
		if err := sleep(ctx, 5*time.Second); err != nil {
			return err
		}
		return e.awaitReplicas(ctx)
	})
	if err != nil {
		return err
	}
	return e.figure(true, "a process killed with SIGKILL: %s", results(c))
}

// killProcess kills the process kubemint of a pod, which is the host's name that it was given.
func killProcess(pod string) error {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, process := range processes {
		name, _ := os.ReadFile(filepath.Join(process, "comm")) // of a process that has just ended, nothing
		environment, _ := os.ReadFile(filepath.Join(process, "environ"))
		if string(name) == "kubemint\n" && slices.Contains(strings.Split(string(environment), "\x00"), "HOSTNAME="+pod) {
			pid, err := strconv.Atoi(filepath.Base(process))
			if err != nil {
				return err
			}
			return syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return fmt.Errorf("the pod %s has no process kubemint", pod)
}

func (e *e2e) stopAPIServer(ctx context.Context) error {
	if e.apiServer == nil {
		note("left out: the cluster is not ours to stop")
		return nil
	}
	if err := e.underLoad(ctx, e.inMode("the API server away"), func() error {
		if err := e.apiServer.StopAPIServer(); err != nil {
			return err
		}
		if err := sleep(ctx, outage); err != nil {
			return err
		}
		if err := e.apiServer.StartAPIServer(); err != nil {
			return err
		}
		return e.awaitReplicas(ctx)
	}); err != nil {
		return err
	}
	return e.awaitCluster(ctx)
}

// awaitCluster waits until Kubernetes itself has caught up after an outage, for which its parts take a minute or two: kube-controller-manager,
// scheduler, kubelet and kube-proxy. Until then no rolling update of anything is safe. It replaces the pod of the API, and waits until
// all calls reach the new one.
func (e *e2e) awaitCluster(ctx context.Context) error {
	if err := e.kubectlAll(ctx,
		[]string{"rollout", "restart", "-n", "shop", "deployment/orders"},
		[]string{"rollout", "status", "-n", "shop", "deployment/orders", "--timeout=3m"},
	); err != nil {
		return err
	}
	return eventually(ctx, 3*time.Minute, func() error {
		pods, err := e.kubectl(ctx, "get", "pods", "-n", "shop", "-o", "name")
		if err != nil {
			return err
		}
		if len(strings.Fields(pods)) != 1 {
			return fmt.Errorf("the former pod of the API is there: %s", pods)
		}
		c, _, err := e.countDuring(ctx, func() error { return nil })
		if err == nil && c.FailedCalls > 0 {
			err = fmt.Errorf("%d calls do not reach the pod of the API", c.FailedCalls)
		}
		return err
	})
}

// upgrade comes from the chart as it was, after the present one was removed, so that the figures before are of a first install.
func (e *e2e) upgrade(ctx context.Context) error {
	if err := e.helmInstall(ctx, "install", chartBefore(), e.images.Before); err != nil {
		return err
	}
	if err := e.apply(ctx, "namespaces.yaml", e.policies); err != nil {
		return err
	}
	if err := e.applyWorkloads(ctx); err != nil {
		return err
	}
	if err := e.call(ctx); err != nil {
		return err
	}
	former, err := e.pods(ctx, tokenServers)
	if err != nil {
		return err
	}
	return e.underLoad(ctx, "a rolling upgrade", func() error {
		if err := e.helmInstall(ctx, "upgrade", currentChart, e.images.Kubemint); err != nil {
			return err
		}
		if err := e.awaitReplicas(ctx); err != nil {
			return err
		}
		now, err := e.pods(ctx, tokenServers)
		if err == nil && slices.ContainsFunc(now, func(pod string) bool { return slices.Contains(former, pod) }) {
			err = fmt.Errorf("the upgrade left a former pod: %s", strings.Join(now, ", "))
		}
		return err
	})
}
