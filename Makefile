# Everything starts here: make help. Only Go, git and make are needed (for make interop curl, Node.js, Python and Java too); what else is,
# is built into bin/.

SHELL := /usr/bin/env bash -o pipefail
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
# The exporter of traces brings gRPC, unused, whose own tracing brings templates that would keep the linker from leaving 12 MB out.
GOFLAGS_BUILD := -trimpath -tags grpcnotrace -ldflags "-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)"
export CGO_ENABLED ?= 0

BIN := $(CURDIR)/bin
TOOLS := $(BIN)/tools
CONTROLPLANE := $(BIN)/controlplane

# Each tool is installed into a directory named after its version, so that a new version is a new file to make.
CONTROLLER_GEN := $(TOOLS)/controller-gen@v0.23.0
GOLANGCI_LINT := $(TOOLS)/golangci-lint@v2.15.0
CRD_REF_DOCS := $(TOOLS)/crd-ref-docs@v0.3.0
HELM := $(TOOLS)/helm@v4.3.1
HELM3 := $(TOOLS)/helm3@v3.22.0
HELM_DOCS := $(TOOLS)/helm-docs@v1.14.2
KUSTOMIZE := $(TOOLS)/kustomize@v5.8.2
# The versions stand in the go.mod files that they are built from.
PROMETHEUS_VERSION := $(shell awk '$$1 == "github.com/prometheus/prometheus" {print $$2}' hack/prometheus/go.mod)
PROMETHEUS := $(TOOLS)/prometheus@$(PROMETHEUS_VERSION)
PROMTOOL := $(TOOLS)/promtool@$(PROMETHEUS_VERSION)
HELM_UNITTEST := $(TOOLS)/helm-unittest@$(shell awk '$$1 == "github.com/helm-unittest/helm-unittest" {print $$2}' hack/helmunittest/go.mod)
NODE_MODULES := hack/interop/node/node_modules/.package-lock.json
# Debian's packages are in Debian's Python. For packages in another one: make interop PYTHON=python3
export PYTHON ?= /usr/bin/python3
export JACKSON ?= /usr/share/java/jackson-databind.jar:/usr/share/java/jackson-core.jar:/usr/share/java/jackson-annotations.jar

##@ Try it

.PHONY: demo
demo: controlplane build ## Show the whole road on a local control plane: apply, token, verify (ONCE=1: do not stay up)
	@go build -o $(BIN)/kubemint-demo ./hack/demo && $(BIN)/kubemint-demo

.PHONY: test
test: controlplane build $(HELM) $(HELM3) $(HELM_UNITTEST) $(PROMTOOL) ## Run all tests, against a real API server
	$(HELM_UNITTEST) --strict charts/kubemint
	go test -pgo=off -timeout 20m ./...

.PHONY: e2e
e2e: build $(HELM) $(if $(KUBECONFIG),,e2e-node) ## Run it in pods: install, scale, kill, upgrade, under load (10 minutes, 25 more the first time; Linux and root, or KUBECONFIG: docs/e2e.md)
	@go build -o $(BIN)/kubemint-e2e ./hack/e2e && HELM=$(HELM) $(BIN)/kubemint-e2e

.PHONY: e2e-node
e2e-node: controlplane
	@hack/node/needs.sh $(BIN)/node && hack/node/build.sh $(BIN)/node

.PHONY: interop
interop: interop-needs controlplane build $(PROMETHEUS) $(NODE_MODULES) ## Run real OAuth clients and token verifiers against it, and what docs/consumers shows (2 minutes, 5 more the first time; needs curl, node, npm, Python, Java)
	@echo "checking Envoy's and Istio's configuration (half a minute the first time)"
	@cd hack/interop/mesh && go test ./... && go build -o $(BIN)/kubemint-mesh .
	@go build -o $(BIN)/kubemint-interop ./hack/interop && $(BIN)/kubemint-interop -prometheus $(PROMETHEUS) -python $(PYTHON) -jackson $(JACKSON) \
		-mesh $(BIN)/kubemint-mesh -istio-crds "$$(cd hack/interop/mesh && go list -m -f '{{.Dir}}' istio.io/api)/kubernetes/customresourcedefinitions.gen.yaml"

