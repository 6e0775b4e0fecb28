# fish completion for toolgate. Written by tests/it/completions.rs from the table of --help.

function __toolgate_tools
    toolgate tools 2>/dev/null | string replace -r ' .*' ''
end

complete -c toolgate -f
complete -c toolgate -l help -d 'display usage information'
complete -c toolgate -l config -r -F -d 'configuration file'
complete -c toolgate -l state-dir -x -a '(__fish_complete_directories)' -d 'directory for the generated token'
complete -c toolgate -l sysroot -x -a '(__fish_complete_directories)' -d 'prefix of /proc, /sys and /etc for tools, for tests and containers'
complete -c toolgate -l version -d 'print the version'

complete -c toolgate -n __fish_use_subcommand -a call -d 'Invoke a tool on a running gateway and print its result'
complete -c toolgate -n '__fish_seen_subcommand_from call' -l arg -x -d 'one argument, name=value; a value that is JSON is taken as such, anything else as a string; may be repeated'
complete -c toolgate -n '__fish_seen_subcommand_from call' -l action -x -d 'the action, for tools that have several'
complete -c toolgate -n '__fish_seen_subcommand_from call' -l session -x -d 'the session key (default: main)'
complete -c toolgate -n '__fish_seen_subcommand_from call' -l dry-run -d 'ask what would be done, without doing it'
complete -c toolgate -n '__fish_seen_subcommand_from call' -l ws -d 'ask over the WebSocket; without --action and --dry-run, which it cannot say'
complete -c toolgate -n '__fish_seen_subcommand_from call' -l url -x -d 'the gateway, http:// or ws:// (default: http://127.0.0.1 and the configured port)'
complete -c toolgate -n '__fish_seen_subcommand_from call' -l token-file -r -F -d 'file holding the shared secret (default: as the gateway finds it)'
complete -c toolgate -n '__fish_seen_subcommand_from call' -a '(__toolgate_tools)'

complete -c toolgate -n __fish_use_subcommand -a check -d 'Read the configuration exactly as `run` would and print everything that is wrong with it'

complete -c toolgate -n __fish_use_subcommand -a doctor -d 'Say everything that could be wrong with this installation, each finding with its fix, and who can reach the gateway'
complete -c toolgate -n '__fish_seen_subcommand_from doctor' -l json -d 'print JSON'
complete -c toolgate -n '__fish_seen_subcommand_from doctor' -l url -x -d 'the gateway (default: http://127.0.0.1 and the configured port)'
complete -c toolgate -n '__fish_seen_subcommand_from doctor' -l token-file -r -F -d 'file holding the shared secret (default: as the gateway finds it)'

complete -c toolgate -n __fish_use_subcommand -a explain -d 'Say what the policy decides about a tool, whether or not it exists here: each step and the rule that decided'
complete -c toolgate -n '__fish_seen_subcommand_from explain' -l session -x -d 'the session key (default: main)'
complete -c toolgate -n '__fish_seen_subcommand_from explain' -l channel -x -d 'the message channel the call comes from, as x-openclaw-message-channel says it'
complete -c toolgate -n '__fish_seen_subcommand_from explain' -l account -x -d 'the account on that channel, as x-openclaw-account-id says it'
complete -c toolgate -n '__fish_seen_subcommand_from explain' -l scopes -x -d 'the caller\'s scopes, comma separated (default: all; a caller with the shared secret always holds all)'
complete -c toolgate -n '__fish_seen_subcommand_from explain' -l json -d 'print JSON'
complete -c toolgate -n '__fish_seen_subcommand_from explain' -a '(__toolgate_tools)'

complete -c toolgate -n __fish_use_subcommand -a run -d 'Run the gateway until SIGTERM or SIGINT'
complete -c toolgate -n '__fish_seen_subcommand_from run' -l port -x -d 'port to listen on; 0 = any (default: configuration, else 18789)'
complete -c toolgate -n '__fish_seen_subcommand_from run' -l bind -x -a 'loopback tailnet lan custom auto' -d 'addresses to listen on: loopback, tailnet, lan, custom, auto (default: configuration, else loopback)'
complete -c toolgate -n '__fish_seen_subcommand_from run' -l auth -x -a 'token password trusted-proxy none' -d 'authentication: token, password, trusted-proxy, none (default: configuration, else token)'
complete -c toolgate -n '__fish_seen_subcommand_from run' -l token-file -r -F -d 'file holding the shared secret'
complete -c toolgate -n '__fish_seen_subcommand_from run' -l log-level -x -a 'off error warn info debug' -d 'what is logged to stderr: off, error, warn, info, debug (default: info)'

complete -c toolgate -n __fish_use_subcommand -a status -d 'Ask the running gateway how it is: listeners, uptime, memory, connections, calls, last reload, last errors'
complete -c toolgate -n '__fish_seen_subcommand_from status' -l json -d 'print JSON'
complete -c toolgate -n '__fish_seen_subcommand_from status' -l url -x -d 'the gateway (default: http://127.0.0.1 and the configured port)'
complete -c toolgate -n '__fish_seen_subcommand_from status' -l token-file -r -F -d 'file holding the shared secret (default: as the gateway finds it)'

complete -c toolgate -n __fish_use_subcommand -a token -d 'Show the shared secret, say which file it is in, or replace it'
complete -c toolgate -n '__fish_seen_subcommand_from token' -a 'show path rotate'

complete -c toolgate -n __fish_use_subcommand -a tools -d 'List the tools of this device under this configuration'
complete -c toolgate -n '__fish_seen_subcommand_from tools' -l json -d 'print JSON, with each tool\'s argument schema'
complete -c toolgate -n '__fish_seen_subcommand_from tools' -l all -d 'list absent and refused tools too, and say why'
complete -c toolgate -n '__fish_seen_subcommand_from tools' -l session -x -d 'session key to judge the policy for (default: main)'
