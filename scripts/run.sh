#!/usr/bin/env bash
# Starts the probe on real input and shows flows. `make run` builds first and then calls this.
#
#   IFACE=eth0        read this interface (net_af_packet; root or CAP_NET_RAW) instead of a generated recording
#   RUN_SECONDS=20    stop after so many seconds instead of at Ctrl-C
#   RUN_PPS=2000      packets a second of the recording
#   RUN_HUGE=no       use ordinary pages even where huge pages are
#   SONDE_API=...     where the gRPC API listens, default 127.0.0.1:4950
#   SONDE_INSTANCE=.. name of the probe, default demo
#   SONDE_BIN_DIR=..  where the programs are, default target/release
set -euo pipefail
cd "$(dirname "$0")/.."

instance=${SONDE_INSTANCE:-demo}
api=${SONDE_API:-127.0.0.1:4950}
bin=${SONDE_BIN_DIR:-${CARGO_TARGET_DIR:-target}/release}
home=$(mktemp -d "${TMPDIR:-/tmp}/sonde-run.XXXXXX")
# Started by root, the control plane becomes user sonde: that user passes through, and nobody else does.
if [ "$(id -u)" -eq 0 ] && getent group sonde >/dev/null; then
    chgrp sonde "$home" && chmod 710 "$home"
fi
export SONDE_RUN_DIR=$home/run SONDE_STATE_DIR=$home/state
unset SONDE_API SONDE_INSTANCE SONDE_PROFILE
dataplane='' controlplane='' tail='' pages_before='' shared=''

say() { echo "$*"; }
die() { echo "make run: $*" >&2; exit 1; }
alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

# Ends a process that this script started, and waits for it, at most a minute. Not by `wait`: where a signal came while a child ended,
# bash 5.2 may wait for ever for what it has already seen.
finish() {
    [ -n "$1" ] || return 0
    kill -TERM "$1" 2>/dev/null || return 0
    for _ in $(seq 1200); do
        alive "$1" || return 0
        sleep 0.05
    done
    kill -KILL "$1" 2>/dev/null || true
}

stop() {
    # Whoever reads may be gone: everything is stopped and put back all the same.
    set +e
    trap '' INT TERM
    finish "$tail"
    if alive "$dataplane" && alive "$controlplane"; then
        say
        "$bin/sonde" --api "$api" stats || true
    fi
    finish "$controlplane"
    if [ -n "$dataplane" ]; then
        finish "$dataplane"
        say
        sed -n '/^stopping/,$p' "$home/dataplane.log"
    fi
    if [ -n "$pages_before" ]; then
        echo "$pages_before" >/proc/sys/vm/nr_hugepages 2>/dev/null || true
    fi
    rm -rf "$home" ${shared:+"$shared"}
}
stopped=no
trap 'stopped=yes' INT TERM HUP
# A reader that has seen enough (`| head`) ends the run by an error of the next line, not by a signal that no trap sees.
trap '' PIPE
trap stop EXIT

# Waits until a program says it is ready, at most 60 seconds; shows what it said when it is not.
ready() { # pid log words
    for _ in $(seq 600); do
        grep -q "$3" "$2" && return 0
        [ "$stopped" = no ] || exit 130
        alive "$1" || break
        sleep 0.1
    done
    sed 's/^/  /' "$2" >&2
    return 1
}

# The port: an interface, or a recording of an office that is repeated.
port() {
    if [ -n "${IFACE:-}" ]; then
        [ -e "/sys/class/net/$IFACE" ] || die "there is no interface $IFACE; there are: $(ls /sys/class/net | tr '\n' ' ')"
        # Bit 13 of the effective capabilities is CAP_NET_RAW.
        if [ "$(id -u)" -ne 0 ] && (( (0x$(sed -n 's/^CapEff:\t//p' /proc/self/status) >> 13 & 1) == 0 )); then
            local file
            file=$(PATH=$PATH:/usr/sbin:/sbin getcap "$bin/sonde-dataplane" 2>/dev/null || true)
            [[ $file == *cap_net_raw* ]] || die "reading $IFACE needs root or CAP_NET_RAW:" \
                "\`sudo make run IFACE=$IFACE\`, or once \`sudo setcap cap_net_raw+ep $bin/sonde-dataplane\`"
        fi
        say "input: interface $IFACE, live"
        sets+=(--set "boot.ports[0].device=net_af_packet0,iface=$IFACE")
    else
        say "input: a recording of an office, made by sonde-traffic, repeated at ${RUN_PPS:-1000} packets a second (IFACE=eth0 reads an interface)"
        "$bin/sonde-traffic" --out "$home/office.pcap" --mix office --flows 3000 --seconds 60 >"$home/traffic.log" \
            || die "the recording could not be made in $home: see above"
        sets+=(--set "boot.ports[0].device=net_pcap0,rx_pcap=$home/office.pcap,infinite_rx=1" --set "boot.ports[0].pace_pps=${RUN_PPS:-1000}")
    fi
}

