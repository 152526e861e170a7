#!/usr/bin/env bash
# Starts nginx with the module, clerk-sim and an application; prints a few requests and their outcomes.
# `make stage sim` first; `make demo-nginx` does it all.
set -euo pipefail
cd "$(dirname "$0")"

(cd ../.. && scripts/tools.sh nginx nginx-dev)
make
exec python3 tests/demo.py
