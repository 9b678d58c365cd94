"""The twin of a lab that is nothing but Linux: VXLAN devices and bridges as flannel makes them,
iptables as kube-proxy writes them (spec 3.2), in namespaces that go with the processes that hold
them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.e2e import twin_plan as plan
from tests.e2e.kernel_node import Space, space

MTU, LINK_MTU = 1450, 1500
MASQUERADE = "-j KUBE-MARK-MASQ"
QUIET = {  # as kube-proxy sets conntrack (P-85); errors without a rate limit; everyone may ping
    "net.ipv4.ip_forward": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.icmp_ratelimit": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.netfilter.nf_conntrack_tcp_timeout_established": "86400",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait": "3600",
}


@dataclass(frozen=True)
class Cluster:
    """Its namespaces, by pod and `node/nodeN`."""

    spaces: dict[str, Space]

    def argv(self, where: str, argv: Sequence[str]) -> list[str]:
        return self.spaces[where].argv(argv)


def _endpoints(service: plan.Service, protocol: str, number: int) -> list[str]:
    """KUBE-SVC and KUBE-SEP chains of one port."""
    proto, port = protocol.lower(), service.target(protocol)
    chain, match = f"KUBE-SVC-{number}", f"-d {service.address}/32 -p {proto} --dport 80"
    names = [f"KUBE-SEP-{number}-{i}" for i in range(len(service.endpoints))]
    jumps = [
        f"-A KUBE-SERVICES {match} -j {chain}",
        f"-A {chain} ! -s {plan.CLUSTER} {match} {MASQUERADE}",
    ]
    if service.affinity_s:
        since = f"--rcheck --seconds {service.affinity_s} --reap --rsource"
        jumps += [f"-A {chain} -m recent --name {sep} {since} -j {sep}" for sep in names]
    rules = [f":{name} -" for name in (chain, *names)] + jumps
    for i, sep in enumerate(names):
        left = len(names) - i
        odds = f"-m statistic --mode random --probability {1 / left:.10f} " if left > 1 else ""
        rules.append(f"-A {chain} {odds}-j {sep}")
        address = plan.ADDRESS[service.endpoints[i]]
        rules.append(f"-A {sep} -s {address}/32 {MASQUERADE}")
        recent = f"-m recent --name {sep} --set --rsource " if service.affinity_s else ""
        rules.append(f"-A {sep} {recent}-p {proto} -j DNAT --to-destination {address}:{port}")
    return rules


def _nat() -> list[str]:
    ports = [(service, protocol) for service in plan.SERVICES for protocol in plan.PROTOCOLS]
    served = [
        rule
        for number, (service, protocol) in enumerate(ports)
        if service.endpoints
        for rule in _endpoints(service, protocol, number)
    ]
    return [
        "*nat",
        *[f":KUBE-{name} -" for name in ("SERVICES", "MARK-MASQ", "POSTROUTING")],
        "-A PREROUTING -j KUBE-SERVICES",
        "-A OUTPUT -j KUBE-SERVICES",
        "-A POSTROUTING -j KUBE-POSTROUTING",
        "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
        "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
        *served,
        "COMMIT",
    ]


def _filter() -> list[str]:
    rejected = [
        f"-A KUBE-SERVICES -d {service.address}/32 -p {protocol.lower()} --dport 80"
        " -j REJECT --reject-with icmp-port-unreachable"
        for service in plan.SERVICES
        for protocol in plan.PROTOCOLS
        if not service.endpoints
    ]
    new = "-m conntrack --ctstate NEW -j KUBE-SERVICES"
    return [
        "*filter",
        ":KUBE-SERVICES -",
        ":KUBE-FORWARD -",
        f"-A INPUT {new}",
        f"-A OUTPUT {new}",
        "-A FORWARD -j KUBE-FORWARD",
        f"-A FORWARD {new}",
        "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
        "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
        "-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        *rejected,
        "COMMIT",
    ]


def rules() -> str:
    """iptables-restore input."""
    return "\n".join([*_nat(), *_filter(), ""])


def _batch(inside: Space, commands: str) -> None:
    argv = inside.argv(["ip", "-b", "-"])
    subprocess.run(argv, input=commands, text=True, check=True, timeout=60)


def _sysctls(inside: Space) -> None:
    inside.run("sysctl", "-qw", *[f"{name}={value}" for name, value in QUIET.items()])


def _node(node: Space, fabric: Space, number: int) -> None:
    own, far = plan.NODES[number - 1], plan.NODES[2 - number]
    mac, far_mac = (f"02:00:00:00:00:0{n}" for n in (number, 3 - number))
    base, far_base = (f"10.244.{n - 1}" for n in (number, 3 - number))
    _batch(
        node,
        f"""
link set lo up
link add eth0 type veth peer name port{number} netns {fabric.pid}
addr add {own}/{plan.UNDERLAY} dev eth0
link set eth0 up
link add void type veth peer name void{number} netns {fabric.pid}
link set void arp off up
route add default dev void src {own}
link add flannel.1 type vxlan id 1 dstport 8472 local {own} dev eth0 nolearning
link set flannel.1 address {mac} mtu {MTU}
addr add {base}.0/32 dev flannel.1
link set flannel.1 up
neigh add {far_base}.0 lladdr {far_mac} dev flannel.1 nud permanent
route add {far_base}.0/24 via {far_base}.0 dev flannel.1 onlink
link add cni0 type bridge
addr add {base}.1/24 dev cni0
link set cni0 mtu {MTU} up
""",
    )
    node.run("bridge", "fdb", "append", far_mac, "dev", "flannel.1", "dst", far)
    _batch(fabric, f"link set port{number} master br0 up\nlink set void{number} up\n")
    subprocess.run(node.argv(["iptables-restore"]), input=rules(), text=True, check=True)
    _sysctls(node)


def _pod(pod: Space, node: Space, what: plan.Pod) -> None:
    gateway = what.address.rpartition(".")[0] + ".1"
    _batch(
        pod,
        f"""
link set lo up
link add eth0 mtu {MTU} type veth peer name {what.name} mtu {MTU} netns {node.pid}
addr add {what.address}/24 dev eth0
link set eth0 up
route add default via {gateway}
""",
    )
    _batch(node, f"link set {what.name} master cni0 up\n")
    node.run("bridge", "link", "set", "dev", what.name, "hairpin", "on")
    _sysctls(pod)


@contextmanager
def kernel_cluster() -> Iterator[Cluster]:
    """The twin, with its servers running."""
    with ExitStack() as stack:
        fabric = stack.enter_context(space())
        _batch(fabric, "link add br0 type bridge\nlink set br0 up\n")
        made: dict[str, Space] = {}
        for number in (1, 2):
            made[f"node/node{number}"] = stack.enter_context(space())
            _node(made[f"node/node{number}"], fabric, number)
        for pod in plan.PODS:
            made[pod.name] = stack.enter_context(space())
            _pod(made[pod.name], made[f"node/node{pod.node}"], pod)
        cluster = Cluster(made)
        for where, name in [*[(pod.name, pod.name) for pod in plan.PODS], ("node/node1", "node1")]:
            stack.enter_context(serving(cluster.argv(where, plan.server(name))))
        yield cluster


@contextmanager
def serving(argv: list[str]) -> Iterator[None]:
    """A server that is ready."""
    process = subprocess.Popen(argv, text=True, stdout=subprocess.PIPE)
    assert process.stdout
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()