.PHONY: interop-needs
interop-needs:
	@hack/interop/needs.sh

##@ Build

.PHONY: build
build: ## Build bin/kubemint, and bin/kubectl-mint for kubectl mint
	@echo "building bin/kubemint (about 4 minutes the first time, seconds later)"
	@go build $(GOFLAGS_BUILD) -o $(BIN)/ ./cmd/...

.PHONY: controlplane
controlplane: $(CONTROLPLANE)/.built ## Build kube-apiserver, etcd, kube-controller-manager and kubectl into bin/controlplane, once

$(CONTROLPLANE)/.built: hack/controlplane/go.mod hack/controlplane/go.sum hack/controlplane/build.sh
	@hack/controlplane/build.sh $(CONTROLPLANE)

.PHONY: image
image: ## Build the container image (needs docker)
	docker build -t kubemint/kubemint:$(VERSION) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) .

.PHONY: profile
profile: controlplane build ## Tell the compiler anew where Kubemint spends its time: cmd/kubemint/default.pgo (3 minutes; Linux)
	@go build $(GOFLAGS_BUILD) -tags grpcnotrace,profile -o $(BIN)/kubemint-profile ./cmd/kubemint
	@go build -o $(BIN)/kubemint-bench-endpoint ./hack/bench/endpoint && $(BIN)/kubemint-bench-endpoint -rounds 3 -profile cmd/kubemint/default.pgo

##@ Check

.PHONY: lint
lint: $(GOLANGCI_LINT) $(HELM) ## Lint the code and the chart
	$(GOLANGCI_LINT) run
	$(HELM) lint --strict charts/kubemint --quiet

.PHONY: generate
generate: $(CONTROLLER_GEN) $(CRD_REF_DOCS) $(HELM_DOCS) $(KUSTOMIZE) ## Generate deepcopy functions, CRDs, RBAC, the API reference, the programs in docs/consumers, the chart's values and dist/install.yaml
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=kubemint paths="./controllers/...;./cmd/..." output:rbac:dir=config/rbac
	hack/chart-sync.sh
	go run ./hack/docs
	$(CRD_REF_DOCS) --source-path=api --config=hack/crd-ref-docs.yaml --renderer=markdown --output-path=docs/api.md
	$(HELM_DOCS) --chart-search-root=charts --sort-values-order=file --log-level=warning
	@mkdir -p dist
	{ echo "# All of Kubemint, from config/default by make generate: kubectl apply --server-side -f dist/install.yaml"; $(KUSTOMIZE) build config/default; } >dist/install.yaml

.PHONY: verify
verify: generate ## Fail where generated files or go.mod are stale
	go mod tidy
	@git diff --exit-code -- api config charts dist docs go.mod go.sum || { echo "stale: run make generate and go mod tidy, and commit what they change"; exit 1; }
	@untracked=$$(git ls-files --others --exclude-standard api config charts dist docs); \
		[ -z "$$untracked" ] || { echo "generated but not committed: $$untracked"; exit 1; }

.PHONY: alerts
alerts: $(HELM) $(PROMTOOL) ## Try the chart's alerts in Prometheus' own engine: when each fires, with which words, and when none does
	go test -count=1 -v -run 'Alert|Runbook' ./charts

.PHONY: conformance
conformance: controlplane build ## Test the token endpoint row by row, and print the table (V=1: with each case)
	@go build -o $(BIN)/kubemint-conformance ./hack/conformance && $(BIN)/kubemint-conformance $(if $(V),-v)

.PHONY: wycheproof
wycheproof: ## Run Wycheproof's vectors for signatures through the verifier of assertions (downloads 26 MB the first time)
	@cd hack/wycheproof && go build -o $(BIN)/kubemint-wycheproof . && $(BIN)/kubemint-wycheproof

