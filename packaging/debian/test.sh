#!/bin/bash
# Installs, upgrades, removes and purges a package in a small Debian, and boots it there.
#
#   packaging/debian/test.sh DEB...      the package of this machine is installed, those of others are compared with it
#   packaging/debian/test.sh --prepare   only the small Debian
#
# Root only. The small Debian is made by debootstrap once and copied for each test; everything mounted is gone with the
# mount namespace it is mounted in. Where systemd-nspawn cannot run, nothing is booted, and a notice says so.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
readonly HERE
readonly TOP=${HERE%/packaging/debian}
readonly CACHE=${TOOLGATE_DEBIAN_DIR:-${CARGO_TARGET_DIR:-$TOP/target}/debian-room}
# The oldest that is widely used, with the oldest systemd that knows all of the unit.
readonly SUITE=bookworm
readonly INCLUDE=systemd,systemd-sysv,libpam-systemd,dbus,polkitd,iputils-ping,libcap2-bin
readonly ROOM=$CACHE/$SUITE
readonly TOKEN=/etc/toolgate/token CONFIG=/etc/toolgate/toolgate.json5
WORK=$(mktemp -d)
readonly WORK
readonly R=$WORK/room
NSPAWN=
LEADER=
PEER=

cleanup() {
    [ -z "$PEER" ] || kill "$PEER" 2>/dev/null || true
    halt
    rm -rf --one-file-system "$WORK"
}

say() { printf '\n-- %s\n' "$*"; }

fail() {
    printf 'packaging/debian/test.sh: %s\n' "$*" >&2
    exit 1
}

# shellcheck source=cross/debian.sh
. "$TOP/cross/debian.sh"
# How long what must happen may take, in seconds.
readonly PATIENCE=60
# shellcheck source=packaging/checks.sh
. "$HERE/../checks.sh"

# is WANTED COMMAND...: what the command prints.
is() {
    local wanted=$1 said
    shift
    said=$("$@") || true
    [ "$said" = "$wanted" ] || {
        printf '%s says %s instead of %s\n' "$*" "$said" "$wanted"
        return 1
    }
}

not() { ! "$@"; }

# With these packages: one that was made for others is made anew.
prepare() {
    [ "$(cat "$ROOM/.ready" 2>/dev/null)" = "$INCLUDE" ] && return
    rm -rf --one-file-system "$ROOM"
    bootstrap "$SUITE" "$ROOM.part" "$INCLUDE" "$ROOM, 250 MB, one to two minutes"
    printf '%s\n' "$INCLUDE" >"$ROOM.part/.ready"
    mv "$ROOM.part" "$ROOM"
}

fresh() {
    rm -rf --one-file-system "$R"
    cp -a --reflink=auto "$ROOM" "$R"
    # As in the building of an image: nothing may be started.
    printf '#!/bin/sh\nexit 101\n' >"$R/usr/sbin/policy-rc.d"
    chmod 755 "$R/usr/sbin/policy-rc.d"
    cp "$WORK"/*.deb "$R/srv/"
}

# within COMMAND...: in the small Debian, without /proc, as images are built.
within() {
    # shellcheck disable=SC2016 # The inner shell expands it.
    unshare --mount --propagation private bash -euc '
        mount --rbind /dev "$1/dev"
        room=$1
        shift
        exec chroot "$room" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"
    ' within "$R" "$@" </dev/null
}

# another VERSION: the same package with another version, and a configuration that differs.
another() {
    rm -rf "$WORK/unpacked"
    dpkg-deb -R "$WORK/own.deb" "$WORK/unpacked"
    sed -i "s/^Version: .*/Version: $1/" "$WORK/unpacked/DEBIAN/control"
    echo "// As of $1." >>"$WORK/unpacked$CONFIG"
    dpkg-deb --root-owner-group -Znone -b "$WORK/unpacked" "$WORK/$1.deb" >/dev/null
}

# mode FILE: its mode and whose it is.
mode() { within stat -c '%a %U %G' "$1"; }

holds_the_token() {
    [ "$(wc -c <"$R$TOKEN")" -eq 65 ] && grep -qxE '[0-9a-f]{64}' "$R$TOKEN"
}

