#!/usr/bin/env bash
# Says what `make interop` needs and is not here, before anything long is begun.
set -euo pipefail

missing=()
for program in curl node npm; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "interop: not installed: ${missing[*]}. On Debian: apt-get install curl nodejs npm" >&2
  exit 1
fi
if ! node -e 'const [major, minor] = process.versions.node.split("."); process.exit(+major > 20 || +major === 20 && +minor >= 19 ? 0 : 1)'; then
  echo "interop: Node.js $(node --version) is too old for the clients, which need 20.19. A newer one: npm install --global node@22" >&2
  exit 1
fi
