"""Sources of a lab: files, folders and objects, the Lab that completes them, places of problems."""

from __future__ import annotations

from pathlib import Path

import pytest

import netsim
from netsim.api.problems import Problem
from netsim.errors import UsageError
from netsim.lab import topology
from netsim.lab.apply import plan
from netsim.lab.apply_checks import find_problems, from_json, to_json
from netsim.lab.topology import Topology

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: c, image: nginx, command: [sleep, infinity]}]}
"""
LAB = "apiVersion: netsim.dev/v1alpha1\nkind: Lab\nmetadata: {name: given}\n---\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text(POD)
    return path


def kinds(read: Topology) -> list[object]:
    return [obj["kind"] for obj in read.objects]


def test_a_topology_without_a_lab_gets_one(file: Path) -> None:
    read = topology.read(str(file))
    assert (read.name, kinds(read)) == ("default", ["Lab", "Pod"])


def test_the_lab_of_a_file_names_the_lab_unless_another_name_is_given(file: Path) -> None:
    file.write_text(LAB + POD)
    assert topology.read(file).name == "given"
    other = topology.read([file], name="other")
    assert other.name == "other"
    assert other.objects[0]["metadata"] == {"name": "other"}


def test_a_folder_and_objects_are_sources_too(file: Path) -> None:
    from_folder = topology.read(file.parent)
    assert kinds(from_folder) == ["Lab", "Pod"]
    assert kinds(topology.read(list(from_folder.objects))) == ["Lab", "Pod"]
    assert topology.read(from_folder) is from_folder


def test_warnings_say_where_and_what_once(file: Path) -> None:
    (said,) = topology.read(file).warnings
    assert said.startswith(f"{file}:4:31: spec.containers[0].image: ignored")
    assert ": warning: " not in said


def test_errors_are_refused_together(file: Path) -> None:
    file.write_text(POD.replace("kind: Pod", "kind: Pod\nfoo: 1\nbar: 2"))
    with pytest.raises(UsageError) as refused:
        topology.read(file)
    assert refused.value.what == "2 problems found; nothing was done"
    assert len(refused.value.why.splitlines()) == 3  # the warning is shown with them


def test_part_of_a_topology_takes_the_running_labs_name(file: Path) -> None:
    file.write_text(LAB + POD)
    part = topology.read_part(file, "running")
    assert part.objects[0]["metadata"] == {"name": "running"}
    file.write_text(POD)
    assert kinds(topology.read_part(file, "running")) == ["Pod"]


def test_problems_that_a_lab_finds_get_their_places(file: Path) -> None:
    part = topology.read_part(file, "running")
    found = Problem("error", "no", ("spec", "containers", 0, "name"), subject="Pod default/p")
    (placed,) = topology.with_places(part, [from_json(to_json(found))])
    assert str(placed) == f"{file}:4:28: error: spec.containers[0].name: no"
    unknown = Problem("error", "no", subject="Pod default/other")
    assert topology.with_places(part, [unknown]) == [unknown]


@pytest.mark.parametrize(
    "problem",
    [
        Problem("error", "m", ("spec", "ports", 0), "h", at=("spec",), subject="Pod a/b"),
        Problem("warning", "m", (), at=("kind",), at_key=True),
    ],
)
def test_problems_travel_as_json(problem: Problem) -> None:
    assert from_json(to_json(problem)) == problem


SPEC = {"containers": [{"name": "c", "command": ["sleep"]}]}


def pod(**spec: object) -> dict[str, object]:
    meta = {"name": "p", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {**SPEC, **spec}}


def lab(**spec: object) -> dict[str, object]:
    return {
        "apiVersion": "netsim.dev/v1alpha1",
        "kind": "Lab",
        "metadata": {"name": "t"},
        "spec": spec,
    }


def found(stored: list[dict[str, object]], *objects: dict[str, object]) -> list[str]:
    steps = plan(stored, objects, prune=False)
    return [f"{p.subject}: {p}" for p in find_problems(stored, objects, steps, prune=False)]


def test_a_lab_knows_what_an_apply_refers_to() -> None:
    (problem,) = found([lab()], pod(nodeName="node9"))
    assert problem.startswith("Pod default/p: error: spec.nodeName: Not found")
    assert found([lab()], pod(nodeName="node2")) == []


def test_what_may_not_change_is_found() -> None:
    (problem,) = found([lab(), pod()], pod(containers=[{"name": "c", "command": ["true"]}]))
    assert problem.startswith("Pod default/p: error: spec: Forbidden: pod updates may not change")
    (problem,) = found([lab(backend="udp")], lab(backend="vxlan"))
    assert problem.startswith("Lab t: error: spec.backend: Forbidden")


def test_a_lab_object_is_named_by_the_package() -> None:
    assert netsim.Lab([pod()], name="x").name == "x"
    with pytest.raises(UsageError, match="needs a source or a name"):
        netsim.Lab()
    with pytest.raises(UsageError, match="1 problem found"):
        netsim.Lab([pod(foo=1)])
    with pytest.raises(AttributeError, match="no attribute 'Labb'"):
        netsim.Labb  # noqa: B018
