#!/bin/sh
# Calls each URL that it is given with an access token, which it gets with the files of a mounted Secret. It needs curl and sed.
set -eu

secret=${SECRET:-/var/run/oauth}
identity=${IDENTITY:-/var/run/identity/token}
expires=0

# request_token reads the files anew, as the client secret rotates. What is secret does not stand on the command line, which others
# can see.
request_token() {
  set -- --silent --show-error --fail-with-body --max-time 10 --cacert "$secret/ca.crt" \
    --data grant_type=client_credentials --data-urlencode scope=invoices:read "$(cat "$secret/token_url")"
  if [ -e "$identity" ]; then
    curl --data client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
      --data-urlencode "client_assertion@$identity" "$@"
  else
    printf 'user = "%s:%s"\n' "$(cat "$secret/client_id")" "$(cat "$secret/client_secret")" | curl --config - "$@"
  fi
}

get_token() {
  asked=$(date +%s)
  answer=$(request_token) || { echo "no token: $answer" >&2; exit 1; }
  token=$(echo "$answer" | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  expires=$((asked + $(echo "$answer" | sed 's/.*"expires_in":\([0-9]*\).*/\1/')))
}

for url; do
  [ "$(date +%s)" -lt $((expires - 30)) ] || get_token
  printf 'header = "Authorization: Bearer %s"\n' "$token" | curl --silent --show-error --fail-with-body --max-time 10 --config - "$url"
done
