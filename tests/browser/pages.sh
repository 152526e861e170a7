#!/usr/bin/env bash
# Visits pages of the Go and the Node binding with a browser: `pages.sh go node`. Run it through `make test-pages`, which builds what
# it needs. nginx and Apache visit theirs in their own tests.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

quietly() {
  "$@" > "$work/output.txt" 2>&1 || { tail -n 40 "$work/output.txt" >&2; exit 1; }
}

for binding in "$@"; do
  cd "$root/bindings/$binding"
  case $binding in
    go)
      ./lib/copy.sh
      PKG_CONFIG_PATH=$root/build/stage/lib/pkgconfig GOFLAGS=-mod=readonly quietly go build -o "$work/go" ./examples/pages
      program=("$work/go")
      ;;
    node)
      [ -d node_modules/express ] || quietly npm ci --ignore-scripts
      quietly node build.mjs
      ln -sfn .. node_modules/clerk-auth
      program=(node examples/pages.mjs)
      ;;
    *) echo "unknown binding: $binding" >&2; exit 1 ;;
  esac
  python3 "$root/tests/browser/run.py" "$binding" "${program[@]}"
done
