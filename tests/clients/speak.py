"""The protocol over the Python package websockets: connect, health, a tool, then IDLE seconds of silence, and health again.

    python speak.py URL TOKEN IDLE
"""
import json
import sys
import time

from websockets.sync.client import connect

url, token, idle = sys.argv[1], sys.argv[2], float(sys.argv[3])
ticks = 0

# Its own pings are off: those of the gateway are to keep the connection.
with connect(url, ping_interval=None) as socket:

    def hear(seconds=None):
        global ticks
        frame = json.loads(socket.recv(seconds))
        ticks += frame.get("event") == "tick"
        return frame

    def call(method, params=None):
        socket.send(json.dumps({"type": "req", "id": method, "method": method, "params": params}))
        while True:
            frame = hear()
            if frame["type"] == "res":
                assert frame["id"] == method and frame["ok"], frame
                return frame["payload"]

    assert hear()["event"] == "connect.challenge"
    client = {"id": "gateway-client", "mode": "backend", "version": "1", "platform": "linux"}
    scopes = ["operator.write"]
    call("connect", {"minProtocol": 3, "maxProtocol": 4, "client": client, "scopes": scopes, "auth": {"token": token}})
    health = call("health")
    output = call("tools.invoke", {"name": "time_status", "args": {}})["output"]
    end = time.monotonic() + idle
    while (left := end - time.monotonic()) > 0:
        try:
            hear(left)
        except TimeoutError:
            break
    call("health", {})
    print(json.dumps({"healthy": health["ok"], "tool": output["content"][0]["type"], "ticks": ticks}))
