# shellcheck shell=bash
# A Debian in a folder, from the mirror that this machine's apt uses. To be sourced by whoever has `say` and `fail`.

# needs COMMAND PACKAGE: a command, or the sentence that brings it.
needs() {
    command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || fail "$1 is missing: apt-get install $2"
}

# Where Debian comes from: TOOLGATE_DEBIAN_MIRROR, or the first of this machine's sources that apt itself knows for Debian's
# own (not Debian's security updates, and nobody else's packages). Nothing where there is none.
mirror() {
    local found=${TOOLGATE_DEBIAN_MIRROR:-}
    if [ -z "$found" ] && command -v apt-get >/dev/null; then
        # shellcheck disable=SC2016 # It is apt that expands.
        found=$(apt-get indextargets --format '$(REPO_URI)' 'ORIGIN: Debian' 'LABEL: Debian' 2>/dev/null |
            grep '^http' | head -n 1) || true
    fi
    printf '%s' "$found"
}

# bootstrap SUITE FOLDER PACKAGES WHAT [SUDO...]: Debian with these packages in FOLDER, for the caller to finish; WHAT is
# said of it. In a mount namespace of its own, so that whatever is mounted there is gone with it, however it ends.
bootstrap() {
    local suite=$1 folder=$2 packages=$3 what=$4 script=$1 proxy='' log from
    shift 4
    from=$(mirror)
    log=$(dirname "$folder")/debootstrap.log
    needs debootstrap debootstrap
    needs unshare util-linux
    # An older debootstrap does not know a newer suite by its name.
    [ -e "/usr/share/debootstrap/scripts/$suite" ] || script=sid
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] ||
        fail "Debian's signatures cannot be checked: apt-get install debian-archive-keyring"
    if [ -z "${http_proxy:-}" ] && command -v apt-config >/dev/null; then
        eval "$(apt-config shell proxy Acquire::http::Proxy)"
    fi
    [ -n "$from" ] ||
        fail "apt knows no mirror of Debian's: apt-get update, or set TOOLGATE_DEBIAN_MIRROR to the address of one"
    say "Debian $suite from $from: $what"
    mkdir -p "$(dirname "$folder")"
    "$@" rm -rf --one-file-system "$folder"
    "$@" env ${proxy:+http_proxy="$proxy"} unshare --mount --propagation private \
        debootstrap --variant=minbase --force-check-gpg --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        --include="$packages" "$suite" "$folder" "$from" "/usr/share/debootstrap/scripts/$script" >"$log" 2>&1 ||
        fail "debootstrap failed: $(tail -n 1 "$log") (all of it: $log; TOOLGATE_DEBIAN_MIRROR names another mirror)"
    "$@" chroot "$folder" apt-get clean
}
