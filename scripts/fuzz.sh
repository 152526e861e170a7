#!/usr/bin/env bash
# Runs fuzz targets: `scripts/fuzz.sh SECONDS [TARGET…]`, all of them by default. Findings are left in build/fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift
binary=$(scripts/fuzz-build.sh)
out=build/fuzz
mkdir -p "$out/findings"
rm -rf "$out/seeds"
FUZZ_SEEDS=$out/seeds "$binary" -runs=0 > "$out/log" 2>&1 || { cat "$out/log"; exit 1; }
FUZZ_LIST=1 "$binary" -runs=0 2> /dev/null > "$out/targets"
[ $# -gt 0 ] || mapfile -t wanted < <(cut -d' ' -f1 "$out/targets")
[ $# -eq 0 ] || wanted=("$@")
failed=0
for target in "${wanted[@]}"; do
    max_len=$(sed -n "s/^$target //p" "$out/targets")
    [ -n "$max_len" ] || { echo "no target is named $target"; exit 1; }
    mkdir -p "$out/corpus/$target"
    dictionary=()
    [ ! -s "$out/seeds/$target.dict" ] || dictionary=("-dict=$out/seeds/$target.dict")
    log=$out/$target.log
    # The time limit of libFuzzer catches what never ends; the target itself measures what is slow.
    if ! FUZZ_TARGET=$target "$binary" "$out/corpus/$target" "$out/seeds/$target" \
        "${dictionary[@]}" -max_len="$max_len" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=2048 -artifact_prefix="$out/findings/$target-" \
        -print_final_stats=1 -verbosity=1 > "$log" 2>&1; then
        failed=1
        echo "$target: FOUND something, see $log"
        grep -a -m 1 -A 3 'panicked at\|ERROR: ' "$log" || tail -n 20 "$log"
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(grep -a -o 'cov: [0-9]*' "$log" | tail -n 1 || true)
    printf '%-16s %9s runs  %s\n' "$target" "${runs:-?}" "${edges:-}"
done
exit $failed