# What files others have no business to change or to read, and whether they are there at all.
installed() {
    say "an installation"
    check "it installs" within dpkg -i /srv/own.deb
    cp "$WORK/said" "$WORK/install.log"
    check "the token is made" holds_the_token
    check "and is root's alone" is "600 root root" mode "$TOKEN"
    check "and is not printed" not grep -qf "$R$TOKEN" "$WORK/install.log"
    check "but how to see it is" grep -q 'sudo toolgate token' "$WORK/install.log"
    check "the configuration is the group's to read" is "640 root toolgate" mode "$CONFIG"
    check "the program is everybody's to run" is "755 root root" mode /usr/bin/toolgate
    check "the unit" is "644 root root" mode /usr/lib/systemd/system/toolgate.service
    check "the account has no shell" grep -q '^toolgate:.*:/usr/sbin/nologin$' "$R/etc/passwd"
    check "and no password" grep -q '^toolgate:!' "$R/etc/shadow"
    check "the service starts at boot" test -L "$R/etc/systemd/system/multi-user.target.wants/toolgate.service"
    check "no socket does" not test -e "$R/etc/systemd/system/sockets.target.wants/toolgate.socket"
    for file in man/man8/toolgate.8.gz man/man5/toolgate.json5.5.gz bash-completion/completions/toolgate \
        zsh/vendor-completions/_toolgate fish/vendor_completions.d/toolgate.fish doc/toolgate/copyright \
        doc/toolgate/changelog.Debian.gz doc/toolgate/README.md doc/toolgate/examples/gpio.conf; do
        check "/usr/share/$file" test -s "$R/usr/share/$file"
    done
    check "the packaged configuration is good" within toolgate check
    check "root sees the token" is "$(cat "$R$TOKEN")" within toolgate token
    check "nobody else does" not within setpriv --reuid=toolgate --regid=toolgate --clear-groups toolgate token
}

upgraded() {
    local before
    before=$(sha256sum <"$R$TOKEN")
    say "upgrades"
    check "to a newer version" within dpkg -i /srv/2.0-1.deb
    check "the untouched configuration is the new one" grep -q '^// As of 2.0-1' "$R$CONFIG"
    check "and still the group's" is "640 root toolgate" mode "$CONFIG"
    echo '// Mine.' >>"$R$CONFIG"
    chmod 644 "$R$CONFIG"
    check "over an edited configuration" within dpkg --force-confdef --force-confold -i /srv/3.0-1.deb
    check "the edits are kept" grep -q '^// Mine' "$R$CONFIG"
    check "and the mode" is "644 root toolgate" mode "$CONFIG"
    check "the new one lies beside" grep -q '^// As of 3.0-1' "$R$CONFIG.dpkg-dist"
    check "the token is the same" is "$before" sha256sum <"$R$TOKEN"
    check "and still root's alone" is "600 root root" mode "$TOKEN"
    : >"$R$TOKEN"
    check "over an empty token" within dpkg --force-confdef --force-confold -i /srv/3.0-1.deb
    check "another is made" holds_the_token
    check "for root alone" is "600 root root" mode "$TOKEN"
    check "root disables the service" within systemctl disable toolgate.service
    check "an upgrade" within dpkg --force-confdef --force-confold -i /srv/3.0-1.deb
    check "leaves it so" not test -e "$R/etc/systemd/system/multi-user.target.wants/toolgate.service"
}

removed() {
    local before
    before=$(sha256sum <"$R$TOKEN")
    say "removal and purge"
    check "it is removed" within dpkg -r toolgate
    check "the program is gone" not test -e "$R/usr/bin/toolgate"
    check "the token is not" is "$before" sha256sum <"$R$TOKEN"
    check "nor the configuration" grep -q '^// Mine' "$R$CONFIG"
    check "it comes back" within dpkg --force-confdef --force-confold -i /srv/own.deb
    check "with the same token" is "$before" sha256sum <"$R$TOKEN"
    install -m 600 /dev/null "$R/etc/toolgate/ha.token"
    mkdir -p "$R/var/lib/toolgate"
    touch "$R/var/lib/toolgate/identity"
    check "it is purged" within dpkg -P toolgate
    check "token and configuration are gone" is ha.token ls -A "$R/etc/toolgate"
    check "so is the state" not test -e "$R/var/lib/toolgate"
    check "the account stays" grep -q '^toolgate:' "$R/etc/passwd"
    rm "$R/etc/toolgate/ha.token"
    check "an empty purge" within dpkg -i /srv/own.deb
    check "leaves nothing" within dpkg -P toolgate
    check "not even a folder" not test -e "$R/etc/toolgate"
    check "nothing is left of the unit" is "" find "$R/etc/systemd" "$R/var/lib/systemd" -name '*toolgate*'
}

