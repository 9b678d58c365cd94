"""Sandboxes of the real kernel: what is in them, that they go, that the host stays as it was."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from netsim.lab.pod_nets import HostPodNet, host_recipe
from netsim.lab.sandbox import Maker, NodeNet, PeerNet, node_routes
from netsim.linux import net, ns
from netsim.linux.netlink import Netlink
from tests.linux.conftest import PYTHON_ENV, InitLab, ip, pod, python

pytestmark = pytest.mark.linux

CLUSTER = (ip("10.244.0.0"), 16)
NODE = NodeNet(
    name="node-1",
    address=ip("192.168.77.10"),
    length=24,
    link_mtu=1500,
    mtu=1450,
    cni_addr=ip("10.244.0.1"),
    pod_len=24,
    overlay="flannel.1",
    tunnel_addr=ip("10.244.0.0"),
    port=8472,
    senders=16,
)
PEER = PeerNet(ip("192.168.77.11"), ip("10.244.1.0"), 24)


@contextmanager
def held(fds: dict[str, int]) -> Iterator[dict[str, int]]:
    try:
        yield fds
    finally:
        ns.close_all(fds)


def run(fds: Mapping[str, int], *argv: str) -> str:
    """Output of a program run in a sandbox."""
    kinds = [f"--{kind}=/proc/self/fd/{fds[fd]}" for kind, fd in NSENTER.items() if fd in fds]
    command = ["nsenter", *kinds, *argv]
    keep = [fds[fd] for fd in NSENTER.values() if fd in fds]
    done = subprocess.run(command, capture_output=True, text=True, check=True, pass_fds=keep)
    return done.stdout


NSENTER = {"net": "net", "uts": "uts", "mount": "mnt"}


def host_state() -> dict[str, str]:
    commands = ["ip -d link", "ip -4 addr", "ip -4 route show table all", "ip -4 rule"]
    state = {c: subprocess.check_output(c.split(), text=True) for c in commands}
    state["sysctl"] = "".join(
        path.read_text()
        for path in sorted(Path("/proc/sys/net/ipv4").glob("*"))
        if path.is_file() and os.access(path, os.R_OK)
    )
    state["mounts"] = Path("/proc/self/mountinfo").read_text()
    state["hostname"] = socket.gethostname()
    return state


def wait_until(what: Callable[[], bool], seconds: float = 10) -> bool:
    """Poll for what the kernel does in the background."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_a_pod_on_its_nodes_network_has_its_own_files_only(maker: Maker) -> None:
    with held(maker.create_pod(pod(name="node-1"))) as node:
        box = HostPodNet("web", "default", "node-1", ip("10.0.0.9"))
        (made,) = maker.make([host_recipe(box, node)])
        assert not isinstance(made, OSError)
        with held(made) as fds:
            for kind in ("net", "uts"):
                assert ns.identity(fds[kind]) == ns.identity(node[kind])
            assert ns.identity(fds["mnt"]) != ns.identity(node["mnt"])
            assert run(fds, "hostname") == "node-1\n"
            assert run(fds, "cat", "/etc/hosts").endswith("10.0.0.9\tnode-1\n")
            assert run(fds, "ls", "/sys/class/net").split() == ["eth0", "lo"]


