#!/usr/bin/env bash
# Compares the C++ binding with SHA-256, with C and with Debian's JWT library for C++. Run `make stage sim anchor` first; needs
# libcpp-jwt-dev, nlohmann-json3-dev and libssl-dev. Fails if a cached result costs more than 1.05 of its cost in C, or
# more than its gate; SLACK=0.05 allows 5 % more.
set -euo pipefail
cd "$(dirname "$0")/../.."
stage=${CLERK_STAGE:-$PWD/build/stage}
sim=${CLERK_SIM:-$PWD/target/release/clerk-sim}
out=$PWD/build/cpp/bench
mkdir -p "$out"
export CLERK_ANCHOR=${CLERK_ANCHOR:-$PWD/target/release/libanchor.so}
[ -s "$stage/lib/libclerk_auth.so" ] && [ -x "$sim" ] && [ -s "$CLERK_ANCHOR" ] ||
    { echo "missing: run \`make stage sim anchor\`" >&2; exit 1; }
[ -e /usr/include/jwt/jwt.hpp ] || { echo "missing, please install: libcpp-jwt-dev" >&2; exit 1; }

{ cmake -S bindings/cpp -B "$out" -DCLERK_AUTH_CPP_BENCH=ON -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$stage" &&
  cmake --build "$out" -j2; } > "$out/build.log" 2>&1 || { tail -n 30 "$out/build.log"; exit 1; }
CLERK_JWT_KEY=$("$sim" key --name k1 --form pem)
export CLERK_JWT_KEY LD_LIBRARY_PATH=$stage/lib
"$out/bench/clerk_auth_bench" "$("$sim" mint --user user_1 --exp-in 3600)"
