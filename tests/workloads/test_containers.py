from __future__ import annotations

import os
from pathlib import Path

import pytest

from netsim.api.fields import Json
from netsim.api.pods import Container, Pod
from netsim.lab import containers
from netsim.lab.containers import ProcessKey, parse_process_key
from tests.controllers.world import container, pod

EXPANSIONS = [
    ("plain", "plain"),
    ("$(A)", "1"),
    ("<$(A)$(B)>", "<12>"),
    ("$(MISSING)", "$(MISSING)"),
    ("$$(A)", "$(A)"),
    ("$$$(A)", "$1"),
    ("$A ${A} $(A", "$A ${A} $(A"),
    ("$(A B)", "$(A B)"),
]


@pytest.mark.parametrize(("word", "wanted"), EXPANSIONS)
def test_references(word: str, wanted: str) -> None:
    assert containers.expand(word, {"A": "1", "B": "2"}) == wanted


STORED = pod(
    "p",
    on="n",
    ip="10.0.0.2",
    labels={"app": "web"},
    annotations={"a/b": "c"},
)

FIELDS = [
    ("metadata.name", "p"),
    ("metadata.namespace", "default"),
    ("metadata.uid", "uid-p"),
    ("metadata.labels['app']", "web"),
    ("metadata.annotations['a/b']", "c"),
    ("metadata.labels['none']", ""),
    ("spec.nodeName", "n"),
    ("spec.serviceAccountName", "default"),
    ("status.podIP", "10.0.0.2"),
    ("status.podIPs", "10.0.0.2"),
    ("status.hostIP", ""),
    ("status.nonsense", ""),
]


@pytest.mark.parametrize(("path", "wanted"), FIELDS)
def test_fields(path: str, wanted: str) -> None:
    assert containers.field(STORED, path) == wanted


def test_process_keys_are_read_back() -> None:
    key = ProcessKey("ns", "pod", "main", "uid")
    assert parse_process_key(str(key)) == key
    assert parse_process_key("control") is None
    assert parse_process_key("container/a/b") is None


def test_variables_may_use_earlier_ones() -> None:
    env: list[Json] = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)$(C)"},
        {"name": "C", "value": "3"},
    ]
    parsed = Pod.parse(pod("p", containers=[container("main", command=["x"], env=env)]))
    made = containers.environment(STORED, parsed, parsed.spec.containers[0])
    assert made["B"] == "1$(C)"
    assert "NETSIM_READY_FD" not in made


def test_an_answerer_gets_its_ports_whatever_the_args() -> None:
    ports: list[Json] = [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]
    parsed = Container.parse(container("main", *ports, args=["ignored"]))
    program, *rest = containers.arguments(parsed, {})
    assert Path(program).is_absolute()
    assert rest == ["tcp:80", "udp:53"]


def test_an_answerer_gets_a_port_with_two_host_ports_once() -> None:
    ports: list[Json] = [{"containerPort": 80, "hostPort": port} for port in (80, 8080)]
    _, *rest = containers.arguments(Container.parse(container("main", *ports)), {})
    assert rest == ["tcp:80"]


def test_full_logs_are_moved_aside_and_writers_go_on(tmp_path: Path) -> None:
    path = containers.log_path(tmp_path, "ns", "p", "main")
    fd = containers.open_log(path)
    try:
        os.write(fd, b"x" * 11)
        containers.rotate_logs(tmp_path, limit=10)
        os.write(fd, b"after")
        containers.rotate_logs(tmp_path, limit=10)
    finally:
        os.close(fd)
    assert path.read_bytes() == b"after"
    assert (tmp_path / "ns_p_main.log.1").read_bytes() == b"x" * 11
    assert path.stat().st_mode & 0o777 == 0o600
    containers.remove_logs(tmp_path, "ns", "p", "main")
    assert list(tmp_path.iterdir()) == []
