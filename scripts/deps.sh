#!/usr/bin/env bash
# Installs what is missing: Debian packages (`deps.sh build` for building and running, `deps.sh test` for the tests too), and the user
# the control plane runs as when root starts it. Quick when everything is there: one question to dpkg.
set -euo pipefail

die() { echo "$*" >&2; exit 1; }

# A user without a password, a login or a home. Only root needs it: what a user starts runs as that user.
if [ "$(id -u)" -eq 0 ] && ! getent passwd sonde >/dev/null; then
    echo "making the user sonde, as which the control plane runs"
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin \
        --comment 'Sonde control plane' sonde || die "the user sonde could not be made: see above"
fi

# Rust comes from rustup: Debian 12's own is too old. The version is the workspace's `rust-version`.
rust_needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
command -v cargo >/dev/null && command -v rustc >/dev/null \
    || die "cargo is missing: install Rust $rust_needed or later (https://rustup.rs), open a new shell, and try again"
rust_found=$(rustc --version | cut -d' ' -f2)
[ "$(printf '%s\n' "$rust_needed" "${rust_found%%-*}" | sort -V | head -n1)" = "$rust_needed" ] \
    || die "Rust $rust_found is too old: Sonde needs $rust_needed or later; try \`rustup update stable\`"

# What each is for: DPDK and its headers; bindgen's libclang; the C shim; protoc and the well-known types; setsid, ip.
packages=(libdpdk-dev clang libclang-dev gcc libc6-dev pkg-config libpcap-dev protobuf-compiler libprotobuf-dev util-linux iproute2)
# Decoders that nobody here wrote, the meters Sonde is compared with, a client in another language, and kill(1).
[ "${1:-build}" = test ] && packages+=(tshark nfdump softflowd git python3 python3-venv procps)

missing=()
known=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
for package in "${packages[@]}"; do
    grep -qx "$package installed" <<<"$known" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || {
    # On another system the same things have other names; what is there is used.
    pkg-config --atleast-version=22.11 libdpdk 2>/dev/null && command -v protoc >/dev/null && exit 0
    die "this is not Debian: install DPDK 22.11 or later with headers, clang and libclang, pkg-config, libpcap and protoc, and try again"
}

sudo=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "these packages are missing; as root: apt-get install ${missing[*]}"
    sudo=(sudo)
fi
echo "installing: ${missing[*]}"
"${sudo[@]}" apt-get update -q || echo "the package lists could not be renewed; trying with those there are" >&2
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" \
    || die "the packages above could not be installed: see what apt-get said"
