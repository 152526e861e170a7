#!/usr/bin/env bash
# Measures a cached result beside other packages. Run `make stage sim` first; test.sh installs the other packages.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
export CLERK_SIM=${CLERK_SIM:-$root/target/release/clerk-sim}
[ -x "$CLERK_SIM" ] || { echo "missing: $CLERK_SIM; run \`make sim\` at the top" >&2; exit 1; }
[ -d node_modules/fast-jwt ] || npm ci --ignore-scripts
node build.mjs
CLERK_TELEMETRY_DISABLED=1 exec node bench/bench.mjs