# leader: the first process of what is booted. Not the one by which systemd-nspawn begins: that still has this machine for
# its own, and to halt it there would be to halt this machine.
leader() {
    local child
    for child in $(pgrep -P "$NSPAWN"); do
        if apart pid "$child"; then
            echo "$child"
            return
        fi
    done
    return 1
}

# halt: the end of whatever is booted. First as a person would, then by force; only what this script started.
halt() {
    [ -n "$NSPAWN" ] || return 0
    if [ -n "$LEADER" ]; then
        nsenter -t "$LEADER" -a systemctl poweroff --no-block >/dev/null 2>&1 || true
        for _ in $(seq 150); do
            kill -0 "$NSPAWN" 2>/dev/null || break
            sleep 0.1
        done
        ! kill -0 "$NSPAWN" 2>/dev/null || kill -KILL "$LEADER" 2>/dev/null || true
    fi
    kill "$NSPAWN" 2>/dev/null || true
    wait "$NSPAWN" 2>/dev/null || true
    NSPAWN='' LEADER=''
}

# boot OPTION...: the small Debian with a network of its own, until all of it has started.
boot() {
    systemd-nspawn --quiet --register=no --keep-unit --private-network --console=pipe --boot --directory "$R" "$@" \
        >"$WORK/console" 2>&1 </dev/null &
    NSPAWN=$!
    for _ in $(seq 1800); do
        kill -0 "$NSPAWN" 2>/dev/null || break
        [ -n "$LEADER" ] || LEADER=$(leader 2>/dev/null) || true
        case $(inside systemctl is-system-running 2>/dev/null) in
        running | degraded) return ;;
        esac
        sleep 0.1
    done
    tail -n 20 "$WORK/console"
    return 1
}

# inside COMMAND...: in what is booted.
inside() {
    [ -n "$LEADER" ] && nsenter -t "$LEADER" -a /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@" </dev/null
}

show() { inside systemctl show --value --property="$1" toolgate.service; }

active() { is active inside systemctl is-active toolgate.service; }

# A call over the booted network, by this machine's curl.
ask() {
    nsenter -t "$LEADER" -n curl --silent --show-error --max-time 20 "$@"
}

call() {
    ask --header "Authorization: Bearer $(cat "$R$TOKEN")" --header 'Content-Type: application/json' --data "$1" \
        http://127.0.0.1:18789/tools/invoke
}

# says TEXT BODY: a call whose answer holds the text.
says() {
    local answer
    answer=$(call "$2")
    case $answer in
    *"$1"*) ;;
    *)
        printf '%s answers %s\n' "$2" "$answer"
        return 1
        ;;
    esac
}

status_of() { inside grep -E "^$1:" "/proc/$(show MainPID)/status"; }

configure() { printf '%s\n' "$1" >"$R$CONFIG"; }

# The configuration that the booted service is tried with.
readonly TRIED='{
  gateway: { bind: "loopback", tailnet: { serveSocket: "/run/toolgate/serve/toolgate.sock" } },
  tools: {
    commands: {
      id: { description: "Who", argv: ["/usr/bin/id", "-un"] },
      limits: { description: "Limits", argv: ["/bin/cat", "/proc/self/limits"], limits: { openFiles: 77 } },
      etc: { description: "Write", argv: ["/usr/bin/touch", "/etc/toolgate/x"] },
      scratch: { description: "Scratch", argv: ["/usr/bin/touch", "/tmp/x"] },
      tokens: { description: "Token", argv: ["/bin/cat", "/etc/toolgate/token"] },
      nice: { description: "Nice", argv: ["/usr/bin/nice", "-n", "5", "/usr/bin/nice"] },
      echoes: { description: "Echoes", argv: ["/usr/bin/ping", "-c", "1", "-W", "5", "127.0.0.1"] },
    },
    device: { service_restart: { units: ["nothing.service", "other.service"] }, log_tail: { units: ["nothing.service"] } },
  },
}'

