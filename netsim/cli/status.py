"""status: whether a lab is ready, what is not, and the data plane's counters."""

from __future__ import annotations

import sys

import click

from netsim.api.fields import Json, items, mapping, number, text
from netsim.cli import output
from netsim.cli.common import client_of, lab_option
from netsim.cli.completion import labs


def _drops(node: Json) -> str:
    """What a node dropped, by reason, and what the kernel lost, by device."""
    drops = mapping(mapping(node, "counters"), "drops")
    found = [f"{reason} {number(drops, reason)}" for reason in drops if number(drops, reason)]
    kernel = mapping(node, "kernelDrops")
    lost = [f"kernel {device} {number(kernel, device)}" for device in kernel]
    return ", ".join([*sorted(found), *lost]) or "-"


def _print(status: Json) -> None:
    ready = status.get("ready") is True
    state = output.style("ready", "green") if ready else output.style("not ready", "yellow")
    print(f"lab {text(status, 'name')}: {state}")
    for problem in items(status, "notReady"):
        print(f"  {text(problem, 'object')}: {text(problem, 'reason')}")
    facts = mapping(status, "dataPlane")
    if facts:
        reason = text(facts, "ioReason")
        without = f" (no io_uring: {reason})" if reason else ""
        print(
            f"data plane: pid {facts['pid']}, "
            f"{output.counted(number(facts, 'workers'), 'worker')}, {facts['io']}{without}, "
            f"revision {status['published']}, "
            f"{output.counted(number(facts, 'services'), 'service port')}"
        )
    print()
    rows = []
    for node in items(status, "nodes"):
        counters = mapping(node, "counters")
        rows.append(
            [
                text(node, "name"),
                "external"
                if node.get("external")
                else "Ready"
                if node.get("ready")
                else "NotReady",
                text(node, "address"),
                text(node, "podCIDR"),
                number(node, "pods"),
                number(node, "revision"),
                number(counters, "packets"),
                _drops(node),
            ]
        )
    header = ["NODE", "STATUS", "ADDRESS", "POD CIDR", "PODS", "REVISION", "PACKETS", "DROPS"]
    output.print_table(header, rows)


@click.command(
    epilog="Exit code 0 when the lab is ready, 1 when it is not.\n\n"
    "Examples:\n\n\b\n  sudo netsim status\n  sudo netsim status demo -o json\n"
    "  sudo netsim status -o json | jq '.nodes[].counters.drops'"
)
@click.argument("name", required=False, metavar="[LAB]", shell_complete=labs)
@lab_option
@click.option("-o", "--output", "how", type=click.Choice(["json", "yaml"]), help="Format.")
def status_command(name: str | None, lab: str | None, how: str | None) -> None:
    """Show whether LAB is ready, what is not, and every node's counters and drops."""
    status = client_of(name or lab).call("GET", "/netsim/status")
    if how:
        output.dump(status, how)
    else:
        _print(status)
    sys.exit(0 if status.get("ready") is True else 1)
