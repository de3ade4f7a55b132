#!/usr/bin/env bash
# Builds what a node runs beside the local control plane (kube-scheduler, kubelet, kube-proxy, containerd, runc, CoreDNS) from Go
# modules into the directory given. What is there already stays. Run by `make e2e`.
set -euo pipefail

# Not in go.mod, as they and Kubernetes would have to agree on each other's dependencies.
containerd=v2.4.2
runc=v1.4.0
coredns=v1.15.0

out=${1:?usage: build.sh OUTPUT_DIRECTORY}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")"

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
ldflags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do # else they call themselves v0.0.0
  ldflags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitTreeState=clean"
done

announced=
announce() {
  [ -z "$announced" ] || return 0
  announced=yes
  echo "node: kubelet, containerd and what else a node runs are built from their Go modules, once: 15 to 20 minutes on 2 cores from cold"
}

# step NAME COMMAND... runs a command that makes $out/.new/NAME, unless $out/NAME is there. An interrupted build must not leave a
# binary that looks finished.
step() {
  local name=$1 started=$SECONDS
  shift
  [ ! -x "$out/$name" ] || return 0
  announce
  echo "node: building $name ..."
  mkdir -p "$out/.new"
  "$@"
  mv "$out/.new/$name" "$out/$name"
  echo "node: $name built in $((SECONDS - started)) s"
}

kubernetes() { # kubernetes NAME
  step "$1" env CGO_ENABLED=0 go build -trimpath -ldflags "$ldflags" -o "$out/.new/" "k8s.io/kubernetes/cmd/$1"
}

install() { # install PACKAGE@VERSION [FLAGS...]
  local name=${1%@*} package=$1
  shift
  name=${name##*/}
  step "$name" env GOBIN="$out/.new" go install -trimpath "$@" "$package"
}

export CGO_ENABLED=0
kubernetes kube-scheduler
kubernetes kube-proxy
kubernetes kubelet
for command in containerd containerd-shim-runc-v2 ctr; do
  install github.com/containerd/containerd/v2/cmd/$command@$containerd -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$containerd"
done
# The seccomp profile RuntimeDefault, which the restricted Pod Security profile demands, needs libseccomp.
CGO_ENABLED=1 install github.com/opencontainers/runc@$runc -tags seccomp -ldflags "-s -w"
install github.com/coredns/coredns@$coredns -ldflags "-s -w"
rm -rf "$out/.new"
touch "$out/.built"
