"""The text of kube-proxy's rules: names, odds, comments, and what options change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from netsim.api.fields import Json
from netsim.dataplane.rows import LabRow, ProxyRow, TrackingRow
from netsim.rules import RENDERERS
from netsim.rules.iptables import probability, saved_probability
from netsim.rules.names import NFT_NAME_MAX, iptables_name, nft_name
from netsim.rules.nft import duration
from netsim.rules.proxied import proxied
from tests.conformance.emulated import PROXY, node_row, number, objects_of, rows_of
from tests.conformance.rule_text import GOLDEN, SIX, known, rules
from tests.conformance.test_flows import WORLDS

SAVE, NFT = "iptables-save", "nft"
PORT = [{"name": "p80", "port": 80, "protocol": "TCP"}]


def world(name: str) -> list[Json]:
    return objects_of(WORLDS[name])


def about(lines: Sequence[str], *words: str) -> list[str]:
    """The lines with all the words."""
    return [line.strip() for line in lines if all(word in line for word in words)]


def one_service(endpoints: int, **spec: object) -> list[Json]:
    found = [{"addresses": [f"10.180.{i // 250}.{i % 250}"]} for i in range(endpoints)]
    service = {"clusterIP": "172.30.0.41", "ports": PORT, **spec}
    slices = [{"ports": PORT, "endpoints": found}]
    return objects_of([{"name": "svc1", "namespace": "ns1", "spec": service, "slices": slices}])


def test_names_of_chains() -> None:
    assert iptables_name("SVC", "ns1/svc1:p80", "tcp") == "KUBE-SVC-XPGD46QRK7WJZT7O"
    of_endpoint = iptables_name("SEP", "ns1/svc1:p80", "tcp", "10.180.0.1:80")
    assert of_endpoint == "KUBE-SEP-SXIVWICOYRO3J4NJ"
    assert nft_name("service", "default/web:p80", "tcp") == "service-CLLS5CZR-default/web/tcp/p80"
    of_endpoint = nft_name("endpoint", "ns1/svc1:p80", "tcp", "10.180.0.1:80")
    assert of_endpoint == "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
    assert nft_name("local", "ns/web", "udp").endswith("-ns/web/udp/"), "a port without a name"
    assert len(nft_name("local", "n" * 63 + "/" + "s" * 180, "tcp")) == len("local-") + NFT_NAME_MAX


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_six_services(path: Path) -> None:
    text = "\n".join(rules(SIX, GOLDEN[path])) + "\n"
    assert text == path.read_text(), "python -m tests.conformance.rule_text"


def test_odds() -> None:
    written = {1: "1.0000000000", 2: "0.5000000000", 3: "0.3333333333", 7: "0.1428571429"}
    assert {left: probability(left) for left in written} == written
    saved = {2: "0.50000000000", 3: "0.33333333349", 6: "0.16666666651", 7: "0.14285714272"}
    assert {left: saved_probability(left) for left in saved} == saved
    lines = about(rules(one_service(3), SAVE), "-A KUBE-SVC-", "KUBE-SEP-")
    assert ["0.33333333349" in line for line in lines] == [True, False, False]
    assert ["0.50000000000" in line for line in lines] == [False, True, False]
    assert "probability" not in lines[2]


def test_endpoints_are_sorted_as_text() -> None:
    lines = about(rules(one_service(12), SAVE), "ns1/svc1:p80 -> ")
    order = [line.partition("-> ")[2].partition('"')[0] for line in lines]
    assert order == sorted(order)
    assert order.index("10.180.0.10:80") < order.index("10.180.0.2:80")


def test_large_clusters_have_fewer_comments() -> None:
    for count, commented in ((1000, True), (1001, False)):
        lines = rules(one_service(count), SAVE)
        assert bool(about(lines, "-> ")) is commented
        assert bool(about(lines, "-A KUBE-SEP-", "--comment")) is commented
        assert about(lines, '"ns1/svc1:p80 cluster IP"')


def test_masquerade() -> None:
    lines = rules(SIX, SAVE)
    assert about(lines, "-A KUBE-POSTROUTING") == [
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0",
        '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" '
        "-j MASQUERADE --random-fully",
    ]


def test_what_fits_no_connection_is_dropped_unless_it_passes() -> None:
    strict = known(SIX)
    node = strict.node._replace(tracking=TrackingRow(invalid_passes=True))
    liberal = replace(strict, node=node)
    texts = [RENDERERS[SAVE](each) for each in (strict, liberal)]
    assert ["--ctstate INVALID -j DROP" in text for text in texts] == [True, False]


DETECTORS = {
    "ClusterCIDR": ("! -s 10.0.0.0/8 ", "-s 10.0.0.0/8 ", "ip saddr != 10.0.0.0/8 "),
    "NodeCIDR": ("! -s 10.200.0.0/24 ", "-s 10.200.0.0/24 ", "ip saddr != 10.200.0.0/24 "),
    "BridgeInterface": ("! -i cni0 ", "-i cni0 ", 'iifname != "cni0" '),
    "InterfaceNamePrefix": ("! -i veth+ ", "-i veth+ ", 'iifname != "veth*" '),
}


@pytest.mark.parametrize("detector", DETECTORS)
def test_what_tells_pods_from_others(detector: str) -> None:
    others, pods, nft = DETECTORS[detector]
    proxy = ProxyRow(detector)
    lines = rules(world("external Local"), SAVE, proxy)
    [masqueraded] = about(lines, "-A KUBE-SVC-", "KUBE-MARK-MASQ")
    assert others in masqueraded
    [short_cut] = about(lines, "pod traffic for ns/svc1:p80 external destinations")
    assert f" {pods}" in short_cut
    [masqueraded] = about(rules(SIX, NFT, proxy), "masquerade clusterIP traffic")
    assert nft in masqueraded


def test_without_a_detector_nobody_is_a_pod() -> None:
    objects, proxy = world("external Local"), ProxyRow("None")
    lines = rules(objects, SAVE, proxy)
    assert not about(lines, "-A KUBE-SVC-", "KUBE-MARK-MASQ")
    assert not about(lines, "pod traffic")
    assert not about(rules(objects, NFT, proxy), "masquerade clusterIP")
    proxy = ProxyRow("None", masquerade_all=True)
    [line] = about(rules(objects, SAVE, proxy), "-A KUBE-SVC-", "KUBE-MARK-MASQ")
    assert " -s " not in line
    assert about(rules(objects, NFT, proxy), "ip daddr @cluster-ips meta mark set")


@pytest.mark.parametrize(
    ("proxy", "jumps", "addresses"),
    [
        (ProxyRow(), ["-A KUBE-SERVICES -m comment"], ["192.168.0.2"]),
        (
            ProxyRow(localhost_node_ports=False),
            ["-A KUBE-SERVICES ! -d 127.0.0.0/8 -m comment"],
            ["192.168.0.2"],
        ),
        (
            ProxyRow(node_port_ranges=((0xC0A80000, 16), (0x7F000000, 8))),
            [
                f"-A KUBE-SERVICES -d {address}/32 -m comment"
                for address in ("127.0.0.1", "192.168.0.2", "192.168.1.2", "192.168.99.11")
            ],
            ["192.168.0.2", "192.168.1.2", "192.168.99.11"],
        ),
        (ProxyRow(node_port_ranges=((0, 0),)), ["-A KUBE-SERVICES -m comment"], []),
    ],
)
def test_where_node_ports_are(proxy: ProxyRow, jumps: list[str], addresses: list[str]) -> None:
    lines = about(rules(world("node port"), SAVE, proxy), "KUBE-SERVICES", "-j KUBE-NODEPORTS")
    assert [line.partition(" --comment")[0] for line in lines] == jumps
    text = "\n".join(rules(world("node port"), NFT, proxy))
    held = text.partition("set nodeport-ips")[2].partition("elements = { ")[2].partition(" }")[0]
    assert held.replace(",", "").split() == addresses if addresses else "nodeport-ips" not in text
    guard = about(rules(SIX, SAVE, proxy), "block incoming localnet connections")
    assert bool(guard) is proxy.localhost_node_ports


def test_ranges_that_hold_the_node_let_it_in_by_the_balancers_address() -> None:
    lines = rules(world("load balancer"), SAVE)
    allowed = about(lines, "-A KUBE-FW-", "-j KUBE-EXT-")
    sources = [line.partition(" -s ")[2].partition(" ")[0] for line in allowed]
    assert sources == ["192.168.0.0/24", "203.0.113.0/25", "1.2.3.4/32", "5.6.7.8/32"]
    assert len(about(lines, "-A KUBE-PROXY-FIREWALL", "traffic not accepted by", "DROP")) == 2
    [rule] = about(rules(world("load balancer"), NFT), "ip saddr != {")
    assert rule == "ip saddr != { 1.2.3.4, 5.6.7.8, 192.168.0.0/24, 203.0.113.0/25 } drop"


def test_who_has_no_endpoint_is_refused_and_who_has_none_here_is_not_answered() -> None:
    refused = about(rules(world("no endpoints"), SAVE), "has no endpoints", "-j REJECT")
    assert len(refused) == 4, "cluster IP, external address, balancer's, node port"
    dropped = about(rules(world("internal Local, none here"), SAVE), "-j DROP", "ns/svc1")
    assert len(dropped) == 1
    assert "has no local endpoints" in dropped[0]
    nft = rules(world("internal Local, none here"), NFT)
    assert about(nft, '172.30.1.1 . tcp . 80 comment "ns/svc1" : drop')


def test_the_rest_of_every_service_range_is_dropped() -> None:
    """P-114: TestProxier_OnServiceCIDRsChanged."""
    node, objects = node_row(PROXY), rows_of(SIX)
    for ranges, wanted in (
        ([("172.30.0.0", 16)], "172.30.0.0/16"),
        ([("172.30.0.0", 16), ("10.9.0.0", 24)], "{ 10.9.0.0/24, 172.30.0.0/16 }"),
        ([("172.30.0.0", 16), ("172.30.7.0", 24)], "172.30.0.0/16"),
    ):
        row = LabRow(tuple((number(base), length) for base, length in ranges), "udp")
        text = RENDERERS[NFT](proxied(node, row, objects, {})).splitlines()
        [rule] = about(text, "Drop traffic to unallocated ClusterIPs")
        assert rule == f'ip daddr {wanted} drop comment "Drop traffic to unallocated ClusterIPs"'


def test_local_endpoints_that_reach_themselves_are_masqueraded() -> None:
    here = {"addresses": ["10.200.0.7"]}
    slices = [{"ports": PORT, "endpoints": [here, {"addresses": ["10.180.0.1"]}]}]
    service = {"clusterIP": "172.30.0.41", "ports": PORT}
    objects = objects_of([{"name": "svc1", "spec": service, "slices": slices}])
    [line] = about(rules(objects, NFT), " . 10.")
    assert line == "elements = { 10.200.0.7 . 10.200.0.7 . tcp . 80 }"
    assert len(about(rules(objects, SAVE), "-A KUBE-SEP-", "KUBE-MARK-MASQ")) == 2


def test_affinity() -> None:
    objects = one_service(2, sessionAffinity="ClientIP")
    lines = about(rules(objects, SAVE), "-m recent")
    asked = [line for line in lines if line.startswith("-A KUBE-SVC-")]
    assert all("--rcheck --seconds 10800 --reap --name KUBE-SEP-" in line for line in asked)
    noted = [line for line in lines if line.startswith("-A KUBE-SEP-")]
    assert all("--set --name KUBE-SEP-" in line for line in noted)
    assert (len(lines), len(asked), len(noted)) == (4, 2, 2)
    text = rules(objects, NFT)
    assert len(about(text, "update @affinity-")) == len(about(text, "timeout 3h")) == 2
    assert len(about(text, "size 65535")) == 2
    durations = {60: "1m", 90: "1m30s", 86399: "23h59m59s", 86400: "1d"}
    assert {seconds: duration(seconds) for seconds in durations} == durations
