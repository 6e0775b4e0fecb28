# bash completion for toolgate. Written by tests/it/completions.rs from the table of --help.
# shellcheck shell=bash

_toolgate_tools() {
    "$1" tools 2>/dev/null | while read -r name _; do echo "$name"; done
}

_toolgate() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' place=0 flags i
    # Bash makes three words of --option=value.
    if [ "$cur" = = ]; then
        cur=''
    elif [ "$prev" = = ]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --account | --action | --arg | --auth | --bind | --channel | --config | --log-level | --port | --scopes | --session | --state-dir | --sysroot | --token-file | --url) [ "${COMP_WORDS[i + 1]-}" = = ] || i=$((i + 1)) ;;
        =) i=$((i + 1)) ;;
        -*) ;;
        *)
            if [ -n "$command" ]; then
                place=$((place + 1))
            else
                command=${COMP_WORDS[i]}
            fi
            ;;
        esac
    done
    case ${command:-run}:$prev in
    *:--config)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    *:--state-dir)
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    *:--sysroot)
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    call:--arg)
        :
        return
        ;;
    call:--action)
        :
        return
        ;;
    call:--session)
        :
        return
        ;;
    call:--url)
        :
        return
        ;;
    call:--token-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    doctor:--url)
        :
        return
        ;;
    doctor:--token-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    explain:--session)
        :
        return
        ;;
    explain:--channel)
        :
        return
        ;;
    explain:--account)
        :
        return
        ;;
    explain:--scopes)
        :
        return
        ;;
    run:--port)
        :
        return
        ;;
    run:--bind)
        mapfile -t COMPREPLY < <(compgen -W "loopback tailnet lan custom auto" -- "$cur")
        return
        ;;
    run:--auth)
        mapfile -t COMPREPLY < <(compgen -W "token password trusted-proxy none" -- "$cur")
        return
        ;;
    run:--token-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    run:--log-level)
        mapfile -t COMPREPLY < <(compgen -W "off error warn info debug" -- "$cur")
        return
        ;;
    status:--url)
        :
        return
        ;;
    status:--token-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    tools:--session)
        :
        return
        ;;
    esac
    flags="--config --state-dir --sysroot --version --help"
    case ${command:-run} in
    call) flags+=" --arg --action --session --dry-run --ws --url --token-file" ;;
    doctor) flags+=" --json --url --token-file" ;;
    explain) flags+=" --session --channel --account --scopes --json" ;;
    run) flags+=" --port --bind --auth --token-file --log-level" ;;
    status) flags+=" --json --url --token-file" ;;
    tools) flags+=" --json --all --session" ;;
    esac
    case $cur in
    -*)
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
        return
        ;;
    esac
    if [ -z "$command" ]; then
        mapfile -t COMPREPLY < <(compgen -W "call check doctor explain run status token tools" -- "$cur")
        return
    fi
    case $command:$place in
    call:0) mapfile -t COMPREPLY < <(compgen -W "$(_toolgate_tools "$1")" -- "$cur") ;;
    call:1) : ;;
    explain:0) mapfile -t COMPREPLY < <(compgen -W "$(_toolgate_tools "$1")" -- "$cur") ;;
    token:0) mapfile -t COMPREPLY < <(compgen -W "show path rotate" -- "$cur") ;;
    esac
}

complete -F _toolgate toolgate
