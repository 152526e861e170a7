#!/usr/bin/env bash
# Measures this package beside other packages and beside its limits. Run `make stage sim anchor` first.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
export CLERK_SIM=${CLERK_SIM:-$root/target/release/clerk-sim}
export CLERK_ANCHOR=${CLERK_ANCHOR:-$root/target/release/libanchor.so} CLERK_ANCHOR_ADDON=$root/build/bench/anchor.node
[ -x "$CLERK_SIM" ] && [ -s "$CLERK_ANCHOR" ] || { echo "missing: run \`make sim anchor\` at the top" >&2; exit 1; }
[ -d node_modules/fast-jwt ] && [ -d node_modules/jose ] || npm ci --ignore-scripts
node build.mjs
mkdir -p "$root/build/bench"
"${CC:-cc}" -std=c11 -O2 -Wall -Wextra -fPIC -shared -I node_modules/node-api-headers/include -o "$CLERK_ANCHOR_ADDON" bench/anchor.c -ldl
CLERK_TELEMETRY_DISABLED=1 exec node bench/bench.mjs
