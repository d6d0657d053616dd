#!/usr/bin/env bash
# The speed table: the whole journey, memory, recordings against other meters. `make bench` calls it.
#
#   scripts/bench.sh SECONDS   seconds of CPU time for each figure of the journey, in three runs (default 60)
#   BENCH_DIR=..               where the recordings are made, some 700 MB; default a directory of its own in TMPDIR
#   BENCH_PACKETS=5000000      packets of a recording
#   SONDE_BIN_DIR=..           where the programs are, default target/release (built if they are not there)
#
# A figure is the best of three runs, its median behind it: whatever else the machine does can only make a run slower. The runs of the
# rows take turns. Reserve huge pages first if you can: echo 2048 > /proc/sys/vm/nr_hugepages.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
bin=${SONDE_BIN_DIR:-${CARGO_TARGET_DIR:-target}/release}
run=$((seconds < 3 ? 1 : seconds / 3))
rounds='1 2 3'
packets=${BENCH_PACKETS:-5000000}

die() { echo "bench: $*" >&2; exit 1; }
[[ $seconds =~ ^[0-9]+$ ]] && [ "$seconds" -gt 0 ] || die "seconds are a whole number from 1 on; found \"$1\""

if [ -z "${SONDE_BIN_DIR:-}" ]; then
    "${CARGO:-cargo}" build --quiet --release -p sonde-dataplane -p sonde-controlplane -p sonde-tests --bins
fi
for program in sonde sonde-dataplane sonde-traffic; do
    [ -x "$bin/$program" ] || die "$bin/$program is missing: build it with \`cargo build --release --workspace --bins\`"
done

if [ -n "${BENCH_DIR:-}" ]; then
    home=$BENCH_DIR
    mkdir -p "$home"
else
    home=$(mktemp -d "${TMPDIR:-/tmp}/sonde-bench.XXXXXX")
fi
work=$home/work.$$
mkdir -p "$work"
trap 'rm -rf "$work"; [ -n "${BENCH_DIR:-}" ] || rm -rf "$home"' EXIT

# One number of a JSON object on standard input.
number() { sed -nE "s/.*\"$1\":(-?[0-9.e+-]+).*/\1/p"; }
best() { sort -g "$1" | tail -n 1; }
median() { sort -g "$1" | sed -n "$(((($(wc -l <"$1")) + 1) / 2))p"; }
round() { awk -v n="$1" -v digits="${2:-1}" 'BEGIN { printf "%.*f", digits, n }'; }
quotient() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", (b > 0 ? a / b : 0) }'; }

# User and system time of a command, in seconds; what it prints is thrown away unless it fails.
cpu_seconds() {
    local TIMEFORMAT='%U %S' spent
    spent=$({ time timeout 900 "$@" </dev/null >"$work/printed" 2>&1; } 2>&1) || { cat "$work/printed" >&2; die "this failed: $*"; }
    awk '{ print $1 + $2 }' <<<"$spent"
}

# The first four without anything beside the entries, as the limits are; the others with all default fields.
journeys=(flows-65536 flows-1000000 flows-8000000 flood fields-1000000 fields-flood tcp connections vxlan)
# The same packets with other headers.
links=(ethernet vlan qinq mpls pppoe ipv6 ipv6-vlan)
journeys+=("${links[@]/#/link-}")
arguments() {
    case $1 in
        flood) echo --flood --fields plain ;;
        flows-*) echo "--flows ${1#flows-} --fields plain" ;;
        fields-flood) echo --flood ;;
        fields-*) echo "--flows ${1#fields-}" ;;
        tcp | connections) echo "--flows 200000 --traffic $1" ;;
        link-ipv6) echo "--flows 100000 --fields plain --ipv6" ;;
        link-ipv6-*) echo "--flows 100000 --fields plain --ipv6 --behind ${1#link-ipv6-}" ;;
        link-*) echo "--flows 100000 --fields plain --behind ${1#link-}" ;;
        vxlan) echo "--flows 200000 --traffic vxlan --size imix" ;;
    esac
}

cores=$(nproc)
echo "bench: the whole journey, ${run} s a run" >&2
for _ in $rounds; do
    for row in "${journeys[@]}"; do
        # shellcheck disable=SC2046
        "$bin/sonde-dataplane" bench $(arguments "$row") --seconds "$run" --json >"$work/json"
        number mpps <"$work/json" >>"$work/$row"
        cp "$work/json" "$work/$row.json"
        grep -q '"packets_balance":true.*"records_balance":true' "$work/json" || die "packets or records are missing: $(cat "$work/json")"
    done
    if [ "$cores" -ge 2 ]; then
        "$bin/sonde-dataplane" bench --flows 1000000 --fields plain --workers 2 --seconds "$run" --json | number ratio >>"$work/ratio"
    fi
done
"$bin/sonde-dataplane" bench --flows 16777216 --fields plain --seconds 1 --json >"$work/memory.json"

