#!/bin/bash
# Judges the OpenWrt package without OpenWrt: the scripts run under busybox in a root of their own, with stand-ins for
# what the router gives (stand-ins/), and with the real program. What procd is told is compared, what is rendered is read
# by the program, and the .ipk is unpacked, installed and started as procd would, in a jail as ujail makes it.
#
#   packaging/openwrt/test.sh
#
# TOOLGATE_BIN is the program that judges configurations (target/debug/toolgate); the .ipk is made of the static one
# that cross/build.sh made for x86_64, or TOOLGATE_STATIC. Needs root, for roots and owners.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
readonly HERE
readonly TOP=${HERE%/*/*}
readonly TARGET=${CARGO_TARGET_DIR:-$TOP/target}
readonly PROGRAM=${TOOLGATE_BIN:-$TARGET/debug/toolgate}
readonly STATIC=${TOOLGATE_STATIC:-${TOOLGATE_CROSS_DIR:-$TARGET/cross}/out/x86_64-unknown-linux-musl/toolgate}
readonly UID_GID=1789

WORK=$(mktemp -d)
readonly WORK
readonly ROOT=$WORK/root
GATEWAY=
NETWORK=
# What is put before a command that is to run in the network of its own.
NET=()

cleanup() {
    [ -z "$GATEWAY" ] || kill "$GATEWAY" 2>/dev/null || true
    [ -z "$NETWORK" ] || kill "$NETWORK" 2>/dev/null || true
    rm -rf --one-file-system "$WORK"
}
trap cleanup EXIT

say() { printf '\n== %s\n' "$*"; }

# How long what must happen may take, in seconds.
readonly PATIENCE=30
# shellcheck source=packaging/checks.sh
. "$HERE/../checks.sh"

# same EXPECTED GOT
same() {
    [ "$1" = "$2" ] || {
        printf 'expected %s\n     got %s\n' "$1" "$2"
        return 1
    }
}

fails() { ! "$@"; }

has() { grep -qF -- "$1" "$2"; }

lacks() { ! grep -qF -- "$1" "$2"; }

# -- a root with busybox, the stand-ins and the program

# libraries PROGRAM: the files it is linked with.
libraries() { ldd "$1" 2>/dev/null | grep -oE '/[^ ]+' || true; }

# new_root: what a router has before the package.
new_root() {
    local applet library
    rm -rf --one-file-system "$ROOT"
    mkdir -p "$ROOT"/{bin,sbin,proc,sys,dev,tmp,usr/bin,usr/sbin,usr/lib/opkg/info,usr/share/acl.d,lib/functions,etc/init.d,etc/config,etc/uci-defaults,var/run}
    chmod 1777 "$ROOT/tmp"
    cp "$(command -v busybox)" "$ROOT/bin/busybox"
    for applet in sh ls cat cp mkdir chmod chown chgrp mv rm ln sed grep awk printf tr tar gzip; do
        ln -s busybox "$ROOT/bin/$applet"
    done
    # `busybox` of Debian wants these, the static one nothing.
    for library in $(libraries "$ROOT/bin/busybox") $(libraries "$PROGRAM"); do
        install -D "$library" "$ROOT$library"
    done
    mknod -m 0666 "$ROOT/dev/null" c 1 3
    mknod -m 0666 "$ROOT/dev/urandom" c 1 9
    echo 'root:x:0:0:root:/root:/bin/sh' >"$ROOT/etc/passwd"
    echo 'root:x:0:' >"$ROOT/etc/group"
    printf 'PRETTY_NAME="OpenWrt 24.10"\n' >"$ROOT/etc/os-release"
    printf '127.0.0.1 localhost\n' >"$ROOT/etc/hosts"
    install -m 0755 "$HERE/stand-ins/rc.common" "$ROOT/etc/rc.common"
    install -m 0644 "$HERE/stand-ins/functions.sh" "$ROOT/lib/functions.sh"
    # ubusd is not there; procd and what asks it are, as far as a gateway looks.
    printf '#!/bin/sh\nexit 1\n' >"$ROOT/bin/pidof"
    printf '#!/bin/sh\necho %s\n' "'{\"dnsmasq\":{\"instances\":{\"dnsmasq\":{\"running\":true,\"pid\":7}}}}'" >"$ROOT/bin/ubus"
    chmod 0755 "$ROOT/bin/pidof" "$ROOT/bin/ubus"
    touch "$ROOT/sbin/procd"
    : >"$ROOT/calls"
    : >"$ROOT/syslog"
}

# in_root COMMAND...
in_root() { "${NET[@]}" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$ROOT" "$@"; }

# init ACTION: the service's script; what it printed stands in $WORK/out, what procd was told in $ROOT/calls.
init() {
    local status=0
    : >"$ROOT/calls"
    : >"$ROOT/syslog"
    in_root /etc/init.d/toolgate "$@" >"$WORK/out" 2>&1 </dev/null || status=$?
    return "$status"
}

# refused: a start that starts nothing, and says why. rc.common of a router does not tell by its status.
refused() {
    init start
    lacks open_instance "$ROOT/calls" && has 'daemon.err' "$ROOT/syslog"
}

# uci: standard input becomes /etc/config/toolgate.
uci() { cat >"$ROOT/etc/config/toolgate"; }

# calls: what procd was told, without the triggers and validations that come with every start.
calls() { grep -v '^\["validate"\|trigger"' "$ROOT/calls"; }

# told NAME...: the arguments of procd_set_param NAME and what was appended, as JSON.
told() {
    jq -cs --arg name "$1" '[.[] | select((.[0] == "set_param" or .[0] == "append_param") and .[1] == $name) | .[2:]] | add' "$ROOT/calls"
}

# rendered FILTER: of the configuration in force.
rendered() { jq -cS "$1" "$ROOT/var/run/toolgate/toolgate.json"; }

# kept: what stands on the flash beside the package.
kept() { find "$ROOT/etc/toolgate" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs; }

owner_mode() { stat -c '%u:%g %a' "$ROOT$1"; }

# -- what can be read

sources() {
    local file
    say "what the shells say"
    for file in "$HERE"/files/toolgate.init "$HERE"/files/toolgate.defaults; do
        check "shellcheck of ${file##*/}" shellcheck --shell=dash "$file"
        check "busybox reads ${file##*/}" busybox ash -n "$file"
    done
    check "shellcheck of the stand-ins" shellcheck --shell=dash "$HERE"/stand-ins/rc.common "$HERE"/stand-ins/functions.sh
    check "shellcheck of ipk.sh and test.sh" shellcheck --external-sources --source-path="$TOP" "$HERE"/ipk.sh \
        "$HERE"/test.sh
    # procd's default gives a service up after five tries, and START 100 sorts before START 20.
    check "the start number sorts last but one" same 95 "$(sed -n 's/^START=//p' "$HERE/files/toolgate.init")"
}

