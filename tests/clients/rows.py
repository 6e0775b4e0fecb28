"""What the command line of OpenClaw is asked, and what must come of it."""
import dataclasses

OLD, NEW = "2026.4.29", "2026.9.6"
VERSIONS = (OLD, NEW)


@dataclasses.dataclass
class Row:
    """One command. `{url}` stands for the options that name the gateway and its token; without it, the client's own file
    names the gateway (`gateway.mode` remote)."""

    command: str
    # What its output must have: a text, `!TEXT` = must not have, `/RE/` = must match.
    wanted: tuple = ()
    # More arguments, for those with a blank inside.
    rest: tuple = ()
    # The exit code; None = it stays up.
    code: int = 0
    versions: tuple = VERSIONS
    # Whether it belongs to the short run.
    short: bool = False
    # The client's file: `remote` = with the right token, `bare` = without one, `wrong` = with another, `stopped` = for a
    # port where nobody listens.
    desk: str = "remote"
    # Whether it is a program that stays up until it is stopped, on a terminal.
    stays: bool = False


def call(method, *wanted, params=None, **more):
    """`gateway call`, where the answer is JSON."""
    rest = ("--params", params) if params else ()
    return Row(f"gateway call {method} {{url}} --json", wanted, rest, **more)


def gone(command, *wanted, **more):
    """A command for what is not here: it says so and ends with 1."""
    return Row(command, wanted or ("unknown method",), code=1, **more)


