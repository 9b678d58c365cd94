"""Any bytes in, an answer out: a Status for what is refused, never 500, and the server goes on."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.meta import KINDS
from netsim.server.paths import SUBRESOURCES, collection_path, object_path
from tests.server.running import Answer, Server, new_api

TYPES = (
    "application/json",
    "application/yaml",
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "text/plain",
)
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
FIELDS = (
    "apiVersion", "kind", "metadata", "name", "namespace", "labels", "annotations", "finalizers",
    "ownerReferences", "uid", "resourceVersion", "deletionTimestamp", "generateName", "spec",
    "status", "replicas", "selector", "matchLabels", "matchExpressions", "template", "containers",
    "containerStatuses", "state", "waiting", "terminated", "lastState", "ports", "port", "nodePort",
    "conditions", "type", "addresses", "phase", "subsets", "endpoints", "backend", "target",
    "creationTimestamp", "nodeName", "gracePeriodSeconds", "deletionGracePeriodSeconds",
    "preconditions", "op", "path", "value", "from", "dryRun", "$patch",
)  # fmt: skip
WORDS = ("v1", "Pod", "a", "default", "", "add", "/spec", "delete", "Running", "2026-01-01", "x/y")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 3),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(WORDS),
    st.text(max_size=5),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    ),
    max_leaves=30,
)
kinds = st.sampled_from(KINDS)


@st.composite
def objects(draw: st.DrawFn) -> tuple[str, dict[str, object]]:
    """A collection's URL and an object that passes the outer checks, with anything inside."""
    kind = draw(kinds)
    metadata: dict[str, object] = {
        "name": "a",
        "labels": draw(st.dictionaries(st.sampled_from(("k", "l")), st.sampled_from(("", "v")))),
    }
    body = draw(st.dictionaries(st.sampled_from(FIELDS), values, max_size=5))
    body |= {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    return collection_path(kind, "default"), body


@st.composite
def urls(draw: st.DrawFn) -> str:
    kind = draw(kinds)
    part = draw(st.sampled_from(("", *SUBRESOURCES.get(kind.name, ()))))
    name = draw(st.sampled_from(("a", "", "nope", "a/../b", "%00", "é")))
    path = object_path(kind, "default", name, part) if name else collection_path(kind, "default")
    query = draw(
        st.dictionaries(
            st.sampled_from(
                ("dryRun", "limit", "continue", "labelSelector", "fieldSelector", "resourceVersion",
                 "fieldValidation", "includeObject", "propagationPolicy", "gracePeriodSeconds",
                 "resourceVersionMatch", "tailLines", "watch", "timeoutSeconds")
            ),
            st.one_of(st.sampled_from(("", "0", "1", "All", "a=b", "!x")), st.text(max_size=6)),
            max_size=3,
        )
    )  # fmt: skip
    query.pop("watch", None) if "timeoutSeconds" not in query else None
    query = {**query, "timeoutSeconds": "0"} if "watch" in query else query
    text = "&".join(f"{k}={quote(v, safe='')}" for k, v in query.items())
    return f"{path}?{text}"


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Server]:
    """One server for many examples: whatever one leaves behind is the next one's start."""
    made = Server(new_api())
    yield made
    made.close()


def check(answer: Answer) -> None:
    assert answer.code not in (500, 502, 503), answer.raw
    if answer.code >= 400:
        assert answer.body["kind"] == "Status", answer.raw
        assert answer.body["code"] == answer.code
        assert answer.body["reason"]
        assert "Traceback" not in str(answer.body["message"])


@given(
    url=urls(),
    method=st.sampled_from(("GET", "POST", "PUT", "PATCH", "DELETE")),
    body=st.one_of(values, st.binary(max_size=20)),
    content_type=st.sampled_from(TYPES),
    accept=st.sampled_from(("application/json", TABLE)),
)
def test_any_request_is_answered(
    fuzzed: Server, url: str, method: str, body: object, content_type: str, accept: str
) -> None:
    content = None if method == "GET" else body
    check(fuzzed.request(method, url, content, content_type=content_type, accept=accept))


@given(made=objects(), patch=values, content_type=st.sampled_from(TYPES[2:6]))
def test_any_object_can_be_stored_shown_patched_and_deleted(
    fuzzed: Server, made: tuple[str, dict[str, object]], patch: object, content_type: str
) -> None:
    url, body = made
    created = fuzzed.request("POST", url, body)
    if created.code == 409:
        created = fuzzed.request("PUT", f"{url}/a", body)
    assert created.code in (200, 201), created.raw
    for accept in ("application/json", TABLE):
        assert fuzzed.request("GET", f"{url}?includeObject=Object", accept=accept).code == 200
    check(fuzzed.request("GET", f"{url}/a/scale"))
    check(fuzzed.request("PATCH", f"{url}/a", patch, content_type=content_type))
    check(fuzzed.request("PATCH", f"{url}/a/status", patch, content_type=content_type))
    check(fuzzed.request("GET", f"{url}?watch=1&timeoutSeconds=0", accept=TABLE))
    fuzzed.request("PATCH", f"{url}/a", {"metadata": {"finalizers": None}}, content_type=TYPES[2])
    deleted = fuzzed.request("DELETE", f"{url}/a?gracePeriodSeconds=0")
    assert deleted.code in (200, 404), deleted.raw


@given(st.binary(max_size=60), st.sampled_from(TYPES))
def test_any_bytes_are_answered(fuzzed: Server, body: bytes, content_type: str) -> None:
    url = "/api/v1/namespaces/default/pods"
    check(fuzzed.request("POST", url, body, content_type=content_type))
    check(fuzzed.request("PATCH", f"{url}/a", body, content_type=content_type))


def test_the_server_still_stands(fuzzed: Server) -> None:
    assert fuzzed.request("GET", "/healthz").raw == b"ok"
    assert msgspec.json.decode(fuzzed.request("GET", "/api/v1/pods").raw)
