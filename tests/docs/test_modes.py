"""The table of modes in docs/services.md against the one that is run."""

from __future__ import annotations

from collections.abc import Callable

from netsim.api.proxy_modes import IPVS_SCHEDULERS, PROXY_MODES, ProxyMode
from tests.docs import pages

PAGE = pages.ROOT / "docs" / "services.md"
OPTION = "by `ipvsScheduler`"
UNSERVED = "is accepted, and closed"
CLOSED = {
    "another port of a cluster IP, another protocol, ping": ("cluster-ips", "no answer"),
    "the same of other addresses of Services": ("services", "left alone"),
}
CELLS: dict[str, Callable[[ProxyMode], str]] = {
    "an address of a service range that no Service has": lambda m: (
        "is dropped" if m.drops_rest else "leaves by the default route"
    ),
    "node ports": lambda m: (
        "at its InternalIP" if m.node_port_addresses else "at all addresses of a node"
    ),
    "node ports at 127.0.0.1": lambda m: "yes" if m.localhost_node_ports else "no",
    "clients that have affinity with one endpoint": lambda m: str(
        m.affinity_clients or "any number"
    ),
    "one more client": lambda m: (
        (
            "drives out the one that came least recently"
            if m.affinity_evicts
            else "is not remembered"
        )
        if m.affinity_clients
        else "-"
    ),
    "TCP whose endpoint has left the Service": lambda m: (
        f"goes on for {m.drain_s // 60} minutes, then is reset" if m.drain_s else "goes on"
    ),
    "what is refused is refused by": lambda m: "the address itself" if m.bound else "the router",
    "an endpoint is chosen": lambda m: (
        "in turn, from a shuffled list"
        if m.relays
        else "at random"
        if m.schedulers == ("random",)
        else OPTION
    ),
    "a new connection's endpoint does not answer": lambda m: (
        "another one is tried" if m.relays else "the client waits"
    ),
    "endpoints see": lambda m: "the node" if m.relays else "the client, unless it is masqueraded",
    "traffic policies, hints, `loadBalancerSourceRanges`": lambda m: (
        "are ignored" if m.relays else "hold"
    ),
    "no endpoints: a client": lambda m: UNSERVED if m.relays else "is refused",
    "affinity is with": lambda m: (
        "each of its addresses and ports" if m.by_entry else "the Service port"
    ),
    "`externalTrafficPolicy: Local`, from pods and the node itself": lambda m: (
        "those of the node, all if it has none" if m.own_first else "all endpoints"
    ),
    "no endpoints: from a node itself to an external or balancer's address": lambda m: (
        UNSERVED if m.relays else "refused" if m.refuses_own else "no answer"
    ),
    "no endpoints: from beyond `loadBalancerSourceRanges`": lambda m: (
        UNSERVED if m.relays else "no answer" if m.ranges_first else "refused"
    ),
}


def closed(mode: ProxyMode, row: str) -> str:
    where, otherwise = CLOSED[row]
    refused = {"nowhere": (), "cluster-ips": ("cluster-ips",)}.get(mode.refused_at)
    return "refused" if refused is None or where in refused else otherwise


def test_the_table_of_modes_is_the_one_that_is_run() -> None:
    head, _, *rows = pages.rows(pages.section(PAGE, "## Modes").partition("###")[0])
    table = {cells[0]: dict(zip(head[1:], cells[1:], strict=True)) for cells in rows}
    assert [f"`{name}`" for name in PROXY_MODES] == head[1:]
    for name, mode in PROXY_MODES.items():
        for row, cell in CELLS.items():
            assert table[row][f"`{name}`"] == cell(mode), (row, name)
        for row in CLOSED:
            assert table[row][f"`{name}`"] == closed(mode, row), (row, name)


def test_every_mode_is_a_value_of_the_field() -> None:
    topology = pages.ROOT / "docs" / "topology.md"
    [row] = [c for c in pages.rows(pages.section(topology, "## Lab")) if c[0] == "`proxyMode`"]
    assert all(f"`{name}`" in row[3] for name in PROXY_MODES)


def test_every_scheduler_is_explained() -> None:
    table = pages.rows(pages.section(PAGE, "### Schedulers"))
    named = [name for cells in table[1:] for name in pages.SPAN.findall(cells[0])]
    assert named == [*IPVS_SCHEDULERS]
