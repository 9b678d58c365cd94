"""Programs that run in the pods of real_lab.py: `python -m tests.io.peers NAME`."""

from __future__ import annotations

import hashlib
import random
import socket
import sys

B = "10.244.1.2"
BULK_BYTES = 32 << 20
UDP_SEGMENT = 103
DATAGRAMS = 40
DATAGRAM_BYTES = 1000
SEPARATE_BYTES = [64] * 15 + [63, 63, 1, 1400, 1400, 64, 65] + [64] * 17 + [900]


def sink() -> None:
    """Take one TCP stream to its end and answer with its length and digest."""
    with socket.create_server(("", 5000)) as server:
        print("up", flush=True)
        stream, _ = server.accept()
        count, digest = 0, hashlib.sha256()
        while data := stream.recv(1 << 20):
            count += len(data)
            digest.update(data)
        stream.sendall(f"{count} {digest.hexdigest()}".encode())
        stream.close()


def bulk() -> None:
    """Send random bytes; print whether the far end got the same."""
    data = random.Random(1).randbytes(BULK_BYTES)
    with socket.create_connection((B, 5000)) as stream:
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)
        answer = stream.recv(1000).decode()
    print(answer == f"{len(data)} {hashlib.sha256(data).hexdigest()}")


def datagrams() -> None:
    """Take datagrams; answer the last with the sizes of all, in order of their numbers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("", 5000))
        print("up", flush=True)
        seen: dict[int, int] = {}
        while len(seen) < DATAGRAMS:
            data, peer = s.recvfrom(65536)
            assert data[1:] == bytes([data[0]]) * (len(data) - 1)
            seen[data[0]] = len(data)
        s.sendto(repr([seen[n] for n in range(DATAGRAMS)]).encode(), peer)


def segmented() -> None:
    """Send numbered datagrams by one system call; print what the far end counted."""
    payload = b"".join(bytes([n]) * DATAGRAM_BYTES for n in range(DATAGRAMS))[:-1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, DATAGRAM_BYTES)
        s.sendto(payload, (B, 5000))
        print(s.recv(65536).decode())


def separate() -> None:
    """Send numbered datagrams of changing sizes one by one, without a pause; print as segmented."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.connect((B, 5000))
        for n, size in enumerate(SEPARATE_BYTES):
            s.send(bytes([n]) * size)
        print(s.recv(65536).decode())


if __name__ == "__main__":
    globals()[sys.argv[1]]()