# The calls that the program makes on ubus, as its source has them, and logread's.
ubus_calls() {
    sed -n 's/^ *(Manager::Procd, .*vec!\["call", "\([a-z]*\)", "\([a-z]*\)"\].*/\1 \2/p' "$TOP/src/tool/manager.rs"
    echo log read
}

rights() {
    jq -r '.user as $user | .access | to_entries[] | .key as $object | .value.methods[] | "\($user) \($object) \(.)"' \
        "$HERE"/files/*.acl.json | sort
}

acl() {
    say "rights on ubus"
    check "who may call is the user of the package" same toolgate "$(rights | cut -d ' ' -f 1 | sort -u)"
    check "what may be called is what the program calls" same "$(ubus_calls | sort -u)" "$(rights | cut -d ' ' -f 2- | sort -u)"
    check "what is given to all changes nothing" same "$(printf 'log read\nservice list')" \
        "$(jq -r '.access | to_entries[] | "\(.key) \(.value.methods[])"' "$HERE/files/toolgate.acl.json" | sort)"
}

# -- the feed's Makefile, read by make with stand-ins for the SDK's

sdk() {
    mkdir -p "$WORK/sdk/include" "$WORK/sdk/feeds/packages/lang/rust" "$WORK/sdk/bin"
    cat >"$WORK/sdk/rules.mk" <<'RULES'
INCLUDE_DIR:=$(TOPDIR)/include
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_CONF:=install -m0600
INSTALL_DATA:=install -m0644
CP:=cp -fpR
RULES
    cat >"$WORK/sdk/include/package.mk" <<'PACKAGE'
PKG_BUILD_DIR:=$(TOPDIR)/build
PKG_INSTALL_DIR:=$(TOPDIR)
export CONFFILES = $(Package/toolgate/conffiles)
define BuildPackage
prepare:
	$$(call Build/Prepare)
install:
	$$(call Package/$(1)/install,$$(ROOT))
facts:
	@echo "$(PKG_NAME) $(PKG_VERSION) $(PKG_RELEASE)"
	@echo "$$$$CONFFILES"
endef
PACKAGE
    cat >"$WORK/sdk/feeds/packages/lang/rust/rust-package.mk" <<'RUST'
RUST_ARCH_DEPENDS:=@(aarch64||arm||mipsel||x86_64)
define RustBinPackage
endef
RUST
    cp "$PROGRAM" "$WORK/sdk/bin/toolgate"
}

feed() { make --no-print-directory -C "$HERE" TOPDIR="$WORK/sdk" "$@"; }

# tree DIR: what lies in it, without what only one kind of package has.
tree() { (cd "$1" && find . -type f ! -path './lib/upgrade/*' -printf '%m %p\n' | sort); }

makefile() {
    say "the feed's Makefile"
    sdk
    feed facts >"$WORK/facts"
    check "its version is the program's" same \
        "toolgate $(sed -n 's/^version = "\(.*\)"/\1/p' "$TOP/Cargo.toml")" "$(head -n 1 "$WORK/facts" | cut -d ' ' -f 1,2)"
    check "it installs" feed install ROOT="$WORK/installed"
    check "it prepares" feed prepare
    # No target that Cargo.toml names is missing from what is built, and Cargo.lock is there: the feed says --locked.
    check "cargo reads what it prepares" cargo metadata --offline --no-deps --format-version 1 --manifest-path "$WORK/sdk/build/Cargo.toml"
    # Feeds link a directory by its own name, and make knows the package by that of the link.
    check "README.md builds what feeds link" has "make package/feeds/toolgate/${HERE##*/}/compile" "$HERE/README.md"
    check "with its lock file" test -s "$WORK/sdk/build/Cargo.lock"
}

# -- installation, from the tree that the Makefile installs

install_tree() {
    new_root
    cp -a "$WORK/installed/." "$ROOT/"
    chown -R 0:0 "$ROOT/etc" "$ROOT/usr"
    echo "toolgate:x:$UID_GID:" >>"$ROOT/etc/group"
    echo "toolgate:x:$UID_GID:$UID_GID:toolgate:/var/run/toolgate:/bin/false" >>"$ROOT/etc/passwd"
}

token() { cat "$ROOT/etc/toolgate/token"; }

