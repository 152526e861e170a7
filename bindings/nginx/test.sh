#!/usr/bin/env bash
# Builds the module, then runs its tests in a real nginx. `make stage sim` first; `make test-nginx` does it all.
# test.sh [PART OF A NAME]... runs some of them.
set -euo pipefail
cd "$(dirname "$0")"

make
exec python3 tests/run.py "$@"
