"""The fixtures that the package installs into pytest, in a pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TESTS = """\
import pytest
from netsim.lab import launch

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "command": ["sleep", "infinity"]}]},
}
names = []


@pytest.mark.netsim([POD])
def test_lab(lab):
    names.append(lab.name)
    assert lab.run("p", ["hostname"]).stdout == "p\\n"


def test_it_is_gone():
    assert launch.list_labs() == []


def test_two(netsim_lab):
    one, two = netsim_lab([POD]), netsim_lab([POD])
    assert one.name != two.name
    assert len(launch.list_labs()) == 2


@pytest.mark.netsim([POD])
def test_that_fails(lab):
    assert False


def test_they_are_gone_too():
    assert launch.list_labs() == []


def test_without_marker(lab):
    pass
"""


def pytest_run(tmp_path: Path, *before: str) -> str:
    """What pytest prints for TESTS."""
    file = tmp_path / "test_mine.py"
    file.write_text(TESTS)
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "-q", str(file)]
    if subprocess.run(
        [
            sys.executable,
            "-c",
            "import importlib.metadata as m; "
            "exit(not any(e.name == 'netsim' for e in m.entry_points(group='pytest11')))",
        ],
        check=False,
    ).returncode:
        argv[3:3] = ["-p", "netsim.lab.pytest_plugin"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NETSIM_RUN": str(tmp_path / "run")}
    done = subprocess.run(
        [*before, *argv],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=env,
        timeout=100,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.linux
def test_labs_come_up_for_a_test_and_go_down_after_it(tmp_path: Path) -> None:
    said = pytest_run(tmp_path)
    for name in ("test_lab", "test_it_is_gone", "test_two", "test_they_are_gone_too"):
        assert f"PASSED test_mine.py::{name}\n" in said
    assert "FAILED test_mine.py::test_that_fails" in said
    assert "the lab fixture needs @pytest.mark.netsim(SOURCE)" in said
    assert "PytestUnknownMarkWarning" not in said


@pytest.mark.linux
def test_where_no_lab_can_run_tests_skip_with_the_reason(tmp_path: Path) -> None:
    hidden = 'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec "$@"'
    before = ("unshare", "--mount", "--propagation", "private", "sh", "-c", hidden, "sh")
    said = pytest_run(tmp_path, *before)
    assert "SKIPPED" in said
    assert "tun: /dev/net/tun: No such file or directory" in said
