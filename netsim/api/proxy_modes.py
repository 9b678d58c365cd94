"""What differs between kube-proxy's modes: the one place that says so. Spec 3.11.

A mode is a row of what it does. The rows of the data plane are made of it (controllers/routes.py),
and neither they nor the packet path know modes by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

PRIMARY = "primary"  # among nodePortAddresses: the node's own


class ProxyMode(NamedTuple):
    """What service proxies of a mode do. What has no field here is the same in all modes.

    `node_port_addresses` hold where the option of this name is empty; then empty: all addresses.
    `localhost_node_ports`: whether there are any at 127.0.0.1, if the option asks for them.
    `refused_at`: the addresses at which is refused what is for no Service, other ports and ping:
    `cluster-ips`, those of all `services`, or `nowhere`; then nobody answers. An endpoint has
    affinity with `affinity_clients` (0: any number); one more drives out the one that came least
    recently (`affinity_evicts`), or is not remembered.
    """

    node_port_addresses: tuple[str, ...] = ()
    localhost_node_ports: bool = True
    refused_at: str = "nowhere"
    affinity_clients: int = 100  # ip_list_tot of xt_recent
    affinity_evicts: bool = True


PROXY_MODES: Mapping[str, ProxyMode] = MappingProxyType(
    {
        "iptables": ProxyMode(),
        "nftables": ProxyMode(
            node_port_addresses=(PRIMARY,),
            localhost_node_ports=False,
            refused_at="cluster-ips",
            affinity_clients=65535,  # size of the sets
            affinity_evicts=False,
        ),
    }
)
FUTURE_PROXY_MODES = ("ipvs", "userspace")  # known, and refused
DEFAULT_PROXY_MODE = "iptables"
