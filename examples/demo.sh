#!/usr/bin/env bash
# Authenticates requests through the C library: starts a fake Clerk API, sends commands to demo.c, checks the reports.
# `demo.sh --token TOKEN` authenticates your token against Clerk instead.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# DEMO: the program, compiled with another copy of the library.
demo=${DEMO:-$root/build/examples/demo}
sim=${CLERK_SIM:-$root/target/release/clerk-sim}
[ -n "${DEMO:-}" ] || export LD_LIBRARY_PATH=$root/build/stage/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# The frontend's origin, and its Clerk instance: `pk_test_` and base64 of `clerk.example.com$`. The suffix of its cookies is
# the first eight characters of the key's SHA-1 in base64url. The secrets are not real.
app=https://app.example.com
publishable_key=pk_test_Y2xlcmsuZXhhbXBsZS5jb20k
suffix=l2OS3d9k
secret_key=sk_test_demo
webhook_secret=whsec_ZGVtbyBkZW1vIGRlbW8gZGVtbw==

fail() {
  echo "demo: $*" >&2
  exit 1
}

# The program and clerk-sim exit when their standard input is closed.
clean_up() {
  exec 3>&- 4<&- 5>&-
  wait
  rm -rf "$work"
}

# --- the program --------------------------------------------------------------------------------------------------

start_demo() {
  mkfifo "$work/commands" "$work/report"
  "$demo" "$work/accounts.db" < "$work/commands" > "$work/report" &
  demo_pid=$!
  exec 3> "$work/commands" 4< "$work/report"
}

# Sends a command and prints the output, up to the line with the dot.
send() {
  local line
  printf '%s\n' "$*" >&3
  while IFS= read -r line <&4; do
    [ "$line" != . ] || return 0
    printf '%s\n' "$line"
  done
  fail 'the program has exited'
}

end_demo() {
  exec 3>&-
  wait "$demo_pid" || fail 'an expectation failed'
}

# --- fake Clerk API ----------------------------------------------------------------------------------------------

start_sim() {
  # Its standard input is closed when this script exits; it must not keep the program's open.
  exec 5> >(exec "$sim" serve --exit-with-stdin --ready-file "$work/ready" > "$work/sim.log" 2>&1 3>&- 4<&-)
  for _ in {1..100}; do
    [ ! -e "$work/ready" ] || break
    sleep 0.05
  done
  [ -e "$work/ready" ] || fail "clerk-sim did not start: $(cat "$work/sim.log")"
  api_url=$(jq -r .url "$work/ready")
  admin_url=$(jq -r .admin_url "$work/ready")
}

# admin METHOD PATH [JSON]
admin() {
  curl --silent --show-error --fail --noproxy '*' --request "$1" ${3:+--data "$3"} "$admin_url$2"
}

mint() {
  admin POST /mint "$1" | jq -r .token
}

# The requests that Clerk received since its counts were reset.
none=nothing
sent() {
  admin GET /log | jq -r 'map("\(.method) \(.path)") | join(", ") | if . == "" then $none else . end' --arg none "$none"
}

# --- cases --------------------------------------------------------------------------------------------------------

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
cases=0

case_title() {
  cases=$((cases + 1))
  printf '\n%s%d. %s%s\n' "$bold" "$cases" "$1" "$plain"
}

# request [HEADER LINE]...
request() {
  local line
  admin DELETE /counts > "$work/response"
  for line; do send "header $line"; done
  send authenticate
  send "sent $(sent)"
}

# webhook TYPE USER: a webhook, signed now.
webhook() {
  local line
  admin DELETE /counts > "$work/response"
  admin POST /webhook "{\"type\": \"$1\", \"id\": \"$2\"}" > "$work/delivery"
  jq -r '.headers | to_entries[] | "\(.key): \(.value)"' "$work/delivery" > "$work/lines"
  while IFS= read -r line; do send "header $line"; done < "$work/lines"
  send "webhook $(jq -r .body "$work/delivery")"
  send "sent $(sent)"
}

expect() {
  send "expect $*"
}

