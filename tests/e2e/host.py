"""What this machine is like, apart from any lab: taken before and after, it must be equal.

`python -m tests.e2e.host` takes labs through their lives on a host of its own (`unshare`), where
nothing else changes anything, and prints as JSON what differs after each: nothing, one hopes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from netsim.lab import launch

Snapshot = Mapping[str, list[str]]

NETSIM = (sys.executable, "-m", "netsim")
# Folders of its own for the host; not one that holds this checkout or its Python.
NEEDED = (Path(__file__).resolve(), Path(sys.prefix).resolve())
FOLDERS = [
    folder
    for folder in ("/run", "/dev/shm", "/tmp")
    if not any(path.is_relative_to(folder) for path in NEEDED)
]
TOPOLOGY = Path(__file__).parents[2] / "examples" / "quickstart.yaml"
ASK = ("exec", "client", "--", "curl", "-sf", "http://10.96.0.80/hostname")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "links": ("ip", "-o", "link"),
    "addresses": ("ip", "-o", "addr"),
    "routes": ("ip", "route", "show", "table", "all"),
    "routes of IPv6": ("ip", "-6", "route", "show", "table", "all"),
    "rules": ("ip", "rule"),
    "nftables": ("nft", "list", "ruleset"),
    "iptables": ("iptables-save",),
    "iptables (legacy)": ("iptables-legacy-save",),
}
# What the kernel itself counts or renews.
MOVING = ("nf_conntrack_count", "stat_refresh")


def sysctls() -> list[str]:
    """Every readable setting of the network, memory and limits."""
    found = []
    for part in ("net", "vm", "user"):
        for path in sorted(Path("/proc/sys", part).rglob("*")):
            if path.name not in MOVING:
                with contextlib.suppress(OSError, UnicodeDecodeError):
                    found.append(f"{path} = {path.read_text()}")
    return found


def output(argv: tuple[str, ...]) -> list[str]:
    """The lines that a command says; its comments carry the time."""
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if not line.startswith("#")]


def shared_snapshot() -> Snapshot:
    """What must not change while a lab runs either."""
    return {
        **{name: output(argv) for name, argv in COMMANDS.items()},
        "sysctls": sysctls(),
        "mounts": Path("/proc/self/mountinfo").read_text().splitlines(),
    }


def snapshot() -> Snapshot:
    """Everything; only on a host of one's own."""
    reap()
    return {
        **shared_snapshot(),
        "neighbours": output(("ip", "neigh")),
        "namespaces": sorted(output(("lsns", "-n", "-o", "NS,TYPE"))),
        "processes": sorted(p.name for p in Path("/proc").glob("[0-9]*") if runs_on(p)),
        "files": sorted(str(p) for folder in FOLDERS for p in Path(folder).rglob("*")),
    }


def runs_on(process: Path) -> bool:
    """Whether a process is not one of those that take the snapshot."""
    try:
        return "lsns" not in (process / "comm").read_text()
    except OSError:
        return False


def reap() -> None:
    """We are PID 1: take the orphans that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What is in one only."""
    return [
        f"{name} {sign} {line}"
        for name in before
        for sign, lines, others in (("-", before, after), ("+", after, before))
        for line in lines[name]
        if line not in others[name]
    ]


def netsim(*args: str) -> None:
    """Run a command; it must succeed."""
    done = subprocess.run((*NETSIM, *args), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"netsim {' '.join(args)}: {done.stderr}")


def ordinary() -> None:
    """Up, at work, down."""
    netsim("up", str(TOPOLOGY))
    netsim(*ASK)
    netsim("scale", "deployment/web", "--replicas", "5")
    netsim("exec", "node/node1", "--", "ping", "-c", "1", "-W", "5", "10.244.1.1")
    netsim("delete", "pod", "client")


def killed() -> None:
    """Up, and init dies."""
    netsim("up", str(TOPOLOGY))
    netsim(*ASK)
    info = launch.find_lab("quickstart")
    assert info is not None
    os.kill(info.init_pid, signal.SIGKILL)
    while launch.find_lab("quickstart"):
        time.sleep(0.01)


def interrupted() -> None:
    """Half up, and the command dies."""
    with subprocess.Popen((*NETSIM, "up", str(TOPOLOGY)), stderr=subprocess.DEVNULL) as process:
        while launch.find_lab("quickstart") is None:
            time.sleep(0.01)
        process.kill()


LIVES: Mapping[str, Callable[[], None]] = {
    "ordinary": ordinary,
    "killed": killed,
    "interrupted": interrupted,
}


def prepare() -> None:
    """Make the host one's own, with something of everything that must be left alone."""
    for folder in FOLDERS:
        subprocess.run(("mount", "-t", "tmpfs", "none", folder), check=True)
    for line in (
        "ip link set lo up",
        "ip link add eth9 type veth peer name eth8",
        "ip link set eth8 addrgenmode none up",
        "ip addr add 192.0.2.1/24 dev eth9",
        "ip link set eth9 addrgenmode none up",
        "ip route add 10.0.0.0/8 via 192.0.2.2",
        "ip rule add fwmark 7 lookup 7",
        "ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth9 nud permanent",
        "nft add table inet mine",
        "iptables -t nat -A POSTROUTING -s 10.244.0.0/16 -j MASQUERADE",
        "iptables-legacy -A FORWARD -i flannel.1 -j DROP",
        "ip netns add quickstart-node1",
        "sysctl -q -w net.ipv4.ip_forward=0",
    ):
        subprocess.run(line.split(), check=True)


def main() -> None:
    """Take a lab through every kind of life."""
    prepare()
    netsim("doctor")  # what a first command leaves is not a lab's
    before = snapshot()
    found: dict[str, list[str]] = {}
    for name, live in LIVES.items():
        live()
        now = shared_snapshot()
        if name == "ordinary" and snapshot()["namespaces"] == before["namespaces"]:
            sys.exit("a lab without namespaces?")
        found[f"{name}, while up"] = differences({k: before[k] for k in now}, now)
        netsim("down", "quickstart")
        found[f"{name}, after down"] = differences(before, snapshot())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