# Huge pages: those that are free, or as many more as the kernel lets root have. Without them it works, slower.
huge_pages() {
    local wanted=256 free total
    if [ "${RUN_HUGE:-yes}" = no ]; then
        sets+=(--set boot.eal.huge_pages=none)
        return
    fi
    free=$(sed -n 's/^HugePages_Free: *//p' /proc/meminfo)
    if [ "$(id -u)" -eq 0 ] && [ "${free:-0}" -lt "$wanted" ] && [ -w /proc/sys/vm/nr_hugepages ]; then
        total=$(cat /proc/sys/vm/nr_hugepages)
        if echo $((total + wanted - free)) 2>/dev/null >/proc/sys/vm/nr_hugepages; then
            pages_before=$total
            say "huge pages: asked the kernel for $((wanted - free)) more; it has $(cat /proc/sys/vm/nr_hugepages) now (put back at the end)"
        fi
    fi
}

for program in sonde sonde-dataplane sonde-controlplane sonde-traffic; do
    [ -x "$bin/$program" ] || die "$bin/$program is missing: \`make build\` makes it"
done
sets=(--set "boot.instance=$instance" --set live.timeouts.idle_timeout_ms=5000)
port
huge_pages

# Sessions of their own: Ctrl-C is for this script, which then stops them in order.
setsid "$bin/sonde-dataplane" --profile "${PROFILE:-virtual}" "${sets[@]}" </dev/null >"$home/dataplane.log" 2>&1 &
dataplane=$!
ready "$dataplane" "$home/dataplane.log" '^running: ' || { dataplane=''; die "the dataplane did not start: see above"; }
# From here on the folder is ours: a dataplane refuses one that is somebody else's.
shared=/dev/shm/sonde.$instance
sed -n '/^memory:/p;/^cores:/p;/^port /p;s/^privileges:/dataplane: &/p' "$home/dataplane.log"
NO_COLOR=1 setsid "$bin/sonde-controlplane" --instance "$instance" --api "$api" </dev/null >"$home/controlplane.log" 2>&1 &
controlplane=$!
ready "$controlplane" "$home/controlplane.log" 'the gRPC API is at ' || { controlplane=''; die "the control plane did not start: see above"; }
sed -n 's/.*\(privileges:.*\)/control plane: \1/p' "$home/controlplane.log"
api=$(sed -n 's/.*the gRPC API is at //p' "$home/controlplane.log" | head -n1)

cat <<END

The probe runs. Its gRPC API is at $api (reflection is on). Ask it from another terminal:
  $bin/sonde --api $api status
  $bin/sonde --api $api stats --watch
  $bin/sonde --api $api flows top --by address --watch
  grpcurl -plaintext $api list
  docs/api.md has a client in Python
Flows as they end (Ctrl-C stops the probe${RUN_SECONDS:+, and so do $RUN_SECONDS seconds}):

END
setsid "$bin/sonde" --api "$api" flows tail </dev/null &
tail=$!
clock=''
if [ -n "${RUN_SECONDS:-}" ]; then
    setsid sleep "$RUN_SECONDS" &
    clock=$!
fi
# A trap ends the wait; so does the end of any of them.
wait -n "$dataplane" "$controlplane" "$tail" ${clock:+"$clock"} || true
[ -z "$clock" ] || kill "$clock" 2>/dev/null || true
if [ "$stopped" = no ]; then
    alive "$dataplane" || { sed 's/^/  /' "$home/dataplane.log" >&2; dataplane=''; die "the dataplane ended: see above"; }
    alive "$controlplane" || { sed 's/^/  /' "$home/controlplane.log" >&2; controlplane=''; die "the control plane ended: see above"; }
fi