def test_a_pod_has_its_address_name_and_files(maker: Maker) -> None:
    with held(maker.create_pod(pod(name="web-0", namespace="prod"))) as fds:
        assert set(fds) == {"net", "uts", "mnt", "tun"}
        assert run(fds, "hostname") == "web-0\n"
        assert run(fds, "cat", "/etc/hostname") == "web-0\n"
        assert run(fds, "cat", "/etc/hosts").endswith("10.244.0.5\tweb-0\n")
        assert "search prod.svc.cluster.local" in run(fds, "cat", "/etc/resolv.conf")
        assert run(fds, "ls", "/sys/class/net").split() == ["eth0", "lo"]
        assert "mtu 1450" in run(fds, "ip", "link", "show", "eth0")
        assert "qlen 4000" in run(fds, "ip", "link", "show", "eth0")
        assert "inet 10.244.0.5/32" in run(fds, "ip", "-4", "addr", "show", "eth0")
        assert run(fds, "ip", "-4", "route").startswith("default dev eth0")
        assert run(fds, "ip", "-6", "addr") == ""
        assert run(fds, "cat", "/proc/sys/net/ipv4/ping_group_range").split() == ["0", "2147483647"]
        assert run(fds, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start") == "0\n"
        run(fds, "ping", "-c1", "-W1", "127.0.0.1")


def test_a_pods_sys_is_read_only_and_its_files_are_its_own(maker: Maker) -> None:
    before = Path("/etc/hosts").read_bytes()
    with held(maker.create_pod(pod(0))) as one, held(maker.create_pod(pod(1))) as two:
        with pytest.raises(subprocess.CalledProcessError):
            run(one, "sh", "-c", "echo 1 > /sys/class/net/eth0/mtu")
        run(one, "sh", "-c", "echo 10.9.9.9 extra >> /etc/hosts")
        assert "extra" in run(one, "cat", "/etc/hosts")
        assert "extra" not in run(two, "cat", "/etc/hosts")
    assert Path("/etc/hosts").read_bytes() == before


def test_the_tun_descriptor_carries_what_the_pod_sends(maker: Maker) -> None:
    with held(maker.create_pod(pod())) as fds:
        with ns.in_namespace({"net": fds["net"]}):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            sender.sendto(b"hello", ("10.244.1.9", 5353))
        packet = os.read(fds["tun"], 65536)
        with pytest.raises(BlockingIOError):
            os.read(fds["tun"], 65536)
        assert packet.endswith(b"hello")
        assert packet[10] == 0x45, "an IPv4 packet after a virtio-net header of 10 bytes"
        assert packet[22:30] == bytes([10, 244, 0, 5, 10, 244, 1, 9])


def test_fifty_pods_come_and_go_without_a_trace_on_the_host(maker: Maker) -> None:
    before, fds_before = host_state(), len(os.listdir("/proc/self/fd"))
    made = [maker.create_pod(pod(number)) for number in range(50)]
    inodes = {os.fstat(fds["net"]).st_ino for fds in made}
    assert len(inodes) == 50
    for fds in made:
        ns.close_all(fds)
    assert host_state() == before
    assert len(os.listdir("/proc/self/fd")) == fds_before


def test_a_failure_names_the_pod_and_leaks_no_descriptor(maker: Maker) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="pod default/pod-0 eth0: link"):
        maker.create_pod(replace(pod(), mtu=1))
    assert len(os.listdir("/proc/self/fd")) == before


def test_of_many_pods_only_the_bad_one_is_missing(maker: Maker) -> None:
    before = len(os.listdir("/proc/self/fd"))
    first, bad, last = maker.create_pods([pod(0), replace(pod(1), mtu=1), pod(2)])
    assert isinstance(bad, OSError)
    assert "default/pod-1 eth0" in str(bad)
    assert not isinstance(first, Exception)
    assert not isinstance(last, Exception)
    with held(first) as one, held(last) as two:
        assert (run(one, "hostname"), run(two, "hostname")) == ("pod-0\n", "pod-2\n")
        assert run(one, "cat", "/proc/mounts").count(" /etc/hosts ") == 1
        assert run(two, "cat", "/proc/mounts").count(" /etc/hosts ") == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_nodes_reach_each_other_over_the_fabric(maker: Maker) -> None:
    other = replace(
        NODE,
        name="a-node-with-a-very-long-name",
        address=PEER.address,
        cni_addr=ip("10.244.1.1"),
        tunnel_addr=PEER.pod_cidr,
    )
    with (
        held(maker.create_fabric(1500)) as fabric,
        held(maker.create_node(NODE, node_routes(NODE, CLUSTER, [PEER]), fabric)) as one,
        held(maker.create_node(other, [], fabric)) as two,
    ):
        assert run(one, "hostname") == "node-1\n"
        assert "02:6e:c0:a8:4d:0a" in run(one, "ip", "link", "show", "eth0")
        run(one, "ping", "-c1", "-W2", "192.168.77.11")
        assert "node-1" in run(fabric, "ip", "link")
        assert "inet 192.168.77.11/24" in run(two, "ip", "addr", "show", "eth0")


def test_a_vxlan_node_has_flannels_devices_routes_and_sockets(maker: Maker) -> None:
    routes = node_routes(NODE, CLUSTER, [PEER])
    with (
        held(maker.create_fabric(1500)) as fabric,
        held(maker.create_node(NODE, routes, fabric)) as fds,
    ):
        assert set(fds) == {"net", "uts", "mnt", "cni", "tunnel"} | {f"udp{n}" for n in range(17)}
        table = run(fds, "ip", "-4", "route")
        assert "10.244.1.0/24 via 10.244.1.0 dev flannel.1 proto 110 onlink" in table
        assert "10.244.0.0/24 dev cni0 proto kernel" in table
        assert "inet 10.244.0.0/32" in run(fds, "ip", "addr", "show", "flannel.1")
        ports = {socket.socket(fileno=os.dup(fds[f"udp{n}"])) for n in range(17)}
        names = {s.getsockname() for s in ports}
        assert ("192.168.77.10", 8472) in names
        assert len(names) == 17
        for one in ports:
            one.close()
        for name in ("ip_forward", "conf/all/rp_filter", "conf/eth0/rp_filter"):
            wanted = "1\n" if name == "ip_forward" else "0\n"
            assert run(fds, "cat", f"/proc/sys/net/ipv4/{name}") == wanted


