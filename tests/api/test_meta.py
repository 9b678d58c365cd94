"""Kinds go by all the names that kubectl knows for them."""

from __future__ import annotations

import pytest

from netsim.api.meta import KINDS, ObjectKey, find_kind, key_of, kind_for, kind_of, resolve_kinds
from netsim.errors import UsageError


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("po", "Pod"),
        ("pod", "Pod"),
        ("pods", "Pod"),
        ("PODS", "Pod"),
        ("pods.v1", "Pod"),
        ("svc", "Service"),
        ("deploy", "Deployment"),
        ("deployments.apps", "Deployment"),
        ("Deployment.v1.apps", "Deployment"),
        ("rs", "ReplicaSet"),
        ("no", "Node"),
        ("ns", "Namespace"),
        ("ep", "Endpoints"),
        ("endpointslice", "EndpointSlice"),
        ("endpointslices.discovery.k8s.io", "EndpointSlice"),
        ("lab", "Lab"),
    ],
)
def test_a_type_is_found_by(word: str, name: str) -> None:
    kind = find_kind(word)
    assert kind is not None
    assert kind.name == name


@pytest.mark.parametrize("word", ["", "x", "pods.apps", "deployments.v1", "eps"])
def test_a_type_is_not_found_by(word: str) -> None:
    assert find_kind(word) is None


def test_several_types_and_categories_resolve_once_each() -> None:
    names = [kind.name for kind in resolve_kinds("svc,all,po")]
    assert names == ["Service", "Pod", "Deployment", "ReplicaSet"]


@pytest.mark.parametrize(
    ("word", "hint"), [("servces", "did you mean services?"), ("xyz", "one of: labs, nodes")]
)
def test_an_unknown_type_comes_with_a_hint(word: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_kinds(word)
    assert caught.value.hint.startswith(hint)


def test_names_of_kinds_do_not_clash() -> None:
    words = [w for k in KINDS for w in {k.plural, k.singular, *k.short_names}]
    assert len(words) == len(set(words))
    for kind in KINDS:
        assert kind_for(kind.api_version, kind.name) is kind
        assert kind_of({"kind": kind.name}) is kind


def test_a_key_has_the_default_namespace_only_where_there_are_namespaces() -> None:
    assert key_of({"kind": "Pod", "metadata": {"name": "a"}}) == ObjectKey("Pod", "default", "a")
    node = key_of({"kind": "Node", "metadata": {"name": "a", "namespace": "x"}})
    assert (node, str(node)) == (ObjectKey("Node", "", "a"), "Node a")
