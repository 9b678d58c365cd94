"""The launcher: descriptors in their places, programs found as a shell would, failures reported."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from netsim.lab.init_spawn import Launcher, Outcome

ENV = {"PATH": os.environ["PATH"]}


class Run(Protocol):
    def __call__(
        self, argv: Sequence[str], fds: Sequence[int] = ..., cwd: str = ..., **env: str
    ) -> OSError | int: ...


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    made = Launcher()
    yield made
    made.close()


@pytest.fixture
def run(launcher: Launcher) -> Run:
    def run_it(
        argv: Sequence[str], fds: Sequence[int] = (0, 1, 2), cwd: str = "/", **env: str
    ) -> OSError | int:
        """The program's exit code, or why it could not be run."""
        outcome = await_start(launcher.start(argv, {**ENV, **env}, cwd, {}, fds))
        code = os.waitstatus_to_exitcode(os.waitpid(outcome.pid, 0)[1])
        return outcome.error or code

    return run_it


def await_start(pipe: int) -> Outcome:
    outcome = Outcome()
    os.set_blocking(pipe, True)
    assert outcome.read(pipe)
    os.close(pipe)
    return outcome


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_exit_code_is_the_programs(run: Run) -> None:
    assert run(["sh", "-c", "exit 7"]) == 7


def test_the_path_of_the_environment_is_searched_in_order(run: Run, tmp_path: Path) -> None:
    for name, code in (("a", 3), ("b", 4)):
        script(tmp_path / name / "tool", f"#!/bin/sh\nexit {code}\n")
    script(tmp_path / "file", "")
    path = [tmp_path / "none", tmp_path / "file", tmp_path / "b", tmp_path / "a"]
    assert run(["tool"], PATH=":".join(map(str, path))) == 4
    assert run(["tool"], PATH=f"{tmp_path / 'a'}") == 3


FAILURES = {
    "nothing there": ("none/tool", "tool", errno.ENOENT),
    "not executable": ("a/tool", "tool", errno.EACCES),
    "not a program": ("b/tool", "tool", errno.ENOEXEC),
    "empty name": ("", "", errno.ENOENT),
}


@pytest.mark.parametrize(("file", "name", "number"), FAILURES.values(), ids=FAILURES)
def test_a_failure_has_its_errno_and_names_the_program(
    run: Run, tmp_path: Path, file: str, name: str, number: int
) -> None:
    script(tmp_path / "a" / "tool", "#!/bin/sh\n", stat.S_IRUSR)
    script(tmp_path / "b" / "tool", "no interpreter\n")
    failed = run([name], PATH=str((tmp_path / file).parent))
    assert isinstance(failed, OSError)
    assert (failed.errno, failed.strerror) == (number, f"{name}: {os.strerror(number)}")


def test_a_refused_program_is_worse_than_a_missing_one(run: Run, tmp_path: Path) -> None:
    script(tmp_path / "a" / "tool", "#!/bin/sh\n", stat.S_IRUSR)
    failed = run(["tool"], PATH=f"{tmp_path / 'a'}:{tmp_path / 'none'}")
    assert isinstance(failed, OSError)
    assert failed.errno == errno.EACCES


def test_a_name_that_is_too_long_is_refused(run: Run) -> None:
    failed = run(["x" * 10_000])
    assert isinstance(failed, OSError)
    assert failed.errno == errno.ENAMETOOLONG


def test_a_directory_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    assert isinstance(run(["true"], cwd=str(tmp_path / "none")), FileNotFoundError)


def test_hundreds_of_starts_wait_for_nobody(launcher: Launcher) -> None:
    pipes = [launcher.start(["true"], ENV, "/", {}, (0, 1, 2)) for _ in range(300)]
    pids = {await_start(pipe).pid for pipe in pipes}
    assert len(pids) == 300
    for pid in pids:
        os.waitpid(pid, 0)


def test_a_launcher_that_was_killed_is_made_anew(run: Run, launcher: Launcher) -> None:
    begun = await_start(launcher.start(["true"], ENV, "/", {}, (0, 1, 2)))
    os.waitpid(begun.pid, 0)  # until it is the program it looks like its launcher
    [pid] = [pid for pid in children() if b"launcher" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert run(["sh", "-c", "exit 7"]) == 7


def test_a_message_that_nobody_took_is_a_failed_start(launcher: Launcher) -> None:
    outcome = Outcome()
    read_end, write_end = os.pipe()
    os.close(write_end)
    assert outcome.read(read_end)
    os.close(read_end)
    assert outcome.error is not None
    assert outcome.error.errno == errno.EAGAIN


def children() -> list[int]:
    return [int(w) for w in Path("/proc/thread-self/children").read_text().split()]


def test_descriptors_take_their_places_whatever_their_numbers_were(run: Run) -> None:
    read_end, write_end = os.pipe()
    try:
        one = os.memfd_create("one")
        two = os.memfd_create("two")
        os.write(one, b"one")
        os.write(two, b"two")
        text = "cat /proc/self/fd/4 /proc/self/fd/3; ls /proc/self/fd"
        places = (0, write_end, 2, two, one, two, 1, 0)  # 1 and 0 are places of others
        assert run(["sh", "-c", text], places) == 0
        said = os.read(read_end, 4096).decode()
    finally:
        for fd in (read_end, write_end, one, two):
            os.close(fd)
    assert said.startswith("onetwo")
    numbers = {int(word) for word in said.removeprefix("onetwo").split()}
    assert numbers >= set(range(8))
    assert len(numbers - set(range(8)) - inherited()) <= 1, "nothing else is open but ls' own"


def inherited() -> set[int]:
    """Descriptors that any program of this process gets."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.get_inheritable(int(name)):
                found.add(int(name))
    return found
