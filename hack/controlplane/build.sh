#!/usr/bin/env bash
# Builds the local control plane (etcd, kube-apiserver, kube-controller-manager, kubectl) from its Go modules
# into the directory given, or links what KUBEBUILDER_ASSETS already has. Run by `make controlplane`.
set -euo pipefail

out=${1:?usage: build.sh OUTPUT_DIRECTORY}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")"

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
stamp=k8s.io/component-base/version
client=k8s.io/client-go/pkg/version
ldflags="-s -w"
for package in "$stamp" "$client"; do # without these, servers and kubectl call themselves v0.0.0
  ldflags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitTreeState=clean"
done

announced=
announce() {
  [ -z "$announced" ] || return 0
  announced=yes
  cat <<EOF
controlplane: Kubernetes $version is built from its Go modules, once: 7 to 10 minutes on 2 cores from cold,
controlplane: and several GB of module and build cache. Have the binaries already? Set KUBEBUILDER_ASSETS to their directory.
EOF
}

build() { # build NAME PACKAGE
  local name=$1 package=$2 started=$SECONDS
  if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$name" ]; then
    if [ "$(realpath "$KUBEBUILDER_ASSETS")" != "$out" ]; then
      ln -sf "$(realpath "$KUBEBUILDER_ASSETS/$name")" "$out/$name"
      echo "controlplane: $name taken from KUBEBUILDER_ASSETS"
    fi
    return
  fi
  announce
  echo "controlplane: building $name ..."
  # To a new name first: an interrupted build must not leave a binary that looks finished.
  CGO_ENABLED=0 go build -trimpath -ldflags "$ldflags" -o "$out/.$name.new" "$package"
  rm -f "$out/$name" # it may be a link into somebody's KUBEBUILDER_ASSETS
  mv "$out/.$name.new" "$out/$name"
  echo "controlplane: $name built in $((SECONDS - started)) s"
}

build etcd go.etcd.io/etcd/server/v3
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
build kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager
build kubectl k8s.io/kubernetes/cmd/kubectl
touch "$out/.built"
