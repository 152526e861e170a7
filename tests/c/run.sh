#!/usr/bin/env bash
# Builds the C tests against the staged tree and runs them against one clerk-sim, most of them under valgrind, too.
# Needs `make stage sim`. Takes names of programs to run only these.
set -euo pipefail
cd "$(dirname "$0")/../.."

stage=${CLERK_STAGE:-$PWD/build/stage}
sim=${CLERK_SIM:-$PWD/target/release/clerk-sim}
out=$PWD/build/c
# Neither the caller's Clerk settings nor another copy of the library may be used.
for name in "${!CLERK_@}"; do unset "$name"; done
export CLERK_LOG=off # the test of these lines sets it
export PKG_CONFIG_PATH=$stage/lib/pkgconfig LD_LIBRARY_PATH=$stage/lib

programs=(layout nulls errors config authenticate credential page explain stderr_log revocations user_store pending shared_cache webhook lifetime threads fork sqlite soak accounts)
under_valgrind=(nulls errors config authenticate credential page explain stderr_log revocations user_store pending shared_cache webhook lifetime accounts)

for tool in cc c++ pkg-config sqlite3 valgrind readelf nm ldd timeout flock; do
  command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done
for file in "$stage/lib/libclerk_auth.so" "$stage/lib/libclerk_auth.a" "$sim"; do
  [ -e "$file" ] || { echo "missing: $file; run \`make stage sim\`" >&2; exit 1; }
done

mkdir -p "$out"
# Two runs at once would share programs and clerk-sim.
exec {lock}> "$out/lock"
flock --wait 600 "$lock"
export CLERK_SIM_READY=$out/ready.json
rm -f "$CLERK_SIM_READY"
# It exits when this shell's end of the pipe is closed, however the shell exits.
serve=("$sim" serve --https --exit-with-stdin --ca-file "$out/ca.pem" --ready-file "$CLERK_SIM_READY")
exec {sim_stdin}> >(exec "${serve[@]}" > "$out/sim.log" 2>&1 {lock}>&-)
sim_pid=$!
trap 'kill "$sim_pid" 2> /dev/null || true' EXIT

passed=0 failed=0
# check NAME COMMAND...: prints one line, and the command's output if it failed.
check() {
  local name=$1 status=0
  shift
  "$@" > "$out/output.txt" 2>&1 {sim_stdin}>&- {lock}>&- || status=$?
  if [ "$status" -eq 0 ]; then
    echo "ok $name"
    passed=$((passed + 1))
  else
    echo "FAIL $name ($status)"
    head -n 60 "$out/output.txt" | sed 's/^/    /'
    failed=$((failed + 1))
  fi
}

# --- building -------------------------------------------------------------------------------------------------------

version=$(pkg-config --modversion clerk-auth)
warnings=(-O1 -g -Wall -Wextra -Wpedantic -Werror)
c=(-std=c11 -D_DEFAULT_SOURCE "-DPACKAGE_VERSION=\"$version\"" "${warnings[@]}")
read -ra include <<< "$(pkg-config --cflags clerk-auth)"
read -ra link <<< "$(pkg-config --libs clerk-auth sqlite3)"
# The linker prefers the shared library: name the archive itself.
read -ra link_static <<< "$(pkg-config --static --libs clerk-auth | sed 's/-lclerk_auth/-l:libclerk_auth.a/')"

for shared in check table; do
  cc "${c[@]}" "${include[@]}" -c -o "$out/$shared.o" "tests/c/$shared.c"
done
# Whether the library uses the SQLite library of the system, as the programs do.
shared_sqlite=$(readelf -dW "$stage/lib/libclerk_auth.so" | grep -c 'NEEDED.*\[libsqlite3\.so' || true)
build() {
  cc "${c[@]}" "-DSHARED_SQLITE=$shared_sqlite" "${include[@]}" -o "$out/$1" "tests/c/$1.c" "$out/check.o" "$out/table.o" "${link[@]}" -lpthread
}
build_static() {
  cc "${c[@]}" "${include[@]}" -o "$out/$1-static" "tests/c/$1.c" "$out/check.o" "$out/table.o" "${link_static[@]}" -lsqlite3
}
build_twice() {
  cc "${c[@]}" "${include[@]}" -c -o "$out/twice.o" tests/c/twice.c &&
    c++ -std=c++17 "${warnings[@]}" "${include[@]}" -o "$out/twice" tests/c/twice.cpp "$out/twice.o" "${link[@]}"
}