first() {
    say "installation makes a token and starts nothing"
    install_tree
    check "the script that runs once" in_root /etc/uci-defaults/toolgate
    check "the token is root's alone" same "0:0 600" "$(owner_mode /etc/toolgate/token)"
    check "it is random enough" same 48 "$(tr -d '\n' <"$ROOT/etc/toolgate/token" | wc -c)"
    check "its directory is closed to others" same "0:$UID_GID 750" "$(owner_mode /etc/toolgate)"
    check "what the gateway keeps is its own" same "$UID_GID:$UID_GID 700" "$(owner_mode /etc/toolgate/state)"
    check "nothing else is made" same "state token" "$(kept)"
    cp "$ROOT/etc/toolgate/token" "$WORK/token"
    check "a start is well" init start
    check "and starts nothing, because the package comes disabled" same '["open_service"] ["close_service"]' "$(calls | xargs -d '\n')"
    check "the token is the same after it" cmp "$WORK/token" "$ROOT/etc/toolgate/token"
    check "what changes wakes it" has '["add_reload_trigger","toolgate","network"]' "$ROOT/calls"
    check "so does an interface" has '["add_raw_trigger","interface.*.up","2000","/etc/init.d/toolgate","reload"]' "$ROOT/calls"
    check "UCI learns its types" has '["validate","toolgate","toolgate","port","port"]' "$ROOT/calls"
}

plain() {
    uci <<'UCI'
config toolgate 'main'
	option enabled '1'
	option bind 'loopback'
UCI
}

# The calls of a plain start, in their order.
expected_calls() {
    cat <<'CALLS'
["open_service"]
["open_instance"]
["set_param","command","/usr/bin/toolgate","--config","/var/run/toolgate/toolgate.json","--state-dir","/etc/toolgate/state","run","--log-level","info"]
["append_param","command","--token-file","/var/run/toolgate/secret/token"]
["set_param","file","/var/run/toolgate/toolgate.json"]
["append_param","file","/var/run/toolgate/secret/token"]
["set_param","reload_signal","HUP"]
["set_param","term_timeout","15"]
["set_param","respawn","3600","5","0"]
["set_param","limits","core=0 0","data=134217728 134217728","nofile=1024 1024"]
["set_param","user","toolgate"]
["set_param","group","toolgate"]
["set_param","no_new_privs","1"]
["set_param","stdout","1"]
["set_param","stderr","1"]
["add_jail","toolgate","log","procfs","sysfs","ubus"]
["add_jail_mount","/var/run/toolgate","/bin/ubus","/sbin/logread","/sbin/procd","/etc/hosts","/etc/os-release","/tmp/sysinfo","/var/run/tailscale"]
["add_jail_mount_rw","/etc/toolgate/state","/var/run/toolgate/serve"]
["close_instance"]
["close_service"]
CALLS
}

starts() {
    say "what procd is told"
    plain
    check "it starts" init start
    check "with these parameters" same "$(expected_calls)" "$(calls)"
    check "the log is silent" same "" "$(cat "$ROOT/syslog")"
    check "the token is printed nowhere" lacks "$(token)" "$WORK/out"
    check "nor told" lacks "$(token)" "$ROOT/calls"
    check "the gateway has a copy of it" cmp "$ROOT/etc/toolgate/token" "$ROOT/var/run/toolgate/secret/token"
    check "for itself" same "$UID_GID:$UID_GID 600" "$(owner_mode /var/run/toolgate/secret/token)"
    check "in a directory that it cannot write to" same "0:$UID_GID 750" "$(owner_mode /var/run/toolgate/secret)"
    check "what is rendered can be read by it, and written by root" same "0:$UID_GID 640" "$(owner_mode /var/run/toolgate/toolgate.json)"
    check "nothing is written where it wears" same "state token" "$(kept)"
    check "the document" same '{"gateway":{"auth":{"mode":"token"},"bind":"loopback","port":18789,"tools":{}},"tools":{"device":{"file_read":{},"log_tail":{"units":[]},"net":{},"service_restart":{"critical":[],"units":[]}}}}' "$(rendered .)"
    uci <<'UCI'
config toolgate 'main'
	option enabled 'yes'
	option bind 'loopback'
	option jail 'off'
	option log_level 'debug'
	option auth_mode 'none'
UCI
    check "without a jail and a secret it starts too" init start
    check "without a jail" lacks add_jail "$ROOT/calls"
    check "without a secret" same '["/usr/bin/toolgate","--config","/var/run/toolgate/toolgate.json","--state-dir","/etc/toolgate/state","run","--log-level","debug"]' "$(told command)"
}

