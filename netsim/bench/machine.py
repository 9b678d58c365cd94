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


def facts(statuses: Mapping[str, Json] | None = None) -> dict[str, object]:
    """Names and values; `statuses` are our labs', by wire, for what their data planes use."""
    found: dict[str, object] = {
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text()),
        "cores": os.cpu_count() or 1,
        "memoryGiB": round(_memory_kib() / 2**20, 1),
        "kernel": platform.release(),
        "congestionControl": f"cubic (this machine's default: {_default_congestion_control()})",
        "netsim": netsim.__version__,
        "python": platform.python_version(),
    }
    if statuses:
        found |= dataplane_facts({k: mapping(s, "dataPlane") for k, s in statuses.items()})
    return found | {name: version for name in TOOLS if (version := _version(name))}


def dataplane_facts(dataplanes: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """How the data planes work, by wire: their I/O method and workers."""
    methods = {wire: _method(dataplane) for wire, dataplane in dataplanes.items()}
    workers = {wire: dataplane.get("workers", "?") for wire, dataplane in dataplanes.items()}
    return {"io": _common(methods), "workers": _common(workers)}


def _method(dataplane: Mapping[str, object]) -> str:
    reason = dataplane.get("ioReason")
    return f"{dataplane.get('io', '?')}{f' ({reason})' if reason else ''}"


def _common(values: Mapping[str, object]) -> object:
    """The value, if they have the same; else each with its name."""
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{name}: {value}" for name, value in values.items())


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
