#!/usr/bin/env bash
# A cached authentication from Go beside the same in C and beside clerk-sdk-go, in one run. It fails when the middleware takes
# more than 300 ns more than C; CLERK_GO_LIMIT_NS is another limit, 0 is none.
set -euo pipefail
cd "$(dirname "$0")"

root=$(cd ../.. && pwd)
export CLERK_STAGE=${CLERK_STAGE:-$root/build/stage} CLERK_SIM=${CLERK_SIM:-$root/target/release/clerk-sim}
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly
./lib/copy.sh
cd bench
go run . -limit "${CLERK_GO_LIMIT_NS:-300}"
