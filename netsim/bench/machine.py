"""What the figures are figures of: processors, kernel, tools, and what netsim uses of them."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import netsim
from netsim.api.fields import Json, mapping

TOOLS = {
    "iptables": ("iptables", "--version"),
    "nft": ("nft", "--version"),
    "iperf3": ("iperf3", "--version"),
}


def facts(status: Json | None = None) -> dict[str, object]:
    """Names and values; `status` is a lab's, for what its data plane uses."""
    found: dict[str, object] = {
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text()),
        "cores": os.cpu_count() or 1,
        "memoryGiB": round(_memory_kib() / 2**20, 1),
        "kernel": platform.release(),
        "congestionControl": f"cubic (this machine's default: {_default_congestion_control()})",
        "netsim": netsim.__version__,
        "python": platform.python_version(),
    }
    if status is not None:
        found |= dataplane_facts(mapping(status, "dataPlane"))
    return found | {name: version for name in TOOLS if (version := _version(name))}


def dataplane_facts(dataplane: Mapping[str, object]) -> dict[str, object]:
    """How the data plane works: its I/O method and workers."""
    reason = dataplane.get("ioReason")
    io = f"{dataplane.get('io', '?')}{f' ({reason})' if reason else ''}"
    return {"io": io, "workers": dataplane.get("workers", "?")}


def cpu_model(cpuinfo: str) -> str:
    """The processor's name."""
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _memory_kib() -> int:
    found = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return int(found[1]) if found else 0


def _default_congestion_control() -> str:
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def _version(tool: str) -> str:
    try:
        done = subprocess.run(TOOLS[tool], capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return ""
    return done.stdout.partition("\n")[0].strip()
