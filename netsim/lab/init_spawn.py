"""Owns how init makes processes: becoming PID 1 itself, and starting programs in sandboxes."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Mapping, Sequence

from netsim.linux import ns, syscalls

RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP)  # ignored here, not in programs


def become_init() -> int:
    """Continue as PID 1 of a new PID namespace, with a mount namespace that the host cannot see.

    Returns the pid that the new process has on the host; the caller's process ends. Mounts made on
    the host later appear here too (and can be unmounted there), none made here appear there.
    """
    syscalls.unshare(syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_SLAVE)
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid:
        os.write(write_end, str(pid).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        return int(pipe.read())


def spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    sandbox: Mapping[str, int],
    fds: Sequence[int],
) -> tuple[int, int]:
    """Start a program as leader of a session of its own; its pid and a pipe.

    The pipe ends empty once the program runs; otherwise it gives `errno text` (see exec_error).
    `fds` become 0, 1, 2, ...; every other descriptor of the caller must be close-on-exec. OSError
    when no process can be made.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    everything = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _child(write_end, argv, env, cwd, sandbox, fds)
    except OSError:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
        signal.pthread_sigmask(signal.SIG_SETMASK, everything)
    return pid, read_end


def exec_error(pipe: int) -> OSError | None:
    """What went wrong before a program ran, read from its pipe; None if it runs (or ran)."""
    try:
        data = os.read(pipe, 4096)
    except BlockingIOError:
        return None
    number, _, text = data.decode(errors="replace").partition(" ")
    return OSError(int(number), text) if number else None


def _child(
    report: int,
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    sandbox: Mapping[str, int],
    fds: Sequence[int],
) -> None:
    """What the forked process does. Never returns."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (*RESET, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setsid()
        syscalls.die_with_parent(signal.SIGKILL)
        ns.enter(sandbox)
        os.chdir(cwd)
        report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, len(fds))
        # First out of the way of each other, then into place.
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, len(fds)) for fd in fds]
        for place, fd in enumerate(moved):
            os.dup2(fd, place)
        os.execvpe(argv[0], list(argv), dict(env))
    except OSError as error:
        os.write(report, f"{error.errno} {argv[0]}: {error.strerror}".encode())
    except BaseException as error:
        os.write(report, f"22 {argv[0]}: {error}".encode()[:4096])
    finally:
        os._exit(127)
