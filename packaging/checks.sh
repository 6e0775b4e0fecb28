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

# The last words: the count, as .ci/run reads it.
counted() {
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}
