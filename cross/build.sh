#!/bin/bash
# Builds toolgate for small devices without Docker. README.md beside this file says how and for which.
#
#   cross/build.sh TARGET... [--out DIR]     or `shipped`, or `all`, for TARGET
#   cross/build.sh --prepare                 only what needs root and the network
#
# The room it builds in is Debian trixie in a folder, whose rustc 1.85.1 and rust-src 1.85.1 match exactly and do not move:
# the standard library is built from source for each target, so no target needs a ready one. zig links and brings musl.
# Root makes the room, once; who builds needs none. Nothing is fetched from inside the room.
# shellcheck disable=SC1090,SC2016 # The targets' files are found by name; dollars in quotes are of the shell in the room.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
readonly HERE
readonly TOP=${HERE%/*}
readonly CACHE=${TOOLGATE_CROSS_DIR:-${CARGO_TARGET_DIR:-$TOP/target}/cross}
readonly ROOM=$CACHE/trixie
readonly ZIG=$CACHE/zig
readonly REGISTRY=${CARGO_HOME:-$HOME/.cargo}
OUT=$CACHE/out

say() { printf '\n-- %s\n' "$*"; }

fail() {
    printf 'cross/build.sh: %s\n' "$*" >&2
    exit 1
}

# shellcheck source=cross/debian.sh
. "$HERE/debian.sh"

# Debian's compiler and its matching source in a folder.
prepare_room() {
    local as_root=()
    [ -e "$ROOM/.ready" ] && return
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "the room is made by root: run 'cross/build.sh --prepare' as root once"
        as_root=(sudo)
    fi
    bootstrap trixie "$ROOM.part" rustc,cargo,rust-src,gcc,libc6-dev \
        "rustc 1.85.1 in $ROOM, 1.2 GB, one to three minutes" "${as_root[@]}"
    "${as_root[@]}" mkdir "$ROOM.part/mnt/source" "$ROOM.part/mnt/cargo" "$ROOM.part/mnt/zig" "$ROOM.part/mnt/cache"
    "${as_root[@]}" touch "$ROOM.part/.ready"
    "${as_root[@]}" mv "$ROOM.part" "$ROOM"
}

# zig and cargo-zigbuild from PyPI, as this machine's pip is set up to reach it.
prepare_zig() {
    local wanted
    wanted=$(cat "$HERE/zig.txt")
    [ -e "$ZIG/.ready" ] && [ "$(cat "$ZIG/.ready")" = "$wanted" ] && return
    needs python3 python3
    say "zig and cargo-zigbuild from PyPI into $ZIG: 95 MB"
    rm -rf "$ZIG"
    mkdir -p "$CACHE"
    python3 -m venv "$ZIG" || fail "python3 has no venv: apt-get install python3-venv"
    "$ZIG/bin/pip" install --quiet --require-hashes --only-binary :all: --requirement "$HERE/zig.txt" ||
        fail "pip cannot install cross/zig.txt: see above; 'pip config list' says where it looks"
    ln -s "$(cd "$ZIG" && echo lib/python3*/site-packages/ziglang)" "$ZIG/ziglang"
    printf '%s\n' "$wanted" >"$ZIG/.ready"
}

# Who has this done by sudo builds without it later. So all but the room becomes theirs: the folders, where builds work,
# what they give, and zig, which is another one when zig.txt changes. Crates in root's home would be of no use to them, and
# a build fetches them anyway.
prepare_by_sudo() {
    local user=${SUDO_UID:?} group=${SUDO_GID:?}
    setpriv --reuid="$user" --regid="$group" --clear-groups mkdir -p "$CACHE" 2>/dev/null || mkdir -p "$CACHE"
    prepare_room
    prepare_zig
    mkdir -p "$CACHE/work" "$CACHE/out"
    chown "$user:$group" "$CACHE"
    chown -R "$user:$group" "$CACHE/work" "$CACHE/out" "$ZIG"
}

# All crates, ours and the standard library's, by the machine's own cargo and its settings.
fetch() {
    needs cargo "cargo (1.85 or later), or see https://rustup.rs"
    (cd "$TOP" && cargo fetch --quiet --locked) ||
        fail "cargo, which must be 1.85 or later, cannot fetch the crates of Cargo.lock: see above"
    # The standard library's manifest speaks of unstable features.
    (cd / && RUSTC_BOOTSTRAP=1 cargo fetch --quiet --locked \
        --manifest-path "$ROOM/usr/lib/rustlib/src/rust/library/Cargo.toml") ||
        fail "cargo cannot fetch the crates of the standard library: see above"
}

