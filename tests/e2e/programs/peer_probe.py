"""Sends what the lines of stdin say, several at once, and says what came of each, a JSON line each:
what an application and its kernel see.

tcp ADDRESS PORT [SOURCE_PORT]             one connection: the server's line, or the error
udp ADDRESS PORT TEXT|size:N [OPTION..]    one datagram; options: ttl:N, df, sport:N
ping ADDRESS [OPTION..]                    one echo request; options: ttl:N, df, size:N
raw ADDRESS PORT FLAGS                     one TCP segment that begins nothing; the answer's flags
"""

import contextlib
import errno
import itertools
import json
import os
import select
import socket
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_PMTUDISC_DONT, IP_RECVERR, IP_RECVTTL = 10, 2, 0, 11, 12
WAIT_S, AT_ONCE = 1.5, 8
RAW_PORTS = itertools.count(20_000 + os.getpid() % 10_000)
Result = dict[str, object]


def name_of(error: OSError) -> str:
    return "timeout" if error.errno is None else errno.errorcode[error.errno]


def tcp(arguments: list[str]) -> Result:
    address, port, sport = [*arguments, "0"][:3]
    with socket.socket() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stream.bind(("", int(sport)))
        stream.settimeout(WAIT_S)
        try:
            stream.connect((address, int(port)))
            return {"answer": stream.makefile("r").readline().strip()}
        except OSError as failed:
            return {"error": name_of(failed)}


def icmp_error(wire: socket.socket) -> list[object]:
    """Type, code, sender and MTU of the ICMP error that the kernel has kept for a socket."""
    with contextlib.suppress(OSError):
        wire.setblocking(False)
        _, control, _, _ = wire.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
        for level, kind, data in control:
            if (level, kind) == (socket.IPPROTO_IP, IP_RECVERR):
                _, origin, type_, code, _, info, _ = struct.unpack_from("=IBBBBII", data)
                offender = socket.inet_ntoa(data[20:24])
                return [origin, type_, code, offender, info]
    return []


def options(wire: socket.socket, chosen: list[str]) -> dict[str, int]:
    given = {word.partition(":")[0]: int(word.partition(":")[2] or 1) for word in chosen}
    wire.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    wire.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    df = IP_PMTUDISC_DO if "df" in given else IP_PMTUDISC_DONT
    wire.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, df)
    if "ttl" in given:
        wire.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, given["ttl"])
    return given


def exchange(wire: socket.socket, said: bytes, skip: int) -> Result:
    try:
        wire.send(said)
        readable, _, failed = select.select([wire], [], [wire], WAIT_S)
        if not readable and not failed:
            return {"error": "timeout"}
        answer, control, _, sender = wire.recvmsg(65_535, 512)
    except OSError as error:
        return {"error": name_of(error), "icmp": icmp_error(wire)}
    [ttl] = [struct.unpack("i", d)[0] for _, k, d in control if k == socket.IP_TTL]
    same = answer[skip:] == said[skip:]
    text = "same" if same else answer[skip:].decode(errors="replace")
    return {"answer": text, "ttl": ttl, "from": sender[0]}


def udp(arguments: list[str]) -> Result:
    address, port, said, *chosen = arguments
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        given = options(wire, chosen)
        wire.bind(("", given.get("sport", 0)))
        wire.connect((address, int(port)))
        word, _, size = said.partition(":")
        return exchange(wire, os.urandom(int(size)) if word == "size" else said.encode(), 0)


def ping(arguments: list[str]) -> Result:
    address, *chosen = arguments
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as wire:
        given = options(wire, chosen)
        wire.connect((address, 0))
        request = struct.pack(">BBHHH", 8, 0, 0, 0, 1) + os.urandom(given.get("size", 56))
        return exchange(wire, request, 8)


def raw(arguments: list[str]) -> Result:
    address, port, flags = arguments
    bits = sum({"F": 1, "S": 2, "R": 4, "A": 16}[flag] for flag in flags)
    sport = next(RAW_PORTS)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as wire:
        wire.connect((address, int(port)))
        wire.settimeout(WAIT_S / 2)
        head = struct.pack(">HHIIBBHHH", sport, int(port), 7, 9, 0x50, bits, 512, 0, 0)
        own = socket.inet_aton(wire.getsockname()[0]) + socket.inet_aton(address)
        pseudo = own + struct.pack(">BBH", 0, 6, len(head)) + head
        total = sum(struct.unpack(f">{len(pseudo) // 2}H", pseudo))
        total = (total & 0xFFFF) + (total >> 16)
        check = ~(total + (total >> 16)) & 0xFFFF
        wire.send(head[:16] + struct.pack(">H", check) + head[18:])
        try:
            while True:
                segment = wire.recv(2048)[20:]
                if struct.unpack(">HH", segment[:4]) == (int(port), sport):
                    return {"answer": segment[13]}
        except TimeoutError:
            return {"error": "timeout"}


PROBES: dict[str, Callable[[list[str]], Result]] = {
    "tcp": tcp,
    "udp": udp,
    "ping": ping,
    "raw": raw,
}


def probe(line: str) -> Result:
    word, *arguments = line.split()
    return PROBES[word](arguments)


with ThreadPoolExecutor(AT_ONCE) as several:
    for result in several.map(probe, sys.stdin):
        print(json.dumps(result), flush=True)
