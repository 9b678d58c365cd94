"""The life of a lab seen from the host: started once, found again, gone without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from netsim.errors import ConflictError, NetsimError, NotFoundError, PreconditionError, UsageError
from netsim.lab import launch, names
from netsim.lab.lab_info import LabInfo, own_pid_namespace
from netsim.lab.sandbox import Maker
from netsim.linux import ns
from tests.linux.conftest import PYTHON_ENV, InitLab, StartLab, pod, python

ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def fill(lab: InitLab, maker: Maker, pods: int) -> set[int]:
    """Pods with a program each, and their names; the inodes of their network namespaces."""
    inodes = set()
    for number in range(pods):
        key = f"pod/default/pod-{number}"
        fds = maker.create_pod(pod(number))
        inodes.add(os.fstat(fds["net"]).st_ino)
        numbers = lab.client.put(key, fds)
        ns.close_all(fds)
        assert names.create(lab.name, lab.pid, key, numbers["net"]) == f"{lab.name}-pod-{number}"
        lab.client.spawn(f"{key}/main", ["sleep", "1000"], ENV, sandbox=key)
    return inodes


def hold_everything(lab: InitLab) -> None:
    """Have a process hold copies of all descriptors, as the data plane does."""
    code = """
import sys, time
from netsim.lab.init_client import InitClient
client = InitClient(sys.argv[1])
held = [client.get(key) for key in client.keys()]
print("held", flush=True)
time.sleep(1000)
"""
    read_end, write_end = os.pipe()
    argv = [*python(code), str(lab.state / "init.sock")]
    lab.client.spawn("dataplane", argv, PYTHON_ENV, fds=(read_end, write_end, 2))
    os.close(write_end)
    assert os.read(read_end, 100) == b"held\n"
    os.close(read_end)


def namespaces_in_use() -> set[int]:
    """Inodes of the network namespaces that any process is in or holds a descriptor of."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.add((process / "ns/net").stat().st_ino)
            paths = [process / "fd" / fd for fd in os.listdir(process / "fd")]
            links = [os.readlink(path) for path in paths]
        except OSError:
            continue
        found |= {int(link[5:-1]) for link in links if link.startswith("net:[")}
    return found


@pytest.mark.linux
def test_a_lab_is_found_until_it_is_stopped(lab: InitLab) -> None:
    found = launch.find_lab(lab.name)
    assert found is not None
    assert found.init_pid == lab.pid
    assert found in launch.list_labs()
    assert oct(lab.state.stat().st_mode & 0o777) == "0o700"
    launch.check_alive(lab.name)
    assert launch.stop_lab(lab.name)
    assert launch.find_lab(lab.name) is None
    assert not lab.state.exists()
    assert not launch.stop_lab(lab.name), "again: nothing to do, no error"
    with pytest.raises(NetsimError, match="has ended"):
        launch.check_alive(lab.name)
    with pytest.raises(NotFoundError):
        launch.init_client(lab.name)


@pytest.mark.linux
def test_a_running_lab_is_not_started_again(lab: InitLab) -> None:
    with pytest.raises(ConflictError):
        launch.start_init(lab.name, services={})


@pytest.mark.linux
def test_standard_tools_find_pods_by_name(lab: InitLab, maker: Maker) -> None:
    fill(lab, maker, 2)
    listed = subprocess.check_output(["ip", "netns", "list"], text=True)
    assert {f"{lab.name}-pod-0", f"{lab.name}-pod-1"} <= set(listed.split())
    command = ["ip", "netns", "exec", f"{lab.name}-pod-1", "ip", "-br", "-4", "addr"]
    assert "10.244.0.6/32" in subprocess.check_output(command, text=True)
    launch.stop_lab(lab.name)
    assert not [path for path in names.NETNS.glob(f"{lab.name}-*") if path.is_symlink()]


@pytest.mark.linux
def test_pods_logs_are_found_in_the_state_and_lie_in_memory(lab: InitLab) -> None:
    logs = lab.state / "logs" / "pods"
    (logs / "one.log").write_text("said")
    assert [path.name for path in logs.iterdir()] == ["one.log"]
    shown = subprocess.check_output(["stat", "-f", "-L", "-c", "%T", str(logs)], text=True)
    assert shown == "tmpfs\n"
    os.kill(lab.pid, signal.SIGKILL)
    while Path("/proc", str(lab.pid)).exists():
        time.sleep(0.01)
    assert not logs.exists()
    assert lab.state.exists(), "until it is swept"


