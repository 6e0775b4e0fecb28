#!/usr/bin/env python3
"""Sends COUNT authenticated calls of TOOL over CONNECTIONS connections, on each the next after the last was answered.

    load.py PORT TOKEN_FILE TOOL COUNT [CONNECTIONS [http|socket]]
"""
import json
import selectors
import socket
import sys

port, token_file, tool, left = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
connections = int(sys.argv[5]) if len(sys.argv) > 5 else 1
token = open(token_file).read().strip()


class Http:
    body = '{"tool":"%s"}' % tool
    request = (
        "POST /tools/invoke HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (port, token, len(body), body)
    ).encode()

    @staticmethod
    def open(peer, held):
        pass

    @staticmethod
    def answered(held):
        """Takes an answer out of what is held, if a whole one is there."""
        head, end, rest = bytes(held).partition(b"\r\n\r\n")
        if not end:
            return False
        assert head.startswith(b"HTTP/1.1 200"), held
        if len(rest) < int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]):
            return False
        held.clear()
        return True


def frame(method, params):
    """A request in a masked text frame; the mask is of zeros, which changes nothing but is undone all the same."""
    text = json.dumps({"type": "req", "id": "1", "method": method, "params": params}).encode()
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + text


class Socket:
    request = frame("tools.invoke", {"name": tool})
    hello = frame(
        "connect",
        {
            "minProtocol": 4,
            "maxProtocol": 4,
            "client": {"id": "cli", "mode": "cli", "version": "1", "platform": "linux"},
            "scopes": ["operator.write"],
            "auth": {"token": token},
        },
    )

    @staticmethod
    def open(peer, held):
        peer.sendall(
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" % port
        )
        while b"\r\n\r\n" not in held:
            held.extend(peer.recv(65536))
        assert held.startswith(b"HTTP/1.1 101"), held
        del held[: held.index(b"\r\n\r\n") + 4]
        peer.sendall(Socket.hello)
        while not Socket.answered(held):
            held.extend(peer.recv(65536))

    @staticmethod
    def answered(held):
        """Takes frames out of what is held up to the next answer; events are passed over."""
        while len(held) >= 4:
            assert held[0] == 0x81, held
            size, start = (held[1], 2) if held[1] < 126 else (int.from_bytes(held[2:4], "big"), 4)
            if len(held) < start + size:
                return False
            said = json.loads(held[start : start + size])
            del held[: start + size]
            if said["type"] == "res":
                assert said["ok"] and said["payload"].get("ok", True), said
                return True
        return False


speech = Socket if sys.argv[6:] == ["socket"] else Http
ready = selectors.DefaultSelector()
open_calls = 0
for number in range(connections):
    peer = socket.socket()
    # A peer address for every 30 connections, because one may have 32.
    peer.bind(("127.0.0.%d" % (1 + number // 30), 0))
    peer.connect(("127.0.0.1", port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    held = bytearray()
    speech.open(peer, held)
    ready.register(peer, selectors.EVENT_READ, held)
for key in list(ready.get_map().values()):
    if left > 0:
        key.fileobj.sendall(speech.request)
        left, open_calls = left - 1, open_calls + 1
while open_calls:
    for key, _ in ready.select():
        key.data.extend(key.fileobj.recv(65536))
        if speech.answered(key.data):
            open_calls -= 1
            if left > 0:
                key.fileobj.sendall(speech.request)
                left, open_calls = left - 1, open_calls + 1