run_cases() {
  local ada="1: ada, Ada Lovelace, ada@example.com, user_ada" king="1: ada, Ada King, ada@example.com, user_ada"
  local bob="2: bob, Bob Kahn, bob@example.com, user_bob"
  local first second token

  start_sim
  admin PUT /state "{\"secret_keys\": [\"$secret_key\"], \"webhook_secret\": \"$webhook_secret\"}" > "$work/response"
  admin PUT /users/user_ada '{"username": "ada", "first_name": "Ada", "last_name": "Lovelace",
    "email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}' > "$work/answer"
  admin PUT /users/user_bob '{"username": "bob", "first_name": "Bob", "last_name": "Kahn",
    "email_addresses": ["bob@example.com"], "primary_email_address_id": "idn_0001"}' > "$work/answer"
  echo "A fake Clerk API runs at $api_url; it has two users, Ada and Bob."
  echo "The application's table of accounts is empty. Each case is one request to the application."
  echo 'source=verified: the token was verified now; source=cache: the result was cached.'
  echo 'HTTP: the status to respond with. sent: the requests that Clerk received.'

  send "client secret_key=$secret_key api_url=$api_url publishable_key=$publishable_key authorized_parties=$app" \
    "webhook_secrets=$webhook_secret timeout_ms=2000"

  case_title 'A request without a credential: the application may serve it anonymously'
  request
  expect 'outcome CLERK_NO_CREDENTIALS: session-token-missing, HTTP 401'
  expect 'accounts none'
  expect 'events none'
  expect 'sent nothing'

  case_title "Ada's first request: keys and user are fetched, an account is created"
  first=$(mint '{"user": "user_ada"}')
  request "Authorization: Bearer $first"
  expect 'outcome CLERK_OK: user_ada is account 1, source=verified'
  expect "accounts $ada"
  expect 'events cache_miss, jwks_refreshed, user_created, auth_success(verified)'
  expect 'sent GET /jwks, GET /users/user_ada'

  case_title 'The same request again: cached, only the account is read'
  request "Authorization: Bearer $first"
  expect 'outcome CLERK_OK: user_ada is account 1, source=cache'
  expect 'events auth_success(cache)'
  expect 'sent nothing'

  case_title 'A new token of the same session: verified locally, with the cached keys'
  second=$(mint '{"user": "user_ada"}')
  request "Authorization: Bearer $second"
  expect 'outcome CLERK_OK: user_ada is account 1, source=verified'
  expect 'events cache_miss, auth_success(verified)'
  expect 'sent nothing'

  case_title 'Ada changes her name at Clerk: the account is updated after user_ttl_s'
  admin PATCH /users/user_ada '{"last_name": "King"}' > "$work/response"
  send 'invalidate user_ada'
  request "Authorization: Bearer $second"
  expect 'outcome CLERK_OK: user_ada is account 1, source=verified'
  expect "accounts $king"
  expect 'events cache_miss, user_updated, auth_success(verified)'
  expect 'sent GET /users/user_ada'

  case_title 'An expired token'
  token=$(mint '{"user": "user_ada", "spoil": "expired"}')
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_SIGNED_OUT: token-expired, HTTP 401'
  expect 'events cache_miss, auth_failed(token-expired)'
  expect 'sent nothing'

  case_title 'A token that was modified: no key verifies it, not even after a new fetch'
  token=$(mint '{"user": "user_ada", "spoil": "tampered"}')
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_SIGNED_OUT: token-invalid-signature, HTTP 401'
  expect 'events cache_miss, jwks_refreshed, auth_failed(token-invalid-signature)'
  expect 'sent GET /jwks'

  case_title 'A token for another origin (its azp is not in authorized_parties)'
  token=$(mint '{"user": "user_ada", "azp": "https://shop.example.net"}')
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_SIGNED_OUT: token-invalid-authorized-parties, HTTP 401'
  expect 'sent nothing'

  case_title 'The token in a cookie'
  request "Cookie: theme=dark; __session=$first"
  expect 'outcome CLERK_OK: user_ada is account 1, source=verified'
  expect 'sent nothing'

  case_title "Two applications on one domain: the cookie with the instance's suffix is used"
  token=$(mint '{"user": "user_eve", "key": "other", "iss": "https://clerk.neighbour.example"}')
  request "Cookie: __session=$token; __session_$suffix=$first"
  expect 'outcome CLERK_OK: user_ada is account 1, source=cache'
  expect 'events auth_success(cache)'

  case_title 'Clerk is down: cached users are still authenticated'
  admin PUT /down '{"down": true}' > "$work/response"
  none='nothing (Clerk is down)'
  request "Authorization: Bearer $first"
  expect 'outcome CLERK_OK: user_ada is account 1, source=cache'
  expect 'events auth_success(cache)'

  case_title 'Clerk is down, and Bob is not cached: unavailable, which is not "signed out"'
  token=$(mint '{"user": "user_bob"}')
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_UNAVAILABLE: server-error, HTTP 503'
  expect "error connect: connection refused (check api_url, the port and the firewall)"
  expect "accounts $king"
  expect 'events cache_miss, auth_failed(server-error)'

  case_title 'Clerk is back: Bob is authenticated'
  admin PUT /down '{"down": false}' > "$work/response"
  none=nothing
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_OK: user_bob is account 2, source=verified'
  expect "accounts $king; $bob"
  expect 'events cache_miss, user_created, auth_success(verified)'
  expect 'sent GET /users/user_bob'

  case_title 'Bob is banned at Clerk, which sends a webhook: the account is deactivated at once'
  admin PATCH /users/user_bob '{"banned": true}' > "$work/response"
  webhook user.updated user_bob
  expect 'outcome CLERK_OK'
  expect "accounts $king; $bob, inactive"
  expect 'events user_updated'

  case_title 'His token is rejected from now on'
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_SIGNED_OUT: user-inactive, HTTP 403'
  expect 'events cache_miss, auth_failed(user-inactive)'
  expect 'sent nothing'
}

# Against Clerk itself. A token that is not accepted is explained.
use_clerk() {
  [ -n "${CLERK_SECRET_KEY:-}" ] || fail "CLERK_SECRET_KEY has to be the secret key (sk_...) of the token's instance"
  echo "Using ${CLERK_API_URL:-https://api.clerk.com} and an empty, temporary table of accounts."
  send 'client env'
  for title in 'Your token' 'The same token again'; do
    case_title "$title"
    send "header Authorization: Bearer ${1#Bearer }"
    send authenticate | tee "$work/outcome"
    if ! grep -q '^ *outcome *CLERK_OK' "$work/outcome"; then
      echo
      printf '%s\n' "$1" | "$(dirname "$demo")/explain" || true
      fail 'the token was not accepted'
    fi
  done
}

# --- main ---------------------------------------------------------------------------------------------------------

usage='usage: demo.sh [--token TOKEN]'
token=''
if [ $# -gt 0 ]; then
  if [ $# -ne 2 ] || [ "$1" != --token ] || [ -z "$2" ]; then fail "$usage"; fi
  token=$2
fi
if [ ! -x "$demo" ] || { [ -z "$token" ] && [ ! -x "$sim" ]; }; then fail 'not built; run: make demo'; fi

work=$(mktemp -d)
trap clean_up EXIT
start_demo
if [ -n "$token" ]; then use_clerk "$token"; else run_cases; fi
echo
send stats
end_demo
echo 'demo: ok'