# enter COMMAND...: runs it in the room, where the repository is read-only and all paths are the same on every machine.
enter() {
    local ids=()
    [ "$(id -u)" -eq 0 ] || ids=(--map-root-user)
    unshare "${ids[@]}" --mount --propagation private bash -euc '
        room=$1 source=$2 cargo=$3 zig=$4 cache=$5
        shift 5
        mount --rbind /proc "$room/proc"
        mount --rbind /dev "$room/dev"
        mount --bind "$source" "$room/mnt/source"
        mount -o remount,ro,bind "$room/mnt/source"
        mount --bind "$cargo" "$room/mnt/cargo"
        mount --bind "$zig" "$room/mnt/zig"
        mount --bind "$cache" "$room/mnt/cache"
        exec chroot "$room" "$@"
    ' enter "$ROOM" "$TOP" "$REGISTRY" "$ZIG" "$CACHE/work" "$@" ||
        fail "the build failed: see above (if 'unshare' is refused, run this as root)"
}

# build TARGET: cross/TARGET.conf says how. The standard library comes without its backtrace printer and without the
# text of panics: one ends the process at once, and the log does not say where. That is what 1 MiB costs. Runs of machine
# code that occur often are made functions of their own (the outliner): 28 KiB of armv6. Programs are linked to stand at one
# address; code that could stand at any would only be larger: 23 KiB of armv6, 9 of x86_64.
build() {
    local target=$1 flags made
    local boards rustflags script=small.ld
    [ -e "$HERE/$target.conf" ] || fail "there is no cross/$target.conf; there are: $(targets)"
    . "$HERE/$target.conf"
    say "$target: $boards"
    flags="-C link-self-contained=no -C relocation-model=static -C target-feature=+crt-static -C llvm-args=--enable-machine-outliner=always -C link-arg=-Wl,-T,/mnt/source/cross/$script $rustflags"
    mkdir -p "$CACHE/work/home" "$OUT/$target"
    # Builds share this folder, one at a time. In the room every checkout stands in the same place, so cargo, which goes by
    # the times of files, would take what another one's gave for ours.
    exec 9>"$CACHE/work/lock"
    flock 9
    if [ "$(cat "$CACHE/work/checkout" 2>/dev/null)" != "$TOP" ]; then
        rm -rf "$CACHE"/work/target/*/release/.fingerprint/toolgate-*
        printf '%s\n' "$TOP" >"$CACHE/work/checkout"
    fi
    enter env -i HOME=/mnt/cache/home PATH=/usr/bin:/bin:/mnt/zig/bin TERM="${TERM:-dumb}" \
        CARGO_HOME=/mnt/cargo CARGO_TARGET_DIR=/mnt/cache/target CARGO_ZIGBUILD_ZIG_PATH=/mnt/zig/ziglang/zig \
        RUSTC_BOOTSTRAP=1 RUSTC_WRAPPER=/mnt/source/cross/rustc.sh RUSTFLAGS="$flags" \
        cargo zigbuild --manifest-path /mnt/source/Cargo.toml --offline --locked --release --ignore-rust-version \
        --bin toolgate --target "$target" -Z build-std=std,panic_abort -Z build-std-features=panic_immediate_abort,optimize_for_size
    made=$CACHE/work/target/$target/release/toolgate
    cp "$made" "$OUT/$target/toolgate"
    exec 9>&-
    printf '%s: %d bytes in %s\n' "$target" "$(stat -c %s "$OUT/$target/toolgate")" "$OUT/$target/toolgate"
}

# targets [shipped]: what there is a file for.
targets() {
    local conf names=()
    for conf in "$HERE"/*.conf; do
        if [ "${1:-}" != shipped ] || grep -q '^shipped=yes' "$conf"; then
            names+=("$(basename "$conf" .conf)")
        fi
    done
    echo "${names[*]}"
}

main() {
    local wanted=() only_prepare=
    while [ $# -gt 0 ]; do
        case $1 in
        --out)
            OUT=${2:?--out wants a directory}
            shift
            ;;
        --prepare) only_prepare=1 ;;
        all) read -ra wanted <<<"$(targets)" ;;
        shipped) read -ra wanted <<<"$(targets shipped)" ;;
        -*) fail "unknown option $1" ;;
        *) wanted+=("$1") ;;
        esac
        shift
    done
    [ -n "$only_prepare" ] || [ "${#wanted[@]}" -gt 0 ] || fail "which target? all, shipped, or of: $(targets)"
    if [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_UID:-}" ] && [ "${#wanted[@]}" -eq 0 ]; then
        prepare_by_sudo
        return
    fi
    prepare_room
    prepare_zig
    fetch
    for target in "${wanted[@]}"; do
        build "$target"
    done
}

main "$@"
