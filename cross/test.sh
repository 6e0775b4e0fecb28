#!/bin/bash
# Judges what build.sh made: its size, its instruction set, that it needs no library, and that it works.
#
#   cross/test.sh TARGET [--look | --smoke | --suite] [BINARY]
#
# It runs under qemu-user-static with the processor of the oldest board, where a newer one's instructions end it. --smoke
# leaves out the suite, --suite all the rest, and --look only reads the file. refuse.sh shows that this can fail.
# shellcheck disable=SC1090,SC2016 # The targets' files are found by name; dollars in quotes are the shell's that gets them.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
readonly HERE
readonly TOP=${HERE%/*}
readonly CACHE=${TOOLGATE_CROSS_DIR:-${CARGO_TARGET_DIR:-$TOP/target}/cross}
WORK=$(mktemp -d)
readonly WORK
GATEWAY=

cleanup() {
    if [ -n "$GATEWAY" ]; then
        kill "$GATEWAY" 2>/dev/null || true
    fi
    rm -rf "$WORK"
}
trap cleanup EXIT

fail() {
    printf 'cross/test.sh: %s: %s\n' "$TARGET" "$*" >&2
    exit 1
}

needs() {
    command -v "$1" >/dev/null || fail "$1 is missing: apt-get install $2"
}

within_budget() {
    local bytes
    bytes=$(stat -c %s "$BINARY")
    echo "$TARGET: $bytes bytes of $bytes_max"
    [ "$bytes" -le "$bytes_max" ] || fail "over its budget by $((bytes - bytes_max)) bytes"
}

# What the file says about itself: class, byte order, machine, no interpreter, and the processor's features. For x86_64 and
# aarch64 nothing need be said, and then only the emulator judges.
is_for_its_machine() {
    local class order machine line
    read -r class order machine <<<"$header"
    LC_ALL=C readelf -hlnA "$BINARY" >"$WORK/elf" 2>/dev/null
    for line in "Class: *$class" "Data: .*$order endian" "Machine: .*$machine"; do
        grep -q "$line" "$WORK/elf" || fail "its header has no '$line'"
    done
    if grep -qE 'INTERP|Requesting program interpreter' "$WORK/elf"; then
        fail "it wants a dynamic linker"
    fi
    if grep -E 'x86 ISA needed: .*x86-64-v[2-9]' "$WORK/elf"; then
        fail "it says that it needs a newer processor"
    fi
    while read -r line; do
        [ -z "$line" ] || grep -qE "$line( |$)" "$WORK/elf" || fail "its attributes have no '$line'"
    done <<<"$attributes"
}

# The program as the tests start it: with an empty environment, so every path is whole.
wrap() {
    local words=() path
    read -ra words <<<"$emulator"
    if [ "${#words[@]}" -gt 0 ]; then
        needs "${words[0]}" qemu-user-static
        words[0]=$(command -v "${words[0]}")
    fi
    path=$WORK/toolgate
    printf '#!/bin/sh\nexec %s "%s" "$@"\n' "${words[*]}" "$BINARY" >"$path"
    chmod +x "$path"
}

# is_true TOOL ANSWER: the figures that structures of the kernel hold, against what this machine says of itself. A
# program that reads such a structure with the wrong widths answers happily.
is_true() {
    local said seen
    case $1 in
    time_status)
        said=$(sed -n 's/.*"epoch_ms":\([0-9]*\).*/\1/p' <<<"$2")
        seen=$(date +%s%3N)
        if [ "$((seen - said))" -lt 0 ] || [ "$((seen - said))" -ge 60000 ]; then
            fail "time_status says $said, it is $seen"
        fi
        ;;
    device_status)
        said=$(sed -n 's/.*"mem_total_kb":\([0-9]*\).*/\1/p' <<<"$2")
        seen=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
        [ "$said" = "$seen" ] || fail "device_status says $said kB of memory, there are $seen"
        ;;
    storage_status)
        said=$(sed -n 's/.*"path":"\/","fstype":"[^"]*","size_kb":\([0-9]*\).*/\1/p' <<<"$2")
        seen=$(($(stat -f -c '%b * %S / 1024' /)))
        [ "$said" = "$seen" ] || fail "storage_status says / has $said kB, it has $seen"
        ;;
    network_interfaces)
        grep -q '"127.0.0.1/8"' <<<"$2" || fail "network_interfaces does not know 127.0.0.1"
        ;;
    esac
}

# says NAME BODY TEXT: a call whose answer holds the text.
says() {
    answer=$(curl --silent --show-error --max-time 30 --header "Authorization: Bearer $(cat "$WORK/smoke/state/token")" \
        --header 'Content-Type: application/json' --data "$2" "$url/tools/invoke")
    case $answer in
    *"$3"*) printf '%s: as expected\n' "$1" ;;
    *) fail "$1 answers $answer" ;;
    esac
}

