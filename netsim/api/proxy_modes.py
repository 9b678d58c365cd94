"""What differs between kube-proxy's modes: the one place that says so. Spec 3.11.

A mode is a row of what it does. The rows of the data plane are made of it (controllers/routes.py),
and neither they nor the packet path know modes by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

IPVS_SCHEDULERS = ("rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh")
PRIMARY = "primary"  # among nodePortAddresses: the node's own


class ProxyMode(NamedTuple):
    """What service proxies of a mode do. What has no field here is the same in all modes.

    `node_port_addresses` hold where the option of this name is empty; then empty: all addresses.
    `localhost_node_ports`: whether there are any at 127.0.0.1, if the option asks for them.
    `refused_at`: the addresses at which is refused what is for no Service, other ports and ping:
    `cluster-ips`, those of all `services`, or `nowhere`; then nobody answers. An endpoint has
    affinity with `affinity_clients` (0: any number); one more drives out the one that came least
    recently (`affinity_evicts`), or is not remembered. `schedulers` choose endpoints for new
    connections: the option's, or the first. With `by_entry` they, and affinity, are by address and
    port, and affinity lasts while its connections do. With `bound` nodes have the addresses of
    Services: what is refused is refused by these. With `own_first` externalTrafficPolicy Local
    holds for a node itself and its pods too, while it has endpoints. TCP connections outlive their
    endpoint's place in the Service by `drain_s`; 0: they go on.
    `drops_rest`: addresses of the service ranges that no Service has are dropped; they follow the
    node's default route otherwise (P-113).
    `refuses_own`: what a node itself sends to an external or balancer's address that nobody serves
    is refused; it leaves for that address otherwise. `ranges_first`: loadBalancerSourceRanges hold
    even then. With `relays` all of it goes to a program on the node (csrc/relay), for TCP and UDP:
    its connections to ready endpoints are the node's own, and no policy or range is looked at.
    """

    node_port_addresses: tuple[str, ...] = ()
    localhost_node_ports: bool = True
    refused_at: str = "nowhere"
    affinity_clients: int = 100  # ip_list_tot of xt_recent
    affinity_evicts: bool = True
    schedulers: tuple[str, ...] = ("random",)
    by_entry: bool = False
    bound: bool = False
    own_first: bool = False
    drain_s: int = 0
    refuses_own: bool = False
    ranges_first: bool = False
    drops_rest: bool = False
    relays: bool = False


PROXY_MODES: Mapping[str, ProxyMode] = MappingProxyType(
    {
        "iptables": ProxyMode(),
        "nftables": ProxyMode(
            node_port_addresses=(PRIMARY,),
            localhost_node_ports=False,
            refused_at="cluster-ips",
            affinity_clients=65535,  # size of the sets
            affinity_evicts=False,
            refuses_own=True,
            ranges_first=True,
            drops_rest=True,
        ),
        "ipvs": ProxyMode(
            refused_at="services",
            affinity_clients=0,
            schedulers=IPVS_SCHEDULERS,
            by_entry=True,
            bound=True,
            own_first=True,
            drain_s=900,
            refuses_own=True,
        ),
        "userspace": ProxyMode(affinity_clients=0, relays=True),
    }
)
DEFAULT_PROXY_MODE = "iptables"
