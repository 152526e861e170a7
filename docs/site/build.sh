#!/usr/bin/env bash
# Builds the documentation into build/site. `make docs` calls it.
# A reference whose toolchain is missing is left out, with a line that says so; in CI, and with CLERK_DOCS_ALL=1, that is an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

root=$PWD out=$PWD/build/docs site=$PWD/build/site here=$PWD/docs/site
# TypeDoc reads the declarations of the Node package; tests/site checks the types of programs with the same compiler.
typedoc='typedoc@0.28.20 typescript@5.9.3 @types/node@18.19.130 @types/express@5.0.6 @types/koa@3.0.3 fastify@5.12.8 hono@4.13.19 koa@3.3.0
  pg@8.23.1 @types/pg@8.23.1'
mkdir -p "$out"

# left_out PROGRAM REFERENCE
left_out() {
  echo "left out, because $1 is missing: $2" >&2
  [ "${CI:-}" != true ] && [ -z "${CLERK_DOCS_ALL:-}" ] || exit 1
}

quietly() {
  "$@" > "$out/log" 2>&1 || { tail -n 40 "$out/log" >&2; exit 1; }
}

# --- tools, once per list of versions ---------------------------------------------------------------------------------

if ! cmp -s "$here/requirements.txt" "$out/venv/requirements.txt"; then
  rm -rf "$out/venv"
  python3 -m venv "$out/venv"
  quietly "$out/venv/bin/pip" install --disable-pip-version-check --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$out/venv/"
fi

# --- what the pages of the reference are made from --------------------------------------------------------------------

# doxygen NAME INPUT [OPTION]...
xml() {
  mkdir -p "$out/xml/$1"
  { cat "$here/Doxyfile"; printf '%s\n' "OUTPUT_DIRECTORY = $out/xml/$1" "INPUT = $2" \
      "INPUT_FILTER = \"python3 $here/header_filter.py\"" "${@:3}"; } > "$out/xml/$1/Doxyfile"
  quietly doxygen "$out/xml/$1/Doxyfile"
}
rm -rf "$out/xml"
xml c include/clerk_auth.h 'OPTIMIZE_OUTPUT_FOR_C = YES' 'PREDEFINED = CLERK_NODISCARD= CLERK_INT32_ENUM='
xml cpp bindings/cpp/include 'RECURSIVE = YES' 'EXCLUDE_SYMBOLS = clerk::detail' \
  'PREDEFINED = "CLERK_AUTH_NAMESPACE_BEGIN=namespace clerk {" CLERK_AUTH_NAMESPACE_END=} CLERK_AUTH_LIFETIMEBOUND='

rm -rf "$out/generated"
mkdir -p "$out/generated"
if command -v go > /dev/null; then
  python3 "$here/godoc.py" "$out/generated"
else
  left_out go 'the Go reference'
  printf '# clerkauth\n\nThis copy of the documentation was built without Go.\n' > "$out/generated/go-clerkauth.md"
fi

# --- pages ------------------------------------------------------------------------------------------------------------

python3 "$here/assemble.py" "$out/src" "$out/generated" "$out/xml"
rm -rf "$site"
CLERK_ROOT=$root CLERK_XML=$out/xml "$out/venv/bin/sphinx-build" -W --keep-going -q -j auto -b html -d "$out/doctrees" \
  "$out/src" "$site"
rm -rf "$site/.buildinfo" "$site/objects.inv" "$site/_sources"

# --- references in the form of their own tools -----------------------------------------------------------------------

if command -v npm > /dev/null; then
  if [ "$(cat "$out/typedoc/versions" 2> /dev/null)" != "$typedoc" ]; then
    rm -rf "$out/typedoc"
    mkdir -p "$out/typedoc"
    # shellcheck disable=SC2086 # a list
    quietly npm install --prefix "$out/typedoc" --ignore-scripts --no-audit --no-fund $typedoc
    echo "$typedoc" > "$out/typedoc/versions"
  fi
  rm -rf "$out/typedoc/package"
  mkdir -p "$out/typedoc/package"
  cp bindings/node/lib/*.d.ts bindings/node/package.json "$here/typedoc.json" "$out/typedoc/package/"
  echo '{ "extends": "./typedoc.json", "files": [] }' > "$out/typedoc/package/tsconfig.json"
  (cd "$out/typedoc/package" && quietly ../node_modules/.bin/typedoc --out "$site/node")
else
  left_out npm 'the Node reference'
fi
if command -v cargo > /dev/null; then
  rm -rf "${CARGO_TARGET_DIR:-target}/doc" # may hold other crates
  quietly cargo doc --no-deps --lib --quiet --jobs "${JOBS:-2}" --package clerk-auth
  cp -r "${CARGO_TARGET_DIR:-target}/doc" "$site/rust"
  # rustdoc's pages link to an index of crates, which it does not write.
  echo '<!doctype html><meta http-equiv="refresh" content="0; url=clerk_auth/index.html"><title>clerk_auth</title>' > "$site/rust/index.html"
else
  left_out cargo 'the Rust reference'
fi
echo "build/site/index.html"
