#!/usr/bin/env bash
# Benchmarks a cached authentication in Go, in C and with clerk-sdk-go, and SHA-256, in one run. Fails if the middleware takes over
# 550 ns longer than C, or a hit more than its gate; CLERK_GO_LIMIT_NS sets another limit, 0 none, and SLACK=0.05 allows 5 % more.
set -euo pipefail
cd "$(dirname "$0")"

root=$(cd ../.. && pwd)
export CLERK_STAGE=${CLERK_STAGE:-$root/build/stage} CLERK_SIM=${CLERK_SIM:-$root/target/release/clerk-sim}
export CLERK_ANCHOR=${CLERK_ANCHOR:-$root/target/release/libanchor.so}
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly
./lib/copy.sh
cd bench
go run . -limit "${CLERK_GO_LIMIT_NS:-550}" -slack "${SLACK:-0}"
