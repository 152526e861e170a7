#!/usr/bin/env bash
# The C tests: built against the staged tree only, run beside one clerk-sim, most of them under valgrind as well.
# `make stage sim` first. With names of programs: only these.
set -euo pipefail
cd "$(dirname "$0")/../.."

stage=${CLERK_STAGE:-$PWD/build/stage}
sim=${CLERK_SIM:-$PWD/target/release/clerk-sim}
out=$PWD/build/c
# Neither a caller's Clerk settings nor another copy of the library may come in.
for name in "${!CLERK_@}"; do unset "$name"; done
export PKG_CONFIG_PATH=$stage/lib/pkgconfig LD_LIBRARY_PATH=$stage/lib

programs=(layout nulls config authenticate user_store pending webhook lifetime threads fork soak)
under_valgrind=(nulls config authenticate user_store pending webhook lifetime)

for tool in cc c++ pkg-config valgrind readelf nm ldd timeout flock; do
  command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done
for file in "$stage/lib/libclerk_auth.so" "$stage/lib/libclerk_auth.a" "$sim"; do
  [ -e "$file" ] || { echo "missing: $file; run \`make stage sim\`" >&2; exit 1; }
done

mkdir -p "$out"
# Two runs at once would share programs and stand-in.
exec {turn}> "$out/turn"
flock --wait 600 "$turn"
export CLERK_SIM_READY=$out/ready.json
rm -f "$CLERK_SIM_READY"
# It ends when this shell's end of the pipe is closed, whatever ends the shell.
serve=("$sim" serve --https --exit-with-stdin --ca-file "$out/ca.pem" --ready-file "$CLERK_SIM_READY")
exec {hold}> >(exec "${serve[@]}" > "$out/sim.log" 2>&1 {turn}>&-)
sim_pid=$!
trap 'kill "$sim_pid" 2> /dev/null || true' EXIT

passed=0 failed=0
# NAME COMMAND...: one line, and what the command said if it failed.
check() {
  local name=$1 status=0
  shift
  "$@" > "$out/said.txt" 2>&1 {hold}>&- {turn}>&- || status=$?
  if [ "$status" -eq 0 ]; then
    echo "ok $name"
    passed=$((passed + 1))
  else
    echo "FAIL $name ($status)"
    head -n 60 "$out/said.txt" | sed 's/^/    /'
    failed=$((failed + 1))
  fi
}

# --- building -------------------------------------------------------------------------------------------------------

version=$(pkg-config --modversion clerk-auth)
warnings=(-O1 -g -Wall -Wextra -Wpedantic -Werror)
c=(-std=c11 -D_DEFAULT_SOURCE "-DPACKAGE_VERSION=\"$version\"" "${warnings[@]}")
read -ra include <<< "$(pkg-config --cflags clerk-auth)"
read -ra link <<< "$(pkg-config --libs clerk-auth)"
# The linker would take the shared library: the archive has to be asked for by its whole name.
read -ra link_static <<< "$(pkg-config --static --libs clerk-auth | sed 's/-lclerk_auth/-l:libclerk_auth.a/')"

for shared in check table; do
  cc "${c[@]}" "${include[@]}" -c -o "$out/$shared.o" "tests/c/$shared.c"
done
build() {
  cc "${c[@]}" "${include[@]}" -o "$out/$1" "tests/c/$1.c" "$out/check.o" "$out/table.o" "${link[@]}" -lpthread
}
build_static() {
  cc "${c[@]}" "${include[@]}" -o "$out/$1-static" "tests/c/$1.c" "$out/check.o" "$out/table.o" "${link_static[@]}"
}
build_twice() {
  cc "${c[@]}" "${include[@]}" -c -o "$out/twice.o" tests/c/twice.c &&
    c++ -std=c++17 "${warnings[@]}" "${include[@]}" -o "$out/twice" tests/c/twice.cpp "$out/twice.o" "${link[@]}"
}

# --- what can be told without running -------------------------------------------------------------------------------

every_function_is_in_nulls_c() {
  local missing=0
  while read -r symbol; do
    grep -q "\b$symbol(" tests/c/nulls.c || { echo "nulls.c does not call $symbol"; missing=1; }
  done < tests/abi/symbols.txt
  return "$missing"
}
the_archive_has_these_symbols_only() {
  diff <(nm -g --defined-only "$stage/lib/libclerk_auth.a" | awk 'NF == 3 { print $3 }' | sort) tests/abi/symbols.txt
}
the_library_has_its_name_and_stays_mapped() {
  local dynamic
  dynamic=$(readelf -dW "$stage/lib/libclerk_auth.so")
  grep -q 'SONAME.*\[libclerk_auth\.so\.0\]$' <<< "$dynamic" && grep -q 'FLAGS_1.*NODELETE' <<< "$dynamic" &&
    grep -q 'FLAGS.*NOW' <<< "$dynamic" && ! grep -q 'RPATH\|RUNPATH' <<< "$dynamic" || { echo "$dynamic"; return 1; }
}
# A copy of the library whose own calls went through the dynamic linker could be bound to another copy's functions.
the_library_calls_its_own_functions() {
  ! readelf -rW "$stage/lib/libclerk_auth.so" | grep 'clerk_'
}
the_header_takes_no_other_names() {
  ! grep -nE '^#define [A-Za-z_0-9]+' "$stage/include/clerk_auth.h" | grep -v '#define CLERK_'
}

# --- running --------------------------------------------------------------------------------------------------------

t3_two_copies_opened_and_closed() {
  cc "${c[@]}" "${include[@]}" -o "$out/dlopen" tests/c/dlopen.c -ldl -lpthread
  cp "$stage/lib/libclerk_auth.so" "$out/libclerk_auth-copy.so"
  timeout 60 "$out/dlopen" "$stage/lib/libclerk_auth.so.0" "$out/libclerk_auth-copy.so"
}
linked_with_the_archive() {
  timeout 60 "$out/authenticate-static" && ! ldd "$out/authenticate-static" | grep clerk
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
  build_twice
  for name in every_function_is_in_nulls_c the_archive_has_these_symbols_only \
    the_library_has_its_name_and_stays_mapped the_library_calls_its_own_functions the_header_takes_no_other_names \
    t3_two_copies_opened_and_closed linked_with_the_archive; do
    check "${name//_/ }" "$name"
  done
  check "the header in two languages and twice" "$out/twice"
fi
for name in "${wanted[@]}"; do
  check "$name" timeout 60 "$out/$name"
done
for name in "${wanted[@]}"; do
  [[ " ${under_valgrind[*]} " != *" $name "* ]] || check "$name under valgrind" memcheck "$out/$name"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
