"""What differs between kube-proxy's modes: the one place that says so. Spec 3.11.

A mode is a row of what it does. The rows of the data plane are made of it (controllers/routes.py),
and neither they nor the packet path know modes by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class ProxyMode(NamedTuple):
    """What service proxies of a mode do. What has no field here is the same in all modes.

    `node_port_addresses` hold where the option of this name is empty; then empty: all addresses.
    `localhost_node_ports`: whether there are any at 127.0.0.1, if the option asks for them.
    """

    node_port_addresses: tuple[str, ...] = ()
    localhost_node_ports: bool = True


PROXY_MODES: Mapping[str, ProxyMode] = MappingProxyType({"iptables": ProxyMode()})
FUTURE_PROXY_MODES = ("ipvs", "nftables", "userspace")  # known, and refused
DEFAULT_PROXY_MODE = "iptables"
