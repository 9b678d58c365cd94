"""Owns finding out what this machine can do: one probe per thing that netsim needs or can use.

Probes try the thing itself, on a thread with throw-away namespaces, and leave nothing behind: the
kernel removes what they made when the thread ends.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import shutil
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from netsim.linux import net, syscalls, tun
from netsim.linux.netlink import Netlink

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
KERNEL_MIN = (5, 10)
NOFILE_WANTED = 16384  # 1000 pods: four descriptors each in init, one in the data plane
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
SYS_IO_URING_SETUP, SYS_IO_URING_REGISTER, IO_URING_PARAMS_BYTES = 425, 427, 120
IO_URING_FLAGS = 1 << 12 | 1 << 13  # single issuer, deferred task work (6.1)
IO_URING_PROBE, IO_URING_OPS, IO_URING_READ_MULTISHOT = 8, 64, 49  # (6.7)
ETC_FILES = ("hosts", "hostname", "resolv.conf")


class Feature(NamedTuple):
    """One row of `netsim doctor`. `fix` is what to do, empty when `ok`."""

    name: str
    required: bool
    ok: bool
    detail: str
    fix: str


class Unmet(Exception):  # noqa: N818 (a finding, not a fault)
    """What is missing, as the row's detail."""


class Probe(NamedTuple):
    """A way to find out; `run` returns the detail, or raises Unmet or OSError."""

    name: str
    required: bool
    run: Callable[[], str]
    fix: str


