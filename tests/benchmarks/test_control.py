"""The control side's steps are measured on a cluster as the bench stores it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import control
from netsim.dataplane.messages import Apply
from netsim.dataplane.rows import Changes, Tables

SERVICES = 12


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> control.Cluster:
    return control.Cluster(SERVICES, tmp_path_factory.mktemp("cluster"))


def test_all_services_are_compiled_planned_and_sent(cluster: control.Cluster) -> None:
    tables = control.compile_all(cluster)()
    assert isinstance(tables, Tables)
    assert len(tables.services) == SERVICES
    changes = control.plan_all(cluster)()
    assert isinstance(changes, Changes)
    assert control.unpack_all(cluster)() == Apply(Changes(services=changes.services), 1)
    assert all(len(row.endpoints) == control.ENDPOINTS for row in changes.services)


def test_a_change_reaches_the_rows_of_its_service_alone(cluster: control.Cluster) -> None:
    before = cluster.tables.services
    control.compile_change(cluster)()
    after = cluster.tables.services
    assert sum(after[key] is not before[key] for key in after) == 1


@pytest.mark.parametrize("name", control.CASES)
def test_every_case_takes_its_time(name: str, cluster: control.Cluster) -> None:
    control.CASES[name](cluster)()


def test_pyperf_keeps_the_figures(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    words = ["-m", "benchmarks.control", "--debug-single-value", "--services", str(SERVICES)]
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, *words, "-q", "-o", str(kept)], check=True, cwd=root)
    names = [found["metadata"]["name"] for found in json.loads(kept.read_text())["benchmarks"]]
    assert names == [f"{name} ({SERVICES} services)" for name in control.CASES]
