"""Says who it is and who asks: `peer_server.py NAME TCP_PORT UDP_PORT`.

TCP: a line `NAME CLIENT:PORT` for each connection, which ends when the client's side does. A line
`hold` has it stay half open then, `close` end first, `reset` end with a reset. UDP: `NAME
CLIENT:PORT` for `who`, nothing for `mute`, an echo for all else.
"""

import socket
import struct
import sys
import threading

SO_RCVBUFFORCE, SIZE_MAX = 33, 65_507
WAITING_MAX = 1 << 22  # by truesize; the default holds two datagrams of 60,000 bytes in fragments
HELD: list[socket.socket] = []
NAME = sys.argv[1]


def serve(stream: socket.socket, client: tuple[str, int]) -> None:
    stream.sendall(f"{NAME} {client[0]}:{client[1]}\n".encode())
    for line in stream.makefile("r"):
        word = line.strip()
        if word == "hold":
            HELD.append(stream)
        if word == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if word in ("reset", "close"):
            break
    if stream not in HELD:
        stream.close()


def streams(listener: socket.socket) -> None:
    while True:
        threading.Thread(target=serve, args=listener.accept(), daemon=True).start()


def datagrams(wire: socket.socket) -> None:
    while True:
        said, sender = wire.recvfrom(SIZE_MAX)
        if said != b"mute":
            wire.sendto(
                f"{NAME} {sender[0]}:{sender[1]}".encode() if said == b"who" else said, sender
            )


wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, WAITING_MAX)
wire.bind(("", int(sys.argv[3])))
listener = socket.create_server(("", int(sys.argv[2])), backlog=64)
threading.Thread(target=datagrams, args=(wire,), daemon=True).start()
print("ready", flush=True)
streams(listener)