prepare_boot() {
    fresh
    within dpkg -i /srv/own.deb >/dev/null 2>&1
    rm "$R/usr/sbin/policy-rc.d"
    mkdir -p "$R/etc/systemd/system/toolgate.service.d"
    # So that nobody waits for a minute here.
    printf '[Service]\nWatchdogSec=8s\nRestartSec=1s\n' >"$R/etc/systemd/system/toolgate.service.d/test.conf"
    for unit in nothing other; do
        printf '[Service]\nExecStart=/bin/sleep infinity\n' >"$R/etc/systemd/system/$unit.service"
    done
    # No login prompt: there is no terminal.
    ln -s /dev/null "$R/etc/systemd/system/console-getty.service"
}

# serve USER: whether the socket for `tailscale serve` answers to that user. From inside: the kernel tells the service
# nothing about a peer whose process it cannot see.
serve() {
    # shellcheck disable=SC2016 # These are Perl's.
    inside setpriv --reuid="$1" --regid=nogroup --clear-groups perl -MIO::Socket::UNIX -e '
        my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$!\n";
        print $socket "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        exit(<$socket> !~ / 200 /);
    ' /run/toolgate/serve/toolgate.sock
}

# What is true of the running service.
booted() {
    say "a boot"
    check "it boots" boot
    if ! inside true; then
        echo "FAILED: nothing more can be said of a system that does not boot"
        failed=$((failed + 1))
        halt
        return
    fi
    check "nothing of this machine is taken for it" not apart pid "$$"
    check "the service is active: it has said READY=1" later active
    check "and says more" test -n "$(show StatusText)"
    printf 'status: %s\n' "$(show StatusText)"
    check "it waits for a tailnet" is 503 ask --output /dev/null --write-out '%{http_code}' http://127.0.0.1:18789/readyz
    check "and serves this device meanwhile" says '"uptime_s"' '{"tool":"device_status"}'
    tailnet
    configure "$TRIED"
    check "a restart" inside systemctl restart toolgate.service
    check "it answers without a token" is 200 ask --output /dev/null --write-out '%{http_code}' http://127.0.0.1:18789/healthz
    check "it answers to the token" says '"uptime_s"' '{"tool":"device_status"}'
    check "and to nobody else" is 401 ask --output /dev/null --write-out '%{http_code}' --data '{}' \
        http://127.0.0.1:18789/tools/invoke
    check "root's commands find it" inside toolgate status
    check "it is its own user" is toolgate inside stat -c %U "/proc/$(show MainPID)"
    check "without capabilities" is "CapEff:	0000000000000000" status_of CapEff
    check "and can gain none" is "NoNewPrivs:	1" status_of NoNewPrivs
    check "behind a filter" is "Seccomp:	2" status_of Seccomp
    check "the sandbox is closed" inside systemd-analyze security --no-pager --threshold=15 toolgate.service
    grep 'Overall exposure' "$WORK/said" || true
    check "its folders are its own" is "700 toolgate toolgate
700 toolgate toolgate
700 toolgate toolgate" inside stat -c '%a %U %G' /run/toolgate /run/toolgate/serve /var/lib/toolgate
    check "tailscale serve finds its socket" serve root
    check "and nobody else does" not serve nobody
    check "the token is not in the journal" not grep -qf "$R$TOKEN" <(inside journalctl --no-pager)
    commands
    check "a reload is one" inside systemctl reload toolgate.service
    check "and ends" later active
}

# An interface of that name, and a peer behind it in a network of its own. From inside the sandbox it must be found and
# bound to, without any privilege.
tailnet() {
    local there=(nsenter -t "$LEADER" -n ip)
    unshare --net sleep 300 &
    PEER=$!
    check "a peer has a network of its own" later apart net "$PEER"
    "${there[@]}" link add tailscale0 type veth peer name peer0 netns "$PEER"
    "${there[@]}" address add 100.64.0.1/10 dev tailscale0
    "${there[@]}" link set tailscale0 up
    nsenter -t "$PEER" -n ip address add 100.64.0.2/10 dev peer0
    nsenter -t "$PEER" -n ip link set peer0 up
    check "it finds the tailnet" later is 200 ask --output /dev/null --write-out '%{http_code}' http://127.0.0.1:18789/readyz
    printf 'status: %s\n' "$(show StatusText)"
    check "a peer is served" later nsenter -t "$PEER" -n curl --silent --fail --max-time 5 http://100.64.0.1:18789/healthz
    "${there[@]}" link delete tailscale0
    check "and when it goes, is waited for" later is 503 ask --output /dev/null --write-out '%{http_code}' \
        http://127.0.0.1:18789/readyz
    kill "$PEER"
    wait "$PEER" 2>/dev/null || true
    PEER=
}