everything() {
    say "all that UCI says"
    uci <<'UCI'
config toolgate 'main'
	option enabled '1'
	option bind 'custom'
	option bind_host '127.0.0.1'
	option port '18790'
	list host 'router.example.ts.net'
	list host 'router.lan'
	list allow_tool 'group:device'
	list allow_tool 'group:commands'
	list deny_tool 'network_neighbors'
	list http_allow_tool 'device_reboot'
	option dhcp_leases '1'
	option reboot '1'
	list log_file '/var/log/app.log'
	list read_root '/srv/pub lic'
	option probe_net '192.168.9.0/24'
	list jail_mount '/usr/bin/etherwake'
	list jail_mount_rw '/dev/gpiochip0'

config wake 'nas'
	option mac '00:11:22:33:44:55'
	option interface 'br-lan'

config wake 'tv'
	option mac '00:11:22:33:44:66'

config service 'dnsmasq'
	option restart '1'
	option log '1'

config service
	option name 'uhttpd-2'
	option log 'on'

config service 'dropbear'
	option restart '1'
	option critical '1'

config command 'wake_any'
	option description 'Wakes "any" machine'
	list argv '/usr/bin/etherwake'
	list argv '-i'
	list argv '{interface}'
	list argv '{mac}'
	option timeout_ms '2000'

config command 'load'
	option description 'How busy'
	option argv '/usr/bin/uptime'

config parameter
	option command 'wake_any'
	option name 'mac'
	option pattern '^([0-9a-f]{2}:){5}[0-9a-f]{2}$'

config parameter
	option command 'wake_any'
	option name 'interface'
	list value 'br-lan'
	list value 'br-guest'
	option required '0'

config parameter
	option command 'another'
	option name 'mac'
UCI
    check "it starts" init start
    check "where" same '["custom","127.0.0.1",18790]' "$(rendered '.gateway | [.bind, .customBindHost, .port]')"
    check "by which names" same '["router.example.ts.net","router.lan"]' "$(rendered .gateway.hosts)"
    check "which tools" same '[["group:device","group:commands"],["network_neighbors"],["device_reboot"]]' \
        "$(rendered '[.tools.allow, .tools.deny, .gateway.tools.allow]')"
    check "machines that sleep" same '{"nas":{"interface":"br-lan","mac":"00:11:22:33:44:55"},"tv":{"mac":"00:11:22:33:44:66"}}' "$(rendered .tools.device.wake_on_lan.hosts)"
    check "services" same '{"critical":["dropbear"],"units":["dnsmasq","dropbear"]}' "$(rendered .tools.device.service_restart)"
    check "logs" same '{"files":["/var/log/app.log"],"units":["dnsmasq","uhttpd-2"]}' "$(rendered .tools.device.log_tail)"
    check "files, leases, reboot and networks" same '[["/srv/pub lic"],true,true,["192.168.9.0/24"]]' \
        "$(rendered '.tools.device | [.file_read.roots, .dhcp_leases.enabled, .device_reboot.enabled, .net.allow]')"
    check "commands" same '{"load":{"argv":["/usr/bin/uptime"],"description":"How busy","parameters":{},"required":[]},"wake_any":{"argv":["/usr/bin/etherwake","-i","{interface}","{mac}"],"description":"Wakes \"any\" machine","parameters":{"interface":{"enum":["br-lan","br-guest"]},"mac":{"pattern":"^([0-9a-f]{2}:){5}[0-9a-f]{2}$"}},"required":["mac"],"timeoutMs":2000}}' \
        "$(rendered .tools.commands)"
    check "the jail shows what is asked for" same \
        '["/tmp/dhcp.leases","/usr/bin/etherwake","/usr/bin/uptime","/var/log","/usr/bin/etherwake"]' \
        "$(jq -c 'select(.[0] == "add_jail_mount") | .[9:]' "$ROOT/calls")"
    check "and to write" has '["add_jail_mount_rw","/etc/toolgate/state","/var/run/toolgate/serve","/dev/gpiochip0"]' "$ROOT/calls"
    check "a blank in a path is named, because procd parts paths there" has '/srv/pub lic: cannot be mounted' "$ROOT/syslog"
    check "the rights that are missing are named" has 'ln -s /usr/share/toolgate/acl-acting.json' "$ROOT/syslog"
    ln -s /usr/share/toolgate/acl-acting.json "$ROOT/usr/share/acl.d/toolgate-acting.json"
    check "until they are there" init start
    check "they are named" lacks 'ln -s' "$ROOT/syslog"
    rm "$ROOT/usr/share/acl.d/toolgate-acting.json"
}

# -- hostile values

# hostile NAME OPTION FILTER: the option with a value that would end a JSON string or a shell word; it must come out as
# it went in, at FILTER, in a document that has nothing else. Whether the program then takes it is the program's affair.
hostile() {
    local name=$1 line=$2 filter=$3 section=${4:-} value
    value=$(printf '%s' "x\"}, \"auth\": {\"mode\": \"none\"}, //\\\\\" ' \$(touch /pwned) \`touch /pwned\`; touch /pwned"$'\n'"touch /pwned #"$'\t\001\177'"é *")
    {
        printf "config toolgate 'main'\n\toption enabled '1'\n\toption bind 'loopback'\n%s\n" "$section"
        printf '\t%s %s\n' "$line" "'${value//\'/\'\\\'\'}'"
    } | uci
    rm -f "$ROOT/pwned" "$ROOT/var/run/toolgate/toolgate.json" "$ROOT/var/run/toolgate/toolgate.json.new"
    init start || true
    check "$name: nothing runs" test ! -e "$ROOT/pwned"
    # One line is one record: a line break of the value must not begin another one.
    check "$name: no record of the log begins with its second line" fails grep -q '^[^:]*: touch' "$ROOT/syslog"
    [ -n "$filter" ] || return 0
    for file in "$ROOT"/var/run/toolgate/toolgate.json{,.new}; do
        [ ! -e "$file" ] || cp "$file" "$WORK/rendered"
    done
    check "$name: it stays one value" same "$value" "$(jq -r "$filter" "$WORK/rendered")"
    check "$name: the mode stays" same '"token"' "$(jq -c .gateway.auth.mode "$WORK/rendered")"
    check "$name: procd is told to start the program and nothing else" same \
        '[]' "$(jq -cs '[.[] | select(.[1] == "command" and .[0] == "set_param" and .[2] != "/usr/bin/toolgate")]' "$ROOT/calls")"
}

hostiles() {
    local command=$'config command \'x\'\n\toption description \'d\'\n\tlist argv \'/bin/true\''
    say "hostile values"
    hostile "host" "list host" '.gateway.hosts[0]'
    hostile "deny_tool" "list deny_tool" '.tools.deny[0]'
    hostile "deny_tool as an option" "option deny_tool" '.tools.deny[0]'
    hostile "bind" "option bind" '.gateway.bind'
    hostile "bind_host" "option bind_host" '.gateway.customBindHost'
    hostile "read_root" "list read_root" '.tools.device.file_read.roots[0]'
    hostile "wake.mac" "option mac" '.tools.device.wake_on_lan.hosts.x.mac' "config wake 'x'"
    hostile "wake.interface" "option interface" '.tools.device.wake_on_lan.hosts.x.interface' "config wake 'x'"
    hostile "service.name" "option name" '.tools.device.service_restart.units[0]' "config service"$'\n\toption restart \'1\''
    hostile "command.description" "option description" '.tools.commands.x.description' "config command 'x'"
    hostile "command.argv" "list argv" '.tools.commands.x.argv[1]' "$command"
    hostile "command.timeout_ms" "option timeout_ms" '.tools.commands.x.timeoutMs' "$command"
    hostile "parameter.name" "option name" '.tools.commands.x.parameters | keys[0]' "$command"$'\nconfig parameter\n\toption command \'x\''
    hostile "parameter.value" "list value" '.tools.commands.x.parameters.p.enum[0]' "$command"$'\nconfig parameter \'p\'\n\toption command \'x\''
    hostile "port" "option port" ''
    hostile "log_level" "option log_level" ''
    hostile "token_file" "option token_file" ''
    hostile "config_file" "option config_file" ''
    hostile "jail_mount" "list jail_mount" ''
    check "jail_mount: none of its words is mounted" same 'null' "$(jq -cs '[.[] | select(.[0] == "add_jail_mount")][0] | index("touch")' "$ROOT/calls")"
    hostile "auth_mode" "option auth_mode" ''
}

