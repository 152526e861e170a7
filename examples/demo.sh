#!/usr/bin/env bash
# Shows requests being authenticated through the C library: starts a stand-in for Clerk, has demo.c play one scene after
# another, checks what comes of it. `demo.sh --token TOKEN` asks the real Clerk about a token of yours instead.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
demo=$root/build/examples/demo
sim=${CLERK_SIM:-$root/target/release/clerk-sim}
export LD_LIBRARY_PATH=$root/build/stage/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# Where the front end lives, and the instance it belongs to: `pk_test_` and base64 of `clerk.example.com$`. The names of
# the instance's cookies end in the first eight characters of the key's SHA-1 in base64url. The secrets protect nothing.
app=https://app.example.com
publishable_key=pk_test_Y2xlcmsuZXhhbXBsZS5jb20k
suffix=l2OS3d9k
secret_key=sk_test_demo
webhook_secret=whsec_ZGVtbyBkZW1vIGRlbW8gZGVtbw==

fail() {
  echo "demo: $*" >&2
  exit 1
}

# Program and stand-in end when their standard input does.
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

# Sends it a command and shows what it says, up to the line with the dot.
say() {
  local line
  printf '%s\n' "$*" >&3
  while IFS= read -r line <&4; do
    [ "$line" != . ] || return 0
    printf '%s\n' "$line"
  done
  fail 'the program has ended'
}

end_demo() {
  exec 3>&-
  wait "$demo_pid" || fail 'something was not as expected'
}

# --- the stand-in for Clerk ---------------------------------------------------------------------------------------

