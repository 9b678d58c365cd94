"""A tiny DNS server: `dns_server.py PORT NAME=ADDRESS...`.

A records of the names it knows, NXDOMAIN for others; for TXT of `big.`, TXT_STRINGS strings of 255
characters (an answer of several fragments).
"""

import socket
import struct
import sys

TXT_STRINGS = 12
HEADER = struct.Struct("!6H")
RESPONSE, NXDOMAIN = 0x8580, 3  # QR AA RD RA
TYPE_A, TYPE_TXT, CLASS_IN = 1, 16, 1
TTL_S = 30
NAME_POINTER = 0xC00C  # the question's

ADDRESSES = dict(word.split("=") for word in sys.argv[2:])


def question_of(query: bytes) -> tuple[str, int, int]:
    """The first question's name and type, and where it ends."""
    at, labels = HEADER.size, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels).lower(), int.from_bytes(query[at + 1 : at + 3], "big"), at + 5


def record(kind: int, data: bytes) -> bytes:
    return struct.pack("!3HIH", NAME_POINTER, kind, CLASS_IN, TTL_S, len(data)) + data


def answer_to(query: bytes) -> bytes:
    name, kind, end = question_of(query)
    answers = []
    if kind == TYPE_A and name in ADDRESSES:
        answers.append(record(TYPE_A, socket.inet_aton(ADDRESSES[name])))
    elif kind == TYPE_TXT and name == "big":
        answers.append(record(TYPE_TXT, (b"\xff" + b"x" * 255) * TXT_STRINGS))
    known = name in ADDRESSES or name == "big"
    flags = RESPONSE | (0 if known else NXDOMAIN)
    number = int.from_bytes(query[:2], "big")
    head = HEADER.pack(number, flags, 1, len(answers), 0, 0)
    return head + query[HEADER.size : end] + b"".join(answers)


wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.bind(("", int(sys.argv[1])))
while True:
    asked, client = wire.recvfrom(4096)
    wire.sendto(answer_to(asked), client)
