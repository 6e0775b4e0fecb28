#!/bin/bash
# Shows that test.sh refuses what it must: after `build.sh all`, programs of the wrong kind are given to it. And that the
# processors which it names to the emulator do not know newer ones' instructions.
# shellcheck disable=SC1090,SC2016,SC2154 # The targets' files are found by name; dollars in quotes are assembly.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
readonly HERE
readonly CACHE=${TOOLGATE_CROSS_DIR:-${CARGO_TARGET_DIR:-${HERE%/*}/target}/cross}
WORK=$(mktemp -d)
readonly WORK
trap 'rm -rf "$WORK"' EXIT
refused=0

fail() {
    printf 'cross/refuse.sh: %s\n' "$*" >&2
    exit 1
}

built() { echo "$CACHE/out/$1/toolgate"; }

# refuses TARGET WORDS FILE: test.sh says no, and why.
refuses() {
    local said status=0
    said=$("$HERE/test.sh" "$1" --look "$3" 2>&1) || status=$?
    if [ "$status" -eq 0 ] || [[ $said != *"$2"* ]]; then
        fail "as $1, ${3#"$CACHE/out/"} gives $status and: $said"
    fi
    refused=$((refused + 1))
}

# makes NAME TRIPLE CPU LINES EXIT: a program of one instruction, in as many lines as it takes, which then ends well.
makes() {
    printf '.global _start\n.global __start\n_start:\n__start:\n%b\n%s\n' "$4" "$5" >"$WORK/$1.s"
    export ZIG_GLOBAL_CACHE_DIR=$WORK/zig
    "$CACHE/zig/ziglang/zig" cc -target "$2" -mcpu="$3" -c -o "$WORK/$1.o" "$WORK/$1.s" || fail "zig cannot assemble for $3"
    "$CACHE/zig/ziglang/zig" ld.lld -o "$WORK/$1" "$WORK/$1.o" || fail "zig cannot link for $3"
}

# ends TARGET FILE EMULATOR: it runs on that processor, and SIGILL ends it on the one that test.sh takes.
ends() {
    local status=0
    (
        ulimit -c 0
        # Of all that the file says only this is wanted.
        emulator=$(. "$HERE/$1.conf" && echo "$emulator")
        $3 "$2" --version >/dev/null || exit 1
        $emulator "$2" --version >/dev/null 2>&1 || exit "$?"
    ) 2>/dev/null || status=$?
    # 128 and the signal's number.
    [ "$status" -eq 132 ] || fail "on the processor of $1, $2 ends with $status"
    refused=$((refused + 1))
}

main() {
    local x86_exit='mov $60, %eax; xor %edi, %edi; syscall' arm_exit='mov x8, #93; mov x0, #0; svc #0'
    local riscv_exit='li a7, 93; li a0, 0; ecall' target

    refuses arm-unknown-linux-musleabihf "no 'Tag_CPU_arch: v6'" "$(built armv7-unknown-linux-musleabihf)"
    refuses armv7-unknown-linux-musleabihf "no 'Tag_CPU_arch: v7'" "$(built arm-unknown-linux-musleabihf)"
    refuses aarch64-unknown-linux-musl "no 'Machine: .*AArch64'" "$(built x86_64-unknown-linux-musl)"
    refuses riscv64gc-unknown-linux-musl "no 'Machine: .*RISC-V'" "$(built aarch64-unknown-linux-musl)"
    refuses mips-unknown-linux-musl "no 'Data: .*big endian'" "$(built mipsel-unknown-linux-musl)"
    refuses mipsel-unknown-linux-musl "no 'Class: *ELF32'" "$(built riscv64gc-unknown-linux-musl)"

    makes six mipsel-linux-musleabi mips32r6 nop nop
    refuses mipsel-unknown-linux-musl "no 'ISA: MIPS32r2'" "$WORK/six"
    makes float mips-linux-musleabihf mips32r2 nop nop
    refuses mips-unknown-linux-musl "no 'FP ABI: Soft float'" "$WORK/float"
    makes vectors riscv64-linux-musl baseline_rv64 '.attribute arch, "rv64gcv"' "$riscv_exit"
    refuses riscv64gc-unknown-linux-musl "no 'Tag_RISCV_arch" "$WORK/vectors"
    # A note that a linker writes where it is told which processor is meant.
    printf '.global _start\n_start: nop\n' | cc -c -x assembler -o "$WORK/third.o" -
    ld -z x86-64-v3 -o "$WORK/third" "$WORK/third.o"
    refuses x86_64-unknown-linux-musl "needs a newer processor" "$WORK/third"
    printf 'int main(void) { return 0; }\n' | cc -x c -o "$WORK/dynamic" -
    refuses x86_64-unknown-linux-musl "wants a dynamic linker" "$WORK/dynamic"
    for target in arm-unknown-linux-musleabihf mips-unknown-linux-musl; do
        cp "$(built "$target")" "$WORK/large"
        truncate -s "$(. "$HERE/$target.conf" && echo $((bytes_max + 1)))" "$WORK/large"
        refuses "$target" "over its budget by 1 bytes" "$WORK/large"
    done

    ends arm-unknown-linux-musleabihf "$(built armv7-unknown-linux-musleabihf)" "qemu-arm-static -cpu cortex-a7"
    makes avx x86_64-linux-musl x86_64 vzeroupper "$x86_exit"
    ends x86_64-unknown-linux-musl "$WORK/avx" "qemu-x86_64-static -cpu max"
    makes lse aarch64-linux-musl generic '.arch_extension lse\nmov x1, sp; ldadd w2, w3, [x1]' "$arm_exit"
    ends aarch64-unknown-linux-musl "$WORK/lse" "qemu-aarch64-static -cpu max"
    makes zba riscv64-linux-musl baseline_rv64 '.option arch, +zba\nsh1add a0, a0, a0' "$riscv_exit"
    ends riscv64gc-unknown-linux-musl "$WORK/zba" "qemu-riscv64-static -cpu rv64,zba=true"
    makes float mips-linux-musleabihf mips32r2 'add.s $f0, $f0, $f0' 'li $2, 4001; li $4, 0; syscall'
    ends mips-unknown-linux-musl "$WORK/float" "qemu-mips-static -cpu 24Kf"
    echo "test.sh refuses all of $refused wrong programs"
}

main
