#!/usr/bin/env bash
# Builds and tests Sonde on several Debian releases, each in a root of its own made by debootstrap. `make matrix` calls this, as root.
#
#   scripts/matrix.sh [RELEASE[=build|test] ...]     default: bookworm=test trixie=test sid=build
#
#   SONDE_MATRIX_DIR=/var/tmp/sonde-matrix   where the roots are kept, some 8 GiB each; a second run finds the packages and objects there
#   SONDE_MATRIX_MIRROR=http://deb.debian.org/debian
#
# Each release runs in a mount and process namespace: /proc, /sys and /dev are mounted in it, /dev/shm and /run are its own, and all of
# it is gone when the script ends. Rust is this machine's, by its rustup. A corpus beside the project is there too, read-only.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${SONDE_MATRIX_DIR:-/var/tmp/sonde-matrix}
mirror=${SONDE_MATRIX_MIRROR:-http://deb.debian.org/debian}
releases=("$@")
[ ${#releases[@]} -gt 0 ] || releases=(bookworm=test trixie=test sid=build)

die() { echo "make matrix: $*" >&2; exit 1; }

# Says everything that is missing at once.
missing=()
[ "$(id -u)" -eq 0 ] || missing+=("root: \`sudo make matrix\` (it mounts and changes roots)")
for command in debootstrap unshare tar; do
    command -v "$command" >/dev/null || missing+=("$command: apt-get install debootstrap util-linux tar")
done
cargo_home=${CARGO_HOME:-$HOME/.cargo}
rustup_home=${RUSTUP_HOME:-$HOME/.rustup}
[ -x "$cargo_home/bin/cargo" ] && [ -d "$rustup_home" ] || missing+=("Rust by rustup in $cargo_home and $rustup_home: https://rustup.rs")
if [ ${#missing[@]} -gt 0 ]; then
    printf 'make matrix: missing: %s\n' "${missing[@]}" >&2
    exit 1
fi
for release in "${releases[@]}"; do
    case "${release#*=}" in build | test) ;; *) die "$release: after the release comes =build or =test" ;; esac
    [[ "${release%%=*}" =~ ^[a-z]+$ ]] || die "${release%%=*}: a release is a Debian code name, such as trixie"
done
install -d -m 0755 "$dir"
[ "$(stat -c %u "$dir")" -eq 0 ] || die "$dir belongs to another user: choose another SONDE_MATRIX_DIR"

# A root with the release's base system; made once.
make_root() { # release root
    [ -e "$2/.made" ] && return
    rm -rf --one-file-system "$2"
    local plan=/usr/share/debootstrap/scripts/$1 script=()
    # Every release since 2005 is made alike; a debootstrap that is older than the release does not know its name yet.
    [ -e "$plan" ] || script=("/usr/share/debootstrap/scripts/sid")
    debootstrap --variant=minbase --include=ca-certificates,make "$1" "$2" "$mirror" "${script[@]}" || return
    touch "$2/.made"
}

# The project as it stands here, without what git ignores, over what an earlier run left: objects stay.
copy_project() { # root
    local source=$1/src/sonde
    mkdir -p "$source"
    find "$source" -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf {} +
    git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
        [ -e "$file" ] && printf '%s\0' "$file"
    done | tar --null --no-recursion -T - -cf - | tar -xf - -C "$source"
}

# Runs inside the new namespaces: mounts, then `make` in the root.
inside() { # root goal
    local root=$1 corpus=${SONDE_CORPUS:-../shared/corpus} certificate
    mount --make-rprivate /
    # A mount point of its own: `ip netns` changes how "/" is shared, which only a mount point can.
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    mount -t tmpfs -o mode=0755 tmpfs "$root/run"
    mkdir -p "$root/opt/cargo" "$root/opt/rustup" "$root/corpus"
    mount --bind "$cargo_home" "$root/opt/cargo"
    mount --bind -o ro "$rustup_home" "$root/opt/rustup"
    [ ! -d "$corpus" ] || mount --bind -o ro "$corpus" "$root/corpus"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    # The authorities that this machine was told to trust, for registries behind a company's proxy.
    for certificate in /usr/local/share/ca-certificates/*.crt; do
        [ ! -e "$certificate" ] || cp "$certificate" "$root/usr/local/share/ca-certificates/"
    done
    exec chroot "$root" /usr/bin/env -i \
        HOME=/root TERM=dumb LANG=C.UTF-8 PATH=/opt/cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin CARGO_HOME=/opt/cargo RUSTUP_HOME=/opt/rustup \
        CARGO_INCREMENTAL=0 SONDE_CORPUS=/corpus ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        /bin/sh -c 'update-ca-certificates >/dev/null 2>&1; apt-get update -q >/dev/null; cd /src/sonde && exec make "$0"' "$2"
}
if [ "${SONDE_MATRIX_INSIDE:-}" = yes ]; then
    inside "$dir/${releases[0]%%=*}" "${releases[0]#*=}"
fi

rows=() failed=no
for release in "${releases[@]}"; do
    name=${release%%=*} goal=${release#*=} started=$SECONDS
    root=$dir/$name log=$dir/$name.log
    echo "$name: make $goal; what it prints goes to $log"
    outcome=passed
    if ! make_root "$name" "$root" >"$log" 2>&1; then
        outcome="no root could be made"
    elif ! { copy_project "$root" && SONDE_MATRIX_INSIDE=yes unshare --mount --pid --fork --kill-child -- \
        scripts/matrix.sh "$release" </dev/null; } >>"$log" 2>&1; then
        outcome=failed
    fi
    if [ "$outcome" != passed ]; then
        failed=yes
        tail -n 20 "$log" | sed "s/^/  /" >&2
    fi
    version=$(cat "$root/etc/debian_version" 2>/dev/null || echo -)
    dpdk=$(chroot "$root" dpkg-query -W -f '${Version}' libdpdk-dev 2>/dev/null || echo -)
    tests=$({ grep -h '^test result:' "$log" || true; } | awk '{ passed += $4; failed += $6 } END { if (NR) printf "%d passed, %d failed", passed, failed; else print "-" }')
    rows+=("| $name ($version) | $dpdk | \`make $goal\` | $outcome | $tests | $((SECONDS - started)) s |")
done

printf '\n| Debian | DPDK | what ran | result | tests | took |\n|---|---|---|---|---|---|\n'
printf '%s\n' "${rows[@]}"
[ "$failed" = no ]
