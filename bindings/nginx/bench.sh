#!/usr/bin/env bash
# Requests a second through the module, as a ratio to the same server's unauthenticated location in the same round.
# `make stage sim` first; needs wrk. `make bench-servers` does it all.
set -euo pipefail
cd "$(dirname "$0")"

(cd ../.. && scripts/tools.sh nginx nginx-dev wrk libjansson-dev libssl-dev)
make all peer
exec python3 tests/bench.py "$@"
