"""Labs of init alone, in a state directory of the test's own, and sandboxes made in them."""

from __future__ import annotations

import itertools
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from netsim.lab import launch
from netsim.lab.init_client import InitClient
from netsim.lab.lab_info import LabInfo
from netsim.lab.sandbox import Maker, PodNet

NUMBER = itertools.count()
PYTHON_ENV = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(Path(__file__).parents[2])}


def ip(text: str) -> int:
    return int.from_bytes(socket.inet_aton(text), "big")


def pod(number: int = 0, name: str = "", namespace: str = "default") -> PodNet:
    name = name or f"pod-{number}"
    return PodNet(name, namespace, ip("10.244.0.5") + number, 1450, ip("10.96.0.10"))


@pytest.fixture
def run_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state root of its own: nothing here sees or touches other labs."""
    monkeypatch.setenv("NETSIM_RUN", str(tmp_path))
    return tmp_path


class InitLab:
    """A lab that is its init only (and the services that a test gives it)."""

    def __init__(self, info: LabInfo) -> None:
        self.name = info.name
        self.pid = info.init_pid
        self.state = launch.state_dir(info.name)
        self.client = InitClient(self.state / "init.sock")


class StartLab(Protocol):
    def __call__(self, **services: list[str]) -> InitLab: ...


@pytest.fixture
def start_lab(run_root: Path) -> Iterator[StartLab]:
    """Start labs; all are down after the test."""
    made: list[InitLab] = []

    def start(**services: list[str]) -> InitLab:
        name = f"t{os.getpid()}-{next(NUMBER)}"
        made.append(InitLab(launch.start_init(name, services=services)))
        return made[-1]

    yield start
    for lab in made:
        lab.client.close()
        launch.stop_lab(lab.name)


@pytest.fixture
def lab(start_lab: StartLab) -> InitLab:
    return start_lab()


@pytest.fixture
def maker() -> Iterator[Maker]:
    made = Maker()
    yield made
    made.close()


def python(code: str) -> list[str]:
    return [sys.executable, "-P", "-c", code]
