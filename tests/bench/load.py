#!/usr/bin/env python3
"""Sends COUNT authenticated calls of TOOL over CONNECTIONS connections, on each the next after the last was answered.

    load.py PORT TOKEN_FILE TOOL COUNT [CONNECTIONS]
"""
import selectors
import socket
import sys

port, token_file, tool, left = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
connections = int(sys.argv[5]) if len(sys.argv) > 5 else 1
token = open(token_file).read().strip()
body = '{"tool":"%s"}' % tool
request = (
    "POST /tools/invoke HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (port, token, len(body), body)
).encode()


def complete(answer):
    head, end, rest = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    assert head.startswith(b"HTTP/1.1 200"), answer
    return len(rest) >= int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])


ready = selectors.DefaultSelector()
open_calls = 0
for number in range(connections):
    peer = socket.socket()
    # A peer address for every 30 connections, because one may have 32.
    peer.bind(("127.0.0.%d" % (1 + number // 30), 0))
    peer.connect(("127.0.0.1", port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ready.register(peer, selectors.EVENT_READ, bytearray())
for key in list(ready.get_map().values()):
    if left > 0:
        key.fileobj.sendall(request)
        left, open_calls = left - 1, open_calls + 1
while open_calls:
    for key, _ in ready.select():
        key.data.extend(key.fileobj.recv(65536))
        if complete(bytes(key.data)):
            key.data.clear()
            open_calls -= 1
            if left > 0:
                key.fileobj.sendall(request)
                left, open_calls = left - 1, open_calls + 1
