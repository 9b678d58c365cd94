"""`netsim bench` as users start it: options, refusals, a short run, and that nothing stays."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from netsim.bench import refuse
from netsim.cli.bench import Interrupts
from netsim.errors import PreconditionError
from netsim.lab import launch

NETSIM = (sys.executable, "-m", "netsim", "bench")
SHORT = ("--rounds", "1", "--seconds", "0.1", "--force", "-o", "json")
linux = pytest.mark.linux


def bench(*argv: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*NETSIM, *argv], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == code, done.stderr
    return done


def measured(*argv: str) -> dict[str, dict[str, dict[str, float]]]:
    """Sides by figure."""
    rows = json.loads(bench(*argv, *SHORT).stdout)["rows"]
    return {row["key"]: row["sides"] for row in rows}


@linux
@pytest.mark.parametrize(
    "argv", [("nothing",), ("--peer", "cisco"), ("--rounds", "0"), ("-o", "yaml")]
)
def test_what_there_is_not_is_refused(argv: tuple[str, ...]) -> None:
    bench(*argv, code=2)


@linux
def test_no_peer_and_a_peer_contradict() -> None:
    assert (
        "--peer none goes with no other"
        in bench("latency", "--peer", "none", "--peer", "kernel", code=2).stderr
    )


def test_a_busy_machine_is_refused_unless_forced() -> None:
    with pytest.raises(PreconditionError, match="use 40%") as caught:
        refuse.check_quiet(False, lambda: 0.4)
    assert "--force" in caught.value.hint
    assert refuse.check_quiet(True, lambda: 0.4) == ["other processes use 40% of the processors"]
    assert refuse.check_quiet(False, lambda: 0.15) == []


@linux
def test_all_wires_are_measured_beside_a_peer() -> None:
    sides = measured("latency", "connections")
    assert set(sides) == {"p50_us", "p99_us", "per_s", "per_s_16"}
    for found in sides.values():
        assert set(found) == {"netsim-fabric", "netsim-udp", "kernel"}
        assert all(spread["median"] > 0 for spread in found.values())


@linux
@pytest.mark.parametrize("peer", ["kernel-nft", "host-gw"])
def test_every_peer_carries_the_traffic(peer: str) -> None:
    sides = measured("throughput", "--peer", peer, "--wire", "udp")
    assert set(sides) == {"gbit_s", "gbit_s_8", "near_gbit_s"}
    assert all(found[peer]["median"] > 0 for found in sides.values())


@linux
def test_a_peer_that_lacks_something_is_refused_with_the_fix(tmp_path: Path) -> None:
    for tool in ("ip", "bridge", "sysctl"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    done = subprocess.run(
        [*NETSIM, "latency", "--force"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": str(tmp_path)},
        timeout=60,
    )
    assert done.returncode == 4
    assert "peer kernel can not be built" in done.stderr
    assert "install iptables-restore; or --peer none" in done.stderr


@linux
def test_iperf3_is_asked_too() -> None:
    sides = measured("throughput", "--cross-check", "--wire", "fabric", "--spec", "workers=2")
    assert set(sides["iperf3_gbit_s"]) == {"netsim-fabric", "kernel"}


@linux
def test_a_field_that_a_lab_has_not_is_refused() -> None:
    done = bench("latency", "--peer", "none", "--force", "--spec", "wokers=1", code=2)
    assert "wokers" in done.stderr
    bench("latency", "--force", "--spec", "workers", code=2)


@linux
def test_packets_are_measured_without_a_peer() -> None:
    sides = measured("packets", "--peer", "none", "--wire", "fabric")
    assert set(sides) == {"packets_per_s", "flood_per_s", "flood_loss"}
    assert sides["packets_per_s"]["netsim-fabric"]["median"] > 0


JOIN = """
ip link add bench0 netns "$NETSIM_BENCH_CLIENT_NETNS" type veth \\
    peer name bench0 netns "/proc/$NETSIM_BENCH_SERVER_PID/ns/net"
for end in CLIENT SERVER; do
    [ $end = CLIENT ] && pid=$NETSIM_BENCH_CLIENT_PID own=$NETSIM_BENCH_CLIENT_ADDRESS \\
        far=$NETSIM_BENCH_SERVER_ADDRESS
    [ $end = SERVER ] && pid=$NETSIM_BENCH_SERVER_PID own=$NETSIM_BENCH_SERVER_ADDRESS \\
        far=$NETSIM_BENCH_CLIENT_ADDRESS
    nsenter --net=/proc/$pid/ns/net ip addr add $own peer $far dev bench0
    nsenter --net=/proc/$pid/ns/net ip link set bench0 up
done
exec sleep infinity
"""


@linux
def test_any_program_may_be_the_peer(tmp_path: Path) -> None:
    script = tmp_path / "join"
    script.write_text(JOIN)
    sides = measured("latency", "--peer-command", f"sh {script}", "--wire", "fabric")
    assert set(sides["p50_us"]) == {"netsim-fabric", "command"}


@linux
def test_a_program_that_joins_nothing_is_told() -> None:
    done = bench("latency", "--peer-command", "exit 3", "--force", code=1)
    assert "the peer command has ended" in done.stderr
    assert "exit code 3" in done.stderr


def test_a_signal_that_comes_while_python_forks_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signal, "signal", lambda number, act: handlers.setdefault(number, act))
    handlers: dict[int, Callable[[], None]] = {}
    said: list[str] = []
    step = Interrupts().before(said.append)
    step("first")
    with contextlib.suppress(KeyboardInterrupt):  # as the hooks of a fork do
        handlers[signal.SIGTERM]()
    with pytest.raises(KeyboardInterrupt):
        step("second")
    assert said == ["first"]
    assert set(handlers) == {signal.SIGINT, signal.SIGTERM}


def left_over() -> list[str]:
    return [lab.name for lab in launch.list_labs() if lab.name.startswith("bench-")]


@linux
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_nothing_stays_when_it_is_interrupted(number: signal.Signals, code: int) -> None:
    argv = [*NETSIM, "latency", "--force", "--wire", "fabric", "--peer", "none"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "echo: round" not in process.stderr.readline():
            assert process.poll() is None
        assert [name for name in left_over() if str(process.pid) in name]
        os.kill(process.pid, number)
        process.stderr.read()
        assert process.wait() == code
    end = time.monotonic() + 15
    while any(str(process.pid) in name for name in left_over()):
        assert time.monotonic() < end
        time.sleep(0.1)
