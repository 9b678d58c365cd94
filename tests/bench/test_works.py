"""The works beside the traffic, small: every one runs to its end and gives its figures."""

from __future__ import annotations

import os
import time

import pytest

from netsim.bench import cpu, memory, path, services, startup, updates
from netsim.bench.memory_of import pss_bytes
from netsim.bench.options import Options
from netsim.bench.rounds import Row

SMALL = Options(wires=("fabric",), rounds=1, seconds=0.1)
linux = pytest.mark.linux


def quiet(_: str) -> None:
    pass


def sides(rows: list[Row]) -> dict[str, set[str]]:
    """Sides by figure; every figure is positive."""
    assert all(spread.median > 0 for row in rows for spread in row.spreads.values())
    return {row.figure.key: set(row.spreads) for row in rows}


@linux
def test_services_are_measured_by_their_number() -> None:
    found = sides(services.measure(SMALL._replace(sizes=(1, 30)), quiet))
    all_sides = {"netsim-fabric", "kernel", "kernel-nft"}
    assert found == {
        f"{key}@{size}": all_sides for key in ("first_p50_us", "services_per_s") for size in (1, 30)
    }


@linux
def test_updates_are_measured_by_the_number_of_services_and_nodes() -> None:
    found = sides(updates.measure(SMALL._replace(sizes=(5, 50)), quiet))
    peers = {"kernel", "kernel-nft"}
    assert found == {
        "update_p50_ms@5": {"netsim", *peers},
        "update_p99_ms@5": {"netsim"},
        "update_p50_ms@50": {"netsim", *peers},
        "update_p99_ms@50": {"netsim"},
        "full_ms@1": {"netsim", *peers},
        "full_ms@100": {"netsim"},
    }


@linux
def test_startup_is_measured_beside_ip() -> None:
    found = sides(startup.measure(SMALL._replace(sizes=(12,)), quiet))
    assert found == {"up_s@12": {"netsim", "ip-batch"}, "down_s@12": {"netsim"}}


@linux
def test_memory_of_flows_is_measured() -> None:
    assert 20 < memory.per_flow(20_000) < 2000


@linux
def test_an_idle_lab_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "WATCHED_S", 0.5)
    found = memory.of_pods(20)
    assert found["pod_kib"] > 0
    assert 0 <= found["idle_percent"] < 100


def test_the_processor_time_of_a_process_is_read() -> None:
    before = time.process_time()
    assert before < cpu.used_s(os.getpid()) < time.process_time()
    with pytest.raises(OSError, match="Invalid argument"):
        cpu.used_s(2**22 + 1)  # above the highest pid_max


@linux
def test_memory_of_services_is_measured() -> None:
    found = memory.per_service(200)
    assert set(found) == {
        *("service_bytes", "endpoint_bytes", "service_control_bytes", "endpoint_control_bytes"),
    }
    assert 0 < found["endpoint_bytes"] < 1000


def test_memory_is_read_from_what_the_kernel_tells() -> None:
    rollup = "Pss:     12 kB\nPss_Anon:  3 kB\nPss_File:  8 kB\nPss_Shmem:     1 kB\n"
    assert pss_bytes(rollup) == 4 * 1024
    assert pss_bytes("") == 0


@linux
def test_datagrams_are_measured_beside_a_loop_that_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "ROUNDS", 1)
    row = path.beside_a_copy("epoll", quiet)
    assert sides([row]) == {"io_per_s@epoll": {"netsim", "bare copy"}}
    (ratio,) = row.ratios
    netsim, copy = (row.spreads[side].median for side in ("netsim", "bare copy"))
    assert ratio.ratio == pytest.approx(netsim / copy)


def test_the_packet_path_says_why_it_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsim.bench.path.shutil.which", lambda _: None)
    assert path.missing() == "path: needs gcc"
    monkeypatch.setattr(path, "TREE", path.TREE / "nowhere")
    assert "needs netsim's sources" in path.missing()
