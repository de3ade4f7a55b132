#!/usr/bin/env bash
# Says what a node needs of this machine that is not here; for root on Debian, it installs it. Run by `make e2e`.
set -euo pipefail

if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
  echo "e2e: a node runs on Linux and as root. Elsewhere, set KUBECONFIG to that of a cluster, kind's for example: docs/e2e.md" >&2
  exit 1
fi

packages=()
need() { # need PACKAGE COMMAND...: the package is missing where the command fails
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || packages+=("$package")
}
need iproute2 command -v ip
need iptables command -v iptables
need containernetworking-plugins test -x /usr/lib/cni/ptp -o -x /opt/cni/bin/ptp
if [ ! -x "${1:?usage: needs.sh DIRECTORY_OF_BINARIES}/runc" ]; then # to build it
  need gcc command -v gcc
  need pkg-config command -v pkg-config
  need libseccomp-dev pkg-config --exists libseccomp
fi
[ ${#packages[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "e2e: not installed, by their names on Debian: ${packages[*]}" >&2
  exit 1
fi
echo "e2e: installing what a node needs: ${packages[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
