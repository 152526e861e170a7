#!/usr/bin/env bash
# Runs the C tests under AddressSanitizer and LeakSanitizer, including the library's own code. It rebuilds everything, so
# run.sh does not call it. Needs `make stage sim`.
set -euo pipefail
cd "$(dirname "$0")/../.."

stage=${CLERK_STAGE:-$PWD/build/stage}
sim=${CLERK_SIM:-$PWD/target/release/clerk-sim}
out=$PWD/build/asan
target=$(rustc -vV | sed -n 's/^host: //p')
for name in "${!CLERK_@}"; do unset "$name"; done
export PKG_CONFIG_PATH=$stage/lib/pkgconfig

# Sanitizers need an unstable option. --target keeps it away from build scripts.
RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=target/asan \
  cargo rustc --jobs 2 --lib --crate-type staticlib --target "$target"
archive=$PWD/target/asan/$target/debug/libclerk_auth.a

mkdir -p "$out"
export CLERK_SIM_READY=$out/ready.json
rm -f "$CLERK_SIM_READY"
serve=("$sim" serve --https --exit-with-stdin --ca-file "$out/ca.pem" --ready-file "$CLERK_SIM_READY")
exec {sim_stdin}> >(exec "${serve[@]}" > "$out/sim.log" 2>&1)
sim_pid=$!
trap 'kill "$sim_pid" 2> /dev/null || true' EXIT

version=$(pkg-config --modversion clerk-auth)
flags=(-std=c11 -D_DEFAULT_SOURCE "-DPACKAGE_VERSION=\"$version\"" -O1 -g -fsanitize=address)
read -ra include <<< "$(pkg-config --cflags clerk-auth)"
read -ra libraries <<< "$(pkg-config --static --libs-only-l clerk-auth | sed 's/-lclerk_auth//')"

passed=0 failed=0
for name in nulls errors config authenticate user_store pending webhook lifetime threads fork; do
  sources=("tests/c/$name.c" tests/c/check.c tests/c/table.c)
  cc "${flags[@]}" "${include[@]}" -o "$out/$name" "${sources[@]}" "$archive" "${libraries[@]}"
  for _ in $(seq 100); do [ -s "$CLERK_SIM_READY" ] && break; sleep 0.1; done
  if timeout 120 "$out/$name" > "$out/output.txt" 2>&1 {sim_stdin}>&-; then
    echo "ok $name"
    passed=$((passed + 1))
  else
    echo "FAIL $name"
    head -n 60 "$out/output.txt" | sed 's/^/    /'
    failed=$((failed + 1))
  fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