start_sim() {
  # Its standard input ends when this script does, however that comes about; the program's must not be held open by it.
  exec 5> >(exec "$sim" serve --exit-with-stdin --ready-file "$work/ready" > "$work/sim.log" 2>&1 3>&- 4<&-)
  for _ in {1..100}; do
    [ ! -e "$work/ready" ] || break
    sleep 0.05
  done
  [ -e "$work/ready" ] || fail "clerk-sim does not start: $(cat "$work/sim.log")"
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

# What Clerk was asked since its counts were reset.
none=nothing
asked() {
  admin GET /log | jq -r 'map("\(.method) \(.path)") | join(", ") | if . == "" then $none else . end' --arg none "$none"
}

# --- scenes -------------------------------------------------------------------------------------------------------

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
scenes=0

scene() {
  scenes=$((scenes + 1))
  printf '\n%s%d. %s%s\n' "$bold" "$scenes" "$1" "$plain"
}

# request [HEADER LINE]...
request() {
  local line
  admin DELETE /counts > "$work/answer"
  for line; do say "header $line"; done
  say authenticate
  say "asked $(asked)"
}

# A delivery of a webhook, as Clerk would make it now.
webhook() {
  local line
  admin DELETE /counts > "$work/answer"
  admin POST /webhook "{\"type\": \"$1\", \"id\": \"$2\"}" > "$work/delivery"
  jq -r '.headers | to_entries[] | "\(.key): \(.value)"' "$work/delivery" > "$work/lines"
  while IFS= read -r line; do say "header $line"; done < "$work/lines"
  say "webhook $(jq -r .body "$work/delivery")"
  say "asked $(asked)"
}

expect() {
  say "expect $*"
}

play() {
  local ada="1: ada, Ada Lovelace, ada@example.com, user_ada" king="1: ada, Ada King, ada@example.com, user_ada"
  local bob="2: bob, Bob Kahn, bob@example.com, user_bob"
  local first second token

  start_sim
  admin PUT /state "{\"secret_keys\": [\"$secret_key\"], \"webhook_secret\": \"$webhook_secret\"}" > "$work/answer"
  admin PUT /users/user_ada '{"username": "ada", "first_name": "Ada", "last_name": "Lovelace",
    "email_addresses": ["ada@example.com"]}' > "$work/answer"
  admin PUT /users/user_bob '{"username": "bob", "first_name": "Bob", "last_name": "Kahn",
    "email_addresses": ["bob@example.com"]}' > "$work/answer"
  echo "A stand-in for Clerk is at $api_url; it knows two users, Ada and Bob."
  echo "The server's own table of accounts is empty. Each scene is one request to the server."
  echo 'source=api: the token was verified now; source=cache: it had been before.'
  echo 'HTTP: the status that fits, for the server to answer with. asked: what Clerk was asked.'

  say "client secret_key=$secret_key api_url=$api_url publishable_key=$publishable_key authorized_parties=$app" \
    "webhook_secrets=$webhook_secret timeout_ms=2000"

  scene 'Nobody has signed in: the server may go on as it does for anonymous callers'
  request
  expect 'outcome CLERK_NO_CREDENTIALS: session-token-missing, HTTP 401'
  expect 'accounts none'
  expect 'events none'
  expect 'asked nothing'

  scene 'Ada calls for the first time: Clerk is asked for its keys and for her, an account is made'
  first=$(mint '{"user": "user_ada"}')
  request "Authorization: Bearer $first"
  expect 'outcome CLERK_OK: user_ada is account 1, source=api'
  expect "accounts $ada"
  expect 'events cache_miss, jwks_refreshed, user_created, auth_success(api)'
  expect 'asked GET /jwks, GET /users/user_ada'

  scene 'The same request again: known, only the account is looked at'
  request "Authorization: Bearer $first"
  expect 'outcome CLERK_OK: user_ada is account 1, source=cache'
  expect 'events auth_success(cache)'
  expect 'asked nothing'

  scene 'A minute later her browser has a new token: verified here, with the keys at hand'
  second=$(mint '{"user": "user_ada"}')
  request "Authorization: Bearer $second"
  expect 'outcome CLERK_OK: user_ada is account 1, source=api'
  expect 'events cache_miss, auth_success(api)'
  expect 'asked nothing'

  scene 'Ada takes another name at Clerk: once her time here (user_ttl_s) is up, the account follows'
  admin PATCH /users/user_ada '{"last_name": "King"}' > "$work/answer"
  say 'invalidate user_ada'
  request "Authorization: Bearer $second"
  expect 'outcome CLERK_OK: user_ada is account 1, source=api'
  expect "accounts $king"
  expect 'events cache_miss, user_updated, auth_success(api)'
  expect 'asked GET /users/user_ada'

  scene 'A token that has expired'
  token=$(mint '{"user": "user_ada", "spoil": "expired"}')
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_SIGNED_OUT: token-expired, HTTP 401'
  expect 'events cache_miss, auth_failed(token-expired)'
  expect 'asked nothing'

  scene 'A token that was changed after Clerk had signed it: no key fits, not even if fetched anew'
  token=$(mint '{"user": "user_ada", "spoil": "tampered"}')
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_SIGNED_OUT: token-invalid-signature, HTTP 401'
  expect 'events cache_miss, jwks_refreshed, auth_failed(token-invalid-signature)'
  expect 'asked GET /jwks'

  scene 'A token that Clerk made for another website (its azp is none of ours)'
  token=$(mint '{"user": "user_ada", "azp": "https://shop.example.net"}')
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_SIGNED_OUT: token-invalid-authorized-parties, HTTP 401'
  expect 'asked nothing'

  scene 'A browser sends the token as a cookie'
  request "Cookie: theme=dark; __session=$first"
  expect 'outcome CLERK_OK: user_ada is account 1, source=api'
  expect 'asked nothing'

  scene "Two applications share a domain: ours is the cookie with our instance's ending"
  token=$(mint '{"user": "user_eve", "key": "other", "iss": "https://clerk.neighbour.example"}')
  request "Cookie: __session=$token; __session_$suffix=$first"
  expect 'outcome CLERK_OK: user_ada is account 1, source=cache'
  expect 'events auth_success(cache)'

  scene 'Clerk is down: whoever is known goes on working'
  admin PUT /down '{"down": true}' > "$work/answer"
  none='nothing that got through'
  request "Authorization: Bearer $first"
  expect 'outcome CLERK_OK: user_ada is account 1, source=cache'
  expect 'events auth_success(cache)'

  scene 'Clerk is down, and Bob was never here: nobody can tell, which is not "signed out"'
  token=$(mint '{"user": "user_bob"}')
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_UNAVAILABLE: server-error, HTTP 503'
  expect 'because Clerk cannot be reached or failed'
  expect "accounts $king"
  expect 'events cache_miss, auth_failed(server-error)'

  scene 'Clerk is back, and Bob tries again'
  admin PUT /down '{"down": false}' > "$work/answer"
  none=nothing
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_OK: user_bob is account 2, source=api'
  expect "accounts $king; $bob"
  expect 'events cache_miss, user_created, auth_success(api)'
  expect 'asked GET /users/user_bob'

  scene 'Bob is banned at Clerk, which tells the server by a webhook: the account follows at once'
  admin PATCH /users/user_bob '{"banned": true}' > "$work/answer"
  webhook user.updated user_bob
  expect 'outcome CLERK_OK'
  expect "accounts $king; $bob, inactive"
  expect 'events user_updated'

  scene 'His token, good until now, lets him in no more'
  request "Authorization: Bearer $token"
  expect 'outcome CLERK_SIGNED_OUT: user-inactive, HTTP 403'
  expect 'events cache_miss, auth_failed(user-inactive)'
  expect 'asked nothing'
}

# The real Clerk: no expectations, for who knows what the token is.
ask_clerk() {
  [ -n "${CLERK_SECRET_KEY:-}" ] || fail "CLERK_SECRET_KEY has to be the secret key (sk_...) of the token's instance"
  echo "Asking ${CLERK_API_URL:-https://api.clerk.com}; the table of accounts is a new one, and goes when this ends."
  say 'client env'
  for title in 'Your token' 'The same again'; do
    scene "$title"
    say "header Authorization: Bearer ${1#Bearer }"
    say authenticate
  done
}

# --- what is wanted -----------------------------------------------------------------------------------------------

usage='usage: demo.sh [--token TOKEN]'
token=''
if [ $# -gt 0 ]; then
  if [ $# -ne 2 ] || [ "$1" != --token ] || [ -z "$2" ]; then fail "$usage"; fi
  token=$2
fi
if [ ! -x "$demo" ] || { [ -z "$token" ] && [ ! -x "$sim" ]; }; then fail 'it is not built yet; run: make demo'; fi

work=$(mktemp -d)
trap clean_up EXIT
start_demo
if [ -n "$token" ]; then ask_clerk "$token"; else play; fi
echo
say stats
end_demo
echo 'demo: ok'
