"""Owns the life of labs as seen from the host: start init, find it again, stop it, clean up.

A lab is its init, which /run/netsim/<lab>/lab.json names (lab_info.py). The directory is locked
while a lab starts or goes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import shutil
import signal
import site
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import netsim
from netsim.errors import (
    ConflictError,
    NetsimError,
    NotFoundError,
    PreconditionError,
    UsageError,
)
from netsim.lab import names
from netsim.lab.init_client import InitClient
from netsim.lab.lab_info import LabInfo, is_alive, is_visible, read_info

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
START_S = 15.0
STOP_S = 4.0  # init takes 2 s at most


def state_root() -> Path:
    """Where labs keep their state; NETSIM_RUN overrides it."""
    return Path(os.environ.get("NETSIM_RUN") or "/run/netsim")


def state_dir(name: str) -> Path:
    """A lab's directory. UsageError: the name is no DNS label."""
    if not NAME.fullmatch(name):
        hint = "use up to 63 lower-case letters, digits and dashes"
        raise UsageError(f"invalid lab name {name!r}", hint=hint)
    return state_root() / name


def start_lab(name: str, objects: Iterable[Mapping[str, object]]) -> LabInfo:
    """Start a lab whose control begins with `objects`, as admitted. ConflictError: it runs."""
    initial = json.dumps(list(objects)).encode()
    return start_init(name, files={"initial.json": initial})


def start_init(
    name: str,
    *,
    services: Mapping[str, Sequence[str]] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> LabInfo:
    """Start a lab's init and return when it listens. ConflictError: the lab runs.

    `services`: what it supervises, argv by key; control and data plane if None. `files` are
    written to the new state directory first. NetsimError with the log's end if it does not start.
    """
    directory = state_dir(name)
    with _locked(directory):
        _check_visible(read_info(directory))
        if is_alive(read_info(directory)):
            raise ConflictError(f"lab {name} is running", hint="run the command again to change it")
        _clear(directory)
        (directory / "logs").mkdir()
        for file, data in (files or {}).items():
            (directory / file).write_bytes(data)
        return _start_process(name, directory, services)


def find_lab(name: str) -> LabInfo | None:
    """A running lab by name."""
    info = read_info(state_dir(name))
    return info if is_alive(info) else None


def list_labs() -> list[LabInfo]:
    """The running labs, by name."""
    found = [read_info(directory) for directory in _directories()]
    return [info for info in found if info and is_alive(info)]


def check_alive(name: str) -> None:
    """NetsimError with the end of init's log if the lab does not run."""
    if find_lab(name) is None:
        raise NetsimError(f"lab {name} has ended", _log_end(state_dir(name)))


def stop_lab(name: str) -> bool:
    """End a lab and remove its names and state; True if it ran. Idempotent.

    Returns when no process of it is left. Init is asked first, and killed if it does not go.
    """
    directory = state_dir(name)
    if not directory.is_dir():
        return False
    with _locked(directory):
        info = read_info(directory)
        _check_visible(info)
        ran = info is not None and _stop(directory, info)
        if info is not None:
            names.sweep(info.init_pid if ran else None)
        shutil.rmtree(directory, ignore_errors=True)
    return ran


def sweep() -> list[str]:
    """Remove what dead labs left: dangling names, state directories; names of these labs.

    Does nothing where labs cannot be told dead from alive: in another PID namespace than theirs.
    """
    infos = [info for directory in _directories() if (info := read_info(directory))]
    if not all(is_visible(info) for info in infos):
        return []
    names.sweep()
    dead = []
    for directory in _directories():
        with contextlib.suppress(BlockingIOError), _locked(directory, wait=False):
            if not is_alive(read_info(directory)):
                shutil.rmtree(directory, ignore_errors=True)
                dead.append(directory.name)
    with contextlib.suppress(OSError):  # other labs in it, or not there
        state_root().rmdir()
    return dead


def init_client(name: str) -> InitClient:
    """A client of a running lab's init. NotFoundError: it does not run."""
    if find_lab(name) is None:
        raise NotFoundError(f"lab {name} is not running", hint="netsim ps lists labs")
    return InitClient(state_dir(name) / "init.sock")


def _directories() -> list[Path]:
    try:
        return sorted(path for path in state_root().iterdir() if NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def _locked(directory: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a lab's directory, which is made if need be. BlockingIOError: taken."""
    while True:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), directory.stat()):
                    yield
                    return
            # Removed by who held the lock before: take that of the new directory.
        finally:
            os.close(fd)


def _clear(directory: Path) -> None:
    """Empty a dead lab's directory; the directory itself stays, as it is locked."""
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_visible(info: LabInfo | None) -> None:
    if info is not None and not is_visible(info):
        hint = "run netsim where the lab was started: not in a pod or another container"
        raise PreconditionError(f"lab {info.name} is out of sight", "another PID namespace", hint)


def _start_process(
    name: str, directory: Path, services: Mapping[str, Sequence[str]] | None
) -> LabInfo:
    """Start init and wait until it listens. It ends by itself if we end before that."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    with open(directory / "logs" / "init.log", "ab", opener=_private) as log:
        argv = [sys.executable, "-P", "-m", "netsim.lab.init", name, str(directory)]
        argv += [str(write_end), json.dumps(services)]
        launcher = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[write_end],
            start_new_session=True,
            cwd="/",
            env=_environment(),
        )
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], START_S)
        listens = bool(ready and pipe.read())
    if not listens:
        launcher.kill()
    launcher.wait()
    info = read_info(directory)
    if not listens or info is None:
        raise NetsimError(f"init of lab {name} did not start", _log_end(directory))
    return info


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _environment() -> dict[str, str]:
    """Ours, with this package importable from anywhere."""
    env = dict(os.environ)
    home = str(Path(netsim.__file__).resolve().parent.parent)
    if home not in [*site.getsitepackages(), site.getusersitepackages()]:
        env["PYTHONPATH"] = os.pathsep.join([home, *filter(None, [env.get("PYTHONPATH")])])
    return env


def _stop(directory: Path, info: LabInfo) -> bool:
    """End the process that `info` names; False if it does not live."""
    try:
        pidfd = os.pidfd_open(info.init_pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(info):
            return False
        with contextlib.suppress(NetsimError), InitClient(directory / "init.sock", 1.0) as client:
            client.shutdown()
            if _ended(pidfd, STOP_S):
                return True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        if not _ended(pidfd, STOP_S):
            raise NetsimError(f"init of lab {info.name} (pid {info.init_pid}) does not end")
        return True
    finally:
        os.close(pidfd)


def _ended(pidfd: int, timeout_s: float) -> bool:
    """Wait for a process's end. For PID 1 of a namespace the kernel ends all others before."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _log_end(directory: Path, lines: int = 5) -> str:
    try:
        text = (directory / "logs" / "init.log").read_text(errors="replace")
    except OSError:
        return "its log is gone"
    return "\n".join(text.splitlines()[-lines:])
