#!/bin/bash
# Assembles an .ipk for OpenWrt up to 24.10 from a static program, without the SDK: the same bytes from the same program
# on every machine. README.md beside this file says how to install it. Prints the path of what it made.
#
#   packaging/openwrt/ipk.sh TARGET [BINARY] [--arch ARCHITECTURE] [--out DIR]
#
# TARGET is one of cross/; BINARY is what cross/build.sh made of it, unless named.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
readonly HERE
readonly TOP=${HERE%/*/*}
readonly BUILT=${TOOLGATE_CROSS_DIR:-${CARGO_TARGET_DIR:-$TOP/target}/cross}/out

WORK=$(mktemp -d)
readonly WORK
trap 'rm -rf "$WORK"' EXIT

fail() {
    printf 'packaging/openwrt/ipk.sh: %s\n' "$*" >&2
    exit 1
}

# OpenWrt names a package after the processor it is tuned for, a static program only after what it needs: so one program
# fits several. The first is the default. `opkg print-architecture` on the router says which one is asked for.
architectures() {
    case $1 in
    aarch64-unknown-linux-musl) echo aarch64_cortex-a53 aarch64_cortex-a72 aarch64_cortex-a76 aarch64_generic ;;
    arm-unknown-linux-musleabihf) echo arm_arm1176jzf-s_vfp ;;
    armv7-unknown-linux-musleabihf)
        echo arm_cortex-a7_neon-vfpv4 arm_cortex-a5_vfpv4 arm_cortex-a7_vfpv4 arm_cortex-a8_vfpv3 arm_cortex-a9_neon \
            arm_cortex-a9_vfpv3-d16 arm_cortex-a15_neon-vfpv4
        ;;
    mipsel-unknown-linux-musl) echo mipsel_24kc mipsel_74kc mipsel_24kc_24kf ;;
    riscv64gc-unknown-linux-musl) echo riscv64_riscv64 riscv64_generic ;;
    x86_64-unknown-linux-musl) echo x86_64 ;;
    *) return 1 ;;
    esac
}

# The number of TARGET's processor in the head of an ELF file.
machine() {
    case $1 in
    aarch64-*) echo 00b7 ;;
    arm*) echo 0028 ;;
    mipsel-*) echo 0008 ;;
    riscv64*) echo 00f3 ;;
    x86_64-*) echo 003e ;;
    esac
}

# judge TARGET BINARY: what would not start on the router is not packed.
judge() {
    local head
    [ -r "$2" ] || fail "$2 is not there: build it by cross/build.sh $1, or name another"
    head=$(od -An -tx2 --endian=little -j18 -N2 "$2" | tr -d ' ')
    [ "$head" = "$(machine "$1")" ] || fail "$2 is no program for $1"
    ! grep -aqE '/lib(64)?/ld(64)?[-.]' "$2" || fail "$2 needs a C library: cross/build.sh makes one that does not"
}

# The tree that the Makefile beside this file installs; test.sh holds the two together.
install_files() {
    local root=$1 binary=$2
    install -d -m 0755 "$root" "$root"/etc{,/config,/init.d,/uci-defaults} "$root"/lib{,/upgrade,/upgrade/keep.d} \
        "$root"/usr{,/bin,/share,/share/acl.d,/share/toolgate}
    install -m 0755 "$binary" "$root/usr/bin/toolgate"
    install -m 0755 "$HERE/files/toolgate.init" "$root/etc/init.d/toolgate"
    install -m 0600 "$HERE/files/toolgate.conf" "$root/etc/config/toolgate"
    install -m 0755 "$HERE/files/toolgate.defaults" "$root/etc/uci-defaults/toolgate"
    install -m 0644 "$HERE/files/toolgate.acl.json" "$root/usr/share/acl.d/toolgate.json"
    install -m 0644 "$HERE/files/toolgate-acting.acl.json" "$root/usr/share/toolgate/acl-acting.json"
    # What sysupgrade keeps beside the conffiles; the SDK makes this of those that are not in the package.
    printf '%s\n' /etc/toolgate/ /usr/share/acl.d/toolgate-acting.json >"$WORK/keep"
    install -m 0644 "$WORK/keep" "$root/lib/upgrade/keep.d/toolgate"
}

# script NAME FUNCTION: both are the ones of every OpenWrt package; the work is done by the router's own functions.
# shellcheck disable=SC2016 # What stands in single quotes is for the router's shell.
script() {
    {
        echo '#!/bin/sh'
        [ "$1" != postinst ] || echo '[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0'
        echo '[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0'
        echo '. ${IPKG_INSTROOT}/lib/functions.sh'
        echo "default_$1 \$0 \$@"
    } >"$WORK/control/$1"
    chmod 0755 "$WORK/control/$1"
}

# control ARCHITECTURE VERSION BYTES
control() {
    install -d -m 0755 "$WORK/control"
    cat >"$WORK/control/control" <<CONTROL
Package: toolgate
Version: $2
License: MIT OR Apache-2.0
Section: net
Require-User: toolgate=1789:toolgate=1789
SourceDateEpoch: $SOURCE_DATE_EPOCH
Architecture: $1
Installed-Size: $3
Description: Tool gateway for scripts, home automation and AI agents
CONTROL
    echo /etc/config/toolgate >"$WORK/control/conffiles"
    chmod 0644 "$WORK/control/control" "$WORK/control/conffiles"
    script postinst
    script prerm
}

# pack DIR MEMBER...: reproducibly, to stdout.
pack() {
    local dir=$1
    shift
    tar -C "$dir" --format=gnu --numeric-owner --owner=0 --group=0 --sort=name --mtime="@$SOURCE_DATE_EPOCH" -cf - "$@"
}

main() {
    local target='' binary='' arch='' out=$TOP/target/openwrt version package known
    while [ $# -gt 0 ]; do
        case $1 in
        --arch)
            arch=${2:?--arch wants an architecture of OpenWrt}
            shift
            ;;
        --out)
            out=${2:?--out wants a directory}
            shift
            ;;
        -*) fail "unknown option $1" ;;
        *) if [ -z "$target" ]; then target=$1; else binary=$1; fi ;;
        esac
        shift
    done
    known=$(architectures "$target") || fail "which target? aarch64-, arm(v7)-, mipsel-, riscv64gc- or x86_64-unknown-linux-musl…"
    binary=${binary:-$BUILT/$target/toolgate}
    judge "$target" "$binary"
    arch=${arch:-${known%% *}}
    case " $known " in
    *" $arch "*) ;;
    *) printf 'note: whether a program for %s runs on %s nobody has looked at; known are %s\n' "$target" "$arch" "$known" >&2 ;;
    esac
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$TOP" log -1 --format=%ct 2>/dev/null || echo 0)}
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$TOP/Cargo.toml")-r$(sed -n 's/^PKG_RELEASE:=//p' "$HERE/Makefile")
    umask 022
    install_files "$WORK/data" "$binary"
    pack "$WORK/data" . >"$WORK/data.tar"
    control "$arch" "$version" "$(stat -c %s "$WORK/data.tar")"
    gzip -n9 "$WORK/data.tar"
    pack "$WORK/control" . | gzip -n9 >"$WORK/control.tar.gz"
    echo 2.0 >"$WORK/debian-binary"
    mkdir -p "$out"
    package=$out/toolgate_${version}_$arch.ipk
    chmod 0644 "$WORK"/{debian-binary,data.tar.gz,control.tar.gz}
    pack "$WORK" ./debian-binary ./data.tar.gz ./control.tar.gz | gzip -n9 >"$package"
    printf '%s\n' "$package"
}

main "$@"