ROUTES = [
    ("flannel0", "10.244.0.0/16 dev flannel0 proto 110 scope link src 10.244.0.0"),
    ("eth0", "10.244.1.0/24 via 192.168.77.11 dev eth0 proto 110"),
    ("cni0", "10.244.1.0/24 via 192.168.77.11 dev cni0 proto 110 src 192.168.77.10 onlink"),
]


@pytest.mark.parametrize(("overlay", "line"), ROUTES)
def test_other_backends_route_as_flannel_does(maker: Maker, overlay: str, line: str) -> None:
    node = replace(NODE, overlay=overlay, port=0, senders=0)
    routes = node_routes(node, CLUSTER, [PEER])
    with (
        held(maker.create_fabric(1500)) as fabric,
        held(maker.create_node(node, routes, fabric)) as fds,
    ):
        assert line in run(fds, "ip", "-4", "route")
        assert ("tunnel" in fds) == (overlay == "flannel0")
        assert "udp0" not in fds


def test_route_updates_apply_the_difference_only(maker: Maker) -> None:
    third = PeerNet(ip("192.168.77.12"), ip("10.244.2.0"), 24)
    first = node_routes(NODE, CLUSTER, [PEER])
    second = node_routes(NODE, CLUSTER, [third])
    with (
        held(maker.create_fabric(1500)) as fabric,
        held(maker.create_node(NODE, first, fabric)) as fds,
    ):
        run(fds, "ip", "route", "add", "10.50.0.0/16", "dev", "cni0")
        assert maker.update_routes("node-1", fds, first) == 0
        assert maker.update_routes("node-1", fds, second) == 2
        with ns.in_namespace({"net": fds["net"]}), Netlink() as kernel:
            names = {index: name for name, index in net.links(kernel).items()}
            assert net.routes(kernel, names) == set(second)
        assert "10.50.0.0/16" in run(fds, "ip", "route"), "added by hand: not ours"


def test_a_table_of_many_routes_is_read_back_whole(maker: Maker) -> None:
    peers = [PeerNet(ip("192.168.78.1") + n, ip("10.245.0.0") + (n << 8), 24) for n in range(1000)]
    routes = node_routes(NODE, CLUSTER, peers)
    with (
        held(maker.create_fabric(1500)) as fabric,
        held(maker.create_node(NODE, routes, fabric)) as fds,
    ):
        assert maker.update_routes("node-1", fds, routes) == 0
        assert maker.update_routes("node-1", fds, []) == 1000


def test_a_node_that_is_made_again_gets_its_link_back(maker: Maker) -> None:
    with held(maker.create_fabric(1500)) as fabric:
        first = maker.create_node(NODE, [], fabric)
        with held(maker.create_node(NODE, [], fabric)) as again:
            assert "192.168.77.10" in run(again, "ip", "addr", "show", "eth0")
        ns.close_all(first)


def test_the_link_of_a_dropped_node_goes_from_the_fabric(maker: Maker) -> None:
    with held(maker.create_fabric(1500)) as fabric:
        ns.close_all(maker.create_node(NODE, [], fabric))
        assert wait_until(lambda: "node-1" not in run(fabric, "ip", "link"))


def test_made_as_control_does_a_pod_sees_the_labs_processes_only(lab: InitLab) -> None:
    code = """
import sys
from netsim.lab.init_client import InitClient
from netsim.lab.sandbox import Maker, PodNet
fds = Maker().create_pod(PodNet("web", "default", 0x0AF40005, 1450, 0x0A60000A))
InitClient(sys.argv[1]).put("pod/default/web", fds)
"""
    outside = subprocess.Popen(["sleep", "4711"])
    socket_path = str(lab.state / "init.sock")
    lab.client.spawn("maker", [*python(code), socket_path], PYTHON_ENV)
    assert wait_until(lambda: "pod/default/web" in lab.client.keys())  # noqa: SIM118
    out = lab.state / "out"
    with out.open("wb") as file:
        argv = ["sh", "-c", "cat /proc/[0-9]*/cmdline"]
        fds = (file.fileno(), file.fileno(), file.fileno())
        lab.client.spawn("ls", argv, PYTHON_ENV, sandbox="pod/default/web", fds=fds)
    assert wait_until(lambda: not lab.client.processes()[0].running)
    outside.kill()
    outside.wait()
    assert b"netsim.lab.init" in out.read_bytes()
    assert b"4711" not in out.read_bytes()
