"""Names in /run/netns: whose they are, when they go, and that nothing else is touched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.lab import names

PID = os.getpid()


@pytest.fixture
def net_fd() -> Iterator[int]:
    fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    yield fd
    os.close(fd)


def test_a_dead_process_leaves_names_that_sweep_removes_and_the_directory_too(
    tmp_path: Path,
) -> None:
    where = tmp_path / "netns"
    assert names.create("lab", 2**22 + 1, "node/n1", 3, where) == "lab-n1"
    assert names.sweep(where=where) == ["lab-n1"]
    assert not where.exists()


def test_a_living_name_stays_until_its_owner_goes(tmp_path: Path, net_fd: int) -> None:
    names.create("lab", PID, "pod/default/web", net_fd, tmp_path)
    assert names.sweep(where=tmp_path) == []
    assert names.links(PID, tmp_path) == ["lab-web"]
    assert names.sweep(PID, where=tmp_path) == ["lab-web"]


def test_a_descriptor_that_is_no_namespace_is_dead(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        names.create("lab", PID, "node/n1", file.fileno(), tmp_path)
        assert names.sweep(where=tmp_path) == ["lab-n1"]


def test_what_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    (tmp_path / "away").symlink_to("/nowhere")
    (tmp_path / "odd").symlink_to("/proc/1/ns/net")
    before = sorted(tmp_path.iterdir())
    assert names.sweep(where=tmp_path) == []
    assert sorted(tmp_path.iterdir()) == before


CASES = [
    ("node/n1", "lab-n1", "lab-node.n1"),
    ("pod/default/web", "lab-web", "lab-default.web"),
    ("pod/prod/web", "lab-prod.web", None),
    ("fabric", "lab-_fabric", None),
    ("flows", None, None),
]


@pytest.mark.parametrize(("key", "first", "second"), CASES)
def test_a_taken_name_falls_back_to_the_longer_form(
    tmp_path: Path, net_fd: int, key: str, first: str | None, second: str | None
) -> None:
    other = os.dup(net_fd)
    try:
        assert names.create("lab", PID, key, net_fd, tmp_path) == first
        assert names.create("lab", PID, key, net_fd, tmp_path) == first, "the same again"
        assert names.create("lab", PID, key, other, tmp_path) == second
    finally:
        os.close(other)


def test_remove_takes_only_the_name_of_that_descriptor(tmp_path: Path, net_fd: int) -> None:
    names.create("lab", PID, "node/n1", net_fd, tmp_path)
    names.remove(PID, net_fd + 1, "lab", "node/n1", tmp_path)
    assert names.links(PID, tmp_path) == ["lab-n1"]
    names.remove(PID, net_fd, "lab", "node/n1", tmp_path)
    assert names.links(PID, tmp_path) == []


def test_sync_makes_the_names_equal_what_init_holds(tmp_path: Path, net_fd: int) -> None:
    names.create("lab", PID, "pod/default/old", net_fd, tmp_path)
    names.sync("lab", PID, {"pod/default/new": {"net": net_fd}, "flows": {"mem": 9}}, tmp_path)
    assert names.links(PID, tmp_path) == ["lab-new"]


@given(st.lists(st.from_regex(r"[a-z0-9][-a-z0-9.]{0,60}", fullmatch=True), unique=True))
def test_interface_names_fit_linux_and_do_not_collide(nodes: list[str]) -> None:
    made = [names.interface_name(node) for node in nodes]
    assert all(0 < len(name) <= 15 and name not in names.RESERVED for name in made)
    assert len(set(made)) == len(made)
