"""What commands share: which lab is meant, options that recur, and targets such as `deploy/web`."""

from __future__ import annotations

import os

import click

from netsim.api import meta
from netsim.cli.completion import labs
from netsim.errors import NotFoundError, PreconditionError, UsageError
from netsim.lab import launch
from netsim.server.client import ApiClient

# By default the only lab that runs, or the one called `default`.
lab_option = click.option(
    "-L",
    "--lab",
    metavar="NAME",
    shell_complete=labs,
    help="The lab, when several run. [env: NETSIM_LAB]",
    envvar="NETSIM_LAB",
)
namespace_option = click.option(
    "-n", "--namespace", default="default", show_default=True, help="Namespace."
)
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress.")


def need_root() -> None:
    """PreconditionError unless root."""
    if os.geteuid() != 0:
        raise PreconditionError("netsim needs root", hint="run it with sudo")


def chosen_lab(name: str | None) -> str:
    """The lab that is meant. NotFoundError, or UsageError when several could be."""
    need_root()
    if name:
        return name
    running = [lab.name for lab in launch.list_labs()]
    if len(running) == 1:
        return running[0]
    if "default" in running:
        return "default"
    if running:
        raise UsageError(
            f"several labs run: {', '.join(running)}", hint="name one with --lab or NETSIM_LAB"
        )
    raise NotFoundError("no lab is running", hint="start one: netsim up topology.yaml")


def client_of(name: str | None) -> ApiClient:
    """A client of the lab that is meant. NotFoundError when it does not run."""
    lab = chosen_lab(name)
    if launch.find_lab(lab) is None:
        raise NotFoundError(f"lab {lab} is not running", hint="netsim ps lists labs")
    path = str(launch.state_dir(lab) / "api.sock")
    return ApiClient(path, lab, restarts=lambda: launch.find_lab(lab) is not None)


def parse_targets(words: tuple[str, ...]) -> list[tuple[meta.Kind, str]]:
    """`TYPE NAME...`, `TYPE/NAME...`, `TYPE,TYPE`: kinds, each with a name or "" for all.

    UsageError for anything else.
    """
    if not words:
        known = ", ".join(kind.plural for kind in meta.KINDS)
        raise UsageError("say what: TYPE [NAME...] or TYPE/NAME", hint=f"types: {known}")
    if any("/" in word for word in words):
        pairs = [word.split("/", 1) for word in words]
        if any(len(pair) != 2 for pair in pairs):
            raise UsageError("TYPE NAME and TYPE/NAME can not be mixed")
        return [(meta.resolve_kind(kind), name) for kind, name in pairs]
    kinds = meta.resolve_kinds(words[0])
    if len(words) > 1 and len(kinds) > 1:
        raise UsageError("names go with a single type")
    return [(kind, name) for kind in kinds for name in words[1:] or ("",)]
