package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// The API of the demo: config/samples/resourceserver.yaml.
const (
	ordersAudience = "https://orders.shop.svc"
	ordersScope    = "orders:read"
)

// ofOrders are the parameters of a token request that name the API (RFC 8707) and its scope.
var ofOrders = []string{"resource=" + ordersAudience, "scope=" + ordersScope}

func (d *demo) askOwner(ctx context.Context) error {
	say("Scopes have owners: an API in another namespace is a ResourceServer, which says who may call it")
	manifest, err := os.ReadFile("config/samples/resourceserver.yaml")
	if err != nil {
		return err
	}
	fmt.Print(indent(string(manifest)))
	note("billing/invoice-worker is not among them; it asks, and its status says who can change that")
	const (
		patch = `{"spec":{"resources":[{"resourceServer":{"name":"orders","namespace":"shop"},"scopes":["` + ordersScope + `"]}]}}`
		path  = `jsonpath={range .status.resources[*].scopes[*]}{.name}{" "}{.state}{": "}{.message}{"\n"}{end}`
	)
	if err := d.show(ctx, "kubectl patch oac -n billing invoice-worker --type=merge -p '"+patch+"'",
		"patch", "oac", "-n", "billing", "invoice-worker", "--type=merge", "-p", patch); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"wait", "-n", "billing", "--for=condition=ScopesGranted=false", "oac/invoice-worker", "--timeout=30s"},
		{"get", "oac", "-n", "billing", "invoice-worker", "-o", path},
	} {
		shown := strings.Replace("kubectl "+strings.Join(args, " "), path, "'"+path+"'", 1)
		if err := d.show(ctx, shown, args...); err != nil {
			return err
		}
	}
	return d.awaitRefusal(ctx, "invalid_scope", ofOrders...)
}

func (d *demo) allowCaller(ctx context.Context) error {
	say("The API's owner allows it, and the next token is for that API")
	const patch = `[{"op":"add","path":"/spec/allowedClients/-","value":{"namespace":"billing","name":"invoice-worker","scopes":["` + ordersScope + `"]}}]`
	if err := d.patchOrders(ctx, patch); err != nil {
		return err
	}
	token, err := d.awaitToken(ctx, "billing/invoice-worker", ofOrders...)
	if err != nil {
		return err
	}
	d.ordersToken = token
	claims, err := decode(strings.Split(token, ".")[1])
	if err != nil {
		return err
	}
	note("its aud is %v, its scope %v", claims["aud"], claims["scope"])
	if claims["aud"] != ordersAudience || claims["scope"] != ordersScope {
		return fmt.Errorf("the token is for %v, with the scope %v", claims["aud"], claims["scope"])
	}
	return d.show(ctx, "kubectl get oars -n shop", "get", "oars", "-n", "shop")
}

func (d *demo) callResourceServer(ctx context.Context) error {
	say("The API verifies it with the issuer's published keys: docs/examples/resourceserver, which wants its own aud, and " + ordersScope)
	address, stop, err := d.startResourceServer(ctx)
	if err != nil {
		return err
	}
	defer stop()
	for _, call := range []struct {
		what, token string
		want        int
	}{
		{"with the token", d.ordersToken, http.StatusOK},
		{"with the token of the service account", d.accountToken, http.StatusOK},
		{"with the first token, which is for the issuer's default audience", d.token, http.StatusUnauthorized},
		{"without a token", "", http.StatusUnauthorized},
	} {
		var headers []string
		if call.token != "" {
			headers = []string{"Authorization: Bearer " + call.token}
		}
		answer, err := d.curl(ctx, request{url: address + "/orders", headers: headers}, call.what)
		if err != nil {
			return err
		}
		if answer.status != call.want {
			return fmt.Errorf("the resource server answered %d %s, want %d", answer.status, call.what, call.want)
		}
	}
	return nil
}

// proveByServiceAccount gets a token without any secret: by the token of the pod's own service account.
func (d *demo) proveByServiceAccount(ctx context.Context) error {
	say("A pod needs no secret at all: the token of its own service account proves the client, too")
	const patch = `{"spec":{"authentication":{"serviceAccounts":[{"name":"invoice-worker"}]}}}`
	for _, args := range [][]string{
		{"create", "serviceaccount", "-n", "billing", "invoice-worker"},
		{"patch", "oac", "-n", "billing", "invoice-worker", "--type=merge", "-p", patch},
	} {
		if err := d.show(ctx, strings.Replace("kubectl "+strings.Join(args, " "), patch, "'"+patch+"'", 1), args...); err != nil {
			return err
		}
	}
	note("in a pod, the kubelet projects such a token into a file, and renews it")
	args := []string{"create", "token", "-n", "billing", "invoice-worker", "--audience=" + d.kubemint.Issuer, "--duration=10m"}
	shell("ASSERTION=$(kubectl " + strings.Join(args, " ") + ")")
	assertion, err := d.kubectl(ctx, args...)
	if err != nil {
		return err
	}
	r := d.tokenRequest(append(ofOrders, "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
		"client_assertion="+strings.TrimSpace(assertion))...)
	r.user = ""
	if d.accountToken, err = d.awaitTokenBy(ctx, "the service account", r); err != nil {
		return err
	}
	return nil
}

func (d *demo) takeBack(ctx context.Context) error {
	say("The owner takes it back, and the next token request is refused")
	if err := d.patchOrders(ctx, `[{"op":"remove","path":"/spec/allowedClients/2"}]`); err != nil {
		return err
	}
	return d.awaitRefusal(ctx, "invalid_scope", ofOrders...)
}

// patchOrders changes the ResourceServer shop/orders, as its owner would.
func (d *demo) patchOrders(ctx context.Context, patch string) error {
	return d.show(ctx, "kubectl patch oars -n shop orders --type=json -p '"+patch+"'",
		"patch", "oars", "-n", "shop", "orders", "--type=json", "-p", patch)
}
