# shellcheck shell=bash
# Checks that are counted. To be sourced by whoever has a directory $WORK of its own.
passed=0
failed=0

# check NAME COMMAND...: one thing that holds or does not.
check() {
    local name=$1
    shift
    if "$@" >"$WORK/said" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n' "$name"
        tail -n 20 "$WORK/said"
    fi
}

# later COMMAND...: whether it holds within $PATIENCE seconds, which whoever asks has set.
later() {
    for _ in $(seq $((PATIENCE * 10))); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    "$@"
}

# apart KIND PID: whether that process is in another namespace of that kind than ours.
apart() {
    local theirs
    theirs=$(readlink "/proc/$2/ns/$1") && [ "$theirs" != "$(readlink "/proc/self/ns/$1")" ]
}

# The last words: the count, as .ci/run reads it.
counted() {
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}
