#!/bin/bash
# Judges the configuration of `cross`, [package.metadata.cross] of Cargo.toml, without a container engine: it is read as
# TOML and held against the files of the targets; and `cross` itself says for each target what it would start. And whence
# build.sh has its Debian, and whose it is what it prepares.
#
#   cross/check.sh [--without-cross]
# shellcheck disable=SC2016 # Dollars in quotes are a script's that is written here.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
readonly HERE
readonly TOP=${HERE%/*}
readonly CACHE=${TOOLGATE_CROSS_DIR:-${CARGO_TARGET_DIR:-$TOP/target}/cross}
# The last release, of 2023.
readonly VERSION=0.2.5
readonly TOOL=$CACHE/cross-$VERSION
WORK=$(mktemp -d)
readonly WORK
trap 'rm -rf "$WORK"' EXIT

fail() {
    printf 'cross/check.sh: %s\n' "$*" >&2
    exit 1
}

# judge FILE: every target has both a file here for build.sh and a table there for `cross`, which is pinned.
judge() {
    python3 - "$HERE" "$1" "$VERSION" <<'PYTHON'
import pathlib, re, sys, tomllib

here, manifest, version = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), re.escape(sys.argv[3])
cross = tomllib.loads(manifest.read_text())["package"]["metadata"]["cross"]
known = {"build": {"default-target", "env"}, "target": {"image", "build-std", "runner", "env"}}
faults = [f"unknown table {name}" for name in cross if name not in known]
faults += [f"unknown key build.{key}" for key in cross["build"] if key not in known["build"]]
confs = {path.stem: path.read_text() for path in here.glob("*.conf")}
for target, table in cross["target"].items():
    # pre-build and dockerfile are unknown on purpose: with either, the image is made on the spot.
    faults += [f"unknown key target.{target}.{key}" for key in table if key not in known["target"]]
    if target not in confs:
        faults.append(f"{target} has no {target}.conf")
        continue
    image = target.replace("musl", "gnu") if target.startswith("riscv64") else target
    if not re.fullmatch(rf"ghcr\.io/cross-rs/{image}:{version}", table.get("image", "")):
        faults.append(f"the image of {target} is not pinned to {version}")
    if table.get("runner") != ("native" if target.startswith("x86_64") else "qemu-user"):
        faults.append(f"the runner of {target}")
    if table.get("build-std", False) != target.startswith("mips"):
        faults.append(f"build-std of {target}: only true or nothing is read by every `cross`")
    prefix = "CARGO_TARGET_" + target.upper().replace("-", "_") + "_"
    for word in table.get("env", {}).get("passthrough", []):
        if not re.match(prefix + "(LINKER|RUNNER|RUSTFLAGS)=", word):
            faults.append(f"{target} hands on {word}")
faults += [f"{target} is not in Cargo.toml" for target in set(confs) - set(cross["target"])]
faults += ["default-target is not among the targets"] * (cross["build"]["default-target"] not in confs)
print("\n".join(faults) or f"cross: {len(cross['target'])} targets, all pinned")
sys.exit(bool(faults))
PYTHON
}

# refuses WORDS SCRIPT: what judge says of Cargo.toml as sed has changed it.
refuses() {
    local said
    sed "$2" "$TOP/Cargo.toml" >"$WORK/Cargo.toml"
    if said=$(judge "$WORK/Cargo.toml" 2>&1) || [[ $said != *"$1"* ]]; then
        fail "after $2 it says: $said"
    fi
}

# Stand-ins for what `cross` would call. It would change the machine's toolchain by itself: this rustup has everything,
# and the real one's servers are shut. This engine writes down what it is to do, one word a line.
stand_ins() {
    local sysroot
    sysroot=$(basename "$(rustc --print sysroot)")
    cat >"$WORK/docker" <<DOCKER
#!/bin/sh
case \$1 in
--help) echo docker ;;
*) printf '%s\n' "\$@" >>"$WORK/calls" ;;
esac
DOCKER
    cat >"$WORK/rustup" <<RUSTUP
#!/bin/sh
case "\$1 \$2" in
"toolchain list") printf '%s\n' "$sysroot" "nightly-${sysroot#*-}" ;;
"target list") rustc --print target-list | sed 's/\$/ (installed)/' ;;
"component list") printf '%s (installed)\n' rust-src rust-std ;;
*) echo "rustup \$*" >>"$WORK/calls" ;;
esac
RUSTUP
    chmod +x "$WORK/docker" "$WORK/rustup"
}

# asked TARGET CHANNEL...: what `cross` would start, from the repository's top and without any variable of its own.
asked() {
    local target=$1
    shift
    : >"$WORK/calls"
    (cd "$TOP" && env -u CROSS_CONFIG -u RUSTFLAGS PATH="$WORK:$PATH" CARGO_TARGET_DIR="$WORK/target" \
        RUSTUP_DIST_SERVER=http://127.0.0.1:9 RUSTUP_UPDATE_ROOT=http://127.0.0.1:9 \
        "$TOOL/bin/cross" "$@" build --release --target "$target") >"$WORK/log" 2>&1
}

# starts WORD: one of the engine's words is this one.
starts() { grep -qxF -e "$1" "$WORK/calls"; }

# agrees TARGET CHANNEL...: `cross` starts the image, the runner and the variables that Cargo.toml has for it, and no more.
agrees() {
    local target=$1 word command
    asked "$@" || fail "cross refuses $target: $(cat "$WORK/log")"
    python3 - "$TOP/Cargo.toml" "$target" >"$WORK/wanted" <<'PYTHON'
import sys, tomllib

with open(sys.argv[1], "rb") as manifest:
    cross = tomllib.load(manifest)["package"]["metadata"]["cross"]
table = cross["target"][sys.argv[2]]
print("run", table["image"], "CROSS_RUNNER=" + table["runner"], *cross["build"]["env"]["passthrough"], sep="\n")
print(*table.get("env", {}).get("passthrough", []), sep="\n")
PYTHON
    while read -r word; do
        [ -z "$word" ] || starts "$word" || fail "for $target cross does not say $word, but: $(cat "$WORK/calls" "$WORK/log")"
    done <"$WORK/wanted"
    command="cargo build --release --target $target"
    [[ $target != mips* ]] || command+=" -Zbuild-std"
    grep -qE -- "\b$command\"?$" "$WORK/calls" || fail "for $target cross does not start $command: $(cat "$WORK/calls")"
    ! starts build || fail "for $target cross makes an image of its own"
    ! grep -q '^rustup' "$WORK/calls" || fail "for $target cross wants $(grep '^rustup' "$WORK/calls")"
    ! grep -q 'unused key' "$WORK/log" || fail "cross does not know all of Cargo.toml: $(cat "$WORK/log")"
    echo "cross: $target as Cargo.toml has it"
}

# comes_from MIRROR [NAME=VALUE]: where the Debian of build.sh would come from, on a machine with an apt of this kind: one that
# knows a mirror of Debian's, or none.
comes_from() {
    local wanted=$1 said
    shift
    # shellcheck source=cross/debian.sh
    said=$(env -u TOOLGATE_DEBIAN_MIRROR PATH="$WORK:$PATH" "$@" bash -euo pipefail -c '. "$1" && mirror' mirror "$HERE/debian.sh")
    [ "$said" = "$wanted" ] || fail "Debian would come from $said instead of $wanted"
}

mirrors() {
    printf '#!/bin/sh\n%s\n' 'case "$*" in *"ORIGIN: Debian LABEL: Debian") printf "%s\n" copy:/cd $KNOWN ;; esac' >"$WORK/apt-get"
    chmod +x "$WORK/apt-get"
    comes_from http://one.test/debian KNOWN='http://one.test/debian http://two.test/debian'
    comes_from '' KNOWN=
    comes_from http://mine.test/debian KNOWN=http://one.test/debian TOOLGATE_DEBIAN_MIRROR=http://mine.test/debian
    echo "cross: Debian comes from where it should"
}

# With a room and a zig that are there already. A number that is nobody's here.
owners() {
    local room=$WORK/room said
    if [ "$(id -u)" -ne 0 ]; then
        echo "notice: only root can see whose it is what root prepares by sudo"
        return
    fi
    mkdir -p "$room/trixie" "$room/zig"
    touch "$room/trixie/.ready"
    printf '%s\n' "$(cat "$HERE/zig.txt")" >"$room/zig/.ready"
    env TOOLGATE_CROSS_DIR="$room" SUDO_UID=54321 SUDO_GID=54322 "$HERE/build.sh" --prepare
    said=$(cd "$room" && stat -c '%u:%g %n' . out trixie work zig/.ready | xargs)
    [ "$said" = "54321:54322 . 54321:54322 out 0:0 trixie 54321:54322 work 54321:54322 zig/.ready" ] ||
        fail "after a preparation by sudo: $said"
    echo "cross: what is prepared by sudo is the caller's"
}

main() {
    local conf target
    judge "$TOP/Cargo.toml" || fail "Cargo.toml is not as it should be: see above"
    refuses "is not pinned" 's|\(cross-rs/arm-.*\):0.2.5|\1:main|'
    refuses "is not in Cargo.toml" 's/cross.target.mips-.*/cross.target.none]/'
    refuses "build-std of mipsel" 's/^build-std = true/build-std = ["std"]/'
    refuses "unknown key" 's/^runner = "native"/&\npre-build = ["true"]/'
    mirrors
    owners
    [ "${1:-}" != --without-cross ] || return 0

    [ -x "$TOOL/bin/cross" ] ||
        (cd / && cargo install --quiet cross --version "$VERSION" --locked --debug --root "$TOOL" --target-dir "$WORK/cross") ||
        fail "cross $VERSION cannot be installed: see above; --without-cross leaves it out"
    stand_ins
    for conf in "$HERE"/*.conf; do
        target=$(basename "$conf" .conf)
        if [[ $target == mips* ]]; then
            ! asked "$target" || fail "cross builds $target without nightly"
            grep -q "must use nightly" "$WORK/log" || fail "of $target cross says: $(cat "$WORK/log")"
            if cargo +nightly --version >/dev/null 2>&1; then
                agrees "$target" +nightly
            else
                echo "notice: no nightly toolchain, with which cross would build $target"
            fi
        else
            agrees "$target"
        fi
    done
}

main "$@"
