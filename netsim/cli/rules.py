"""get rules: what kube-proxy would have written on a node, as text."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import click

from netsim.cli.common import client_of, lab_option
from netsim.cli.completion import nodes
from netsim.errors import NotFoundError, UsageError
from netsim.rules import FORMATS


def chosen_node(names: Sequence[str], name: str) -> str:
    """The node that is meant, by default the only one. NotFoundError, UsageError."""
    wanted = name.removeprefix("node/")
    if wanted in names:
        return wanted
    if name:
        raise NotFoundError(f"there is no node {wanted}", hint="netsim get nodes")
    if len(names) == 1:
        return names[0]
    raise UsageError(f"say which node: {', '.join(names)}", hint="netsim get rules NODE")


@click.command(
    epilog="Examples:\n\n\b\n  sudo netsim get rules node1\n"
    "  sudo netsim get rules node1 --format nft | nft -c -f -"
)
@click.argument("node", default="", shell_complete=nodes)
@click.option(
    "--format",
    "how",
    type=click.Choice(FORMATS),
    show_default="by the node's mode",
    help="Rules of mode iptables, as iptables-save prints them, or of mode nftables.",
)
@lab_option
def rules_command(node: str, how: str | None, lab: str | None) -> None:
    """Print the rules that kube-proxy would have written on a node, by default the only one."""
    with client_of(lab) as api:
        names = [name for _, name in api.names("Node")]
        query = urlencode({"node": chosen_node(names, node), "format": how or ""})
        click.echo(api.raw("GET", f"/netsim/rules?{query}", accept="*/*"), nl=False)
