"""What a target names, and where its namespaces are.

Targets are POD, NAMESPACE/POD, pod/POD, node/NODE or outside/NAME.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netsim.errors import NotFoundError
from netsim.lab import launch
from netsim.linux import enter


def qualified(target: str, namespace: str = "default") -> str:
    """Init's key for a target, which is also the data plane's name: `pod/NS/NAME`, `node/NAME`."""
    if target.startswith(("node/", "outside/")):
        return target
    name = target.removeprefix("pod/")
    return f"pod/{name}" if "/" in name else f"pod/{namespace}/{name}"


def locate(lab: str, key: str) -> tuple[int, Mapping[str, int]]:
    """The pid of the lab's init, and the numbers of the target's descriptors there.

    NotFoundError: no such lab, or no such target in it.
    """
    info = launch.find_lab(lab)
    if info is None:
        raise NotFoundError(f"lab {lab} is not running", hint="netsim ps lists labs")
    with launch.init_client(lab) as init:
        there = init.keys()
    if key not in there:
        kind, _, name = key.partition("/")
        hint = f"netsim get {kind}s" + (" -A" if kind == "pod" else "")
        hint = "spec.outside of the Lab names them" if kind == "outside" else hint
        node = f"node/{name.rpartition('/')[2]}"
        raise NotFoundError(
            f"lab {lab} has no {kind} {name} that runs",
            hint=f"the node is called {node}" if node in there else hint,
        )
    return info.init_pid, there[key]


def entry_argv(lab: str, target: str, argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` in a target, for subprocess. NotFoundError."""
    pid, numbers = locate(lab, qualified(target))
    return enter.command(pid, numbers, "/", argv)
