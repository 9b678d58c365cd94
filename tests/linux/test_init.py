"""PID 1 of a lab: descriptors by key, programs, restarts; and that nothing ends it."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netsim.errors import ConflictError, NotFoundError
from netsim.lab import init_messages as m
from netsim.lab.init_client import ExitWatch, ProcessRecord
from netsim.lab.init_services import Service
from netsim.lab.pod_nets import HostPodNet, host_recipe
from netsim.lab.sandbox import Maker
from netsim.linux import ns
from tests.linux.conftest import InitLab, StartLab, pod, python

pytestmark = pytest.mark.linux

ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def exits(watch: ExitWatch, count: int, seconds: float = 10) -> list[m.Exited]:
    """The next events of a watch."""
    found: list[m.Exited] = []
    while len(found) < count:
        ready, _, _ = select.select([watch], [], [], seconds)
        assert ready, f"only {found}"
        found += watch.read()
    return found


@pytest.fixture
def watch(lab: InitLab) -> Iterator[ExitWatch]:
    made = ExitWatch(lab.state / "init.sock")
    yield made
    made.close()


def test_descriptors_come_back_as_copies_of_the_same_file(lab: InitLab) -> None:
    read_end, write_end = os.pipe()
    numbers = lab.client.put("pipe", {"in": write_end, "out": read_end})
    assert lab.client.keys() == {"pipe": numbers}
    assert set(numbers) == {"in", "out"}
    os.close(read_end)
    os.write(write_end, b"still there")
    copies = lab.client.get("pipe")
    assert os.read(copies["out"], 100) == b"still there"
    assert not os.get_inheritable(copies["out"])
    ns.close_all({**copies, "w": write_end})


def test_a_replaced_or_dropped_descriptor_is_closed(lab: InitLab) -> None:
    for drop in (lambda: lab.client.put("pipe", {}), lambda: lab.client.drop("pipe")):
        read_end, write_end = os.pipe()
        lab.client.put("pipe", {"in": write_end})
        os.close(write_end)
        drop()
        assert os.read(read_end, 1) == b"", "no writer is left"
        os.close(read_end)
    with pytest.raises(NotFoundError, match="pipe"):
        lab.client.get("pipe")
    lab.client.drop("pipe")


def test_more_keys_than_fit_one_reply_are_all_listed(lab: InitLab) -> None:
    keys = [f"pod/default/web-{number:05}" for number in range(m.PAGE_KEYS + 5)]
    with open("/dev/null") as null:
        for key in keys:
            lab.client.put(key, {"net": null.fileno()})
    assert list(lab.client.keys()) == keys


CODES = [("exit 0", 0, None), ("exit 7", 7, None), ("kill -9 $$", None, 9)]


@pytest.mark.parametrize(("script", "code", "signum"), CODES)
def test_an_exit_is_told_and_recorded(
    lab: InitLab, watch: ExitWatch, script: str, code: int | None, signum: int | None
) -> None:
    pid = lab.client.spawn("p", ["sh", "-c", script], ENV)
    assert exits(watch, 1) == [m.Exited("p", pid, code, signum)]
    assert lab.client.processes() == [ProcessRecord("p", pid, False, code, signum)]
    lab.client.forget("p")
    assert lab.client.processes() == []


NOT_PROGRAMS = [
    (["no-such-program"], FileNotFoundError),
    (["/etc/passwd"], PermissionError),
    (["/no/such"], FileNotFoundError),
    ([], ValueError),
    (["a\0b"], ValueError),
]


@pytest.mark.parametrize(("argv", "error"), NOT_PROGRAMS)
def test_what_cannot_be_executed_is_the_callers_error_and_no_record(
    lab: InitLab, argv: list[str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        lab.client.spawn("p", argv, ENV)
    with pytest.raises(NotADirectoryError):
        lab.client.spawn("p", ["true"], ENV, cwd="/dev/null")
    assert lab.client.processes() == []


def test_a_program_gets_exactly_the_descriptors_it_is_given(lab: InitLab, watch: ExitWatch) -> None:
    lab.client.put("pipe", dict(zip("ab", os.pipe(), strict=True)))
    read_end, write_end = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    script = "for i in $(seq 0 40); do [ -e /proc/self/fd/$i ] && echo $i >&4; done"
    fds = (null, write_end, write_end, null, write_end)
    lab.client.spawn("p", ["sh", "-c", script], ENV, fds=fds)
    os.close(write_end)
    os.close(null)
    exits(watch, 1)
    assert os.read(read_end, 65536).split() == [b"0", b"1", b"2", b"3", b"4"]
    os.close(read_end)


def test_a_program_starts_with_default_signals_in_a_session_of_its_own(
    lab: InitLab, watch: ExitWatch
) -> None:
    read_end, write_end = os.pipe()
    script = "umask; cut -d' ' -f5,6 /proc/self/stat; cat /proc/self/status"
    pid = lab.client.spawn("p", ["sh", "-c", script], ENV, fds=(0, write_end, write_end))
    os.close(write_end)
    exits(watch, 1)
    lines = os.read(read_end, 65536).decode().splitlines()
    os.close(read_end)
    assert lines[0] == "0022"
    assert len(set(lines[1].split())) == 1, "process group and session are the leader's"
    status = dict(line.split(":\t", 1) for line in lines[2:])
    assert [status[name] for name in ("SigBlk", "SigIgn", "SigCgt")] == ["0" * 16] * 3
    assert pid > 1


def test_a_program_joins_the_sandbox_that_it_is_given(
    lab: InitLab, maker: Maker, watch: ExitWatch
) -> None:
    fds = maker.create_pod(pod(name="web-0"))
    lab.client.put("pod/default/web-0", fds)
    ns.close_all(fds)
    read_end, write_end = os.pipe()
    script = "hostname; cat /etc/hostname; ip -br -4 addr show eth0"
    stdio = (0, write_end, write_end)
    lab.client.spawn("p", ["sh", "-c", script], ENV, sandbox="pod/default/web-0", fds=stdio)
    os.close(write_end)
    exits(watch, 1)
    lines = os.read(read_end, 65536).decode().splitlines()
    os.close(read_end)
    assert lines[:2] == ["web-0", "web-0"]
    assert lines[2].split()[2] == "10.244.0.5/32"
    with pytest.raises(NotFoundError, match="pod/default/nope"):
        lab.client.spawn("q", ["true"], ENV, sandbox="pod/default/nope")


def test_a_running_key_is_taken_an_exited_one_is_not(lab: InitLab, watch: ExitWatch) -> None:
    lab.client.spawn("p", ["sleep", "100"], ENV)
    with pytest.raises(ConflictError):
        lab.client.spawn("p", ["true"], ENV)
    with pytest.raises(ConflictError):
        lab.client.forget("p")
    lab.client.signal("p", signal.SIGTERM)
    assert exits(watch, 1)[0].signum == signal.SIGTERM
    lab.client.spawn("p", ["true"], ENV)
    with pytest.raises(NotFoundError):
        lab.client.signal("nobody", signal.SIGTERM)


def test_what_a_program_left_in_its_group_ends_with_it(lab: InitLab, watch: ExitWatch) -> None:
    read_end, write_end = os.pipe()
    lab.client.spawn("p", ["sh", "-c", "sleep 100 & exit 0"], ENV, fds=(0, write_end, write_end))
    os.close(write_end)
    exits(watch, 1)
    ready, _, _ = select.select([read_end], [], [], 5)
    assert ready, "the sleep holds the pipe"
    assert os.read(read_end, 1) == b""
    os.close(read_end)


def test_dropping_a_sandbox_ends_daemons_in_it_and_nobody_else(
    lab: InitLab, maker: Maker, watch: ExitWatch
) -> None:
    fds = maker.create_pod(pod())
    lab.client.put("pod/default/pod-0", fds)
    ns.close_all(fds)
    inside, write_end = os.pipe()
    daemon = ["sh", "-c", "setsid sleep 100 & sleep 0.05"]
    stdio = (0, write_end, write_end)
    lab.client.spawn("in", daemon, ENV, sandbox="pod/default/pod-0", fds=stdio)
    os.close(write_end)
    lab.client.spawn("out", ["sleep", "100"], ENV)
    exits(watch, 1)
    assert select.select([inside], [], [], 0.1)[0] == [], "the daemon has left its group"
    lab.client.drop("pod/default/pod-0")
    assert select.select([inside], [], [], 5)[0] == [inside]
    os.close(inside)
    assert [record.key for record in lab.client.processes() if record.running] == ["out"]


@pytest.mark.parametrize("dropped", ["pod/default/on-host", "node/node1"])
def test_a_shared_network_is_its_first_owners(
    lab: InitLab, maker: Maker, watch: ExitWatch, dropped: str
) -> None:
    """A pod on its node's network takes its own programs along, the node everybody's."""
    node = maker.create_pod(pod())
    (shared,) = maker.make([host_recipe(HostPodNet("on-host", "default", "pod-0", 1), node)])
    assert not isinstance(shared, OSError)
    boxes = {"node/node1": node, "pod/default/on-host": shared}
    for key, fds in boxes.items():
        lab.client.put(key, fds)
        ns.close_all(fds)
        lab.client.spawn(key, ["sleep", "100"], ENV, sandbox=key)
    lab.client.drop(dropped)
    left = ["node/node1"] if dropped.startswith("pod") else []

    exits(watch, len(boxes) - len(left))
    assert [record.key for record in lab.client.processes() if record.running] == left


def name_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_orphans_are_reaped(lab: InitLab, watch: ExitWatch) -> None:
    def orphans() -> list[str]:
        children = Path(f"/proc/{lab.pid}/task/{lab.pid}/children").read_text().split()
        return [pid for pid in children if name_of(pid) == "sleep"]  # a zombie has its name still

    # the program waits for its child, which leaves one behind in a session of its own
    lab.client.spawn("p", ["setsid", "-w", "sh", "-c", "setsid sleep 0.5 & sleep 0.1"], ENV)
    exits(watch, 1)
    end = time.monotonic() + 5
    while not (adopted := orphans()) and time.monotonic() < end:
        time.sleep(0.01)
    assert len(adopted) == 1
    while (left := orphans()) and time.monotonic() < end:
        time.sleep(0.01)
    assert left == []


def test_a_service_is_restarted_and_sees_the_labs_environment(
    start_lab: StartLab,
) -> None:
    code = "import os; print(*[os.environ['NETSIM_' + n] for n in ('LAB', 'STATE', 'INIT_PID')])"
    forever = python(f"{code}; import sys, time; sys.stdout.flush(); time.sleep(100)")
    lab = start_lab(control=forever)
    log = lab.state / "logs" / "control.log"
    log.touch()
    for runs in range(1, 4):
        end = time.monotonic() + 10
        while log.read_text().count("\n") < runs and time.monotonic() < end:
            time.sleep(0.01)
        assert log.read_text().count("\n") == runs
        lab.client.signal("control", signal.SIGKILL)
    assert log.read_text().splitlines()[0].split() == [lab.name, str(lab.state), str(lab.pid)]
    assert "signal 9" in (lab.state / "logs" / "init.log").read_text()


def test_a_service_that_keeps_failing_waits_longer_and_longer() -> None:
    service = Service("x", ["x"], "/")
    delays = []
    for number in range(9):
        service.started(float(number))
        delays.append(service.ended(float(number)))
    assert delays == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    service.started(100.0)
    assert service.ended(200.0) == 0.0, "it had run well"


def test_a_service_that_cannot_be_executed_is_tried_again(
    start_lab: StartLab,
) -> None:
    lab = start_lab(control=["/no/such/program"])
    log = lab.state / "logs" / "init.log"
    end = time.monotonic() + 10
    while log.read_text().count("cannot start") < 3 and time.monotonic() < end:
        time.sleep(0.01)
    assert log.read_text().count("No such file") >= 3


def raw(lab: InitLab) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(10)
    connection.connect(str(lab.state / "init.sock"))
    return connection


def test_hostile_clients_get_an_answer_or_nothing_and_init_lives(lab: InitLab) -> None:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(st.binary(min_size=1, max_size=300))
    def try_bytes(data: bytes) -> None:
        with raw(lab) as connection:
            connection.send(data)
            assert isinstance(m.decode_reply(connection.recv(65536)), m.Failed | m.KeyPage)

    try_bytes()
    assert lab.client.keys() == {}


VANISHING = [
    m.Keys(),
    m.Watch(),
    m.Spawn("v", ["true"], ENV, "/", None),
    m.Spawn("w", ["/no/such"], ENV, "/", None),
]


@pytest.mark.parametrize("request_", VANISHING, ids=lambda r: type(r).__name__)
def test_a_client_that_vanishes_mid_request_harms_nobody(lab: InitLab, request_: m.Request) -> None:
    for _ in range(20):
        with raw(lab) as connection:
            connection.send(m.encode(request_))
    assert lab.client.keys() == {}


def test_a_client_that_does_not_read_is_given_up(lab: InitLab) -> None:
    with raw(lab) as lazy, pytest.raises(ConnectionError):  # noqa: PT012 (it takes many)
        for _ in range(50_000):
            lazy.send(m.encode(m.Keys()))
    assert lab.client.keys() == {}


def test_a_burst_of_exits_waits_for_a_watcher_that_is_late(lab: InitLab, watch: ExitWatch) -> None:
    for number in range(400):
        lab.client.spawn(f"p{number}", ["true"], ENV)
    assert {event.key for event in exits(watch, 400)} == {f"p{number}" for number in range(400)}
    assert len(lab.client.processes()) == 400


def test_descriptors_sent_with_a_wrong_request_are_not_kept(lab: InitLab) -> None:
    before = len(os.listdir(f"/proc/{lab.pid}/fd"))
    with raw(lab) as connection, open("/dev/null") as null:
        for request in (m.Put("k", ["one"]), m.Keys(), m.Put("k", ["same", "same"])):
            fds = [null.fileno()] * 2
            socket.send_fds(connection, [m.encode(request)], fds)
            connection.recv(65536)
        connection.send(b"\xc1")
        connection.recv(65536)
        assert len(os.listdir(f"/proc/{lab.pid}/fd")) == before + 1, "this connection"


def test_init_itself_inherits_and_leaks_nothing(start_lab: StartLab) -> None:
    with open("/dev/null") as extra:
        os.set_inheritable(extra.fileno(), True)
        lab = start_lab()
    targets = [os.readlink(f"/proc/{lab.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{lab.pid}/fd")]
    assert targets.count("/dev/null") == 2, "its stdin, and the one it hands out"
    status = Path(f"/proc/{lab.pid}/status").read_text()
    assert int(status.partition("VmRSS:")[2].split()[0]) < 24 * 1024, "kB"
    limits = Path(f"/proc/{lab.pid}/limits").read_text()
    soft, hard = limits.partition("Max open files")[2].split()[:2]
    assert soft == hard


def test_many_sandboxes_are_kept_in_few_messages(lab: InitLab) -> None:
    fds = [os.memfd_create(str(number)) for number in range(4)]
    try:
        kept = {
            f"pod/default/p{n}": dict(zip(("net", "uts", "mnt", "tun"), fds, strict=True))
            for n in range(m.FDS_MAX)
        }
        numbers = lab.client.put_all(kept)
        assert lab.client.put_all({}) == {}
    finally:
        for fd in fds:
            os.close(fd)
    assert numbers == lab.client.keys()
    got = lab.client.get("pod/default/p200")
    assert [os.readlink(f"/proc/self/fd/{fd}") for fd in got.values()] == [
        f"/memfd:{number} (deleted)" for number in range(4)
    ]
    for fd in got.values():
        os.close(fd)


def test_names_without_descriptors_keep_nothing(lab: InitLab) -> None:
    for names in ({"a": ["x", "y"]}, {"a": ["x"], "b": ["y"]}, {"a": ["x", "x"]}):
        with raw(lab) as connection:
            fds = [0, 1] if names == {"a": ["x", "x"]} else [0]
            socket.send_fds(connection, [m.encode(m.PutAll(names))], fds)
            reply = m.decode_reply(connection.recv(m.MESSAGE_BYTES_MAX))
        assert isinstance(reply, m.Failed)
        assert reply.kind == "invalid"
    assert lab.client.keys() == {}
