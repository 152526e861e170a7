#!/usr/bin/env bash
# Runs C tests with an instrumented archive, under the sanitizer that it was built with: `SANITIZE=address sanitize.sh ARCHIVE
# NAME…`; without one, `SANITIZE=`. The scripts asan.sh, tsan.sh and cover.sh build the archive. Needs `make stage sim`.
set -euo pipefail
cd "$(dirname "$0")/../.."

archive=$1
shift
stage=${CLERK_STAGE:-$PWD/build/stage}
sim=${CLERK_SIM:-$PWD/target/release/clerk-sim}
out=$PWD/build/${SANITIZE:-instrumented}
for name in "${!CLERK_@}"; do unset "$name"; done
export PKG_CONFIG_PATH=$stage/lib/pkgconfig

mkdir -p "$out"
export CLERK_SIM_READY=$out/ready.json
rm -f "$CLERK_SIM_READY"
serve=("$sim" serve --https --exit-with-stdin --ca-file "$out/ca.pem" --ready-file "$CLERK_SIM_READY")
exec {sim_stdin}> >(exec "${serve[@]}" > "$out/sim.log" 2>&1)
sim_pid=$!
trap 'kill "$sim_pid" 2> /dev/null || true' EXIT

version=$(pkg-config --modversion clerk-auth)
flags=(-std=c11 -D_DEFAULT_SOURCE "-DPACKAGE_VERSION=\"$version\"" -O1 -g ${SANITIZE:+"-fsanitize=$SANITIZE"})
read -ra include <<< "$(pkg-config --cflags clerk-auth)"
read -ra libraries <<< "$(pkg-config --static --libs-only-l clerk-auth | sed 's/-lclerk_auth//')"

# Writes the counters of `make cover`; another archive has no such symbol.
[ -n "$SANITIZE" ] || flags+=(-Wl,-u,__llvm_profile_runtime)

passed=0 failed=0
for name in "$@"; do
  sources=("tests/c/$name.c" tests/c/check.c tests/c/table.c)
  cc "${flags[@]}" "${include[@]}" -o "$out/$name" "${sources[@]}" "$archive" "${libraries[@]}"
  for _ in $(seq 100); do [ -s "$CLERK_SIM_READY" ] && break; sleep 0.1; done
  if timeout 300 "$out/$name" > "$out/output.txt" 2>&1 {sim_stdin}>&-; then
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
