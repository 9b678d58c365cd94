"""`up` and `apply` on a running lab: exactly the difference, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from netsim import Lab
from netsim.api.fields import Json, mapping
from netsim.api.meta import name_of
from netsim.lab import launch
from netsim.lab.topology import Source
from tests.e2e import world
from tests.e2e.loads import load
from tests.e2e.processes import by_key, need_linux, netsim
from tests.e2e.workload import HTTP, WEB_IP, deployment, restarts, settled, uids
from tests.e2e.world import eventually

pytestmark = pytest.mark.linux

WEB = world.service("web", WEB_IP, [("TCP", HTTP, 8080)])
OTHER = world.service("other", "10.96.0.81", [("TCP", HTTP, 8080)])
BASE = (
    world.lab(),
    deployment("web", 3),
    WEB,
    world.pod("client", 1),
    world.answerer("lone", 2, labels={"app": "other"}),
    OTHER,
)


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a lab that the test brings up; it is down afterwards."""
    need_linux()
    name = world.lab_name()
    yield name
    launch.stop_lab(name)
    launch.sweep()


@pytest.fixture
def file(tmp_path: Path) -> Callable[[Sequence[Json]], str]:
    """A function that writes objects to one file, always the same."""

    def write(objects: Sequence[Json]) -> str:
        path = tmp_path / "lab.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
        return str(path)

    return write


def run(*args: str) -> list[str]:
    """The lines that a command prints; it must succeed."""
    done = netsim(*args)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def changes(lines: Sequence[str]) -> list[str]:
    """What a command says has changed."""
    return sorted(line for line in lines if " unchanged" not in line)


def test_the_same_file_again_changes_nothing(
    name: str, file: Callable[[Sequence[Json]], str]
) -> None:
    path = file(BASE)
    run("up", "--name", name, path)
    lab = Lab(name=name)
    running, known = by_key(lab), uids(lab)
    revision = lab.status()["revision"]
    for again in (["up", "--name", name, path], ["apply", "--lab", name, "-f", path]):
        lines = run(*again)
        assert changes(lines) == []
        assert len(lines) == len(BASE), lines
    assert (by_key(lab), uids(lab)) == (running, known)
    assert lab.status()["revision"] == revision


def test_up_with_an_edited_file_does_exactly_the_difference(
    name: str, file: Callable[[Sequence[Json]], str]
) -> None:
    run("up", "--name", name, file(BASE))
    lab = Lab(name=name)
    running, known = by_key(lab), uids(lab)
    moved = world.service("web", WEB_IP, [("TCP", 81, 8080)])
    new = world.answerer("new", 1)
    edited = [BASE[0], deployment("web", 4), moved, BASE[3], new]
    expected = [
        "deployment/web configured: spec.replicas",
        "pod/lone deleted",
        "pod/new created",
        "service/other deleted",
        "service/web configured: spec.ports[0].port",
    ]
    planned = run("up", "--dry-run", "--name", name, file(edited))
    assert changes(planned) == [f"{line} (dry run)" for line in expected]
    assert (by_key(lab), uids(lab)) == (running, known)
    assert changes(run("up", "--name", name, file(edited))) == expected
    settled(lab, "web", 4)
    eventually(lambda: "lone" not in uids(lab), "lone has gone")
    now = uids(lab)
    assert now.keys() > known.keys() - {"lone"}
    assert {pod: uid for pod, uid in known.items() if pod != "lone"}.items() <= now.items()
    assert all(restarts(pod) == 0 for pod in lab.objects("pod"))
    assert {name_of(s) for s in lab.objects("service", "default")} & {"web", "other"} == {"web"}
    with load(lab, "client", "tcp", WEB_IP, 81, 4) as requests:
        requests.more()
    assert not requests.last.failures


def test_apply_leaves_alone_what_it_is_not_told_of(
    netsim_lab: Callable[[Source], Lab],
) -> None:
    lab = netsim_lab(BASE)
    known = uids(lab)
    lab.scale("deployment/web", 5)
    settled(lab, "web", 5)
    (step,) = lab.apply([OTHER])
    assert step["verb"] == "unchanged"
    (step,) = lab.apply([{**WEB, "metadata": {"name": "web", "labels": {"tier": "front"}}}])
    assert (step["verb"], step["fields"]) == ("configured", ["metadata.labels"])
    assert known.items() <= uids(lab).items()
    assert mapping(lab.get("deployment", "web"), "spec")["replicas"] == 5


def test_a_refused_apply_changes_nothing(netsim_lab: Callable[[Source], Lab]) -> None:
    lab = netsim_lab(BASE)
    known, revision = uids(lab), lab.status()["revision"]
    taken = world.service("late", WEB_IP, [("TCP", HTTP, 8080)])
    with pytest.raises(Exception, match=WEB_IP):
        lab.apply([deployment("web", 9), taken])
    assert uids(lab) == known
    assert lab.status()["revision"] == revision
