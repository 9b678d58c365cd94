"""Watches over HTTP: events of a selection, bookmarks, ends."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from netsim.api.fields import Json, items, mapping, text
from netsim.server.api import Api
from netsim.store.memory import ObjectStore
from tests.server.running import Server, new_api
from tests.server.test_requests import DEPLOYMENTS, PODS, pod

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Lines:
    """The lines of a watch, read one at a time."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response

    def next(self) -> Json:
        line = self.response.readline()
        assert line.endswith(b"\n"), "the watch ended"
        return msgspec.json.decode(line, type=dict[str, object])

    def change(self) -> tuple[str, str]:
        """Type and name of the next event."""
        event = self.next()
        return text(event, "type"), text(mapping(mapping(event, "object"), "metadata"), "name")

    def rest(self) -> list[bytes]:
        """What comes until the server ends the watch."""
        return self.response.readlines()


@contextmanager
def watching(server: Server, url: str, accept: str = "application/json") -> Iterator[Lines]:
    connection = server.connect()
    connection.request("GET", url, headers={"Accept": accept})
    response = connection.getresponse()
    assert response.status == 200
    yield Lines(response)
    response.close()
    connection.close()


def revision_of(server: Server) -> int:
    return server.api.store.revision


def test_changes_after_a_list_come_in_order(server: Server) -> None:
    server.request("POST", PODS, pod("before"))
    start = revision_of(server)
    server.request("POST", PODS, pod("a"))
    with watching(server, f"{PODS}?watch=true&resourceVersion={start}") as lines:
        assert lines.change() == ("ADDED", "a")
        server.request("POST", "/api/v1/namespaces/other/pods", pod("elsewhere"))
        server.request("POST", DEPLOYMENTS, {"metadata": {"name": "d"}})
        server.request("PUT", f"{PODS}/a", pod("a", labels={"x": "y"}))
        assert lines.change() == ("MODIFIED", "a")
        server.request("DELETE", f"{PODS}/before")
        assert lines.change() == ("DELETED", "before")


def test_without_a_revision_everything_comes_first(server: Server) -> None:
    server.request("POST", PODS, pod("a"))
    for query in ("watch=1", "watch=True&resourceVersion=0"):
        with watching(server, f"{PODS}?{query}") as lines:
            assert lines.change() == ("ADDED", "a")


def test_entering_and_leaving_a_selection(server: Server) -> None:
    with watching(server, f"{PODS}?watch=1&labelSelector=in%3Dyes") as lines:
        server.request("POST", PODS, pod("a"))
        server.request("PUT", f"{PODS}/a", pod("a", labels={"in": "yes"}))
        assert lines.change() == ("ADDED", "a")
        server.request("PUT", f"{PODS}/a", pod("a", labels={"in": "yes", "x": "y"}))
        assert lines.change() == ("MODIFIED", "a")
        server.request("PUT", f"{PODS}/a", pod("a", labels={"in": "no"}))
        assert lines.change() == ("DELETED", "a")
        server.request("DELETE", f"{PODS}/a")
        server.request("POST", PODS, pod("b", labels={"in": "yes"}))
        assert lines.change() == ("ADDED", "b")


def test_a_field_selector_names_one_object(server: Server) -> None:
    with watching(server, f"{PODS}?watch=1&fieldSelector=metadata.name%3Db") as lines:
        server.request("POST", PODS, pod("a"))
        server.request("POST", PODS, pod("b"))
        assert lines.change() == ("ADDED", "b")


def test_initial_events_end_with_a_bookmark(server: Server) -> None:
    server.request("POST", PODS, pod("a"))
    query = (
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    )
    with watching(server, f"{PODS}?{query}") as lines:
        assert lines.change() == ("ADDED", "a")
        bookmark = lines.next()
        metadata = mapping(mapping(bookmark, "object"), "metadata")
        assert (bookmark["type"], mapping(bookmark, "object")["kind"]) == ("BOOKMARK", "Pod")
        assert mapping(metadata, "annotations") == {"k8s.io/initial-events-end": "true"}
        assert metadata["resourceVersion"] == str(revision_of(server))
        server.request("POST", PODS, pod("b"))
        assert lines.change() == ("ADDED", "b")


