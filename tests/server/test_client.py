"""The client: what it asks, what it returns, and the errors that users see."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsim.api.fields import items, mapping, text
from netsim.api.meta import DEPLOYMENT, NAMESPACE, NODE, POD, name_of
from netsim.errors import (
    ConflictError,
    NetsimError,
    NotFoundError,
    UsageError,
)
from netsim.server.client import ApiClient, Change, RequestFailedError
from tests.server.running import Server
from tests.server.test_requests import deployment, pod


@pytest.fixture
def client(server: Server) -> Iterator[ApiClient]:
    with ApiClient(server.path, "demo") as made:
        yield made


def test_the_life_of_an_object(client: ApiClient) -> None:
    made = client.create(POD, pod("p"))
    assert client.get(POD, "p", "default") == made
    changed = client.patch(POD, "p", {"metadata": {"labels": {"a": "b"}}}, "default")
    again = client.replace(POD, {**changed, "spec": {"containers": []}})
    assert mapping(again, "spec") == {"containers": []}
    assert client.list(POD, labels="a=b") == (again,)
    assert client.list(POD, "default", fields="metadata.name=q") == ()
    assert client.delete(POD, "p", "default")["kind"] == "Pod"
    assert client.find(POD, "p", "default") is None


def test_cluster_wide_kinds_need_no_namespace(client: ApiClient) -> None:
    client.create(NODE, {"metadata": {"name": "n"}})
    assert name_of(client.get(NODE, "n")) == "n"
    assert [name_of(obj) for obj in client.list(NAMESPACE)] == ["default"]


def test_an_object_says_its_namespace(client: ApiClient) -> None:
    client.create(POD, pod("p", namespace="other"))
    client.replace(POD, {**pod("p", namespace="other"), "spec": {}})
    assert client.names("Pod") == [("other", "p")]
    assert client.names("Pod", "default") == []
    assert client.names("Node") == []


def test_parts_and_scale(client: ApiClient) -> None:
    client.create(DEPLOYMENT, deployment("d"))
    scale = client.scale(DEPLOYMENT, "d", "default", 4)
    assert mapping(scale, "spec")["replicas"] == 4
    assert client.get(DEPLOYMENT, "d", "default", "scale") == scale
    stored = client.get(DEPLOYMENT, "d", "default")
    left = client.replace(DEPLOYMENT, {**stored, "status": {"replicas": 1}}, part="status")
    assert left["status"] == {"replicas": 1}


def test_dry_runs(client: ApiClient) -> None:
    client.create(POD, pod("p"), dry_run=True)
    assert client.list(POD) == ()
    client.create(POD, pod("p"))
    client.delete(POD, "p", "default", dry_run=True)
    assert len(client.list(POD)) == 1


def test_tables(client: ApiClient) -> None:
    client.create(POD, pod("p"))
    shown = client.table(POD)
    assert shown["kind"] == "Table"
    assert len(items(client.table(POD, "default", name="p", include="Object"), "rows")) == 1
    assert items(client.table(POD, labels="no=such"), "rows") == ()


def test_watch(client: ApiClient) -> None:
    client.create(POD, pod("p"))
    listing = client.listing(POD)
    revision = text(mapping(listing, "metadata"), "resourceVersion")
    changes = client.watch(POD, revision=revision)
    client.delete(POD, "p", "default")
    change = next(changes)
    assert isinstance(change, Change)
    assert (change.type, name_of(change.object)) == ("DELETED", "p")
    changes.close()  # type: ignore[attr-defined]
    assert list(client.watch(POD, timeout_s=0)) == []
    client.create(POD, pod("q"))
    (change,) = client.watch(POD, timeout_s=0, table=True)
    assert change.object["kind"] == "Table"


def test_errors_are_those_that_callers_react_to(client: ApiClient) -> None:
    client.create(POD, pod("p"))
    cases: list[tuple[type[NetsimError], str, object]] = [
        (NotFoundError, 'pods "x" not found', lambda: client.get(POD, "x", "default")),
        (ConflictError, "already exists", lambda: client.create(POD, pod("p"))),
        (UsageError, "is invalid", lambda: client.create(POD, pod("UPPER"))),
        (UsageError, "label selector", lambda: client.list(POD, labels="a b c")),
        (NotFoundError, "could not find", lambda: client.call("GET", "/netsim/nothing")),
        (RequestFailedError, "not JSON", lambda: client.call("GET", "/healthz")),
        (RequestFailedError, "no logs", lambda: list(client.logs("p", "default", POD, {}))),
        (RequestFailedError, "Too large", lambda: client.call(
            "GET", "/api/v1/pods?resourceVersion=99")),
    ]  # fmt: skip
    for kind, message, request in cases:
        assert callable(request)
        with pytest.raises(kind, match=message):
            request()


def test_an_expired_watch_is_a_conflict(client: ApiClient, server: Server) -> None:
    with pytest.raises(ConflictError, match="too old"):
        list(client.watch(POD, revision=str(server.api.store.revision + 5)))


def test_a_lab_that_does_not_run(tmp_path: Path) -> None:
    for path in (tmp_path / "api.sock", tmp_path / "api.sock" / "deeper"):
        with pytest.raises(NotFoundError, match='lab "demo" is not running') as raised:
            ApiClient(str(path), "demo").list(POD)
        assert raised.value.exit_code == 3
        assert "netsim up" in raised.value.hint
        (tmp_path / "api.sock").touch()


def test_a_connection_that_was_closed_meanwhile_is_opened_again(server: Server) -> None:
    client = ApiClient(server.path)
    client.list(POD)

    async def hang_up() -> None:
        assert server.runner.server is not None
        for connection in list(server.runner.server.connections):
            connection.force_close()

    server.run(hang_up())
    assert client.list(POD) == ()
    client.close()
    assert client.list(POD) == ()
    client.close()


def test_a_server_that_goes_away_is_said_so() -> None:
    from tests.server.running import new_api

    server = Server(new_api())
    client = ApiClient(server.path, "demo")
    client.list(POD)
    server.close()
    with pytest.raises(NotFoundError, match="is not running"):
        client.list(POD)


def test_the_client_is_light_to_import() -> None:
    script = (
        "import sys, netsim.server.client\n"
        "print([m for m in ('aiohttp', 'asyncio', 'yaml', 'click', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_a_server_that_starts_again_is_waited_for(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"

    def restarts() -> bool:
        path.symlink_to(server.path)
        return True

    with ApiClient(str(path), restarts=restarts) as client:
        assert client.find(NODE, "n") is None
