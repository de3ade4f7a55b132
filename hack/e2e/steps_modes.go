package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// withoutLeader is how long there are no controllers: longer than a lease lasts.
const withoutLeader = 30 * time.Second

// tokenServerAccount is whom token servers by themselves run as.
const tokenServerAccount = "kubemint-tokenserver"

// inMode says how token servers run, where that is not as they do by default.
func (e *e2e) inMode(what string) string {
	if e.standalone {
		return "standalone: " + what
	}
	return what
}

// examine has Kubemint examined by what operators have for that.
func (e *e2e) examine(ctx context.Context) error {
	output, err := e.helm(ctx, "test", "kubemint", "--timeout=2m")
	if err != nil {
		return errors.Join(err, e.failedTest(ctx))
	}
	if !strings.Contains(output, "Succeeded") {
		return fmt.Errorf("helm test says: %s", output)
	}
	note("helm test: a token in a pod of its own")
	return errors.Join(e.doctor(ctx), e.mintToken(ctx))
}

// failedTest is what the pod of helm test said.
func (e *e2e) failedTest(ctx context.Context) error {
	log, err := e.kubectl(ctx, "logs", "-n", namespace, "kubemint-test")
	if err != nil {
		return err
	}
	return fmt.Errorf("its pod said: %s", log)
}

func (e *e2e) mint(ctx context.Context, args ...string) (string, error) {
	return command(ctx, filepath.Join("bin", "kubectl-mint"), args...)
}

// doctor must find everything well, and have looked at everything.
func (e *e2e) doctor(ctx context.Context) error {
	output, err := e.mint(ctx, "doctor", "--namespace=billing", "-o", "json")
	if err != nil {
		return fmt.Errorf("%w %s", err, output)
	}
	var checks []struct{ Name, Result, Detail string }
	if err := json.Unmarshal([]byte(output), &checks); err != nil {
		return fmt.Errorf("read what the doctor says: %w: %s", err, output)
	}
	for _, check := range checks {
		if check.Result != "ok" {
			return fmt.Errorf("kubectl mint doctor: %s: %s: %s", check.Result, check.Name, check.Detail)
		}
	}
	note("kubectl mint doctor: %d of %d checks are ok", len(checks), len(checks))
	return nil
}

// mintToken gets a token through a forwarded port, and verifies it.
func (e *e2e) mintToken(ctx context.Context) error {
	token, err := e.mint(ctx, "token", "files", "--namespace=billing", "--resource=https://orders.shop.svc")
	if err != nil {
		return err
	}
	if _, err := e.mint(ctx, "verify", strings.TrimSpace(token), "--namespace=billing", "--audience=https://orders.shop.svc"); err != nil {
		return errors.New("kubectl mint verify does not find the token of kubectl mint token well")
	}
	why, err := e.mint(ctx, "why", "files", "orders:read", "--namespace=billing")
	if err == nil && !strings.Contains(why, "Granted") {
		err = fmt.Errorf("kubectl mint why says: %s", why)
	}
	if err == nil {
		note("kubectl mint: a token for billing/files, verified, and why it may have it")
	}
	return err
}

// changeMode upgrades the release, with its values, to another mode. The number of pods is left to kubectl scale from then on.
func (e *e2e) changeMode(ctx context.Context, mode string, deployments int) error {
	return e.underLoad(ctx, "a rolling upgrade to tokenServer.mode="+mode, func() error {
		former, err := e.pods(ctx, "")
		if err != nil {
			return err
		}
		if _, err := e.helm(ctx, "upgrade", "kubemint", currentChart, "--reuse-values", "--set=replicas=null", "--set=tokenServer.mode="+mode); err != nil {
			return err
		}
		if err := e.awaitReplicas(ctx); err != nil {
			return err
		}
		now, err := e.pods(ctx, "")
		if err != nil {
			return err
		}
		if len(now) != 2*deployments || slices.ContainsFunc(now, func(pod string) bool { return slices.Contains(former, pod) }) {
			return fmt.Errorf("of the pods %s, those after the upgrade are %s", strings.Join(former, ", "), strings.Join(now, ", "))
		}
		e.standalone = mode == "standalone"
		return e.awaitLeader(ctx)
	})
}

