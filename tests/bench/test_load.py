"""The load generator, against its own server over loopback."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from netsim.bench import load

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server's base port."""
    number = 20000 + os.getpid() % 20000
    argv = [load.program(), "serve", str(number)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield number
        process.terminate()


def run(port: int, what: str, *numbers: object) -> load.Figures:
    argv = [load.program(), what, HOST, str(port), *map(str, numbers)]
    return load.parse(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


pytestmark = pytest.mark.linux  # receive buffers beyond the limit need root


@pytest.mark.parametrize("streams", [1, 8])
def test_bulk_is_counted_by_who_receives_it(port: int, streams: int) -> None:
    assert run(port, "bulk", 0.2, streams)["gbit_s"] > 0


def test_echo_gives_percentiles_in_order(port: int) -> None:
    found = run(port, "echo", 0.2)
    assert 0 < found["p50_us"] <= found["p99_us"]
    assert found["samples"] > 10


@pytest.mark.parametrize("in_flight", [1, 16])
def test_connections_are_counted_and_their_first_packet_timed(port: int, in_flight: int) -> None:
    found = run(port, "connect", 0.2, in_flight)
    assert found["per_s"] > 0
    assert 0 < found["first_p50_us"] <= found["first_p99_us"]
    assert found["answered"] > 0
    assert 0 < found["gap_ms"] < 1000


def test_a_paced_sender_keeps_its_rate_and_counts_what_arrives(port: int) -> None:
    found = run(port, "udp", 0.5, 64, 2000)
    assert 0 < found["sent"] <= 1000
    assert found["received"] == found["sent"]
    assert found["loss"] == 0


def test_trials_are_answered_one_by_one(port: int) -> None:
    argv = [load.program(), "udp-trials", HOST, str(port), "0.1", "64"]
    done = subprocess.run(argv, input="1000\n3000\n", capture_output=True, text=True, check=True)
    first, second = (load.parse(line) for line in done.stdout.splitlines())
    assert first["sent"] < second["sent"]


def test_each_flow_has_a_port_of_its_own(port: int) -> None:
    assert run(port, "flows", 100) == {"sent": 100}


@pytest.mark.parametrize("argv", [[], ["bulk"], ["bulk", HOST, "1"], ["echo", HOST, "1", "1", "1"]])
def test_a_wrong_command_line_is_told(argv: list[str]) -> None:
    done = subprocess.run([load.program(), *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: load serve PORT" in done.stderr


def test_who_is_not_answered_says_so() -> None:
    argv = [load.program(), "echo", HOST, "1", "0.1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "load: connect: Connection refused" in done.stderr