# -- what is wrong

refusals() {
    say "what is wrong does not start, and is said"
    plain
    printf "\toption port '70000'\n" >>"$ROOT/etc/config/toolgate"
    check "UCI's types hold" refused
    check "and it says which" has 'port is a port' "$ROOT/syslog"
    plain
    printf "\toption bind 'lann'\n" >>"$ROOT/etc/config/toolgate"
    check "the program's words hold" refused
    check "it names the key" has 'gateway.bind' "$ROOT/syslog"
    plain
    printf "\toption bind 'lan'\n\toption auth_mode 'none'\n" >>"$ROOT/etc/config/toolgate"
    check "no open door to the network" refused
    check "check says it as well" fails init check
    check "to whoever asked" has 'gateway.' "$WORK/out"
    plain
    check "and says when all is well" init check
    check "in a line" has 'ok' "$WORK/out"
    plain
    chmod 0644 "$ROOT/etc/toolgate/token"
    check "a token that others can read" refused
    check "is named, not shown" has '/etc/toolgate/token: must be a file' "$ROOT/syslog"
    check "not shown" lacks "$(token)" "$ROOT/syslog"
    chmod 0600 "$ROOT/etc/toolgate/token"
    chown $UID_GID "$ROOT/etc/toolgate/token"
    check "a token that is not root's" refused
    chown 0 "$ROOT/etc/toolgate/token"
    mv "$ROOT/etc/toolgate/token" "$ROOT/etc/toolgate/other"
    ln -s other "$ROOT/etc/toolgate/token"
    check "a token that is a link" refused
    check "and stays one" test -L "$ROOT/etc/toolgate/token"
    mv "$ROOT/etc/toolgate/other" "$ROOT/etc/toolgate/token"
    printf 'undefined\n' >"$ROOT/etc/toolgate/token"
    check "a token that everybody knows" refused
    : >"$ROOT/etc/toolgate/token"
    check "a blank one" refused
    rm "$ROOT/etc/toolgate/token"
    check "a new one is made at the next start" init start
    check "for root" same "0:0 600" "$(owner_mode /etc/toolgate/token)"
    plain
    printf "\toption auth_mode 'password'\n\toption token_file '/etc/toolgate/password'\n" >>"$ROOT/etc/config/toolgate"
    check "a password that is not there is not made" refused
    (umask 077 && echo 'correct horse battery staple' >"$ROOT/etc/toolgate/password")
    check "one that is there is taken" init start
    check "as a password" same '"--token-file" "/var/run/toolgate/secret/password"' "$(told command | jq -c '.[-2:][]' | xargs -d '\n')"
}

own_file() {
    say "a configuration of one's own"
    cat >"$ROOT/etc/toolgate/toolgate.json5" <<'JSON5'
// Not UCI's.
{ gateway: { bind: "loopback", port: 18791 }, tools: { deny: ["ping"] } }
JSON5
    uci <<'UCI'
config toolgate 'main'
	option enabled '1'
	option config_file '/etc/toolgate/toolgate.json5'
UCI
    check "is started with" init start
    cp "$ROOT/etc/toolgate/toolgate.json5" "$WORK/own"
    echo '{ gateway: { bind: "loopback", port: 18791, auth: { token: "a secret of the owner" } } }' >"$ROOT/etc/toolgate/toolgate.json5"
    rm "$ROOT/etc/toolgate/token"
    check "whatever secret it names" init start
    check "and the device has a token all the same" test -s "$ROOT/etc/toolgate/token"
    cp "$WORK/own" "$ROOT/etc/toolgate/toolgate.json5"
    init start
    check "by its path" has '"--config","/etc/toolgate/toolgate.json5"' "$ROOT/calls"
    check "in a jail that shows it" has '"/etc/toolgate"' "$ROOT/calls"
    echo '{ gateway: { prot: 1 } }' >"$ROOT/etc/toolgate/toolgate.json5"
    check "if it is well" refused
    check "else it says why" has 'gateway.prot' "$ROOT/syslog"
    check "and never changes it" same '{ gateway: { prot: 1 } }' "$(cat "$ROOT/etc/toolgate/toolgate.json5")"
}

reloads() {
    say "reload"
    plain
    init start
    cp "$ROOT/var/run/toolgate/toolgate.json" "$WORK/before"
    check "of the same is well" init reload
    check "and tells procd the same, which then does nothing" same "$(expected_calls)" "$(calls)"
    printf "\tlist deny_tool 'ping'\n" >>"$ROOT/etc/config/toolgate"
    check "of a change" init reload
    check "does not end what runs: procd sees another file, and signals" same "$(expected_calls)" "$(calls)"
    check "the file is another" same '["ping"]' "$(rendered .tools.deny)"
    printf "\toption bind 'lann'\n" >>"$ROOT/etc/config/toolgate"
    cp "$ROOT/var/run/toolgate/toolgate.json" "$WORK/before"
    check "of what is wrong" fails init reload
    check "tells procd nothing" same "" "$(cat "$ROOT/calls")"
    check "changes nothing" cmp "$WORK/before" "$ROOT/var/run/toolgate/toolgate.json"
    check "and says so" has 'the configuration in force stays' "$ROOT/syslog"
    plain
    printf "\toption log_level 'debug'\n" >>"$ROOT/etc/config/toolgate"
    check "of what a signal cannot change" init reload
    check "starts again" same '["kill"] ["open_service"] ["open_instance"]' "$(calls | head -n 3 | xargs -d '\n')"
    printf "\toption jail '0'\n" >>"$ROOT/etc/config/toolgate"
    check "so does the jail's end" init reload
    check "starting again" same '["kill"]' "$(calls | head -n 1)"
    printf "\toption enabled '0'\n" >>"$ROOT/etc/config/toolgate"
    check "of a service that is no longer wanted" init reload
    check "tells procd that there is none" same '["open_service"] ["close_service"]' "$(calls | xargs -d '\n')"
    plain
    check "of one that is wanted again" init reload
    check "starts it" has open_instance "$ROOT/calls"
}

