#!/usr/bin/env bash
# Measures which lines of src/ the Rust and C tests run, those of the shared cache and of the user tables with real servers
# included. Fails below the minimum. Needs the rustup component llvm-tools, `make sim`, Redis, PostgreSQL and MariaDB;
# `cover.sh FILTER…` runs only the Rust tests that cargo selects with these arguments.
set -euo pipefail
cd "$(dirname "$0")/.."
# Build scripts look at these variables, which make sets for other targets.
unset PKG_CONFIG_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH
minimum=96.5
host=$(rustc -vV | sed -n 's/^host: //p')
tools=$(rustc --print sysroot)/lib/rustlib/$host/bin
[ -x "$tools/llvm-cov" ] || { echo 'llvm-cov is missing: rustup component add llvm-tools'; exit 1; }
out=$PWD/build/cover
rm -rf "$out"
mkdir -p "$out"
# Only this package is instrumented: dependencies are shared with other builds.
printf '#!/bin/sh\nexec "$@" -Cinstrument-coverage\n' > "$out/rustc"
chmod +x "$out/rustc"
export RUSTC_WORKSPACE_WRAPPER=$out/rustc LLVM_PROFILE_FILE=$out/%8m.profraw
# The report comes also when a test fails; the failure counts at the end.
tested=0
tests() { cargo test --jobs "${JOBS:-2}" -p clerk-auth --features mysql,postgres --no-fail-fast "$@" >> "$out/log" 2>&1 || tested=$?; }
tests "$@"
if [ $# -eq 0 ]; then
    tests --test scale -- --test-threads 2
    tests --test databases --no-run
    tests/scale/sql.sh > "$out/sql.log" 2>&1 || { tested=$?; tail -n 40 "$out/sql.log"; }
fi
sed -n '/^test result\|FAILED\|panicked/p' "$out/log"
if [ $# -eq 0 ]; then
    # The functions of the header are tested from C.
    cargo rustc --jobs "${JOBS:-2}" --lib --crate-type staticlib > "$out/archive.log" 2>&1 || { tail "$out/archive.log"; exit 1; }
    SANITIZE='' tests/c/sanitize.sh target/debug/libclerk_auth.a 2>&1 | tee "$out/c.log"
    # The recorded cases call the functions of the header, too.
    for recorded in verdicts:verdicts parity:seed_parity handshake:handshake; do
        cargo run --quiet --jobs "${JOBS:-2}" -p corpus-replay -- "${recorded%:*}" "tests/corpus/${recorded#*:}.json" | tail -n 1
    done
fi
"$tools/llvm-profdata" merge -sparse "$out"/*.profraw -o "$out/all.profdata"
mapfile -t binaries < <(sed -nE 's/^ *(Running|Executable) .*\((target.*)\)$/\2/p' "$out/log")
[ $# -gt 0 ] || for name in $(sed -n 's/^ok //p' "$out/c.log"); do binaries+=("build/instrumented/$name"); done
[ $# -gt 0 ] || binaries+=(target/debug/corpus-replay)
[ "${#binaries[@]}" -gt 0 ] || { tail "$out/log"; exit 1; }
# Each binary by itself: of functions that several binaries have compiled differently, llvm-cov would see only the first one.
ignored='(tests?/|tests\.rs|/registry/|/rustc/|/rustlib/|benches/|build\.rs)'
for binary in "${binaries[@]}"; do
    "$tools/llvm-cov" export -format=lcov "$binary" -instr-profile="$out/all.profdata" -ignore-filename-regex="$ignored" 2> /dev/null
done | awk -F '[:,]' -v root="$PWD/src/" '
    $1 == "SF" { file = index($2, root) ? substr($2, length(root) + 1) : "" }
    $1 == "DA" && file != "" { runs[file ":" $2] += $3 }
    END { for (line in runs) print line ":" (runs[line] > 0) }' | sort -t : -k 1,1 -k 2,2n > "$out/lines.txt"
awk -F : '{ all[$1]++; run[$1] += $3 } END { for (file in all) printf "%d %d %s\n", all[file] - run[file], all[file], file }' "$out/lines.txt" \
    | sort -rn > "$out/report.txt"
lines=$(awk '{ missed += $1; all += $2 } END { printf "%.2f", 100 * (all - missed) / all }' "$out/report.txt")
echo "lines covered: $lines % (minimum $minimum %), see build/cover: lines missed by file in report.txt, each line in lines.txt"
[ "$tested" -eq 0 ] || { echo 'tests failed'; exit 1; }
[ $# -gt 0 ] || awk -v is="$lines" -v minimum="$minimum" 'BEGIN { exit !(is >= minimum) }'
