#!/usr/bin/env bash
# Says what `make interop` needs and is not here, before anything long is begun.
set -euo pipefail

missing=()
for program in curl node npm java "$PYTHON"; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if [[ " ${missing[*]} " != *" $PYTHON "* ]]; then
  for module in jwt cryptography requests_oauthlib; do
    "$PYTHON" -c "import $module" 2>/dev/null || missing+=("$module (a module of $PYTHON)")
  done
fi
if [[ " ${missing[*]} " != *" java "* ]]; then
  java --list-modules | grep -q ^jdk.compiler || missing+=("the JDK's compiler")
fi
for jar in ${JACKSON//:/ }; do
  [ -e "$jar" ] || missing+=("$jar")
done
if [ ${#missing[@]} -gt 0 ]; then
  printf 'interop: not here: %s\n' "${missing[@]}" >&2
  echo "interop: on Debian: apt-get install curl nodejs npm default-jdk-headless libjackson2-databind-java python3-jwt python3-cryptography python3-requests-oauthlib" >&2
  exit 1
fi
if ! node -e 'const [major, minor] = process.versions.node.split("."); process.exit(+major > 20 || +major === 20 && +minor >= 19 ? 0 : 1)'; then
  echo "interop: Node.js $(node --version) is too old for the clients, which need 20.19. A newer one: npm install --global node@22" >&2
  exit 1
fi
