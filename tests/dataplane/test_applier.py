"""Rows by name become a running engine, in steps that cost what changed; bad rows are left out."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from scapy.layers.inet import ICMP, IP, UDP

from netsim.dataplane._core import Engine
from netsim.dataplane.applier import Applier, Steps, steps
from netsim.dataplane.plan import plan
from netsim.dataplane.rows import (
    Changes,
    FrontendRow,
    LabRow,
    PodRow,
    ServiceRow,
    Tables,
    pack_endpoints,
)
from tests.dataplane.lab import SERVICE, node, path, peer, pod, service, whole
from tests.dataplane.sandboxes import Sandboxes, sandboxes
from tests.dataplane.strategies import tables

S = 1_000_000_000


class Stepped:
    """An applier over a stepped engine, with everything of `whole()` in its sandboxes."""

    def __init__(self, boxes: Sandboxes) -> None:
        self.boxes = boxes
        self.engine = Engine(seed=1)
        self.applier = Applier(self.engine, boxes.fetch)
        self.revision = 0

    def apply(self, desired: Tables) -> list[str]:
        self.revision += 1
        return self.applier.apply(plan(self.applier.tables(), desired), self.revision)

    def reaches(self, source: PodRow, target: PodRow) -> bool:
        src, dst = (socket.inet_ntoa(p.addr.to_bytes(4)) for p in (source, target))
        packet = IP(src=src, dst=dst) / UDP(dport=53)
        self.boxes.send(source, packet)
        self.engine.step(S)
        return not self.boxes.nothing_for(target)


@pytest.fixture
def lab() -> Iterator[Stepped]:
    with sandboxes(whole(3)) as boxes:
        lab = Stepped(boxes)
        with closing(lab.engine):
            yield lab


def test_everything_runs_after_the_first_apply(lab: Stepped) -> None:
    desired = whole()
    assert lab.apply(desired) == []
    assert lab.applier.tables() == desired
    assert lab.applier.settle() == {"n1": 1, "n2": 1}
    rows = list(desired.pods.values())
    assert all(lab.reaches(a, b) for a in rows for b in rows if a != b)


def test_a_service_leads_to_its_endpoint(lab: Stepped) -> None:
    lab.apply(whole(pods=1))
    client, server = pod(1, 1), pod(2, 1)
    lab.boxes.send(client, IP(src="10.244.1.2", dst="10.96.0.1") / UDP(dport=80))
    web = service(server)._replace(proto=17)
    lab.engine.step(S)
    assert lab.boxes.nothing_for(server)  # the service is TCP
    tables = lab.applier.tables()
    lab.apply(dataclasses.replace(tables, services={web.key: web}))
    lab.boxes.send(client, IP(src="10.244.1.2", dst="10.96.0.1") / UDP(dport=80, sport=1234))
    lab.engine.step(S)
    arrived = lab.boxes.receive(server)
    assert (arrived.dst, arrived[UDP].dport, arrived.ttl) == ("10.244.2.2", 8080, 62)
    assert web.addr == SERVICE


def with_port(row: ServiceRow, port: int, node_port: int = 0) -> ServiceRow:
    fronts = (FrontendRow(0, node_port, "node-port"),) if node_port else ()
    return row._replace(port=port, id=port, frontends=fronts)


def test_changes_of_services_take_effect_together(
    lab: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-92: two ports, and a node port that passes from one to the other; a bad row stays out."""
    desired, calls = whole(pods=1), list[str]()
    for name in ("services_begin", "service_remove", "service_set", "services_end"):
        spied(lab, monkeypatch, name, calls)
    [web] = desired.services.values()

    def applied(*rows: ServiceRow) -> list[str]:
        calls.clear()
        problems = lab.apply(dataclasses.replace(desired, services={r.key: r for r in rows}))
        assert [p.partition(":")[0] for p in problems] == ["service default/bad"][: len(problems)]
        return calls

    together = ["services_begin", "service_set", "service_set", "services_end"]
    assert applied(with_port(web, 80), with_port(web, 81)) == together
    assert applied(with_port(web, 80)) == ["service_remove"], "one key is one store"
    first, second = with_port(web, 80, 30080), with_port(web, 81, 30080)
    assert applied(first) == ["services_begin", "service_set", "services_end"]
    assert applied(second) == ["services_begin", "service_remove", "service_set", "services_end"]
    bad = with_port(web, 82)._replace(
        name="default/bad", packed_endpoints=pack_endpoints(web.endpoints[:1] * 2)
    )
    assert applied(first, bad)[-1] == "services_end"
    assert {row.key for row in lab.applier.services.values()} == {first.key}
    assert lab.engine.info().services == 1


