"""The cluster's DNS, asked by programs in pods as in a cluster: names and aliases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from netsim import Lab
from netsim.api.fields import Json, mapping, text
from tests.e2e import world
from tests.e2e.world import eventually

pytestmark = pytest.mark.linux

HTTP = [("TCP", 80, 8080)]
ALIAS = {"type": "ExternalName", "externalName": "example.com", "selector": None}


@pytest.fixture(scope="module")
def lab(runnable: None) -> Iterator[Lab]:
    objects = [
        world.lab(wire="fabric", clusterDNS=True),
        world.pod("asker", 1),
        world.pod("asker2", 2),
        world.answerer("web-1", 2, "10.244.1.7", labels={"app": "web"}),
        world.service("web", "10.96.0.80", HTTP),
        world.service("heads", "None", HTTP, selector={"app": "web"}),
    ]
    with Lab(objects, name=world.lab_name()) as made:
        eventually(lambda: dig(made, "web.default.svc.cluster.local") == ["10.96.0.80"], "answers")
        yield made


def dig(lab: Lab, *what: str, source: str = "asker") -> list[str]:
    argv = ["dig", "+short", "+time=1", "+tries=3", *what]
    return lab.run(source, argv, check=False).stdout.split("\n")[:-1]


ASKED = [
    (["+search", "web"], ["10.96.0.80"]),
    (["+tcp", "web.default.svc.cluster.local"], ["10.96.0.80"]),
    (["heads.default.svc.cluster.local"], ["10.244.1.7"]),
    (
        ["_p0._tcp.web.default.svc.cluster.local", "SRV"],
        ["0 100 80 web.default.svc.cluster.local."],
    ),
    (["-x", "10.96.0.80"], ["web.default.svc.cluster.local."]),
    (["nobody.default.svc.cluster.local"], []),
]


@pytest.mark.parametrize(("what", "wanted"), ASKED)
def test_pods_of_both_nodes_are_answered(lab: Lab, what: list[str], wanted: list[str]) -> None:
    for source in ("asker", "asker2"):
        assert dig(lab, *what, source=source) == wanted


def test_programs_find_services_by_short_names(lab: Lab) -> None:
    for name in ("web", "web.default", "web.default.svc", "heads:8080"):
        argv = ["curl", "-s", "-m", "5", f"http://{name}/hostname"]
        assert lab.run("asker", argv).stdout == "web-1", name


# item, type before and after: an address or an alias
CHANGES = [
    ("C-140", ALIAS, {"type": "ClusterIP"}),
    ("C-141", ALIAS, {"type": "NodePort"}),
    ("C-142", {"type": "ClusterIP"}, ALIAS),
    ("C-143", {"type": "NodePort"}, ALIAS),
]


@pytest.mark.parametrize(("item", "before", "after"), CHANGES)
def test_an_address_becomes_an_alias_and_an_alias_an_address(
    lab: Lab, item: str, before: Mapping[str, object], after: Mapping[str, object]
) -> None:
    name, addresses = item.lower(), []
    for fields in (before, after):
        lab.apply([changed(name, fields)])
        spec = mapping(lab.get("service", name), "spec")
        if fields is ALIAS:
            assert "clusterIP" not in spec
            looked_up(lab, name, "example.com.")
        else:
            addresses.append(text(spec, "clusterIP"))
            looked_up(lab, name, addresses[0])
            answers(lab, name, 0)
    if after is ALIAS:
        answers(lab, addresses[0], 28)


def looked_up(lab: Lab, name: str, wanted: str) -> None:
    eventually(lambda: dig(lab, f"{name}.default.svc.cluster.local") == [wanted], wanted)


def answers(lab: Lab, where: str, code: int) -> None:
    """Wait until curl ends so: 0 with an answer, 28 without."""
    argv = ["curl", "-s", "--connect-timeout", "1", f"http://{where}/hostname"]
    eventually(lambda: lab.run("asker", argv, check=False).returncode == code, f"{where}: {code}")


def changed(name: str, fields: Mapping[str, object]) -> Json:
    made = world.service(name, "", HTTP, selector={"app": "web"})
    spec = {k: v for k, v in mapping(made, "spec").items() if k != "clusterIP"}
    return {**made, "spec": {k: v for k, v in {**spec, **fields}.items() if v is not None}}