.PHONY: dashboard
dashboard: controlplane build $(PROMETHEUS) ## Fill the chart's dashboard with real data, fail where a panel has none, and draw docs/dashboard.png (4 minutes)
	@cd hack/dashboard/draw && go build -o $(BIN)/kubemint-dashboard-draw .
	@go build -o $(BIN)/kubemint-dashboard ./hack/dashboard && $(BIN)/kubemint-dashboard -prometheus $(PROMETHEUS)
	$(BIN)/kubemint-dashboard-draw $(BIN)/dashboard/picture.json docs/dashboard.png

.PHONY: fuzz
fuzz: ## Fuzz each parser for FUZZTIME (default 1m)
	@set -e; for package in $$(go list ./tokenserver/...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep ^Fuzz); do \
			echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $${FUZZTIME:-1m} -fuzzminimizetime 20x $$package; \
		done; done

.PHONY: simulation
simulation: controlplane ## Rotate everything for MONTHS (default 2), with requests every second (about 25 minutes a month; make test does it with fewer)
	go test -v -count=1 -timeout 8h ./cmd/kubemint/simulation -args -months $${MONTHS:-2} -step 1s

.PHONY: bench
bench: bench-manifests bench-endpoint ## Measure what Kubemint costs, beside floors in the same run (about 15 minutes; both parts alone, too)

.PHONY: bench-manifests
bench-manifests: controlplane build ## Measure 1,000 manifests at once, and one from apply to token, beside a bare client's writes
	@go build -o $(BIN)/kubemint-bench ./hack/bench && $(BIN)/kubemint-bench

.PHONY: bench-endpoint
bench-endpoint: controlplane build ## Measure the token endpoint under load, beside the smallest server that does the same
	@go build -o $(BIN)/kubemint-bench-floor ./hack/bench/floor
	@go build -o $(BIN)/kubemint-bench-endpoint ./hack/bench/endpoint && $(BIN)/kubemint-bench-endpoint

##@ Tools

# tool installs PACKAGE at the version in the target's name.
define tool
	@echo "installing $(notdir $@) (a minute or two, once)"
	@rm -rf $@.new && GOBIN=$@.new go install $(1)@$(lastword $(subst @, ,$@))
	@mv $@.new/* $@ && rm -rf $@.new
endef

$(CONTROLLER_GEN):
	$(call tool,sigs.k8s.io/controller-tools/cmd/controller-gen)
$(GOLANGCI_LINT):
	$(call tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
$(CRD_REF_DOCS):
	$(call tool,github.com/elastic/crd-ref-docs)
$(HELM):
	$(call tool,helm.sh/helm/v4/cmd/helm)
# Beside Helm 4, for those who have it: under a name of its own.
$(HELM3):
	$(call tool,helm.sh/helm/v3/cmd/helm)
$(HELM_DOCS):
	$(call tool,github.com/norwoodj/helm-docs/cmd/helm-docs)
$(KUSTOMIZE):
	$(call tool,sigs.k8s.io/kustomize/kustomize/v5)

# It replaces a dependency, which go install refuses.
$(HELM_UNITTEST):
	@echo "building helm-unittest (2 to 3 minutes, once)"
	@cd hack/helmunittest && go build -trimpath -ldflags "-s -w" -o $@ github.com/helm-unittest/helm-unittest/cmd/helm-unittest

# Without its service discoveries, as the targets are known.
$(PROMETHEUS) $(PROMTOOL):
	@echo "building $(notdir $@) (2 to 4 minutes, once)"
	@cd hack/prometheus && go build -trimpath -tags remove_all_sd -o $@ \
		-ldflags "-s -w -X github.com/prometheus/common/version.Version=$$(cat $$(go list -m -f '{{.Dir}}' github.com/prometheus/prometheus)/VERSION)" \
		github.com/prometheus/prometheus/cmd/$(firstword $(subst @, ,$(notdir $@)))

$(NODE_MODULES): hack/interop/node/package.json hack/interop/node/package-lock.json
	@echo "installing the npm packages of make interop"
	@cd $(<D) && npm ci --loglevel=error
	@touch $@

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(BIN)

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