# A start, a health check, calls and an end. Programs that it starts are this machine's own.
smoke() {
    # A nap of a length that nobody else on this machine takes.
    local url='' answer status=0 nap=$((86400 + $$))
    mkdir -m 700 "$WORK/smoke"
    sed "s/NAP/$nap/" >"$WORK/smoke/toolgate.json5" <<'CONFIG'
{ tools: { commands: {
    echo: { description: "Echo", argv: ["/bin/echo", "{x}"], parameters: { x: { pattern: "^[a-z ;$()]+$" } }, required: ["x"] },
    slow: { description: "Slow", argv: ["/bin/sleep", "NAP"], timeoutMs: 300 },
} } }
CONFIG
    # The program writes it, but begins when it likes.
    : >"$WORK/out"
    "$WORK/toolgate" run --config "$WORK/smoke/toolgate.json5" --port 0 --state-dir "$WORK/smoke/state" >"$WORK/out" 2>"$WORK/log" &
    GATEWAY=$!
    for _ in $(seq 200); do
        url=$(sed -n 's/^listening on //p' "$WORK/out" | head -n 1)
        [ -z "$url" ] || break
        sleep 0.1
    done
    [ -n "$url" ] || fail "it does not listen: $(cat "$WORK/log")"
    curl --silent --show-error --fail --max-time 30 --output /dev/null "$url/healthz" || fail "no answer to /healthz"
    says echo '{"tool":"echo","args":{"x":"a; $(id)"}}' '"exitCode":0,"stdout":"a; $(id)\n"'
    says slow '{"tool":"slow"}' '"timedOut":true'
    ! pgrep -f "sleep $nap\$" >/dev/null || fail "a program outlives its call"
    says dns_lookup '{"tool":"dns_lookup","args":{"name":"localhost"}}' '"127.0.0.1"'
    says tcp_check '{"tool":"tcp_check","args":{"host":"127.0.0.1","port":1}}' '"forbidden"'
    for tool in time_status device_status network_interfaces storage_status thermal_status; do
        answer=$(curl --silent --show-error --max-time 30 --header "Authorization: Bearer $(cat "$WORK/smoke/state/token")" \
            --header 'Content-Type: application/json' --data "{\"tool\":\"$tool\"}" "$url/tools/invoke")
        printf '%s: %.200s\n' "$tool" "$answer"
        case $answer in
        *'"ok":true'*) ;;
        *) fail "$tool answers $answer" ;;
        esac
        is_true "$tool" "$answer"
    done
    # Over the socket too, by the program's own client.
    answer=$("$WORK/toolgate" call time_status --ws --url "${url/http/ws}" --token-file "$WORK/smoke/state/token") ||
        fail "no answer over the socket: $answer"
    case $answer in
    *'"epoch_ms"'*) printf 'over the socket: as expected\n' ;;
    *) fail "over the socket it answers $answer" ;;
    esac
    kill "$GATEWAY"
    wait "$GATEWAY" || status=$?
    GATEWAY=
    [ "$status" -eq 0 ] || fail "it ends with $status after SIGTERM: $(cat "$WORK/log")"
}

# On the processor that it was built for, where this machine has it.
suite() {
    local how=(TOOLGATE_EMULATED=1 TOOLGATE_BIN="$WORK/toolgate")
    if [ "${TARGET%%-*}" = "$(uname -m)" ]; then
        how=(TOOLGATE_BIN="$BINARY")
    fi
    (cd "$TOP" && env "${how[@]}" cargo test --locked --test it -- --skip tidy::)
}

TARGET=${1:?which target?}
shift
only=
BINARY=$CACHE/out/$TARGET/toolgate
for word in "$@"; do
    case $word in
    --look | --smoke | --suite) only=$word ;;
    *) BINARY=$word ;;
    esac
done
[ -e "$HERE/$TARGET.conf" ] || fail "there is no cross/$TARGET.conf"
emulator='' suite='' header='' attributes='' bytes_max=
. "$HERE/$TARGET.conf"
[ -x "$BINARY" ] || fail "there is no $BINARY: run cross/build.sh $TARGET"
BINARY=$(realpath "$BINARY")
needs readelf binutils
needs curl curl
if [ "$only" != --suite ]; then
    within_budget
    is_for_its_machine
fi
[ "$only" = --look ] || wrap
if [ -z "$only" ] || [ "$only" = --smoke ]; then
    smoke
fi
if [ "$only" = --suite ] || { [ -z "$only" ] && [ "$suite" = whole ]; }; then
    suite
fi
echo "$TARGET: all of it holds"
