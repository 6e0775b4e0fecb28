#!/bin/bash
# Judges Cross.toml without a container engine and without `cross`: it is read as TOML, and held against the files of
# the targets. With `cross` on PATH it is also asked how it would start the engine; stand-ins take the calls.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
readonly HERE
WORK=$(mktemp -d)
readonly WORK
trap 'rm -rf "$WORK"' EXIT

fail() {
    printf 'cross/check.sh: %s\n' "$*" >&2
    exit 1
}

# Every target has both: a file here for build.sh and a table there for `cross`, but for the one that says why not.
python3 - "$HERE" <<'PYTHON' || fail "Cross.toml is not as it should be: see above"
import pathlib, re, sys, tomllib

here = pathlib.Path(sys.argv[1])
cross = tomllib.loads((here / "Cross.toml").read_text())
known = {"build": {"default-target", "env"}, "target": {"image", "build-std", "runner"}}
faults = [f"unknown table {name}" for name in cross if name not in known]
faults += [f"unknown key build.{key}" for key in cross["build"] if key not in known["build"]]
confs = {path.stem: path.read_text() for path in here.glob("*.conf")}
for target, table in cross["target"].items():
    faults += [f"unknown key target.{target}.{key}" for key in table if key not in known["target"]]
    if target not in confs:
        faults.append(f"{target} has no {target}.conf")
        continue
    if not re.fullmatch(rf"ghcr\.io/cross-rs/{target}:\d+\.\d+\.\d+", table.get("image", "")):
        faults.append(f"the image of {target} is not pinned to a release")
    if table.get("runner") != ("qemu-user" if 'emulator=""' not in confs[target] else "native"):
        faults.append(f"the runner of {target}")
    if table.get("build-std", False) != target.startswith("mips"):
        faults.append(f"build-std of {target}: only true or nothing is read by every `cross`")
for target in set(confs) - set(cross["target"]) - {"riscv64gc-unknown-linux-musl"}:
    faults.append(f"{target} is not in Cross.toml")
print("\n".join(faults) or f"Cross.toml: {len(cross['target'])} targets, all pinned")
sys.exit(bool(faults))
PYTHON

if ! command -v cross >/dev/null; then
    echo "notice: no cross on PATH, it is not asked"
    exit 0
fi
# `cross` would change the machine's toolchain by itself: both commands are stand-ins, and rustup's servers are shut.
for name in docker rustup; do
    printf '#!/bin/sh\necho "$0" "$@" >>"%s/calls"\n' "$WORK" >"$WORK/$name"
    chmod +x "$WORK/$name"
done
target=aarch64-unknown-linux-musl
: >"$WORK/calls"
(cd "$HERE/.." && env PATH="$WORK:$PATH" CROSS_CONFIG="$HERE/Cross.toml" CROSS_CONTAINER_ENGINE="$WORK/docker" \
    RUSTUP_DIST_SERVER=http://127.0.0.1:9 RUSTUP_UPDATE_ROOT=http://127.0.0.1:9 \
    cross build --release --target "$target") >"$WORK/log" 2>&1 || true
grep -q "docker run.*ghcr.io/cross-rs/$target:0.2.5" "$WORK/calls" ||
    fail "cross does not start the pinned image: $(tail -n 3 "$WORK/log" "$WORK/calls")"
echo "cross starts the pinned image of $target"
