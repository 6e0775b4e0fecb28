#!/bin/bash
# Judges the unit and what can be laid over it, without installing or starting anything: systemd reads them without a
# complaint, and leaves the service no more than it needs. And the scripts, where shellcheck is there to read them.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
readonly HERE
# A tenth of what systemd calls "exposure"; 100 is a service without any fence.
readonly EXPOSURE_MAX=15
WORK=$(mktemp -d)
readonly WORK
trap 'rm -rf "$WORK"' EXIT

# shellcheck source=packaging/checks.sh
. "$HERE/../checks.sh"

# verify UNIT: warnings fail too. The manual is in no package yet, and the program stands where this script is not.
verify() {
    local status=0
    systemd-analyze verify --man=no "$1" >"$WORK/verify" 2>&1 || status=$?
    cat "$WORK/verify"
    [ "$status" -eq 0 ] && [ ! -s "$WORK/verify" ]
}

not() { ! "$@"; }

exposure() { systemd-analyze security --offline=true --no-pager "$@"; }

command -v systemd-analyze >/dev/null || {
    echo "packaging/debian/check.sh: systemd-analyze is missing: apt-get install systemd" >&2
    exit 1
}
sed 's#^ExecStart=/usr/bin/toolgate#ExecStart=/bin/true#' "$HERE/toolgate.service" >"$WORK/toolgate.service"
cp "$HERE/examples/toolgate.socket" "$WORK/"
check "systemd reads the unit" verify "$WORK/toolgate.service"
check "systemd reads the socket" verify "$WORK/toolgate.socket"
check "the sandbox is closed" exposure --threshold="$EXPOSURE_MAX" "$WORK/toolgate.service"
grep 'Overall exposure' "$WORK/said" || true
# The lines that let wake_on_lan bind its socket. Here they are only read: to be refused by them takes a systemd with BPF,
# and Debian 12, which test.sh boots, has one without.
check "the ports are closed" grep -qx SocketBindDeny=any "$HERE/toolgate.service"
check "but not to the UDP socket of wake_on_lan" grep -qx SocketBindAllow=udp "$HERE/toolgate.service"
# An empty line would take back all before it; of SocketBindDeny, which commands.conf has, that opens more and not less.
check "and no drop-in closes them" not grep -E '^#?SocketBind(Allow=$|Deny=.)' "$HERE"/examples/*.conf
# What each drop-in costs, and with every line that is switched off in it switched on.
for example in "$HERE"/examples/*.conf; do
    case $example in *.sysctl.conf) continue ;; esac
    mkdir -p "$WORK/toolgate.service.d"
    sed 's/^#\([A-Z][A-Za-z]*=\)/\1/' "$example" >"$WORK/toolgate.service.d/example.conf"
    check "systemd reads ${example##*/}" verify "$WORK/toolgate.service"
    printf '%s: ' "${example##*/}"
    exposure "$WORK/toolgate.service" | sed -n 's/.*Overall exposure level for [^:]*: //p'
    rm -r "$WORK/toolgate.service.d"
done
if command -v systemd-sysusers >/dev/null && systemd-sysusers --help | grep -q -- --dry-run; then
    check "systemd-sysusers reads its lines" systemd-sysusers --dry-run "$HERE/toolgate.sysusers"
fi
if command -v shellcheck >/dev/null; then
    check "the package's scripts" shellcheck --shell=dash "$HERE/postinst" "$HERE/prerm" "$HERE/postrm"
    check "our own" shellcheck --external-sources --source-path="$HERE/../.." "$HERE"/*.sh "$HERE/../checks.sh" \
        "$HERE/../completions/toolgate.bash"
else
    echo "notice: no shellcheck on PATH, nobody reads the scripts"
fi
counted
