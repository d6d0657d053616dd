#!/usr/bin/env bash
# Fuzzes every parser of foreign bytes with libFuzzer: `fuzz.sh SECONDS [TARGET...]`, an equal share of the seconds for each target.
# What is found is named, with the command that shows it again, and the script fails.
#
#   FUZZ_DIR=...    where the corpus and the finds are kept, default tests/fuzz/corpus and tests/fuzz/artifacts
#
# Stable Rust is enough: the instrumentation is LLVM's own pass, and libfuzzer-sys builds the run time with clang++.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: the seconds must be a whole number above 0; found \"$seconds\"" >&2; exit 2; }
fuzz=tests/fuzz
corpus=${FUZZ_DIR:-$fuzz}/corpus
artifacts=${FUZZ_DIR:-$fuzz}/artifacts
mapfile -t known < <(for file in "$fuzz"/src/bin/*.rs; do name=$(basename "$file" .rs); [ "$name" = seeds ] || echo "$name"; done)
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${known[@]}")
for target in "${targets[@]}"; do
    printf '%s\n' "${known[@]}" | grep -qx -- "$target" || { echo "fuzz: there is no target \"$target\"; there are: ${known[*]}" >&2; exit 2; }
done

# A target triple of its own keeps the instrumentation away from build scripts, which have no run time to link to.
triple=$(rustc -vV | sed -n 's/^host: //p')
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
built=${CARGO_TARGET_DIR:+$CARGO_TARGET_DIR/fuzz}
built=${built:-$fuzz/target}
echo "building ${#targets[@]} instrumented targets"
CXX=${CXX:-clang++} RUSTFLAGS="${RUSTFLAGS:-} $flags" CARGO_TARGET_DIR=$built \
    cargo build --quiet --release --manifest-path "$fuzz/Cargo.toml" --target "$triple" --bins
bin=$built/$triple/release

# `seeds` has no fuzzer's main: it is not started by one, but it is instrumented, and its inputs are the same each time.
"$bin/seeds" "$corpus"
mkdir -p "$artifacts"

share=$((seconds / ${#targets[@]}))
[ "$share" -ge 1 ] || share=1
found=0
for target in "${targets[@]}"; do
    mkdir -p "$corpus/$target" "$artifacts/$target"
    log=$artifacts/$target.log
    places=("$corpus/$target")
    [ ! -d "$fuzz/found/$target" ] || places+=("$fuzz/found/$target")
    "$bin/$target" "${places[@]}" -max_total_time="$share" -artifact_prefix="$artifacts/$target/" -timeout=10 -rss_limit_mb=4096 \
        -max_len=20000 -print_final_stats=1 >"$log" 2>&1 &
    pid=$!
    trap 'kill "$pid" 2>/dev/null || true' EXIT
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        # libFuzzer's line, "#1234 REDUCE cov: 800 ft: 2100 corp: 300/20Kb exec/s: 5000", in short.
        now=$(grep -aoE '^#[0-9]+.*cov: [0-9]+|exec/s: [0-9]+' "$log" | tail -n2 | tr '\n' ' ' | tr -s ' \t' ' ' || true)
        [ ! -t 1 ] || printf '\r\033[K%-9s %s' "$target" "$now"
    done
    status=0
    wait "$pid" || status=$?
    trap - EXIT
    [ ! -t 1 ] || printf '\r\033[K'
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(grep -aoE 'cov: [0-9]+' "$log" | tail -n1 || true)
    if [ "$status" -eq 0 ]; then
        printf '%-9s %s runs in %s s, %s: nothing found\n' "$target" "${runs:-?}" "$share" "${coverage:-cov: ?}"
    else
        found=$((found + 1))
        find=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n1)
        printf '%-9s FOUND: %s\n' "$target" "${find:-no input was written}" >&2
        grep -aE 'panicked at|ERROR: libFuzzer|^  (left|right):' -A1 "$log" | sed 's/^/          /' | head -n 12 >&2
        echo "          again: $bin/$target ${find:-}" >&2
        echo "          mend it, then keep the input: mkdir -p $fuzz/found/$target && cp ${find:-INPUT} $fuzz/found/$target/" >&2
    fi
done
[ "$found" -eq 0 ] || { echo "fuzz: $found of ${#targets[@]} targets found something" >&2; exit 1; }
