"""capture: files that tshark and capinfos read, pipes, Ctrl-C, and what was missed."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

import pytest

from tests.cli.command import ARGV, ROOT, Result, environment, finish, run, start, succeed
from tests.cli.terminal import Terminal

pytestmark = [pytest.mark.linux, pytest.mark.usefixtures("lab")]

needs_tshark = pytest.mark.skipif(
    not (shutil.which("tshark") and shutil.which("capinfos")), reason="tshark is not installed"
)
ASK = ("exec", "client", "--", "curl", "-s", "http://10.96.0.80/hostname")


class Capture:
    """A capture that runs until the block ends, by Ctrl-C."""

    def __init__(self, *args: str) -> None:
        self.process = start("capture", *args)
        self.result = Result(-1, "", "")

    def __enter__(self) -> Self:
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        assert said.startswith("capturing "), said
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.result = finish(self.process)


def tshark(file: Path, *args: str) -> list[str]:
    done = subprocess.run(
        ["tshark", "-r", str(file), *args], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.splitlines()


def packets(file: Path) -> int:
    done = subprocess.run(
        ["capinfos", "-c", "-M", "-T", "-r", str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return int(done.stdout.split()[-1])


@needs_tshark
def test_a_capture_that_ctrl_c_ended_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "client.pcapng"
    with Capture("client", "-w", str(file)) as capture:
        for _ in range(5):
            succeed(*ASK)
    assert capture.result == (0, "", f"{packets(file)} packets captured, 0 missed\n")
    requests = tshark(file, "-Y", "http.request", "-T", "fields", "-e", "ip.dst")
    assert requests == ["10.96.0.80"] * 5
    answers = tshark(file, "-Y", "http.response", "-T", "fields", "-e", "ip.src")
    assert answers == ["10.96.0.80"] * 5


@needs_tshark
def test_a_nodes_capture_shows_the_underlay(tmp_path: Path) -> None:
    file = tmp_path / "node1.pcapng"
    with Capture("node/node1", "-w", str(file)):
        succeed("exec", "client", "--", "ping", "-c", "1", "-q", pod_on("node2"))
    fields = ("-T", "fields", "-e", "udp.dstport", "-e", "vxlan.vni")
    decoded = tshark(file, "-d", "udp.port==8472,vxlan", "-Y", "icmp", *fields)
    assert set(decoded) == {"8472\t1"}


def pod_on(node: str) -> str:
    found = succeed(
        "get",
        "pods",
        "-A",
        "--field-selector",
        f"spec.nodeName={node}",
        "-o",
        "jsonpath={.items[*].status.podIP}",
    )
    return found.out.split()[0]


@needs_tshark
def test_snaplen_cuts_packets(tmp_path: Path) -> None:
    file = tmp_path / "cut.pcapng"
    with Capture("client", "-w", str(file), "-s", "60"):
        succeed("exec", "client", "--", "ping", "-c", "1", "-s", "1000", "-q", pod_on("node2"))
    sizes = tshark(file, "-T", "fields", "-e", "frame.cap_len", "-e", "frame.len")
    assert {line.split()[0] for line in sizes} == {"60"}
    assert {line.split()[1] for line in sizes} == {"1028"}


@needs_tshark
def test_a_capture_flows_through_a_pipe(tmp_path: Path) -> None:
    netsim = " ".join(ARGV)
    file = tmp_path / "pipe.pcapng"
    line = f"{netsim} capture client -w - --duration 2 > {file}"
    process = subprocess.Popen(
        ["bash", "-c", line], cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None:
        succeed(*ASK)
    assert finish(process) == (0, "", f"{packets(file)} packets captured, 0 missed\n")
    assert packets(file) > 5


def test_a_reader_that_goes_ends_the_capture() -> None:
    line = f"{' '.join(ARGV)} capture client -w - | head -c 100 | wc -c"
    process = subprocess.Popen(
        ["bash", "-c", line],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(20):
        succeed(*ASK)
        if process.poll() is not None:
            break
    said = finish(process)
    assert said.out.strip() == "100"
    assert said.err == ""


def test_on_a_terminal_tcpdump_prints(lab: str) -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    with Terminal("capture", "client", "--duration", "20") as shown:
        for _ in range(5):
            succeed(*ASK)
        shown.read_until("10.96.0.80.80: Flags [S]")
        shown.type("\x03")
        code, text = shown.end()
    assert code == 0
    assert "packets captured, 0 missed" in text


def test_what_can_not_be_captured(tmp_path: Path) -> None:
    assert run("capture", "nope", "-w", str(tmp_path / "x")).code == 3
    assert run("capture", "node/nope", "-w", str(tmp_path / "x")).code == 3
    said = run("capture", "client", "-w", "/nonexistent/x")
    assert said.code == 1
    assert said.err.splitlines()[-1] == "error: /nonexistent/x: No such file or directory"
    assert not (tmp_path / "x").exists()


def test_the_lab_going_down_ends_a_capture_with_what_it_has(lab: str, tmp_path: Path) -> None:
    topology = tmp_path / "t.yaml"
    topology.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
        "spec: {containers: [{name: c, command: [sleep, infinity]}]}\n"
    )
    succeed("up", str(topology), "--name", "gone")
    file = tmp_path / "p.pcapng"
    try:
        capture = Capture("p", "-L", "gone", "-w", str(file))
        with capture:
            succeed("exec", "-L", "gone", "p", "--", "ping", "-c", "1", "-q", "10.244.0.1")
            succeed("down", "gone")
            capture.process.wait(timeout=20)
    finally:
        run("down", "gone")
    assert capture.result == (
        1,
        "",
        "error: the capture of pod/default/p ended early\n  the lab or its data plane went away\n",
    )
    assert file.stat().st_size > 100