# --- checks without running -------------------------------------------------------------------------------

nulls_calls_every_function() {
  local missing=0
  while read -r symbol; do
    grep -q "\b$symbol(" tests/c/nulls.c || { echo "nulls.c does not call $symbol"; missing=1; }
  done < tests/abi/symbols.txt
  return "$missing"
}
archive_exports_only_listed_symbols() {
  diff <(nm -g --defined-only "$stage/lib/libclerk_auth.a" | awk 'NF == 3 { print $3 }' | sort) tests/abi/symbols.txt
}
library_has_soname_and_stays_mapped() {
  local dynamic
  dynamic=$(readelf -dW "$stage/lib/libclerk_auth.so")
  grep -q 'SONAME.*\[libclerk_auth\.so\.0\]$' <<< "$dynamic" && grep -q 'FLAGS_1.*NODELETE' <<< "$dynamic" &&
    grep -q 'FLAGS.*NOW' <<< "$dynamic" && ! grep -q 'RPATH\|RUNPATH' <<< "$dynamic" || { echo "$dynamic"; return 1; }
}
# Calls through the dynamic linker could be bound to the functions of another copy.
library_calls_its_own_functions() {
  ! readelf -rW "$stage/lib/libclerk_auth.so" | grep 'clerk_'
}
header_defines_only_prefixed_macros() {
  ! grep -nE '^#define [A-Za-z_0-9]+' "$stage/include/clerk_auth.h" | grep -v '#define CLERK_'
}

# --- running --------------------------------------------------------------------------------------------------------

two_copies_can_be_loaded_and_unloaded() {
  cc "${c[@]}" "${include[@]}" -o "$out/dlopen" tests/c/dlopen.c -ldl -lpthread
  cp "$stage/lib/libclerk_auth.so" "$out/libclerk_auth-copy.so"
  timeout 60 "$out/dlopen" "$stage/lib/libclerk_auth.so.0" "$out/libclerk_auth-copy.so"
}
program_links_with_archive() {
  timeout 60 "$out/authenticate-static" && ! ldd "$out/authenticate-static" | grep clerk
}
# Its copy of SQLite is another one than the program's.
sqlite_store_works_in_the_archive() {
  timeout 60 "$out/sqlite-static"
}
memcheck() {
  timeout 150 valgrind --leak-check=full --show-leak-kinds=definite,indirect --error-exitcode=9 \
    --errors-for-leak-kinds=definite,indirect -q "$1"
}

wanted=("${@:-${programs[@]}}")
for name in "${wanted[@]}"; do build "$name"; done
for _ in $(seq 100); do [ -s "$CLERK_SIM_READY" ] && break; sleep 0.1; done
[ -s "$CLERK_SIM_READY" ] || { cat "$out/sim.log" >&2; exit 1; }

if [ $# -eq 0 ]; then
  build_static authenticate
  build_static sqlite
  build_twice
  for name in nulls_calls_every_function archive_exports_only_listed_symbols \
    library_has_soname_and_stays_mapped library_calls_its_own_functions header_defines_only_prefixed_macros \
    two_copies_can_be_loaded_and_unloaded program_links_with_archive sqlite_store_works_in_the_archive; do
    check "${name//_/ }" "$name"
  done
  check "header works twice and in C and C++" "$out/twice"
fi
for name in "${wanted[@]}"; do
  check "$name" timeout 60 "$out/$name"
done
for name in "${wanted[@]}"; do
  [[ " ${under_valgrind[*]} " != *" $name "* ]] || check "$name under valgrind" memcheck "$out/$name"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
