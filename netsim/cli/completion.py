"""`netsim completion`: the shell's script, and the names that are completed from running labs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem, get_completion_class

from netsim.errors import NetsimError


@click.command(
    epilog="Examples:\n\n\b\n  source <(netsim completion bash)\n"
    "  netsim completion zsh > ~/.zfunc/_netsim\n"
    "  netsim completion fish > ~/.config/fish/completions/netsim.fish"
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print a completion script for SHELL."""
    from netsim.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise NetsimError(f"no completion for {shell}")
    print(kind(cli, {}, "netsim", "_NETSIM_COMPLETE").source())


INCOMPLETE = "netsim.incomplete"
Items: TypeAlias = "list[CompletionItem[str]]"
Completer: TypeAlias = "Callable[[click.Context, click.Parameter, str], Items]"


def quietly(names: Callable[[click.Context], list[str]]) -> Completer:
    """A completer from a function that lists names; whatever goes wrong completes nothing."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
        try:
            ctx.meta[INCOMPLETE] = incomplete
            found = names(ctx)
        except (NetsimError, OSError):
            found = []
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]

    return complete


@quietly
def labs(_: click.Context) -> list[str]:
    """Names of running labs."""
    from netsim.lab import launch

    return [lab.name for lab in launch.list_labs()]


@quietly
def pods_and_nodes(ctx: click.Context) -> list[str]:
    """Pods of the default namespace, and node/NAME."""
    from netsim.cli.common import client_of

    api = client_of(ctx.params.get("lab"))
    pods = [name for _, name in api.names("Pod", ctx.params.get("namespace") or "default")]
    return pods + [f"node/{name}" for _, name in api.names("Node", None)]


@quietly
def nodes(ctx: click.Context) -> list[str]:
    """Names of nodes."""
    from netsim.cli.common import client_of

    return [name for _, name in client_of(ctx.params.get("lab")).names("Node")]


@quietly
def objects(ctx: click.Context) -> list[str]:
    """Kinds for the first word, names of its kind for the next; TYPE/NAME where there is a /."""
    from netsim.api import meta
    from netsim.cli.common import client_of

    words = [str(word) for word in ctx.params.get("what") or ()]
    typed = str(ctx.meta.get(INCOMPLETE, ""))
    kind = meta.find_kind(words[0] if words else typed.partition("/")[0])
    if not words and "/" not in typed:
        names = [name for k in meta.KINDS for name in (k.plural, *k.short_names)]
        views = ["rules", "conntrack"] if ctx.info_name == "get" else []
        return [*names, *{c for k in meta.KINDS for c in k.categories}, *views]
    if kind is None or (words and "/" in words[0]):
        return []
    place = ctx.params.get("namespace") or "default"
    api = client_of(ctx.params.get("lab"))
    found = [name for _, name in api.names(kind.name, place if kind.namespaced else None)]
    return found if words else [f"{typed.partition('/')[0]}/{name}" for name in found]