ROWS = [
    # By the options alone, one method after the other.
    call("health", '"ok": true', '"defaultAgentId": "main"', short=True),
    call("status", '"channelSummary": []', '"byAgent"', short=True),
    call("system-presence", '"reason": "self"'),
    call("config.get", '"hash": "', '"raw": null', short=True),
    call("tools.catalog", '"id": "time_status"', short=True),
    call("tools.effective", '"id": "time_status"', params='{"sessionKey":"main"}', short=True),
    call("tools.invoke", '"ok": true', '"toolName": "time_status"', params='{"name":"time_status"}', short=True),
    call("tools.invoke", '"ok": false', '"code": "not_found"', params='{"name":"exec"}', short=True),
    call("tools.invoke", "invalid tools.invoke params", params='{"nam":"time_status"}', code=1),
    call("sessions.list", '"sessions": [', short=True),
    call("sessions.describe", '"session":', params='{"key":"main"}'),
    call("sessions.subscribe", '"subscribed": true'),
    call("chat.history", '"messages": []', params='{"sessionKey":"main"}'),
    call("logs.tail", '"lines": [', short=True),
    call("node.list", '"nodes": [', short=True),
    call("node.describe", "unknown nodeId", params='{"nodeId":"x"}', code=1),
    call("node.pair.list", '"paired": []'),
    call("device.pair.list", '"paired": []'),
    call("agents.list", '"defaultId": "main"'),
    call("agent.identity.get", '"agentId": "main"'),
    call("gateway.identity.get", '"deviceId": "'),
    call("channels.status", '"channels": {}'),
    call("models.list", '"models": []'),
    call("commands.list", '"commands": []'),
    call("cron.status", '"enabled": false'),
    call("cron.list", '"jobs": []'),
    call("cron.runs", '"entries": []'),
    call("skills.status", '"skills": []'),
    call("last-heartbeat", "null"),
    call("set-heartbeats", '"ok": false', params='{"enabled":true}'),
    call("update.status", '"sentinel": null'),
    call("diagnostics.stability", '"events": []'),
    call("exec.approval.list", "[]"),
    call("exec.approvals.get", '"exists": false'),
    call("plugin.approval.list", "[]"),
    call("voicewake.get", '"triggers": []'),
    call("system-event", '"ok": true', params='{"text":"Node: porch"}'),
    call("nope.nope", "unknown method: nope.nope", code=1, short=True),
    Row("gateway probe {url} --timeout 30000", ("Reachable: yes",)),
    Row("gateway health {url}", ("OK",), short=True),
    Row("logs {url} --limit 5", ("socket_open",)),
    # By the client's own file.
    Row("gateway probe --json --timeout 30000", ('"ok": true', '"degraded": false', '"read_only"'), short=True),
    Row("gateway probe --timeout 30000", ("Reachable: yes", "/read.only/")),
    Row("gateway health", ("OK",)),
    Row("gateway status {url} --json", ('"rpc": {', '"ok": true'), short=True),
    Row("gateway status {url}", ("Connectivity probe: ok",)),
    Row("gateway stability", ("Events: 0/0",)),
    Row("health --timeout 60000", ("Agents: main (default)",)),
    Row("health --json --timeout 60000", ('"ok": true',), short=True),
    Row("health --verbose --timeout 60000", ("Agents: main (default)",)),
    Row("status --timeout 60000", ("OpenClaw status", "· reachable"), short=True),
    Row("status --json --timeout 60000", ('"reachable": true',), short=True),
    Row("status --all --timeout 60000", ("reachable",)),
    Row("status --deep --timeout 60000", ("· reachable",)),
    Row("logs --limit 5", ("socket_open",), short=True),
    Row("logs --limit 5 --json", ('"type":"log"', "socket_open")),
    Row("nodes status", ("Known: ",), short=True),
    Row("nodes list", ("Paired: 0",), short=True),
    gone("nodes describe --node x", "unknown node"),
    gone("nodes invoke --node x --command system.which", "unknown node"),
    Row("devices list", ("No device pairing entries",), short=True),
    gone("devices approve x"),
    Row("system presence --json", ('"reason": "self"',), short=True),
    Row("system heartbeat last", ("null",), short=True),
    Row("system heartbeat enable", ('"ok": false',)),
    Row("system heartbeat disable", ('"ok": true',)),
    gone("system event --text hello", "unknown method: wake", short=True),
    Row("channels status", ("Gateway reachable",), short=True),
    Row("channels status --json", ('"channels": {}',)),
    Row("channels status --probe", ("Gateway reachable",)),
    Row("cron list", ("/No (cron jobs|automations)/",), short=True),
    Row("cron list --json", ('"jobs": []',)),
    Row("cron status", ('"enabled": false',)),
    Row("cron runs --id x", ('"entries": []',)),
    gone("cron add --name a --at 20m --system-event b", "unknown method: cron.add"),
    Row("models list", versions=(OLD,)),
    Row("models list", ("No models found",), versions=(NEW,), short=True),
    Row("agents list", ("main (default)",)),
    Row("sessions", ("Sessions listed: 0",)),
    Row("skills list", ("/Skills|No skills found/",)),
    Row("skills check", ("Skills Status Check",)),
    Row("approvals get --gateway", ("Approvals",), short=True),
    gone("secrets reload", "unknown method: secrets.reload"),
    gone("agent --message hi --agent main", "/(unknown|support|fail)/"),
    gone("audit", "unknown method", versions=(NEW,)),
    gone("users list", "unknown method", versions=(NEW,)),
    gone("hooks list", "unknown method", versions=(NEW,)),
    # Refusals.
    gone("health --json --timeout 60000", "unauthorized: gateway token mismatch", desk="wrong", short=True),
    # The newer client sees by itself that it has none.
    gone("gateway call health --json", "/gateway token missing|requires credentials/", desk="bare", short=True),
    gone("gateway probe --timeout 30000", "Reachable: no", desk="wrong", versions=(OLD,)),
    # To the newer client whatever greets it is reachable.
    Row("gateway probe --timeout 30000", ("Reachable: yes", "gateway token mismatch"), desk="wrong", versions=(NEW,)),
    gone("gateway call health --json", "/ECONNREFUSED|1006|closed/", desk="stopped", short=True),
    gone("gateway probe --timeout 30000", "Reachable: no", desk="stopped"),
    # What stays up.
    Row("node run --host 127.0.0.1 --port {port}", ("mode=node protocol=3",), code=None, stays=True, versions=(OLD,), short=True),
    Row(
        "node run --host 127.0.0.1 --port {port}",
        ("mode=node protocol=4", "node host gateway connected"),
        code=None,
        stays=True,
        versions=(NEW,),
        short=True,
    ),
    Row("tui", ("gateway connected", "client=openclaw-tui", "!unknown method"), code=None, stays=True, short=True),
    Row("tui {url}", ("gateway connected",), code=None, stays=True),
    Row("logs --follow --limit 5", ("socket_open",), code=None, stays=True),
]
