"""A container as a process: its arguments, environment and log file.

A container without a command is the built-in answerer on its ports, whatever its image.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from netsim.api.fields import Json, mapping, text
from netsim.api.meta import annotations_of, labels_of, metadata
from netsim.api.pods import Container, Pod
from netsim.lab.timing import Clock

ANSWERER = Path(__file__).parents[1] / "answerer"
# Where the answerer writes one byte once all its ports are bound.
READY_FD = 3
READY_VARIABLE = "NETSIM_READY_FD"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOG_BYTES_MAX = 10 << 20
LOG_CHECK_S = 10.0
# $(NAME) is the variable, $$(NAME) is itself; an unknown one stays as it is.
_REFERENCE = re.compile(r"\$\$|\$\(([^()\s]+)\)")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def is_answerer(container: Container) -> bool:
    """Whether the container runs the built-in answerer."""
    return not container.command


class ProcessKey(NamedTuple):
    """Names a container's process in init. Another pod of the same name has another one."""

    namespace: str
    pod: str
    container: str
    uid: str

    def __str__(self) -> str:
        return "/".join(("container", *self))


def parse_process_key(key: str) -> ProcessKey | None:
    """The parts of init's key, None for the key of something else."""
    kind, *parts = key.split("/")
    return ProcessKey(*parts) if kind == "container" and len(parts) == 4 else None


def arguments(container: Container, environment: Mapping[str, str]) -> list[str]:
    """The process' argv."""
    if is_answerer(container):
        # one port may be there twice: with two host ports
        ports = dict.fromkeys(f"{port.protocol.lower()}:{port.port}" for port in container.ports)
        return [str(ANSWERER), *ports]
    return [expand(word, environment) for word in (*container.command, *container.args)]


def environment(stored: Json, pod: Pod, container: Container) -> dict[str, str]:
    """The process' environment: a shell's minimum, HOSTNAME, and what the container sets."""
    made = {"PATH": SEARCH_PATH, "HOME": "/", "HOSTNAME": pod.hostname}
    if is_answerer(container):
        made[READY_VARIABLE] = str(READY_FD)
    for variable in container.env:
        if variable.field_path:
            made[variable.name] = field(stored, variable.field_path)
        else:
            made[variable.name] = expand(variable.value, made)
    return made


def expand(word: str, variables: Mapping[str, str]) -> str:
    """`word` with its $(NAME) references replaced, as Kubernetes does in command, args and env."""

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        return "$" if name is None else variables.get(name, match[0])

    return _REFERENCE.sub(replaced, word)


_FIELDS: Mapping[str, Callable[[Json], str]] = {
    "metadata.name": lambda pod: text(metadata(pod), "name"),
    "metadata.namespace": lambda pod: text(metadata(pod), "namespace"),
    "metadata.uid": lambda pod: text(metadata(pod), "uid"),
    "spec.nodeName": lambda pod: text(mapping(pod, "spec"), "nodeName"),
    "spec.serviceAccountName": lambda pod: text(
        mapping(pod, "spec"), "serviceAccountName", "default"
    ),
    "status.podIP": lambda pod: text(mapping(pod, "status"), "podIP"),
    "status.podIPs": lambda pod: text(mapping(pod, "status"), "podIP"),
    "status.hostIP": lambda pod: text(mapping(pod, "status"), "hostIP"),
    "status.hostIPs": lambda pod: text(mapping(pod, "status"), "hostIP"),
}


def field(stored: Json, path: str) -> str:
    """The value of a `fieldRef`, empty for what the pod does not have."""
    match = _SUBSCRIPT.fullmatch(path)
    if match:
        values = labels_of(stored) if match[1] == "labels" else annotations_of(stored)
        return values.get(match[2], "")
    read = _FIELDS.get(path)
    return read(stored) if read is not None else ""


def log_path(directory: Path, namespace: str, pod: str, container: str) -> Path:
    """Where the container's output goes."""
    return directory / f"{namespace}_{pod}_{container}.log"


def open_log(path: Path) -> int:
    """The log to write to: appended to by every process that has it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)


def rotate_logs(directory: Path, limit: int = LOG_BYTES_MAX) -> None:
    """Move the content of full logs to `<log>.1`.

    The file itself stays, because programs have it open; as they append, they go on at its new
    end. What they write between the copy and the truncation is lost.
    """
    for path in directory.glob("*.log"):
        try:
            if path.stat().st_size > limit:
                shutil.copyfile(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)
        except FileNotFoundError:
            continue


async def tend_logs(directory: Path, clock: Clock) -> None:
    """Rotate the logs from time to time, until cancelled."""
    while True:
        await clock.sleep(LOG_CHECK_S)
        await asyncio.to_thread(rotate_logs, directory)


def remove_logs(directory: Path, namespace: str, pod: str, container: str) -> None:
    """Forget the output of a container that is gone for good."""
    path = log_path(directory, namespace, pod, container)
    path.unlink(missing_ok=True)
    path.with_suffix(".log.1").unlink(missing_ok=True)
