#!/bin/bash
# Makes a Debian package of a program that cross/build.sh built.
#
#   packaging/debian/build.sh TARGET [BINARY] [--out DIR] [--version VERSION]     or `all` for TARGET
#   packaging/debian/build.sh --prepare                                           only cargo-deb
#
# The same program, sources and cargo-deb give the same bytes: every file is as old as the last commit, or as
# SOURCE_DATE_EPOCH says.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
readonly HERE
readonly TOP=${HERE%/packaging/debian}
readonly CACHE=${TOOLGATE_DEBIAN_DIR:-${CARGO_TARGET_DIR:-$TOP/target}/debian-room}
readonly CROSS=${TOOLGATE_CROSS_DIR:-${CARGO_TARGET_DIR:-$TOP/target}/cross}
readonly CARGO_DEB=3.8.0
OUT=$CACHE/out
WORK=$(mktemp -d)
readonly WORK
trap 'rm -rf "$WORK"' EXIT

fail() {
    printf 'packaging/debian/build.sh: %s\n' "$*" >&2
    exit 1
}

# One package for all 32-bit Raspberry Pis: theirs is the only armhf that still has ARMv6 machines, and the program for
# those runs on every ARMv7 too. It is a third larger, which nobody notices on a machine with Debian.
declare -A TARGETS=(
    [x86_64-unknown-linux-musl]=amd64
    [aarch64-unknown-linux-musl]=arm64
    [arm-unknown-linux-musleabihf]=armhf
)

# cargo-deb as its authors released it, by this machine's cargo. Without optimization and without a liblzma of its own: it
# is there sooner, and takes a second for a package all the same.
prepare() {
    [ -x "$CACHE/cargo-deb/$CARGO_DEB/bin/cargo-deb" ] && return
    command -v xz >/dev/null || fail "xz is missing: apt-get install xz-utils"
    mkdir -p "$CACHE"
    echo "-- cargo-deb $CARGO_DEB into $CACHE: one minute"
    # In a target directory of its own: the caller's may be set to build something else.
    cargo install cargo-deb --version "=$CARGO_DEB" --locked --debug --no-default-features --quiet \
        --root "$CACHE/cargo-deb/$CARGO_DEB" --target-dir "$WORK/target" ||
        fail "cargo cannot install cargo-deb $CARGO_DEB: see above"
}

# package TARGET BINARY: cargo-deb looks for the program where cargo would have put it.
package() {
    local target=$1 binary=$2 architecture=${TARGETS[$1]} version=() made
    [ -x "$binary" ] || fail "there is no $binary: run cross/build.sh $target"
    mkdir -p "$WORK/target/$target/release" "$OUT"
    cp "$binary" "$WORK/target/$target/release/toolgate"
    [ -z "$VERSION" ] || version=(--deb-version "$VERSION")
    (cd "$TOP" && CARGO_TARGET_DIR=$WORK/target "$CACHE/cargo-deb/$CARGO_DEB/bin/cargo-deb" --quiet --no-build --no-strip \
        --locked --offline --target "$target" --output "$WORK/$architecture/" "${version[@]}") >/dev/null
    made=$(echo "$WORK/$architecture"/toolgate_*_*.deb)
    # It knows the name of this target's processor, and Debian's name must be that one.
    case $made in
    *_"$architecture".deb) ;;
    *) fail "$target became $made" ;;
    esac
    # One of each: what tests and publishes them takes all that is there.
    rm -f "$OUT"/toolgate_*_"$architecture".deb
    mv "$made" "$OUT/"
    printf '%s: %d bytes in %s\n' "$target" "$(stat -c %s "$OUT/${made##*/}")" "$OUT/${made##*/}"
}

main() {
    local wanted=() binary='' only_prepare='' target
    VERSION=
    while [ $# -gt 0 ]; do
        case $1 in
        --out)
            OUT=${2:?--out wants a directory}
            shift
            ;;
        --version)
            VERSION=${2:?--version wants a version}
            shift
            ;;
        --prepare) only_prepare=1 ;;
        all) wanted=("${!TARGETS[@]}") ;;
        -*) fail "unknown option $1" ;;
        *)
            if [ "${#wanted[@]}" -eq 0 ]; then
                [ -n "${TARGETS[$1]-}" ] || fail "no package is made for $1, but for: ${!TARGETS[*]}"
                wanted=("$1")
            else
                binary=$1
            fi
            ;;
        esac
        shift
    done
    [ -n "$only_prepare" ] || [ "${#wanted[@]}" -gt 0 ] || fail "which target? all, or of: ${!TARGETS[*]}"
    prepare
    export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$TOP" log -1 --format=%ct 2>/dev/null || stat -c %Y "$TOP/Cargo.lock")}
    for target in "${wanted[@]}"; do
        package "$target" "$(realpath -m "${binary:-$CROSS/out/$target/toolgate}")"
    done
}

main "$@"