def test_initial_events_need_a_match(server: Server) -> None:
    answer = server.request("GET", f"{PODS}?watch=1&sendInitialEvents=true")
    assert (answer.code, answer.body["reason"]) == (400, "BadRequest")


def test_a_bookmark_says_how_far_a_quiet_watch_has_seen() -> None:
    api = new_api()
    api.bookmark_s = 0.01
    server = Server(api)
    url = f"{PODS}?watch=1&allowWatchBookmarks=true&resourceVersion={revision_of(server)}"
    with watching(server, url) as lines:
        server.request("POST", DEPLOYMENTS, {"metadata": {"name": "d"}})
        bookmark = lines.next()
        assert bookmark["type"] == "BOOKMARK"
        metadata = mapping(mapping(bookmark, "object"), "metadata")
        assert metadata["resourceVersion"] == str(revision_of(server))
    server.close()


def test_a_watch_ends_cleanly_when_its_time_is_over(server: Server) -> None:
    with watching(server, f"{PODS}?watch=1&timeoutSeconds=0") as lines:
        assert lines.rest() == []
    server.request("POST", PODS, pod("a"))
    with watching(server, f"{PODS}?watch=1&timeoutSeconds=0") as lines:
        assert len(lines.rest()) == 1


def test_an_old_revision_is_an_error_event() -> None:
    store = ObjectStore(history=2)
    server = Server(Api(store, lambda view, operation, new, old: new))
    for name in "abcdefgh":
        server.request("POST", PODS, pod(name))
    with watching(server, f"{PODS}?watch=1&resourceVersion=1") as lines:
        event = lines.next()
        assert (event["type"], mapping(event, "object")["code"]) == ("ERROR", 410)
        assert mapping(event, "object")["reason"] == "Expired"
        assert lines.rest() == []
    server.close()


def test_a_reader_that_does_not_read_is_told_that_it_lost_events() -> None:
    server = Server(Api(ObjectStore(history=10), lambda view, operation, new, old: new))
    large = {"spec": {"x": "x" * 100_000}, "metadata": {"name": "a"}}
    with watching(server, f"{PODS}?watch=1") as lines:
        server.request("POST", PODS, large)

        def change() -> None:
            for number in range(200):
                server.api.store.update(
                    {"apiVersion": "v1", "kind": "Pod", **large, "status": {"n": number}}
                )

        server.call(change)
        kinds = [msgspec.json.decode(line, type=dict[str, object])["type"] for line in lines.rest()]
        assert kinds[-1] == "ERROR"
    server.close()


def test_events_can_be_tables(server: Server) -> None:
    with watching(server, f"{PODS}?watch=1", TABLE) as lines:
        server.request("POST", PODS, pod("a"))
        server.request("PUT", f"{PODS}/a", pod("a", labels={"x": "y"}))
        first, second = (mapping(lines.next(), "object") for _ in range(2))
    assert (first["kind"], second["kind"]) == ("Table", "Table")
    assert items(first, "columnDefinitions")[0]["name"] == "Name"
    assert second["columnDefinitions"] is None
    (row,) = items(second, "rows")
    cells = row["cells"]
    assert isinstance(cells, list)
    assert cells[0] == "a"
    assert mapping(row, "object")["kind"] == "PartialObjectMetadata"


def test_stopping_the_server_ends_watches() -> None:
    server = Server(new_api())
    connection = server.connect()
    connection.request("GET", f"{PODS}?watch=1")
    response = connection.getresponse()
    server.close()
    assert response.read() == b""
    connection.close()


def test_a_client_that_goes_away_is_forgotten(server: Server) -> None:
    with watching(server, f"{PODS}?watch=1") as lines:
        server.request("POST", PODS, pod("a"))
        lines.next()
        assert server.call(lambda: len(server.api.watches)) == 1
    for _ in range(1000):
        if not server.call(lambda: len(server.api.watches)):
            return
    pytest.fail("the watch is still open")
