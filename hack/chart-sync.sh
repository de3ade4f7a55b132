#!/usr/bin/env bash
# Copies the generated CRDs and the roles of config/ into the Helm chart, whose templates read them from its files/.
# Run by `make generate`.
set -euo pipefail
shopt -s failglob # a pattern that matches nothing is an error

cd "$(dirname "$0")/.."
files=charts/kubemint/files

copy() { # copy DIRECTORY FILE...
  local directory=$files/$1 file
  shift
  mkdir -p "$directory"
  for file in "$@"; do
    { echo "# Copied from $file by hack/chart-sync.sh. DO NOT EDIT."; cat "$file"; } >"$directory/${file##*/}"
  done
}

rm -rf "$files"
copy crd config/crd/bases/*.yaml
copy rbac config/rbac/role.yaml config/rbac/*_{viewer,editor}_role.yaml
copy rbac-standalone config/components/standalone/role.yaml
copy rbac-watch-pods config/components/watch-pods/role.yaml
copy rbac-restart-workloads config/components/restart-workloads/role.yaml
copy rbac-review-tokens config/components/review-tokens/role.yaml
