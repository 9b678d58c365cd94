"""Brings a connection into a state and leaves it there: `peer_flow.py WHAT ADDRESS PORT SPORT`.

Prints `there` and waits until stdin ends. Server: peer_server.py.
"""

import contextlib
import socket
import struct
import sys
import time

STREAM_S = 2.3  # after which answered datagrams are a stream
what, address, port, sport = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def connected() -> socket.socket:
    stream = socket.socket()
    stream.bind(("", sport))
    stream.settimeout(2)
    stream.connect((address, port))
    stream.recv(100)
    return stream


def ask(wire: socket.socket, word: bytes) -> None:
    wire.send(word)
    if word != b"mute":
        wire.recv(100)


def bring() -> object:
    """The socket, which must stay open."""
    if what.startswith("udp"):
        wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        wire.bind(("", sport))
        wire.settimeout(2)
        wire.connect((address, port))
        ask(wire, b"mute" if what == "udp unanswered" else b"who")
        if what == "udp stream":
            time.sleep(STREAM_S)
            ask(wire, b"who")
        return wire
    with contextlib.suppress(OSError) if what == "tcp refused" else contextlib.nullcontext():
        stream = connected()
    if what == "tcp refused":
        return None
    if what == "tcp half closed":
        stream.sendall(b"hold\n")
        stream.shutdown(socket.SHUT_WR)
    elif what == "tcp closed there":
        stream.sendall(b"close\n")
        stream.recv(100)
        stream.close()
    elif what == "tcp closed here":
        stream.close()
    elif what == "tcp reset":
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()
    return stream


kept = bring()
print("there", flush=True)
sys.stdin.read()
