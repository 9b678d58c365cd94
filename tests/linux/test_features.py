"""The probes of `netsim doctor`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from netsim.linux import features
from tests.linux.conftest import PYTHON_ENV


@pytest.mark.linux
def test_where_linux_tests_run_nothing_required_is_missing() -> None:
    found = features.probe()
    assert [feature for feature in found if feature.required and not feature.ok] == []
    assert features.missing() == []
    assert len({feature.name for feature in found}) == len(found)


@pytest.mark.linux
def test_probing_leaves_nothing_behind() -> None:
    def state() -> tuple[list[str], bytes, int, int]:
        with open("/proc/self/mountinfo", "rb") as mounts:
            network = os.stat("/proc/self/ns/net").st_ino
            files = len(os.listdir("/proc/self/fd"))
            return os.listdir("/sys/class/net"), mounts.read(), network, files

    before = state()
    features.probe()
    assert state() == before


@pytest.mark.linux
def test_without_privilege_every_unmet_row_says_what_to_do() -> None:
    code = """
from netsim.linux import features
rows = features.probe()
assert all(bool(row.fix) != row.ok and row.detail for row in rows), rows
print(*[row.name for row in rows if not row.ok])
"""
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", code]
    out = subprocess.run(command, env=PYTHON_ENV, capture_output=True, text=True, check=True)
    assert {"privilege", "namespaces"} <= set(out.stdout.split())
