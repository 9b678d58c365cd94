"""Owns making sandboxes from recipes: what csrc/sandbox is told, and what its failures mean."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netsim.linux import _sandbox
from netsim.linux.netlink import Request, batch, first_failure


class Recipe(NamedTuple):
    """New namespaces with `hostname`, /sys, `files` (those that /etc has) and `sysctls` (net/...).

    `tun` is a TUN device with the index `tun_index`, empty for none; `requests` go to rtnetlink
    after it is there. `what` names the sandbox in errors. `net` and `uts` are another sandbox's, to
    be shared, or -1: then the hostname is that one's.
    """

    what: str
    hostname: str
    files: Mapping[str, str]
    sysctls: Sequence[tuple[str, str]]
    tun: str = ""
    tun_index: int = 0
    requests: Sequence[Request] = ()
    net: int = -1
    uts: int = -1


def make(recipes: Sequence[Recipe], home: int) -> list[dict[str, int] | OSError]:
    """Sandboxes, without the GIL: `net`, `uts`, `mnt` and `tun` of each, or what went wrong.

    `home` is the mount namespace that they begin with, whose mounts must not propagate. The calling
    thread needs a working directory of its own and ends up in other namespaces than it was in.
    """
    made = _sandbox.make([_encoded(recipe) for recipe in recipes], home)
    return [_outcome(recipe, one) for recipe, one in zip(recipes, made, strict=True)]


def _encoded(recipe: Recipe) -> _sandbox.Recipe:
    return (
        recipe.net,
        recipe.uts,
        recipe.hostname.encode(),
        tuple([(name.encode(), text.encode()) for name, text in recipe.files.items()]),
        tuple([(name.encode(), text.encode()) for name, text in recipe.sysctls]),
        recipe.tun.encode(),
        recipe.tun_index,
        batch(recipe.requests),
    )


def _outcome(recipe: Recipe, made: _sandbox.Made) -> dict[str, int] | OSError:
    net, uts, mnt, tun, number, step, what, reply = made
    if number == 0:
        fds = {"net": net, "uts": uts, "mnt": mnt}
        return {**fds, "tun": tun} if recipe.tun else fds
    said = first_failure(recipe.requests, reply)
    return said or OSError(number, os.strerror(number), f"{recipe.what}: {step} {what}".rstrip())
