"""io_uring, epoll, and what is done where the kernel refuses one or the other help."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from netsim.dataplane._core import Engine, engine_io
from netsim.dataplane.io_methods import ENVIRONMENT, io_method, io_reason

ROOT = Path(__file__).parents[2]
ASK = """
import json
from netsim.dataplane._core import Engine, engine_io
engine = Engine(1, 1)
engine.start()
info = engine.info()
try:
    Engine(1, 1, io="io_uring")
    forced = 0
except MemoryError:
    forced = 12  # ENOMEM
except OSError as error:
    forced = error.errno
print(json.dumps([*engine_io(), info.io, info.io_errno, forced]))
engine.close()
"""


def refused(what: str, *program: str, io: str = "auto") -> str:
    """What a Python program prints where the kernel refuses something."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.refuse", what, sys.executable, *program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
        env={**os.environ, ENVIRONMENT: io},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


REFUSED = [
    ("io_uring", errno.EPERM, "sysctl"),
    ("io_uring-old", errno.EOPNOTSUPP, "older than Linux 6.7"),
    ("io_uring-memory", errno.ENOMEM, "locked memory"),
]


@pytest.mark.parametrize(("what", "number", "reason"), REFUSED)
def test_a_refused_io_uring_is_epoll_with_the_reason(what: str, number: int, reason: str) -> None:
    found = json.loads(refused(what, "-c", ASK))
    assert found == ["epoll", number, "epoll", number, number]
    assert reason in io_reason(number)


@pytest.mark.skipif(engine_io()[0] != "io_uring", reason="this kernel has no io_uring of 6.7")
def test_either_method_runs_when_asked_for() -> None:
    for io in ("io_uring", "epoll"):
        with closing(Engine(2, 1, io=io)) as engine:
            for _ in range(2):
                engine.start()
                assert (engine.info().io, engine.info().io_errno) == (io, 0)
                engine.stop()


def test_the_environment_chooses_where_the_lab_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "select")
    with pytest.raises(ValueError, match="NETSIM_IO=select"):
        io_method("auto")
    monkeypatch.setenv(ENVIRONMENT, "epoll")
    assert (io_method("auto"), io_method("io_uring")) == ("epoll", "io_uring")


PEERS = f"{sys.executable} -m tests.io.peers"
COMMANDS = {  # the listener in the second pod, the sender in the first
    "bulk": (f"b:{PEERS} sink", f"{PEERS} bulk"),
    "segmented": (f"b:{PEERS} datagrams", f"{PEERS} segmented"),
}


def arrived(report: str, io: str) -> None:
    """All that was sent, by this method."""
    found = json.loads(report)
    assert found["io"] == io
    assert found["results"][0]["code"] == 0
    assert found["drops"] == [{}, {}]


@pytest.mark.linux
@pytest.mark.parametrize("io", ["io_uring", "epoll"])
@pytest.mark.parametrize("what", ["uso", "udp-gro"])
@pytest.mark.parametrize("program", COMMANDS)
def test_without_an_offload_everything_still_arrives(what: str, io: str, program: str) -> None:
    lab = ("-m", "tests.io.real_lab", "udp", "vxlan")
    arrived(refused(what, *lab, *COMMANDS[program], io=io), io)


@pytest.mark.linux
@pytest.mark.parametrize("io", ["io_uring", "epoll"])
@pytest.mark.parametrize("error", [errno.EIO, errno.EINVAL])
@pytest.mark.parametrize("program", COMMANDS)
def test_without_udp_segment_everything_still_arrives(
    no_segment: Path, error: int, io: str, program: str
) -> None:
    preload = {"LD_PRELOAD": str(no_segment), "NO_SEGMENT": str(error)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.io.real_lab", "udp", "vxlan", *COMMANDS[program]],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
        env={**os.environ, ENVIRONMENT: io, **preload},
    )
    assert "refused UDP_SEGMENT" in done.stderr
    arrived(done.stdout, io)


def spent_ns(seconds: float) -> int:
    """Processor time of this process while nothing happens."""
    before = time.process_time_ns()
    time.sleep(seconds)
    return time.process_time_ns() - before


@pytest.mark.parametrize("polling", ["sleep", "spin"])
def test_an_idle_engine_sleeps(polling: str) -> None:
    with closing(Engine(2, 1, polling=polling)) as engine:
        engine.start()
        engine.info()  # its workers have begun
        assert spent_ns(1) < 10_000_000  # one percent
    with closing(Engine(1, 1, polling="busy")) as engine:
        engine.start()
        engine.info()
        assert spent_ns(1) > 1_000_000  # it yields to whoever wants to run
