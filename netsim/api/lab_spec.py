"""Lab: the object that says what the whole network is like, as a typed view."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from netsim.api.addresses import Cidr
from netsim.api.fields import Json, flag, int_or_text, mapping, number, text, texts
from netsim.api.meta import name_of
from netsim.api.proxy_modes import DEFAULT_PROXY_MODE, IPVS_SCHEDULERS

BACKENDS = ("vxlan", "udp", "host-gw")
WIRES = ("udp", "fabric")
IO_METHODS = ("auto", "io_uring", "epoll")
POLLING = ("sleep", "spin", "busy")
LOCAL_DETECTORS = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix", "None")

DEFAULT_VNI = 1
DEFAULT_PORTS = {"vxlan": 8472, "udp": 8285, "host-gw": 0}
DEFAULT_POD_CIDR = "10.244.0.0/16"
DEFAULT_SERVICE_CIDR = "10.96.0.0/12"
DEFAULT_NODE_CIDR = "172.18.0.0/16"
DEFAULT_LOAD_BALANCER_CIDR = "172.19.0.0/24"
DEFAULT_NODES = 2
DNS_OFFSET = 10  # the cluster's DNS server is the tenth address of the service range
DNS_NAMESPACE, DNS_NAME = "kube-system", "kube-dns"
DEFAULT_MTU = 1500
DEFAULT_SEED = 1
DEFAULT_WORKERS = 0
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0}
FLOWS_DEFAULT_MIN, FLOWS_PER_PROCESSOR = 131_072, 32_768
FLOWS_MAX = 2**13 * 1023  # csrc/flow_table.h


def duration_s(text: str) -> float | None:
    """Seconds of a time such as `1s`, `250ms` or `1m`, as Go writes them; None if it is none."""
    found = _DURATION.fullmatch(text)
    return float(found[1]) * _UNITS_S[found[2]] if found else None


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """How nodes are joined: `vxlan`, `udp` or `host-gw`; `port` is 0 with host-gw."""

    name: str = "vxlan"
    vni: int = DEFAULT_VNI
    port: int = DEFAULT_PORTS["vxlan"]

    @classmethod
    def parse(cls, spec: Json) -> BackendSpec:
        """From Lab.spec: `backend: udp` or `backend: {udp: {port: 8285}}`."""
        value = spec.get("backend")
        if isinstance(value, str):
            return cls(value, port=DEFAULT_PORTS.get(value, 0))
        options = mapping(spec, "backend")
        name = next((n for n in BACKENDS if n in options), "vxlan")
        settings = mapping(options, name)
        return cls(
            name,
            number(settings, "vni", DEFAULT_VNI),
            number(settings, "port", DEFAULT_PORTS[name]),
        )


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """How the nodes' service proxies are set up, in the words of kube-proxy's configuration.

    `node_port_addresses` are ranges, and `primary` for each node's own address; empty: all.
    """

    detect_local_mode: str = LOCAL_DETECTORS[0]
    masquerade_all: bool = False
    localhost_node_ports: bool = True
    node_port_addresses: tuple[str, ...] = ()
    ipvs_scheduler: str = IPVS_SCHEDULERS[0]
    min_sync_period_s: float = 0.0

    @classmethod
    def parse(cls, spec: Json) -> ProxySpec:
        """From Lab.spec."""
        options = mapping(spec, "proxy")
        return cls(
            text(options, "detectLocalMode", LOCAL_DETECTORS[0]),
            flag(options, "masqueradeAll"),
            flag(options, "localhostNodePorts", default=True),
            texts(options, "nodePortAddresses"),
            text(options, "ipvsScheduler", IPVS_SCHEDULERS[0]),
            duration_s(text(options, "minSyncPeriod")) or 0.0,
        )


@dataclass(frozen=True, slots=True)
class ConntrackSpec:
    """Where connection tracking loses packets as Linux's does; `tcp_be_liberal` is kube-proxy's."""

    tcp_be_liberal: bool = False
    lose_on_port_collision: bool = False
    udp_race: bool = False

    @classmethod
    def parse(cls, spec: Json) -> ConntrackSpec:
        """From Lab.spec."""
        options = mapping(spec, "conntrack")
        return cls(
            flag(options, "tcpBeLiberal"),
            flag(options, "loseOnPortCollision"),
            flag(options, "udpRace"),
        )


def default_flows_max() -> int:
    """As kube-proxy sets nf_conntrack_max (P-85): a share for every processor that we may use."""
    processors = len(os.sched_getaffinity(0))
    return min(max(FLOWS_DEFAULT_MIN, FLOWS_PER_PROCESSOR * processors), FLOWS_MAX)


@dataclass(frozen=True, slots=True)
class Lab:
    """Lab.spec with every default filled in.

    `generate` is how many nodes to make, None when the manifest does not say. `workers` 0 means
    one for every two processors. `mtu` is the link's, not the overlay's. `outside` are names of
    clients on the underlay.
    """

    name: str
    seed: int
    pod_cidr: Cidr
    service_cidr: Cidr
    node_cidr: Cidr
    load_balancer_cidr: Cidr
    generate: int | None
    backend: BackendSpec
    wire: str
    mtu: int
    workers: int
    io: str
    polling: str
    proxy_mode: str
    proxy: ProxySpec
    conntrack: ConntrackSpec
    outside: tuple[str, ...]
    cluster_dns: bool
    flows_max: int

    @classmethod
    def parse(cls, obj: Json) -> Lab:
        """From a Lab object; defaults for what it leaves out, all of them for an empty one."""
        spec = mapping(obj, "spec")
        count = int_or_text(mapping(spec, "generate"), "nodes", "")
        return cls(
            name=name_of(obj),
            seed=number(spec, "seed", DEFAULT_SEED),
            pod_cidr=_cidr(spec, "podCIDR", DEFAULT_POD_CIDR),
            service_cidr=_cidr(spec, "serviceCIDR", DEFAULT_SERVICE_CIDR),
            node_cidr=_cidr(spec, "nodeCIDR", DEFAULT_NODE_CIDR),
            load_balancer_cidr=_cidr(spec, "loadBalancerCIDR", DEFAULT_LOAD_BALANCER_CIDR),
            generate=count if isinstance(count, int) else None,
            backend=BackendSpec.parse(spec),
            wire=text(spec, "wire", "udp"),
            mtu=number(spec, "mtu", DEFAULT_MTU),
            workers=number(spec, "workers", DEFAULT_WORKERS),
            io=text(spec, "io", "auto"),
            polling=text(spec, "polling", "spin"),
            proxy_mode=text(spec, "proxyMode", DEFAULT_PROXY_MODE),
            proxy=ProxySpec.parse(spec),
            conntrack=ConntrackSpec.parse(spec),
            outside=texts(spec, "outside"),
            cluster_dns=flag(spec, "clusterDNS"),
            flows_max=number(spec, "flowsMax", default_flows_max()),
        )

    @property
    def dns_address(self) -> int:
        """Where pods look for the cluster's DNS, whether it is there or not."""
        return self.service_cidr.base + DNS_OFFSET

    @property
    def node_pod_length(self) -> int:
        """Prefix length of one node's pod range: 24, or two bits less than a small podCIDR."""
        return 24 if self.pod_cidr.length <= 22 else min(self.pod_cidr.length + 2, 30)


def _cidr(spec: Json, key: str, default: str) -> Cidr:
    try:
        return Cidr.parse(text(spec, key, default))
    except ValueError:
        return Cidr.parse(default)
