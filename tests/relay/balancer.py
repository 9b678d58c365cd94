"""csrc/relay/balancer.c by itself, compiled and called through ctypes."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

CSRC = Path(__file__).parents[2] / "csrc" / "relay"
Endpoint = tuple[str, int]
S = 1_000_000_000


def number(dotted: str) -> int:
    high, *rest = [int(part) for part in dotted.split(".")]
    for part in rest:
        high = high << 8 | part
    return high


class Target(ctypes.Structure):
    _fields_ = [("addr", ctypes.c_uint32), ("port", ctypes.c_uint16), ("pad", ctypes.c_uint16)]


class State(ctypes.Structure):
    """struct balancer."""

    _fields_ = [
        ("given", ctypes.c_void_p),
        ("order", ctypes.POINTER(Target)),
        ("count", ctypes.c_size_t),
        ("next", ctypes.c_size_t),
        ("affinity_s", ctypes.c_uint32),
        ("clients", ctypes.c_void_p),
        ("known", ctypes.c_size_t),
        ("places", ctypes.c_size_t),
    ]


def load(cc: str, out: Path) -> ctypes.CDLL:
    """The library, compiled into a folder."""
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC"]
    subprocess.run([cc, *flags, str(CSRC / "balancer.c"), "-o", str(out / "b.so")], check=True)
    library = ctypes.CDLL(str(out / "b.so"))
    library.balancer_next.restype = ctypes.POINTER(Target)
    return library


class Balancer:
    """One service port's; `now` is in seconds. Endpoints are (address, port)."""

    def __init__(self, library: ctypes.CDLL, seed: int = 1) -> None:
        self._c, self._random = library, ctypes.c_uint64(seed)
        self.state = State()
        self.now = 1000.0
        self.affinity_s = 0
        self._endpoints: Sequence[Endpoint] = ()

    def close(self) -> None:
        self._c.balancer_free(ctypes.byref(self.state))

    def set(self, endpoints: Sequence[Endpoint], affinity_s: int = 0) -> None:
        targets = (Target * max(len(endpoints), 1))()
        for target, (addr, port) in zip(targets, sorted(endpoints), strict=False):
            target.addr, target.port = number(addr), port
        assert not self._c.balancer_set(
            ctypes.byref(self.state),
            targets,
            ctypes.c_size_t(len(endpoints)),
            ctypes.c_uint32(affinity_s),
            ctypes.byref(self._random),
        )

    @property
    def order(self) -> list[Endpoint]:
        """The shuffled endpoints."""
        found = [self.state.order[at] for at in range(self.state.count)]
        return [(_text(target.addr), target.port) for target in found]

    def next(self, client: str = "10.0.0.1", *, failed: bool = False) -> Endpoint | None:
        target = self._c.balancer_next(
            ctypes.byref(self.state),
            ctypes.c_uint32(number(client)),
            ctypes.c_uint64(round(self.now * S)),
            ctypes.c_bool(failed),
        )
        return (_text(target.contents.addr), target.contents.port) if target else None


def _text(addr: int) -> str:
    return ".".join(str(part) for part in addr.to_bytes(4))
