#!/usr/bin/env bash
# Compares the C++ binding with SHA-256 and RSA, with C and with Debian's JWT libraries. Run `make stage sim anchor` first; needs
# libcpp-jwt-dev, libjwt-dev, liboauth2-dev, nlohmann-json3-dev and libssl-dev. Fails if a cached result costs more than 1.05 of its cost in C, or
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
for peer in jwt/jwt.hpp:libcpp-jwt-dev jwt.h:libjwt-dev oauth2/oauth2.h:liboauth2-dev; do
  [ -e "/usr/include/${peer%:*}" ] || { echo "missing, please install: ${peer#*:}" >&2; exit 1; }
done

{ cmake -S bindings/cpp -B "$out" -DCLERK_AUTH_CPP_BENCH=ON -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$stage" &&
  cmake --build "$out" -j2; } > "$out/build.log" 2>&1 || { tail -n 30 "$out/build.log"; exit 1; }
CLERK_JWT_KEY=$("$sim" key --name k1 --form pem)
export CLERK_JWT_KEY LD_LIBRARY_PATH=$stage/lib
token() {
  "$sim" mint --user user_1 --sid "$1" --azp https://app.example.com --exp-in 3600 --org-id org_1 --org-role admin \
      --org-permissions org:invoices:create,org:invoices:read --claim 'iss="https://clerk.example.com"'
}
"$out/bench/clerk_auth_bench" "$(token sess_1)" "$(token sess_2)"