# Programs under the unit, and what they are kept from.
commands() {
    local rules=$R/etc/polkit-1/rules.d/50-toolgate.rules
    check "a declared command runs" says '"stdout":"toolgate\n"' '{"tool":"id"}'
    check "under its limits" says 'Max open files            77 ' '{"tool":"limits"}'
    check "writes nowhere" says 'Read-only file system' '{"tool":"etc"}'
    check "but to its own /tmp" says '"exitCode":0' '{"tool":"scratch"}'
    check "which is not ours" not test -e "$R/tmp/x"
    check "reads no token" says 'Permission denied' '{"tool":"tokens"}'
    check "and keeps its priority" says 'cannot set niceness' '{"tool":"nice"}'
    check "services are seen" says '"nothing.service"' '{"tool":"service_status","args":{"unit":"nothing.service"}}'
    check "and not restarted" later says 'nteractive authentication required' '{"tool":"service_restart","args":{"unit":"nothing.service"}}'
    sed 's/nginx.service/nothing.service/' "$R/usr/share/doc/toolgate/examples/50-toolgate.rules" >"$rules"
    chmod 644 "$rules"
    check "until polkit is told" later says '"ok":true' '{"tool":"service_restart","args":{"unit":"nothing.service"}}'
    check "and it is" is active inside systemctl is-active nothing.service
    check "others are not" later says 'nteractive authentication required' '{"tool":"service_restart","args":{"unit":"other.service"}}'
    check "logs are not seen" not says 'Started nothing' '{"tool":"log_tail","args":{"unit":"nothing.service"}}'
    cp "$R/usr/share/doc/toolgate/examples/journal.conf" "$R/etc/systemd/system/toolgate.service.d/"
    inside systemctl daemon-reload
    inside systemctl restart toolgate.service
    check "until the drop-in for it" later says 'Started nothing' '{"tool":"log_tail","args":{"unit":"nothing.service"}}'
    check "Debian's ping may not" not says '1 received' '{"tool":"echoes"}'
    sed -i 's/^#\(SystemCallFilter=@resources\)$/\1/; /^# ping/,/^# Servers/s/^#\([A-Z]\)/\1/' "$R/usr/share/doc/toolgate/examples/commands.conf"
    cp "$R/usr/share/doc/toolgate/examples/commands.conf" "$R/etc/systemd/system/toolgate.service.d/"
    inside systemctl daemon-reload
    inside systemctl restart toolgate.service
    check "and nice with its" says '"stdout":"5\n"' '{"tool":"nice"}'
    check "and ping" says '1 received' '{"tool":"echoes"}'
    for example in addresses lan port memory clock; do
        cp "$R/usr/share/doc/toolgate/examples/$example.conf" "$R/etc/systemd/system/toolgate.service.d/"
    done
    inside systemctl daemon-reload
    check "it starts with the other drop-ins" inside systemctl restart toolgate.service
    check "and serves" says '"uptime_s"' '{"tool":"device_status"}'
}

restarts_are() { is "$1" show NRestarts; }

journal_has() { grep -q "$1" <(inside journalctl --no-pager --unit toolgate.service); }