@pytest.mark.linux
def test_kill_9_of_init_leaves_nothing_within_a_second(start_lab: StartLab, maker: Maker) -> None:
    lab = start_lab(control=["sleep", "1000"])
    inodes = fill(lab, maker, 50)
    hold_everything(lab)
    pids = Path(f"/proc/{lab.pid}/task/{lab.pid}/children").read_text().split()
    assert len(pids) == 53, "with the launcher"
    killed = time.monotonic()
    os.kill(lab.pid, signal.SIGKILL)
    while any(Path("/proc", pid).exists() for pid in pids) or namespaces_in_use() & inodes:
        assert time.monotonic() - killed < 1, "something survives init"
    assert launch.find_lab(lab.name) is None
    assert lab.name in launch.sweep()
    assert not names.links(lab.pid)
    assert not lab.state.exists()
    again = launch.start_init(lab.name, services={})
    assert again.init_pid != lab.pid


@pytest.mark.linux
def test_stopping_ends_programs_that_ignore_sigterm(lab: InitLab) -> None:
    lab.client.spawn("stubborn", ["sh", "-c", "trap '' TERM; sleep 1000"], ENV)
    _, pid = Path(f"/proc/{lab.pid}/task/{lab.pid}/children").read_text().split()
    began = time.monotonic()
    assert launch.stop_lab(lab.name)
    assert time.monotonic() - began < launch.STOP_S + 1
    assert not Path("/proc", pid).exists()


@pytest.mark.linux
def test_a_stopped_init_that_does_not_answer_is_killed(lab: InitLab) -> None:
    os.kill(lab.pid, signal.SIGSTOP)
    assert launch.stop_lab(lab.name)
    assert launch.find_lab(lab.name) is None


@pytest.mark.linux
def test_a_failed_start_says_what_init_said(
    run_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "t" + "o" * 62
    deep = run_root / ("d" * 120)
    monkeypatch.setenv("NETSIM_RUN", str(deep))
    with pytest.raises(NetsimError, match=r"did not start(.|\n)*AF_UNIX path too long"):
        launch.start_init(name, services={})


@pytest.mark.linux
def test_files_are_there_before_init(run_root: Path) -> None:
    info = launch.start_init(
        f"t{os.getpid()}-f", services={"control": ["true"]}, files={"initial.json": b"[]"}
    )
    try:
        assert (launch.state_dir(info.name) / "initial.json").read_bytes() == b"[]"
    finally:
        launch.stop_lab(info.name)


def record(directory: Path, pid: int, start: int, pid_namespace: int = 0) -> None:
    directory.mkdir()
    info = LabInfo(directory.name, pid, start, pid_namespace or own_pid_namespace(), 0.0, "0")
    (directory / "lab.json").write_bytes(msgspec.json.encode(info))


def test_a_pid_that_was_used_again_is_not_taken_for_init(run_root: Path) -> None:
    record(run_root / "old", os.getpid(), 1)
    assert launch.find_lab("old") is None
    assert launch.list_labs() == []
    assert not launch.stop_lab("old"), "and we are still alive"
    assert not (run_root / "old").exists()


def test_sweep_keeps_what_it_does_not_know(run_root: Path) -> None:
    record(run_root / "dead", 2**22 + 1, 1)
    (run_root / "half").mkdir()
    (run_root / "Not_a_lab").mkdir()
    assert launch.sweep() == ["dead", "half"]
    assert [path.name for path in run_root.iterdir()] == ["Not_a_lab"]


def test_from_another_pid_namespace_a_lab_is_left_alone(run_root: Path) -> None:
    record(run_root / "away", os.getpid(), 1, pid_namespace=1)
    assert launch.list_labs() == []
    assert launch.sweep() == []
    with pytest.raises(PreconditionError):
        launch.stop_lab("away")
    with pytest.raises(PreconditionError):
        launch.start_init("away", services={})
    assert (run_root / "away" / "lab.json").exists()


@pytest.mark.linux
def test_an_init_that_nobody_waits_for_ends(run_root: Path) -> None:
    directory = run_root / "t"
    (directory / "logs").mkdir(parents=True)
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "netsim.lab.init", "t", str(directory), str(write_end), "{}"]
    subprocess.run(command, pass_fds=[write_end], check=True, stderr=subprocess.DEVNULL)
    os.close(write_end)
    end = time.monotonic() + 5
    while not (directory / "lab.json").exists() or launch.find_lab("t"):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_sweep_leaves_a_lab_that_is_being_started(run_root: Path) -> None:
    directory = run_root / "coming"
    with launch._locked(directory):
        assert launch.sweep() == []
    assert launch.sweep() == ["coming"]


@pytest.mark.parametrize("name", ["", "Lab", "-a", "a-", "a/b", "..", "a" * 64, "a_b", "a.b"])
def test_a_lab_name_is_a_dns_label(name: str) -> None:
    with pytest.raises(UsageError):
        launch.state_dir(name)


def test_the_state_root_is_run_netsim_unless_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETSIM_RUN", raising=False)
    assert launch.state_root() == Path("/run/netsim")
