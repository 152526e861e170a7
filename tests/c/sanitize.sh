#!/usr/bin/env bash
# Runs C tests with an instrumented archive, under the sanitizer that it was built with: `SANITIZE=address sanitize.sh ARCHIVE
# [NAME…]`; without one, `SANITIZE=`. The scripts asan.sh, tsan.sh and cover.sh build the archive. Needs `make sim`.
set -euo pipefail
cd "$(dirname "$0")/../.."

archive=$1
shift
[ $# -gt 0 ] || set -- layout nulls errors config authenticate credential page explain stderr_log revocations user_store pending shared_cache webhook lifetime \
  threads fork sqlite accounts
sim=${CLERK_SIM:-$PWD/target/release/clerk-sim}
out=$PWD/build/${SANITIZE:-instrumented}
for name in "${!CLERK_@}"; do unset "$name"; done

mkdir -p "$out"
export CLERK_SIM_READY=$out/ready.json
rm -f "$CLERK_SIM_READY"
serve=("$sim" serve --https --exit-with-stdin --ca-file "$out/ca.pem" --ready-file "$CLERK_SIM_READY")
exec {sim_stdin}> >(exec "${serve[@]}" > "$out/sim.log" 2>&1)
sim_pid=$!
trap 'kill "$sim_pid" 2> /dev/null || true' EXIT

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
flags=(-std=c11 -D_DEFAULT_SOURCE "-DPACKAGE_VERSION=\"$version\"" -O1 -g -Iinclude ${SANITIZE:+"-fsanitize=$SANITIZE"})
common=(tests/c/check.c tests/c/table.c)
if [ "$SANITIZE" = address ]; then
  common+=(tests/c/asan_fork.c)
  flags+=(-Wl,--wrap={malloc,calloc,realloc,aligned_alloc,posix_memalign,free})
elif [ "$SANITIZE" = thread ]; then
  common+=(tests/c/tsan_memory.c)
fi

# One object in which only the functions of the header are global, like the archive that is installed: programs have an SQLite
# of their own beside it. __llvm_profile_runtime writes the counters of `make cover`.
mapfile -t roots < <(sed 's/^/--undefined=/' tests/abi/symbols.txt)
ld -r "${roots[@]}" --undefined=__llvm_profile_runtime -o "$out/whole.o" "$archive"
objcopy --keep-global-symbols=tests/abi/symbols.txt "$out/whole.o" "$out/clerk_auth.o"
rm "$out/whole.o"

passed=0 failed=0
for name in "$@"; do
  cc "${flags[@]}" -o "$out/$name" "tests/c/$name.c" "${common[@]}" "$out/clerk_auth.o" -lutil -lrt -lpthread -lm -ldl -lsqlite3
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