tailnet() {
    say "the tailnet"
    cp "$HERE/files/toolgate.conf" "$ROOT/etc/config/toolgate"
    sed -i "s/option enabled '0'/option enabled '1'/" "$ROOT/etc/config/toolgate"
    check "what the package ships starts once it is enabled" init start
    check "and watches the interface" same '["tailscale0"]' "$(told netdev)"
    check "without a word about it" same null "$(rendered .gateway.tailnet)"
    uci <<'UCI'
config toolgate 'main'
	option enabled '1'
	option tailnet_interface 'ts1'
	list tailnet_prefix '10.20.0.0/16'
	list tailnet_login 'ann@example.com'
	list tailnet_tag 'tag:home'
	option tailnet_identity '1'
	option tailnet_capability 'example.com/cap/toolgate'
	option serve '1'
UCI
    check "all of it starts" init start
    check "and watches that interface" same '["ts1"]' "$(told netdev)"
    check "the tailnet" same '{"interface":"ts1","prefixes":["10.20.0.0/16"],"serveSocket":"/var/run/toolgate/serve/toolgate.sock"}' "$(rendered .gateway.tailnet)"
    check "and its people" same '{"allow":{"logins":["ann@example.com"],"tags":["tag:home"]},"capability":"example.com/cap/toolgate","identity":true}' "$(rendered .gateway.auth.tailnet)"
    sed -i '/tailnet_login\|tailnet_tag/d' "$ROOT/etc/config/toolgate"
    check "identity without names is refused by the program" refused
}

# -- the .ipk

members() { tar -tzf "$1" | xargs; }

package() {
    local ipk other
    say "the .ipk"
    # One name and one place for both, whatever else differs.
    ipk=$(SOURCE_DATE_EPOCH=1767225600 "$HERE/ipk.sh" x86_64-unknown-linux-musl "$STATIC" --out "$WORK/one")
    cp "$STATIC" "$WORK/toolgate-of-another-name"
    touch "$WORK/toolgate-of-another-name"
    other=$(cd / && umask 077 && TZ=Asia/Tokyo LC_ALL=C SOURCE_DATE_EPOCH=1767225600 "$HERE/ipk.sh" x86_64-unknown-linux-musl "$WORK/toolgate-of-another-name" --out "$WORK/two")
    check "is the same whoever makes it" cmp "$ipk" "$other"
    check "has its name" same "toolgate_$(head -n 1 "$WORK/facts" | cut -d ' ' -f 2,3 | sed 's/ /-r/')_x86_64.ipk" "${ipk##*/}"
    "$HERE/ipk.sh" x86_64-unknown-linux-musl "$STATIC" --arch x86_64_v9 --out "$WORK/three" >/dev/null 2>"$WORK/note"
    check "is made for an architecture that nobody has looked at" test -s "$WORK/three/$(basename "$ipk" x86_64.ipk)x86_64_v9.ipk"
    check "which it says" has 'nobody has looked at' "$WORK/note"
    check "is made of no program for other machines" fails "$HERE/ipk.sh" aarch64-unknown-linux-musl "$STATIC" --out "$WORK/three"
    check "holds what opkg wants" same './debian-binary ./data.tar.gz ./control.tar.gz' "$(members "$ipk")"
    new_root
    cp "$ipk" "$ROOT/tmp/toolgate.ipk"
    # As opkg goes about it, with the router's tar.
    # shellcheck disable=SC2016 # It is the shell in the root that expands.
    in_root sh -euc '
        mkdir /tmp/parts && cd /tmp/parts
        tar -xzf ../toolgate.ipk
        [ "$(cat debian-binary)" = 2.0 ]
        tar -xzf data.tar.gz -C /
        tar -tzf data.tar.gz | sed -n "s,^\./,/,p" | grep -v "/$" >/usr/lib/opkg/info/toolgate.list
        mkdir control && tar -xzf control.tar.gz -C control
        for file in control/*; do cp "$file" "/usr/lib/opkg/info/toolgate.${file##*/}"; done
    '
    mkdir "$WORK/data"
    tar -xzf "$ROOT/tmp/parts/data.tar.gz" -C "$WORK/data"
    check "holds what the Makefile installs" same "$(tree "$WORK/installed")" "$(tree "$WORK/data")"
    # Two builds in one second would be the same by chance.
    check "no clock's time in it" same '00000000' "$(for part in "$ipk" "$ROOT"/tmp/parts/*.gz; do od -An -tx4 -j4 -N4 "$part"; done | tr -d ' ' | sort -u)"
    check "but the one it was told" same '2026-01-01 00:00' "$(for part in "$ipk" "$ROOT"/tmp/parts/*.gz; do tar -tvzf "$part" --utc; done | awk '{ print $4, $5 }' | sort -u)"
    check "all of it root's" same '0/0' "$(tar -tvzf "$ROOT/tmp/parts/data.tar.gz" --numeric-owner | awk '{ print $2 }' | sort -u)"
    check "keeps what the Makefile keeps" same "$(tail -n +2 "$WORK/facts" | sort)" \
        "$(cat "$ROOT/usr/lib/opkg/info/toolgate.conffiles" "$ROOT/lib/upgrade/keep.d/toolgate" | sort)"
    check "says its size" same "$(gzip -dc "$ROOT/tmp/parts/data.tar.gz" | wc -c)" "$(sed -n 's/^Installed-Size: //p' "$ROOT/usr/lib/opkg/info/toolgate.control")"
    check "says its user" has 'Require-User: toolgate=1789:toolgate=1789' "$ROOT/usr/lib/opkg/info/toolgate.control"
    check "its scripts are shell" busybox ash -n "$ROOT/usr/lib/opkg/info/toolgate.postinst"
    check "its scripts do the router's work" in_root sh /usr/lib/opkg/info/toolgate.postinst configure
    check "the user is there" has 'toolgate:x:1789:1789' "$ROOT/etc/passwd"
    check "the token is there" same "0:0 600" "$(owner_mode /etc/toolgate/token)"
    check "the service is enabled" has '["enable","S95","K10"]' "$ROOT/calls"
    check "what runs once is gone" test ! -e "$ROOT/etc/uci-defaults/toolgate"
    check "no script runs while an image is made" env IPKG_INSTROOT="$WORK/nowhere" sh "$ROOT/usr/lib/opkg/info/toolgate.postinst"
}

