#!/usr/bin/env bash
# Measures the Python packages that verify Clerk's tokens, in an environment of their own. Run `make sim anchor` first. There is no
# Python binding of this library. Writes points as the other benches do.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CLERK_SIM=${CLERK_SIM:-$PWD/target/release/clerk-sim} CLERK_ANCHOR=${CLERK_ANCHOR:-$PWD/target/release/libanchor.so}
[ -x "$CLERK_SIM" ] && [ -s "$CLERK_ANCHOR" ] || { echo "missing: run \`make sim anchor\`" >&2; exit 1; }
venv=$PWD/build/bench/python
if ! cmp -s benches/python/requirements.txt "$venv/installed"; then
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r benches/python/requirements.txt
  # It asks for Python 3.14, but runs with 3.11; what it needs of its dependencies is above.
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --ignore-requires-python django-clerk-sdk==1.0.0
  cp benches/python/requirements.txt "$venv/installed"
fi
exec "$venv/bin/python" benches/python/bench.py