def spied(lab: Stepped, monkeypatch: pytest.MonkeyPatch, name: str, calls: list[str]) -> None:
    original = getattr(lab.engine, name)

    def spy(*args: object) -> object:
        calls.append(name)
        return original(*args)

    if not isinstance(lab.applier.engine, Spied):
        lab.applier.engine = Spied(lab.engine)  # type: ignore[assignment]
    monkeypatch.setattr(lab.applier.engine, name, spy, raising=False)


class Spied:
    """An engine of which some calls are replaced: its own can not be."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)


def test_nobody_is_sent_to_a_pod_that_goes(lab: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    desired, gone, kept = whole(pods=2), pod(2, 1), pod(2, 2)
    lab.apply(desired)
    remove, asked = lab.applier._remove_pod, list[int]()

    def removed(name: str) -> None:
        asked.extend(e.addr for row in lab.applier.services.values() for e in row.endpoints)
        remove(name)

    monkeypatch.setattr(lab.applier, "_remove_pod", removed)
    pods = {name: row for name, row in desired.pods.items() if row != gone}
    web = service(kept)
    lab.apply(dataclasses.replace(desired, pods=pods, services={web.key: web}))
    assert asked == [kept.addr]


def test_what_goes_is_gone_and_what_stays_runs_on(lab: Stepped) -> None:
    lab.apply(whole(3))
    stays = {name: i for name, i in lab.applier.pod_ifaces.items() if name != "default/p22"}
    smaller = {n: p for n, p in whole(3).pods.items() if n != "default/p22"}
    assert lab.apply(dataclasses.replace(whole(3), pods=smaller)) == []
    assert lab.applier.pod_ifaces == stays
    lab.boxes.send(pod(1, 1), IP(src="10.244.1.2", dst="10.244.2.3") / UDP())
    lab.engine.step(S)
    answer = lab.boxes.receive(pod(1, 1))
    assert (answer[ICMP].type, answer[ICMP].code) == (3, 1)
    assert lab.reaches(pod(1, 1), pod(2, 1))


def test_a_node_that_leaves_takes_its_place_along(lab: Stepped) -> None:
    lab.apply(whole(3))
    assert lab.apply(whole(2)) == []
    assert lab.reaches(pod(1, 1), pod(2, 1))
    assert lab.apply(whole(3)) == []
    assert lab.reaches(pod(1, 1), pod(3, 2))
    assert lab.reaches(pod(3, 1), pod(2, 2))


def test_a_node_changed_in_place_comes_back_with_its_pods(lab: Stepped) -> None:
    lab.apply(whole())
    before = dict(lab.applier.pod_ifaces)
    changed = node(2)._replace(flows_max=17)
    desired = dataclasses.replace(whole(), nodes={"n1": node(1), "n2": changed})
    changes = plan(lab.applier.tables(), desired)
    assert changes == Changes(nodes=(changed,))
    assert lab.applier.apply(changes, 2) == []
    assert lab.applier.tables() == desired
    after = lab.applier.pod_ifaces
    assert {n for n in after if after[n] != before[n]} == {"default/p21", "default/p22"}
    assert lab.reaches(pod(1, 1), pod(2, 1))
    assert lab.reaches(pod(2, 2), pod(1, 2))


def test_a_pod_that_moves_is_attached_anew(lab: Stepped) -> None:
    lab.apply(whole())
    moved = pod(1, 1)._replace(node="n2", addr=pod(2, 5).addr)
    desired = dataclasses.replace(whole(), pods={**whole().pods, moved.name: moved})
    assert lab.apply(desired) == []
    assert lab.reaches(pod(1, 2), moved)
    assert lab.reaches(pod(2, 1), moved)


def test_another_wire_makes_every_node_anew(lab: Stepped) -> None:
    lab.apply(whole())
    before = dict(lab.applier.node_ids)
    over_udp = LabRow(((0x0A600000, 12),), "udp")
    host_gw = {n: r._replace(backend="host-gw", port=0) for n, r in whole().nodes.items()}
    desired = dataclasses.replace(whole(), lab=over_udp, nodes=host_gw)
    assert lab.apply(desired) == []
    assert lab.applier.node_ids.keys() == before.keys()
    assert not set(lab.applier.node_ids.values()) & set(before.values())
    assert all("wire" not in ifaces for ifaces in lab.applier.node_ifaces.values())
    assert lab.reaches(pod(1, 1), pod(1, 2))


def test_sending_everything_again_changes_nothing(lab: Stepped) -> None:
    lab.apply(whole())
    ids = dict(lab.applier.node_ids), dict(lab.applier.pod_ifaces)
    again = plan(Tables(), whole())
    assert lab.applier.apply(again, 2) == []
    assert ids == (lab.applier.node_ids, lab.applier.pod_ifaces)


TWICE = service(pod(1, 1), pod(1, 1))
BAD: list[tuple[str, Tables]] = [
    (
        "pod default/x: nothing is kept as pod/default/x",
        dataclasses.replace(whole(), pods={"default/x": pod(1, 3)._replace(
            name="default/x", sandbox="pod/default/x")}),
    ),
    (
        "pod default/p31: node n3 is not here",
        dataclasses.replace(whole(), pods={"default/p31": pod(3, 1)}),
    ),
    (
        "pod default/p11: flows has no descriptor 'tun'",
        dataclasses.replace(whole(), pods={"default/p11": pod(1, 1)._replace(sandbox="flows")}),
    ),
    (
        "node n2: Invalid argument",
        dataclasses.replace(whole(), pods={}, nodes={"n2": node(2)._replace(uid=0)}),
    ),
    (
        "node n9: nothing is kept as node/n9",
        dataclasses.replace(whole(), pods={}, nodes={"n9": node(2)._replace(name="n9")}),
    ),
    (
        "service default/web:http: Invalid argument",
        dataclasses.replace(whole(), services={TWICE.key: TWICE}),
    ),
    (
        "paths: 'n9'",
        dataclasses.replace(whole(), paths=(path(1)._replace(via="n9"),)),
    ),
    (
        "paths: peers: File exists",
        dataclasses.replace(whole(), peers=(peer(1), peer(2)._replace(address=peer(1).address))),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "desired"), BAD)
def test_a_bad_row_is_left_out_and_named(lab: Stepped, problem: str, desired: Tables) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    assert lab.apply(desired) == [problem]
    assert plan(lab.applier.tables(), desired)  # so it is tried again
    assert lab.apply(whole()) == []
    assert lab.applier.tables() == whole()
    assert lab.reaches(pod(1, 1), pod(2, 1))
    assert len(os.listdir("/proc/self/fd")) == open_before + 4 + 4  # pods; cni0, flannel.1


def test_no_descriptor_is_left_behind(lab: Stepped) -> None:
    before = len(os.listdir("/proc/self/fd"))
    lab.apply(whole())
    lab.apply(Tables(whole().lab))
    assert lab.applier.tables() == Tables(whole().lab)
    assert len(os.listdir("/proc/self/fd")) == before


@settings(max_examples=60)
@given(tables(), tables(), tables())
def test_any_tables_follow_any_others(first: Tables, second: Tables, third: Tables) -> None:
    everything = Tables(
        pods={**first.pods, **second.pods, **third.pods},
        nodes={**first.nodes, **second.nodes, **third.nodes},
    )
    with sandboxes(everything) as boxes:
        lab = Stepped(boxes)
        with closing(lab.engine):
            for desired in (first, second, third):
                problems = lab.apply(dataclasses.replace(desired, lab=whole().lab))
                applied = lab.applier.tables()
                homeless = [p for p in desired.pods.values() if p.node not in desired.nodes]
                assert len(problems) == len(homeless)
                assert applied.nodes == desired.nodes
                assert applied.services == desired.services
                assert set(applied.pods.values()) == {*desired.pods.values()} - {*homeless}
                assert (applied.peers, applied.paths) == (desired.peers, desired.paths)


@given(tables(), tables())
def test_steps_touch_only_what_differs(applied: Tables, desired: Tables) -> None:
    todo = steps(applied, plan(applied, desired))
    rewired = applied.lab and desired.lab and applied.lab.wire != desired.lab.wire
    for row in todo.add_nodes:
        assert rewired or applied.nodes.get(row.name) != row
    for pod_row in todo.add_pods:
        same = applied.pods.get(pod_row.name) == pod_row
        assert not same or pod_row.node in todo.remove_nodes
    assert steps(applied, Changes()) == Steps([], [], [], [])
