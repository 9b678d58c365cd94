"""The kernel takes the rules, and what it then shows is the text that it was given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netsim.bench.space import Space
from netsim.dataplane.rows import ProxyRow
from tests.conformance.emulated import objects_of
from tests.conformance.rule_text import SIX, rules
from tests.conformance.test_flows import WORLDS

pytestmark = pytest.mark.linux
PROXIES = {
    "default": ProxyRow(),
    "NodeCIDR, masqueradeAll": ProxyRow("NodeCIDR", masquerade_all=True),
    "BridgeInterface, no localhost": ProxyRow("BridgeInterface", localhost_node_ports=False),
    "InterfaceNamePrefix, some addresses": ProxyRow(
        "InterfaceNamePrefix", node_port_ranges=((0xC0A80000, 16),)
    ),
    "None, all addresses": ProxyRow("None", node_port_ranges=((0, 0),)),
}
# Each set-up of the proxy with its share of the worlds, and all with upstream's six services.
CASES = {
    name: [SIX, *(objects_of(WORLDS[world]) for world in sorted(WORLDS)[index :: len(PROXIES)])]
    for index, name in enumerate(PROXIES)
}
HEAD = ["table ip kube-proxy", "delete table ip kube-proxy"]


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    made = Space.made()
    yield made
    made.close()


def text_of(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_iptables_saves_what_it_restored(space: Space, name: str) -> None:
    for objects in CASES[name]:
        given = rules(objects, "iptables-save", PROXIES[name])
        space.run("iptables-restore", stdin=text_of(given))
        saved = space.run("iptables-save").splitlines()
        assert [line for line in saved if not line.startswith("#")] == given


@pytest.mark.parametrize("name", CASES)
def test_nft_lists_what_it_loaded_over_whatever_was_there(space: Space, name: str) -> None:
    for objects in CASES[name]:
        given = rules(objects, "nft", PROXIES[name])
        assert given[:2] == HEAD, "an old table goes in the same transaction"
        space.run("nft", "-f", "-", stdin=text_of(given))
        assert space.run("nft", "list", "table", "ip", "kube-proxy").splitlines() == given[2:]