func (e *e2e) separate(ctx context.Context) error { return e.changeMode(ctx, "standalone", 2) }
func (e *e2e) unite(ctx context.Context) error    { return e.changeMode(ctx, "embedded", 1) }

// awaitLeader waits until one of the pods that there are runs the controllers.
func (e *e2e) awaitLeader(ctx context.Context) error {
	return eventually(ctx, time.Minute, func() error {
		leader, err := e.leader(ctx)
		if err != nil {
			return err
		}
		pods, err := e.pods(ctx, "")
		if err == nil && !slices.Contains(pods, leader) {
			err = fmt.Errorf("none of %s is the leader, but %q", strings.Join(pods, ", "), leader)
		}
		return err
	})
}

// checkRights asks the API server for all that a token server's service account may do, in a namespace of clients and in its own, and takes
// away what any service account may.
func (e *e2e) checkRights(ctx context.Context) error {
	expected := []string{
		"oauthclients.oauth.kubemint.dev [get list watch]", "oauthclients.oauth.kubemint.dev/status [patch]",
		"resourceservers.oauth.kubemint.dev [list watch]", "secrets [list watch]",
	}
	for _, in := range []string{"billing", namespace} {
		anybodys, err := e.rights(ctx, in, "default")
		if err != nil {
			return err
		}
		got, err := e.rights(ctx, in, tokenServerAccount)
		if err != nil {
			return err
		}
		got = slices.DeleteFunc(got, func(right string) bool { return slices.Contains(anybodys, right) })
		if !slices.Equal(got, expected) {
			return fmt.Errorf("in %s, a token server may %q, and should %q", in, got, expected)
		}
	}
	note("%s may, beyond what any service account may: %s", tokenServerAccount, strings.Join(expected, ", "))
	return nil
}

// rights are those of a service account to resources in a namespace.
func (e *e2e) rights(ctx context.Context, in, account string) (rights []string, err error) {
	list, err := e.kubectl(ctx, "auth", "can-i", "--list", "--no-headers", "-n", in, "--as=system:serviceaccount:"+namespace+":"+account)
	for line := range strings.Lines(list) {
		resource, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if resource != "" && !strings.HasPrefix(resource, "[") { // a path, else
			rights = append(rights, resource+" "+rest[strings.LastIndex(rest, "["):])
		}
	}
	slices.Sort(rights)
	return rights, err
}

// scale scales as anybody does, under load.
func (e *e2e) scale(ctx context.Context) error {
	return e.underLoad(ctx, "kubectl scale, from 2 token servers to 4 and back", func() error {
		for _, replicas := range []string{"4", "2"} {
			if err := e.scaleTo(ctx, "kubemint", replicas); err != nil {
				return err
			}
		}
		return nil
	})
}

func (e *e2e) scaleTo(ctx context.Context, deployment, replicas string) error {
	if _, err := e.kubectl(ctx, "scale", "-n", namespace, "deployment/"+deployment, "--replicas="+replicas); err != nil {
		return err
	}
	return e.awaitReplicas(ctx)
}

// withoutControllers takes the controllers away, which nobody who asks for tokens must see, and brings them back.
func (e *e2e) withoutControllers(ctx context.Context) error {
	return e.underLoad(ctx, fmt.Sprintf("no controllers for %s", withoutLeader), func() error {
		if err := e.scaleTo(ctx, "kubemint-controller", "0"); err != nil {
			return err
		}
		if err := sleep(ctx, withoutLeader); err != nil {
			return err
		}
		if err := e.scaleTo(ctx, "kubemint-controller", "2"); err != nil {
			return err
		}
		return e.awaitLeader(ctx)
	})
}
