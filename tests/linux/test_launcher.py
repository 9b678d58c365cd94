"""The launcher: descriptors in their places, programs found as a shell would, failures reported."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from netsim.lab.init_spawn import exec_error, spawn

ENV = {"PATH": os.environ["PATH"]}


def run(argv: Sequence[str], fds: Sequence[int] = (0, 1, 2), **env: str) -> OSError | int:
    """The program's exit code, or why it could not be run."""
    pid, pipe = spawn(argv, {**ENV, **env}, "/", {}, fds)
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return exec_error(pipe) or code
    finally:
        os.close(pipe)


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_exit_code_is_the_programs() -> None:
    assert run(["sh", "-c", "exit 7"]) == 7


def test_the_path_of_the_environment_is_searched_in_order(tmp_path: Path) -> None:
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
    tmp_path: Path, file: str, name: str, number: int
) -> None:
    script(tmp_path / "a" / "tool", "#!/bin/sh\n", stat.S_IRUSR)
    script(tmp_path / "b" / "tool", "no interpreter\n")
    failed = run([name], PATH=str((tmp_path / file).parent))
    assert isinstance(failed, OSError)
    assert (failed.errno, failed.strerror) == (number, f"{name}: {os.strerror(number)}")


def test_a_refused_program_is_worse_than_a_missing_one(tmp_path: Path) -> None:
    script(tmp_path / "a" / "tool", "#!/bin/sh\n", stat.S_IRUSR)
    failed = run(["tool"], PATH=f"{tmp_path / 'a'}:{tmp_path / 'none'}")
    assert isinstance(failed, OSError)
    assert failed.errno == errno.EACCES


def test_a_name_that_is_too_long_is_refused() -> None:
    failed = run(["x" * 10_000])
    assert isinstance(failed, OSError)
    assert failed.errno == errno.ENAMETOOLONG


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    pid, pipe = spawn(["true"], ENV, str(tmp_path / "none"), {}, (0, 1, 2))
    os.waitpid(pid, 0)
    failed = exec_error(pipe)
    os.close(pipe)
    assert isinstance(failed, FileNotFoundError)


def test_descriptors_take_their_places_whatever_their_numbers_were() -> None:
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