# status_at ADDRESS PATH [OPTION...]: what HTTP answers in the network of its own.
status_at() { "${NET[@]}" curl -s -m 10 -o /dev/null -w '%{http_code}' "http://$1:18789$2" "${@:3}"; }

# network: one of its own, where a gateway disturbs nobody and nobody disturbs it.
network() {
    unshare --net sleep 600 &
    NETWORK=$!
    check "there is another network" later apart net "$NETWORK"
    NET=(nsenter "--net=/proc/$NETWORK/ns/net")
    "${NET[@]}" ip link set lo up
}

no_network() {
    NET=()
    kill "$NETWORK" || true
    wait "$NETWORK" || true
    NETWORK=
}

is_ready() { [ "$(status_at 127.0.0.1 /readyz)" = 200 ]; }

serves() { [ "$(status_at "$1" /healthz)" = 200 ]; }

# What the package ships, switched on, in a network of its own where the tailnet comes later.
waits() {
    local status=0
    say "the configuration of the package, switched on, before Tailscale is"
    sed "s/option enabled '0'/option enabled '1'/" "$HERE/files/toolgate.conf" | uci
    check "it starts" init start
    network
    launch
    check "it says that it listens" ready
    check "the router itself is served" same 200 "$(status_at 127.0.0.1 /healthz)"
    check "it says that it is not ready" same 503 "$(status_at 127.0.0.1 /readyz)"
    "${NET[@]}" ip link add tailscale0 type veth peer name far0
    "${NET[@]}" ip addr add 100.64.0.1/10 dev tailscale0
    "${NET[@]}" ip link set far0 up
    "${NET[@]}" ip link set tailscale0 up
    check "the tailnet is served when it is there" later serves 100.64.0.1
    check "it is ready" later is_ready
    signal TERM
    wait "$GATEWAY" || status=$?
    GATEWAY=
    check "it ends well" same 0 "$status"
    no_network
}

# The commands of README.md, as they stand there.
by_hand() {
    say "installation by hand"
    new_root
    cp "$1" "$ROOT/tmp/"
    sed -n '/<!-- by hand -->/,/<!-- \/by hand -->/s/^    //p' "$HERE/README.md" >"$ROOT/tmp/commands"
    check "README.md has the commands" test -s "$ROOT/tmp/commands"
    check "they work" in_root sh -eu /tmp/commands
    check "the program is there" test -x "$ROOT/usr/bin/toolgate"
    check "the token too" same "0:0 600" "$(owner_mode /etc/toolgate/token)"
    plain
    check "it starts" init start
    check "as procd is told by every package" same "$(expected_calls)" "$(calls)"
}

# shellcheck disable=SC2016 # Patterns, not expansions.
# Every option that the service reads stands in the tables of README.md, and no other.
options() {
    say "options"
    sed -n 's/^\t*texts [a-z_A-Z]* "\$[12]" \([a-z_]*\).*/\1/p; s/^\t*each "\$1" \([a-z_]*\) .*/\1/p' "$HERE/files/toolgate.init" |
        grep -vx 'argv\|value' | sort -u >"$WORK/options"
    sed -n "s/^\t\t'\([a-z_]*\):.*/\1/p" "$HERE/files/toolgate.init" | sort -u - "$WORK/options" >"$WORK/read"
    sed -n '/^| option of/,/^$/p' "$HERE/README.md" | tail -n +3 | cut -d '|' -f 2 | grep -oE '`[^`]*`' |
        sed 's/`\|list //g' | sort -u >"$WORK/told"
    check "are told as they are read" cmp "$WORK/read" "$WORK/told"
}

# -- the program as procd starts it

# jail: what stands in calls becomes a command line: mounts as ujail makes them, then the user, then the program.
jail() {
    cat >"$WORK/jail.sh" <<'JAIL'
root=$1 ids=$2
shift 2
jail=$root/jail
mount -t tmpfs -o mode=0755 tmpfs "$jail"
show() {
    [ -e "$root$1" ] || return 0
    if [ -d "$root$1" ]; then mkdir -p "$jail$1"; else mkdir -p "$jail${1%/*}" && touch "$jail$1"; fi
    mount --bind "$root$1" "$jail$1"
    [ "$2" = rw ] || mount -o remount,bind,ro "$jail$1"
    # Of a script also what reads it.
    [ ! -f "$root$1" ] || [ "$(head -c 2 "$root$1")" != '#!' ] || [ -e "$jail/bin/sh" ] || show /bin/sh ro
}
while [ "$1" != -- ]; do
    show "${1#*:}" "${1%%:*}"
    shift
done
shift
mkdir -p "$jail/proc" "$jail/sys" "$jail/dev"
mount -t proc -o nosuid,nodev,noexec proc "$jail/proc"
mount -t sysfs -o nosuid,nodev,noexec,ro sysfs "$jail/sys"
mknod -m 0666 "$jail/dev/null" c 1 3
mknod -m 0666 "$jail/dev/urandom" c 1 9
exec python3 - "$jail" "$ids" "$@" <<'PYTHON'
import ctypes, os, sys

jail, ids, argv = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
os.chroot(jail)
os.chdir("/")
os.setgroups([ids])
os.setresgid(ids, ids, ids)
os.setresuid(ids, ids, ids)
assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
os.execve(argv[0], argv, {"container": "ujail"})
PYTHON
JAIL
}

