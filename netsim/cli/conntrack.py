"""get conntrack: a lab's tracked connections, as `conntrack -L` prints them, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click
import msgspec

from netsim.cli import output
from netsim.cli.common import client_of, lab_option
from netsim.lab.flows import Flow, Tuple, tracked

WITH_PORTS = ("TCP", "UDP", "SCTP")
ECHO, ECHO_REPLY = 8, 0


def _tuple(protocol: str, key: Tuple, icmp_type: int) -> str:
    addresses = f"src={key.source} dst={key.destination} "
    if protocol in WITH_PORTS:
        return f"{addresses}sport={key.source_port} dport={key.destination_port} "
    if protocol == "ICMP":  # one of the two is zero
        return f"{addresses}type={icmp_type} code=0 id={key.source_port or key.destination_port} "
    return addresses


def _state(flow: Flow) -> str:
    if flow.protocol == "TCP":
        return f"{flow.state} "
    if flow.protocol == "SCTP":  # chunks are not looked at: unanswered is an INIT
        return "ESTABLISHED " if flow.replied else "COOKIE_WAIT "
    return ""


def conntrack_line(flow: Flow) -> str:
    """A connection as conntrack-tools print it (libnetfilter_conntrack, snprintf_default.c)."""
    name = flow.protocol.lower() if not flow.protocol.isdecimal() else "unknown"
    return "".join(
        [
            f"{name:<8} {flow.protocol_number} {flow.expires_seconds} {_state(flow)}",
            _tuple(flow.protocol, flow.original, ECHO),
            "" if flow.replied else "[UNREPLIED] ",
            _tuple(flow.protocol, flow.reply, ECHO_REPLY),
            "[ASSURED] " if flow.assured else "",
            "mark=0 use=1",
        ]
    )


def _print_lines(flows: Iterable[Flow], *, several: bool) -> None:
    node, count = "", 0
    for count, flow in enumerate(flows, start=1):  # noqa: B007 - the last one is told below
        if several and flow.node != node:
            node = flow.node
            print(f"# {node}")
        print(conntrack_line(flow))
    sys.stdout.flush()
    output.note(f"netsim: {count} flow entries have been shown.")


def _print_json(flows: Iterable[Flow]) -> None:
    """One flow a line, as they come: there may be many."""
    print('{"apiVersion": "netsim.dev/v1alpha1", "kind": "FlowList", "items": [', end="")
    between = "\n"
    for flow in flows:
        print(between, msgspec.json.encode(flow).decode(), sep="", end="")
        between = ",\n"
    print("\n]}")


@click.command(
    epilog="Examples:\n\n\b\n  sudo netsim get conntrack node1 -p tcp --dport 80\n"
    "  sudo netsim get ct --dst 10.96.0.80 --state established\n"
    "  sudo netsim get conntrack -o json | jq '.items[].service'"
)
@click.argument("nodes", nargs=-1, metavar="[NODE...]")
@click.option("-p", "--protocol", help="tcp, udp, icmp, sctp or a number.")
@click.option("-s", "--src", help="Source address of the first packet.")
@click.option("-d", "--dst", help="Its destination: a Service's address, as the client sees it.")
@click.option("--sport", metavar="PORT", help="Its source port; of ICMP the identifier.")
@click.option("--dport", metavar="PORT", help="Its destination port.")
@click.option("-r", "--reply-src", help="Source address of answers: the endpoint.")
@click.option("-q", "--reply-dst", help="Their destination: the node, where it masquerades.")
@click.option("--reply-sport", metavar="PORT", help="Their source port.")
@click.option("--reply-dport", metavar="PORT", help="Their destination port.")
@click.option("--state", metavar="STATE", help="established, syn_sent, time_wait, ...")
@click.option("-o", "--output", "how", type=click.Choice(["json"]), help="Format.")
@lab_option
def conntrack_command(
    nodes: tuple[str, ...], how: str | None, lab: str | None, **asked: str | None
) -> None:
    """List tracked connections of nodes (all, if none is named), as `conntrack -L` does.

    Connections that come or go while a large table is read may be missed.
    """
    match = {_camel(name): value for name, value in asked.items() if value is not None}
    with client_of(lab) as api:
        flows = tracked(api, nodes, match)
        if how:
            _print_json(flows)
        else:
            _print_lines(flows, several=len(nodes) != 1)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)
