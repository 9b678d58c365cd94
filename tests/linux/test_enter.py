"""Programs run inside a sandbox from outside: codes, namespaces, signals, the terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Mapping

import pytest

from netsim.lab.sandbox import Maker
from netsim.linux import enter, ns
from tests.linux.conftest import InitLab, pod

pytestmark = pytest.mark.linux


@pytest.fixture
def numbers(lab: InitLab, maker: Maker) -> Mapping[str, int]:
    fds = maker.create_pod(pod(name="web-0"))
    try:
        return lab.client.put("pod/default/web-0", fds)
    finally:
        ns.close_all(fds)


CODES = [
    (["true"], 0),
    (["sh", "-c", "exit 7"], 7),
    (["sh", "-c", "exit 255"], 255),
    (["sh", "-c", "kill -TERM $$"], 143),
    (["sh", "-c", "kill -KILL $$"], 137),
    (["no-such-program"], 127),
    (["/etc/passwd"], 126),
]


@pytest.mark.parametrize(("argv", "code"), CODES, ids=lambda v: str(v))
def test_the_exit_code_is_exact(
    lab: InitLab, numbers: Mapping[str, int], argv: list[str], code: int
) -> None:
    assert enter.run_in_sandbox(lab.pid, numbers, argv) == code
    done = subprocess.run(enter.command(lab.pid, numbers, "/", argv), check=False)
    assert done.returncode == code


def test_it_runs_in_the_pod_and_in_the_labs_pid_namespace(
    lab: InitLab, numbers: Mapping[str, int]
) -> None:
    script = "hostname; ip -br -4 addr show eth0; readlink /proc/self/ns/pid; pwd"
    command = enter.command(lab.pid, numbers, "/tmp", ["sh", "-c", script])
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    hostname, address, space, cwd = done.stdout.splitlines()
    assert hostname == "web-0"
    assert "10.244.0.5/32" in address
    assert cwd == "/tmp"
    assert space != os.readlink("/proc/self/ns/pid")
    assert space == os.readlink(f"/proc/{lab.pid}/ns/pid")


def test_the_callers_own_children_stay_outside(lab: InitLab, numbers: Mapping[str, int]) -> None:
    enter.run_in_sandbox(lab.pid, numbers, ["true"])
    own = os.readlink("/proc/self/ns/pid")
    assert subprocess.check_output(["readlink", "/proc/self/ns/pid"], text=True).strip() == own


def test_the_environment_is_what_is_given(
    lab: InitLab, numbers: Mapping[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    env = {"PATH": "/bin:/usr/bin", "ONLY": "this"}
    assert enter.run_in_sandbox(lab.pid, numbers, ["sh", "-c", "echo $ONLY"], env=env) == 0
    assert capfd.readouterr().out == "this\n"


def test_a_sandbox_that_is_gone_is_an_error(lab: InitLab) -> None:
    with pytest.raises(FileNotFoundError):
        enter.run_in_sandbox(lab.pid, {"net": 9999}, ["true"])
    done = subprocess.run(
        enter.command(lab.pid, {"net": 9999}, "/", ["true"]), capture_output=True, check=False
    )
    assert b"the sandbox is gone" in done.stderr


def test_sigterm_is_passed_on(lab: InitLab, numbers: Mapping[str, int]) -> None:
    script = "trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done"
    command = enter.command(lab.pid, numbers, "/", ["sh", "-c", script])
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 42


@pytest.mark.parametrize("victim", ["caller", "init"])
def test_it_ends_with_its_caller_and_with_the_lab(
    lab: InitLab, numbers: Mapping[str, int], victim: str
) -> None:
    command = enter.command(lab.pid, numbers, "/", ["sh", "-c", "echo ready; exec sleep 1000"])
    read_end, write_end = os.pipe()
    with subprocess.Popen(command, stdout=write_end) as process:
        os.close(write_end)
        assert os.read(read_end, 100) == b"ready\n"
        os.kill(process.pid if victim == "caller" else lab.pid, signal.SIGKILL)
        assert os.read(read_end, 1) == b"", "nobody holds the pipe any more"
        os.close(read_end)
        assert process.wait(10) == (-signal.SIGKILL if victim == "caller" else 137)


def test_it_works_from_a_thread(lab: InitLab, numbers: Mapping[str, int]) -> None:
    codes: list[int] = []
    argv = ["sh", "-c", "exit 5"]
    thread = threading.Thread(
        target=lambda: codes.append(enter.run_in_sandbox(lab.pid, numbers, argv))
    )
    thread.start()
    thread.join()
    assert codes == [5]


def talk(master: int, until: bytes, seconds: float = 10) -> bytes:
    """What a terminal shows until some text appears."""
    shown = b""
    end = time.monotonic() + seconds
    while until not in shown:
        assert time.monotonic() < end, shown
        shown += os.read(master, 4096)
    return shown


def test_a_terminal_reaches_the_program_and_ctrl_c_interrupts_it_only(
    lab: InitLab, numbers: Mapping[str, int]
) -> None:
    script = "trap 'echo interrupted; exit 3' INT; tty >/dev/null && echo has-terminal; read line"
    command = enter.command(lab.pid, numbers, "/", ["sh", "-c", script + "; echo got $line"])
    pid, master = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    talk(master, b"has-terminal")
    os.write(master, b"\x03")
    talk(master, b"interrupted")
    _, status = os.waitpid(pid, 0)
    os.close(master)
    assert os.waitstatus_to_exitcode(status) == 3


def test_an_interactive_shell_has_job_control_and_gives_the_terminal_back(
    lab: InitLab, numbers: Mapping[str, int]
) -> None:
    command = enter.command(lab.pid, numbers, "/", ["bash", "--norc", "-i"])
    pid, master = pty.fork()
    if pid == 0:
        os.environ["PS1"] = "> "
        os.execv("/bin/sh", ["sh", "-c", '"$@"; echo after $?; read x; echo read', "sh", *command])
    os.write(master, b"echo $((40+2)); jobs; exit 4\n")
    assert b"no job control" not in talk(master, b"after 4")
    os.write(master, b"\n")
    talk(master, b"read")
    os.waitpid(pid, 0)
    os.close(master)
