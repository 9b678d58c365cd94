"""Cases of bad input, and the beginnings of the objects that they make worse."""

from __future__ import annotations

from typing import NamedTuple

from netsim.api.manifests import load_text


class Case(NamedTuple):
    name: str
    text: str
    problems: list[str]


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n"
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n"
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n"
NODE = "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec:\n"
LAB = "apiVersion: netsim.dev/v1alpha1\nkind: Lab\nspec:\n"
SLICE = (
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
    "metadata: {name: e, labels: {kubernetes.io/service-name: s}}\n"
)
ENDPOINTS = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: s}\n"
SELECTOR = "  selector: {matchLabels: {app: a}}\n"
TEMPLATE = "  template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c}]}}\n"
CONTAINERS = "  containers: [{name: c}]\n"


def reported(text: str) -> list[str]:
    """The problems of a text, as they are printed."""
    loaded = load_text(text, "t")
    found = [str(problem) for problem in loaded.problems]
    assert loaded.ok == (not any(": error: " in line for line in found))
    return found