def probe() -> list[Feature]:
    """All features, in the order in which to fix them."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_probe_all).result()


def missing() -> list[Feature]:
    """The required features that this machine lacks."""
    return [feature for feature in probe() if feature.required and not feature.ok]


def unmet(name: str) -> Feature | None:
    """The feature `name`, of those that need no namespaces, if this machine lacks it."""
    found = next(_probe_one(probe) for probe in PROBES if probe.name == name)
    return None if found.ok else found


def _probe_all() -> list[Feature]:
    return [_probe_one(probe) for probe in PROBES]


def _probe_one(probe: Probe) -> Feature:
    try:
        return Feature(probe.name, probe.required, True, probe.run(), "")
    except Unmet as finding:
        detail = str(finding)
    except OSError as error:
        detail = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    return Feature(probe.name, probe.required, False, detail, probe.fix)


def _privilege() -> str:
    status = Path("/proc/thread-self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    lacking = [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]
    if lacking:
        raise Unmet(f"user id {os.geteuid()} lacks {' and '.join(lacking)}")
    return f"user id {os.geteuid()} with {' and '.join(CAPABILITIES)}"


def _kernel() -> str:
    release = os.uname().release
    numbers = [int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit()]
    if tuple(numbers) < KERNEL_MIN:
        raise Unmet(f"Linux {release}; 5.10 is the oldest that is tried")
    return f"Linux {release}"


def _namespaces() -> str:
    """Also puts this thread where the later probes may make what they want."""
    syscalls.unshare(syscalls.CLONE_FS)
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWNET)
    syscalls.unshare(syscalls.CLONE_NEWPID)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_SLAVE)
    syscalls.mount("sysfs", "/sys", "sysfs", syscalls.MS_RDONLY)
    return "network, mount, UTS and PID namespaces"


def _in_own_network() -> None:
    own, process = (os.stat(f"/proc/{who}/ns/net").st_ino for who in ("thread-self", "self"))
    if own == process:
        raise Unmet("not tried: needs a network namespace")


def _mounts() -> str:
    os.close(syscalls.detached_mount("tmpfs"))
    os.close(syscalls.detached_mount("proc"))
    return "fsopen, fsmount"


def _tun() -> str:
    _in_own_network()
    os.close(tun.open_tun("probe0"))
    return "/dev/net/tun with vnet_hdr, checksum and TSO offload"


def _uso() -> str:
    _in_own_network()
    fd = tun.open_tun("probe1")
    try:
        if not tun.takes_uso(fd):
            raise Unmet("TUN takes no UDP super-packets (Linux 6.2 does)")
    finally:
        os.close(fd)
    return "TUN takes UDP super-packets"


def _links() -> str:
    _in_own_network()
    far = net.VethEnd(os.open("/proc/thread-self/ns/net", os.O_RDONLY), "eth0", b"\2\0\0\0\0\1")
    try:
        with Netlink() as netlink:
            netlink.execute([net.bridge("br0", 1500)])
            netlink.execute([net.veth("near", "", net.links(netlink)["br0"], 1500, far)])
    finally:
        os.close(far.net)
    return "bridge, veth"


def _udp_offload() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(SOL_UDP, UDP_SEGMENT, 1400)
        probe.setsockopt(SOL_UDP, UDP_GRO, 1)
    return "UDP_SEGMENT, UDP_GRO"


def _memfd() -> str:
    os.close(os.memfd_create("probe", os.MFD_CLOEXEC))
    return "memfd_create"


def _io_uring() -> str:
    """What csrc/uring.c asks for."""
    params = bytearray(IO_URING_PARAMS_BYTES)
    struct.pack_into("=I", params, 8, IO_URING_FLAGS)
    try:
        fd = _system_call(SYS_IO_URING_SETUP, 8, params)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise Unmet("io_uring is older than Linux 6.7") from error
        raise
    try:
        found = bytearray(16 + 8 * IO_URING_OPS)  # struct io_uring_probe
        _system_call(SYS_IO_URING_REGISTER, fd, IO_URING_PROBE, found, IO_URING_OPS)
    finally:
        os.close(fd)
    if found[0] < IO_URING_READ_MULTISHOT:
        raise Unmet("io_uring is older than Linux 6.7")
    return "multishot reads, deferred task work"


def _system_call(number: int, *arguments: int | bytearray) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    passed = [
        (ctypes.c_char * len(a)).from_buffer(a) if isinstance(a, bytearray) else a
        for a in arguments
    ]
    result: int = libc.syscall(number, *passed)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "io_uring")
    return result


def _nofile() -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < NOFILE_WANTED:
        raise Unmet(f"at most {hard} per process: about {hard // 5} pods")
    return f"up to {hard} per process"


def _apparmor() -> str:
    try:
        label = Path("/proc/thread-self/attr/current").read_text().strip("\0\n")
    except OSError:
        return "not in use"
    if label and not label.startswith("unconfined"):
        raise Unmet(f"this process is confined by {label}")
    return "does not confine this process"


def _etc_files() -> str:
    lacking = [f"/etc/{name}" for name in ETC_FILES if not Path("/etc", name).exists()]
    if lacking:
        raise Unmet(f"{', '.join(lacking)}: pods will lack it, too")
    return "pods get their own " + ", ".join(ETC_FILES)


def _tool(name: str) -> Callable[[], str]:
    def find() -> str:
        path = shutil.which(name)
        if path is None:
            raise Unmet("not installed")
        return path

    return find


PROBES = (
    Probe("privilege", True, _privilege, "run netsim as root: sudo netsim ..."),
    Probe("kernel", True, _kernel, "use a newer kernel"),
    Probe(
        "namespaces",
        True,
        _namespaces,
        "run as root outside of containers, or in one with --privileged",
    ),
    Probe("mounts", True, _mounts, "run outside of containers, or in one with --privileged"),
    Probe(
        "tun",
        True,
        _tun,
        "modprobe tun; in a container add --device /dev/net/tun --cap-add NET_ADMIN",
    ),
    Probe("links", True, _links, "modprobe veth; modprobe bridge"),
    Probe("memfd", True, _memfd, "use a newer kernel, or a laxer seccomp profile"),
    Probe("tun-uso", False, _uso, "use Linux 6.2 or newer for faster UDP"),
    Probe("udp-offload", False, _udp_offload, "use Linux 5.0 or newer for faster TCP over vxlan"),
    Probe(
        "io_uring",
        False,
        _io_uring,
        "use Linux 6.7 or newer, sysctl kernel.io_uring_disabled=0, a laxer seccomp profile; "
        "epoll is used without",
    ),
    Probe("open-files", False, _nofile, "raise nofile in /etc/security/limits.conf"),
    Probe("apparmor", False, _apparmor, "if something is refused, run netsim unconfined"),
    Probe("etc-files", False, _etc_files, "create the missing files"),
    Probe("tcpdump", False, _tool("tcpdump"), "apt install tcpdump, to look at packets"),
    Probe("tshark", False, _tool("tshark"), "apt install tshark, to dissect captures"),
)