# ready: whether the gateway says that it listens, within half a minute.
ready() {
    for _ in $(seq 600); do
        grep -q '^listening on ' "$WORK/gateway.out" && return
        sleep 0.05
    done
    cat "$WORK/gateway.log"
    return 1
}

# The gateway's own process: what `unshare` started runs below it, as the first one of its own.
inner() { grep -ls "^PPid:[[:space:]]*$GATEWAY\$" /proc/[0-9]*/status | head -n 1 | cut -d / -f 3; }

# signal NAME: one that does not run any more has said so elsewhere.
signal() { kill -s "$1" "$(inner)" || true; }

# ask TOOL: the answer's status and body.
ask() {
    "${NET[@]}" curl -s -m 10 -w ' %{http_code}' http://127.0.0.1:18789/tools/invoke -H "Authorization: Bearer $(token)" \
        -d "{\"tool\":\"$1\"}"
}

said_by() { ask "$1" >"$WORK/answer" && has "$2" "$WORK/answer"; }

# launch: what procd was told, started in its jail and in the network of its own.
launch() {
    local argv mounts libraries
    mkdir -p "$ROOT/jail"
    mapfile -t argv < <(told command | jq -r '.[]')
    mapfile -t mounts < <(jq -r 'select(.[0] == "add_jail_mount") | .[1:][] | "ro:" + .' "$ROOT/calls"
        jq -r 'select(.[0] == "add_jail_mount_rw") | .[1:][] | "rw:" + .' "$ROOT/calls")
    # ujail adds the program itself, who is who, and the libraries of what it shows.
    mapfile -t libraries < <(libraries "$ROOT/bin/busybox")
    mounts+=(ro:/usr/bin/toolgate ro:/etc/passwd ro:/etc/group "${libraries[@]/#/ro:}")
    # Here and not by the child, which begins when it likes: `ready` would read what the gateway before has said.
    : >"$WORK/gateway.out"
    "${NET[@]}" unshare --mount --propagation private --pid --fork --kill-child \
        bash -eu "$WORK/jail.sh" "$ROOT" "$UID_GID" "${mounts[@]}" -- "${argv[@]}" >"$WORK/gateway.out" 2>"$WORK/gateway.log" &
    GATEWAY=$!
}

runs() {
    local status=0
    say "the program of the .ipk, started as procd is told"
    plain
    printf "config service 'dnsmasq'\n\toption restart '1'\n" >>"$ROOT/etc/config/toolgate"
    check "it starts" init start
    jail
    network
    launch
    check "it says that it listens" ready
    check "/healthz" serves 127.0.0.1
    check "a call with the token" said_by device_status '"os":"OpenWrt 24.10"'
    check "root's own call, as README.md has it" in_root toolgate --config /var/run/toolgate/toolgate.json call device_status --token-file /etc/toolgate/token
    check "one without" same 401 "$(status_at 127.0.0.1 /tools/invoke -d '{"tool":"device_status"}')"
    check "services, by ubus in the jail" said_by service_status '"dnsmasq"'
    check "addresses of this machine" said_by network_interfaces '"lo"'
    check "it runs as its own user" same "$UID_GID" "$(stat -c %u "/proc/$(inner)")"
    check "with no rights" same 0000000000000000 "$(sed -n 's/^CapEff:\t//p' "/proc/$(inner)/status")"
    check "and will have none" same 1 "$(sed -n 's/^NoNewPrivs:\t//p' "/proc/$(inner)/status")"
    check "its own key is kept" test -s "$ROOT/etc/toolgate/state/identity"
    check "the log has no token" lacks "$(token)" "$WORK/gateway.log"
    plain
    printf "\tlist deny_tool 'device_status'\n" >>"$ROOT/etc/config/toolgate"
    check "a reload" init reload
    signal HUP
    check "is in force after the signal" later said_by device_status ' 404'
    in_root sh -c 'rm /etc/toolgate/token; /etc/init.d/toolgate prepare'
    check "a new token" init reload
    signal HUP
    check "as well" later said_by time_status ' 200'
    signal TERM
    wait "$GATEWAY" || status=$?
    GATEWAY=
    check "it ends well when it is told to" same 0 "$status"
    no_network
    check "removal stops the service" in_root sh /usr/lib/opkg/info/toolgate.prerm
    check "and does not start it again" has '["disable"]' "$ROOT/calls"
}

[ "$(id -u)" -eq 0 ] || {
    echo "packaging/openwrt/test.sh: files of other owners want root" >&2
    exit 1
}
[ -x "$PROGRAM" ] || {
    echo "packaging/openwrt/test.sh: $PROGRAM is not there: cargo build" >&2
    exit 1
}
sources
options
acl
makefile
first
starts
everything
hostiles
refusals
own_file
reloads
tailnet
if [ -x "$STATIC" ]; then
    package
    runs
    waits
    by_hand "$WORK"/one/*.ipk
else
    say "notice: there is no static program ($STATIC), so no .ipk: cross/build.sh x86_64-unknown-linux-musl"
fi
echo
counted
