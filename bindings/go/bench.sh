#!/usr/bin/env bash
# A cached authentication from Go beside the same in C and beside clerk-sdk-go, in one run. CLERK_GO_LIMIT_NS, if set, is how
# many nanoseconds the middleware may take more than C.
set -euo pipefail
cd "$(dirname "$0")"

root=$(cd ../.. && pwd)
export CLERK_STAGE=${CLERK_STAGE:-$root/build/stage} CLERK_SIM=${CLERK_SIM:-$root/target/release/clerk-sim}
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly
./lib/copy.sh
cd bench
go run . -limit "${CLERK_GO_LIMIT_NS:-0}"