# What a supervisor is for.
supervised() {
    local before
    say "restarts"
    before=$(show MainPID)
    inside sh -c "kill -STOP $before"
    check "a hung gateway is killed and started again" later restarts_are 1
    check "and serves" later says '"uptime_s"' '{"tool":"device_status"}'
    check "as another process" not test "$before" = "$(show MainPID)"
    check "the journal says why" later journal_has 'Watchdog timeout'
    before=$(show MainPID)
    check "an upgrade" inside dpkg --force-confdef --force-confold -i /srv/2.0-1.deb
    check "leaves it running" later says '"uptime_s"' '{"tool":"device_status"}'
    check "anew" not test "$before" = "$(show MainPID)"
    configure '{ gateway: { prot: 1 } }'
    inside systemctl restart toolgate.service 2>/dev/null || true
    check "a wrong configuration ends it" later is failed inside systemctl is-active toolgate.service
    check "with 78" is 78 show ExecMainStatus
    check "once" restarts_are 0
    configure "$TRIED"
    mv "$R$TOKEN" "$R$TOKEN.away"
    inside systemctl restart toolgate.service 2>/dev/null || true
    check "so does a missing token" later is failed inside systemctl is-active toolgate.service
    check "once, too" restarts_are 0
    check "another is made" inside env DEBIAN_FRONTEND=noninteractive dpkg-reconfigure toolgate
    check "which is another" not cmp -s "$R$TOKEN" "$R$TOKEN.away"
    check "and the service starts with it" later says '"uptime_s"' '{"tool":"device_status"}'
    inside systemctl stop toolgate.service
    cp "$R/usr/share/doc/toolgate/examples/toolgate.socket" "$R/etc/systemd/system/"
    inside systemctl daemon-reload
    check "a socket listens for it" inside systemctl start toolgate.socket
    check "nothing runs yet" not active
    check "a call starts it" says '"uptime_s"' '{"tool":"device_status"}'
    check "and it runs" active
    inside systemctl stop toolgate.socket toolgate.service
    check "it ends as it should" is success show Result
    check "nothing else has failed" is "" inside systemctl --failed --no-legend --plain
    halt
}

# readonly_root NAME OPTION...: the same on a root that cannot be written.
readonly_root() {
    local name=$1
    shift
    say "a boot with $name"
    check "it boots" boot "$@"
    check "the service is active" later active
    check "and answers to the token" says '"uptime_s"' '{"tool":"device_status"}'
    halt
}

# The packages of other machines hold the same files, and a program for their machine.
compare() {
    local deb=$1 machine
    for package in "$DEB" "$deb"; do
        dpkg-deb -c "$package" | awk '{ print $1, $2, $6 }' | sort >"$WORK/list.$(dpkg-deb -f "$package" Architecture)"
    done
    check "${deb##*/}: the same files" diff "$WORK/list.$(dpkg-deb -f "$DEB" Architecture)" \
        "$WORK/list.$(dpkg-deb -f "$deb" Architecture)"
    case $(dpkg-deb -f "$deb" Architecture) in
    amd64) machine="X86-64" ;;
    arm64) machine=AArch64 ;;
    armhf) machine=ARM ;;
    *) machine=none ;;
    esac
    dpkg-deb --fsys-tarfile "$deb" | tar -xO ./usr/bin/toolgate >"$WORK/program"
    check "${deb##*/}: a program for its machine" grep -q "Machine:.*$machine$" <(LC_ALL=C readelf -h "$WORK/program")
}

lint() {
    if ! command -v lintian >/dev/null; then
        say "notice: no lintian on PATH, the package is not held against Debian's policy"
        return
    fi
    check "Debian's policy" is "" lintian --allow-root --quiet "$DEB"
}

[ "$(id -u)" -eq 0 ] || fail "root only"
trap cleanup EXIT
if [ "${1:-}" = --prepare ]; then
    prepare
    exit
fi
DEB=
for deb in "$@"; do
    [ -e "$deb" ] || fail "there is no $deb"
    [ "$(dpkg-deb -f "$deb" Architecture)" != "$(dpkg --print-architecture)" ] || DEB=$(realpath "$deb")
done
[ -n "$DEB" ] || fail "no package for $(dpkg --print-architecture) among: $*"
needs curl curl
needs ip iproute2
needs pgrep procps
needs readelf binutils
prepare
cp "$DEB" "$WORK/own.deb"
another 2.0-1
another 3.0-1
for deb in "$@"; do
    compare "$deb"
done
lint
fresh
installed
upgraded
removed
if ! command -v systemd-nspawn >/dev/null; then
    say "notice: no systemd-nspawn on PATH, so nothing is booted: apt-get install systemd-container"
elif ! systemd-nspawn --quiet --register=no --keep-unit --private-network --directory "$R" /bin/true >"$WORK/said" 2>&1; then
    say "notice: this machine lets no systemd-nspawn run, so nothing is booted: $(tail -n 1 "$WORK/said")"
else
    prepare_boot
    booted
    [ -z "$LEADER" ] || supervised
    readonly_root "a read-only root and an empty /var" --volatile=state
    readonly_root "everything read-only but /run and /tmp" --read-only --tmpfs=/tmp
fi
echo
counted