echo "bench: recordings of $packets packets, against softflowd and nfpcapd" >&2
for flows in 1000000 100000; do
    file=$home/udp-$flows.pcap
    [ -s "$file" ] || "$bin/sonde-traffic" --mix udp --flows "$flows" --packets "$packets" --size 64 --out "$file" >"$work/made"
    # Once into memory, so that nobody waits for the disk.
    cat "$file" >/dev/null
    for _ in $rounds; do
        cpu_seconds "$bin/sonde" replay "$file" --format ipfix --out "$work/flows.ipfix" >>"$work/sonde-$flows"
        # Without a collector: it need not send.
        ! command -v softflowd >/dev/null || cpu_seconds softflowd -d -r "$file" -m $((flows * 2)) -p "$work/pid" -c none \
            >>"$work/softflowd-$flows"
        rm -rf "$work/nfpcapd"
        mkdir "$work/nfpcapd"
        ! command -v nfpcapd >/dev/null || cpu_seconds nfpcapd -r "$file" -B $((flows * 2)) -w "$work/nfpcapd" >>"$work/nfpcapd-$flows"
    done
done

# What is said of a figure that has a best and a median.
figure() { echo "**$(round "$(best "$1")")** ($(round "$(median "$1")"))"; }
# Seconds: the least is the best.
least() { sort -g "$1" | head -n 1; }
against() {
    local peer=$work/$1-$2 ours=$work/sonde-$2
    [ -s "$peer" ] && echo "$1 $(quotient "$(least "$peer")" "$(least "$ours")")x" || echo "$1 is not installed"
}
rates() {
    local name comma=
    for name in sonde softflowd nfpcapd; do
        [ -s "$work/$name-$1" ] || continue
        printf '%s%s %s' "$comma" "$name" "$(quotient "$(awk -v p="$packets" 'BEGIN { print p / 1e6 }')" "$(least "$work/$name-$1")")"
        comma=', '
    done
}
gib() { awk -v bytes="$1" 'BEGIN { printf "%.2f GiB", bytes / 2 ^ 30 }'; }
stages() {
    local name comma=
    for name in source decode track emit; do
        printf '%s%s %s' "$comma" "$name" "$(round "$(number "${name}_ns" <"$work/$1.json")")"
        comma=', '
    done
}

echo
echo "$(sed -nE 's/^model name\s*: //p' /proc/cpuinfo | head -n 1), $cores cores, $(sed -nE 's/.*"simd":"([a-z0-9]+)".*/\1/p' "$work/flood.json")," \
    "tables in $(sed -nE 's/.*"memory":"([a-z]+)".*/\1/p' "$work/flows-1000000.json") pages, load $(cut -d' ' -f1 /proc/loadavg), $(date -u +%F)"
echo
echo "| work | limit | reach | then aim at | best (median) of three | ns a packet, last run |"
echo "|---|---|---|---|---|---|"
echo "| 64 B UDP, 64k flows, Mpps | 45 | 28 | 35 | $(figure "$work/flows-65536") | $(stages flows-65536) |"
echo "| 64 B UDP, 1M flows at random, Mpps | 36 | 18 | 25 | $(figure "$work/flows-1000000") | $(stages flows-1000000) |"
echo "| 64 B UDP, 8M flows at random, Mpps | 30 | 12 | 18 | $(figure "$work/flows-8000000") | $(stages flows-8000000) |"
echo "| SYN flood, table full, Mpps | 14-17 | 8 | 12 | $(figure "$work/flood") | $(stages flood) |"
echo "| memory during the flood | flat | flat | | $(gib "$(number resident_before <"$work/flood.json")") before," \
    "$(gib "$(number resident_after <"$work/flood.json")") after | |"
echo "| 16M flows in the table | 2.2 GB | 3.5 GiB | | **$(gib "$(number table_bytes <"$work/memory.json")")** for" \
    "$(number flows_active <"$work/memory.json") flows | |"
echo "| replay, 1M flows, packets a CPU second | I/O | 8x | 15x | **$(against softflowd 1000000), $(against nfpcapd 1000000)** |" \
    "M/s: $(rates 1000000) |"
echo "| replay, 100k flows, packets a CPU second | I/O | 4x | 6x | **$(against softflowd 100000), $(against nfpcapd 100000)** |" \
    "M/s: $(rates 100000) |"
share() { awk -v a="$(best "$work/$1")" -v b="$(best "$work/$2")" 'BEGIN { printf "%.0f %%", 100 * a / b }'; }
echo "| all default fields: 64 B UDP, 1M flows, Mpps | | 90 % of those without | | $(figure "$work/fields-1000000"), $(share fields-1000000 flows-1000000) |" \
    "$(stages fields-1000000) |"
echo "| all default fields: SYN flood, table full, Mpps | 14-17 | | | $(figure "$work/fields-flood"), $(share fields-flood flood) | $(stages fields-flood) |"
echo "| TCP that goes on, IMIX, 200k flows, all performance, Mpps | 29 | 14 | | $(figure "$work/tcp") | $(stages tcp) |"
echo "| TCP connections of 24 segments, IMIX, 200k at a time, Mpps | | | | $(figure "$work/connections") | $(stages connections) |"
for row in "${links[@]:1}"; do
    reach='80 %'
    [[ $row != ipv6* ]] || reach='60 %'
    [ "$row" != pppoe ] || reach='50 %'
    echo "| 64 B UDP, 100k flows, $row, Mpps | | $reach of untagged IPv4 | | $(figure "$work/link-$row"), $(share "link-$row" link-ethernet) |" \
        "$(stages "link-$row") |"
done
echo "| VXLAN around IMIX, 200k flows, Mpps | | 10 | | $(figure "$work/vxlan") | $(stages vxlan) |"
if [ -s "$work/ratio" ]; then
    echo "| two workers against one, 1M flows | 2.0 | 1.8 | 1.95 | **$(round "$(best "$work/ratio")" 2)** ($(round "$(median "$work/ratio")" 2)) | no exporter |"
fi
