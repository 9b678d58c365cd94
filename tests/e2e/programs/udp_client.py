"""Asks with datagrams: `udp_client.py ADDRESS PORT [SOURCE_PORT]`, one question a line of stdin.

A line `size N` sends N bytes that must come back as they went. `df on` has datagrams never be
fragmented, `from PORT` goes on with another socket. Each answer is a line, failures too: `timeout`,
or the name of the error.
"""

import errno
import hashlib
import socket
import sys

IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
TIMEOUT_S = 2.0


def connected(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(TIMEOUT_S)
    made.bind(("", port))
    made.connect((sys.argv[1], int(sys.argv[2])))
    return made


def pattern(size: int) -> bytes:
    seed = hashlib.sha256(b"%d" % size).digest()
    return (seed * (size // len(seed) + 1))[:size]


def ask(wire: socket.socket, question: str) -> str:
    word, _, size = question.partition(" ")
    if question == "df on":
        wire.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        return "ok"
    said = pattern(int(size)) if word == "size" else question.encode()
    wire.send(said)
    answer = wire.recv(65_535)
    if word != "size":
        return answer.decode()
    return "same" if answer == said else f"{len(answer)} other bytes"


wire = connected(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
for line in sys.stdin:
    if line.startswith("from "):
        wire.close()
        wire = connected(int(line.split()[1]))
        print("ok", flush=True)
        continue
    try:
        print(ask(wire, line.strip()), flush=True)
    except TimeoutError:
        print("timeout", flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno or 0], flush=True)
