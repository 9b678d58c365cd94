"""Owns the text of the files that make a sandbox look like a pod or node: hosts, resolv.conf.

Formats are kubelet's (pkg/kubelet/kubelet_pods.go, network/dns/dns.go).
"""

from __future__ import annotations

import socket

HOSTNAME_MAX = 63  # kubelet truncates to a DNS label
LOCALHOST = "127.0.0.1\tlocalhost\n"
LOCALHOST_IPV6 = """::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def short_hostname(name: str) -> str:
    """A pod's or node's host name: its name, cut to a label without a dash or dot at the end."""
    return name[:HOSTNAME_MAX].rstrip("-.")


def show_address(address: int) -> str:
    """The dotted form of an IPv4 address."""
    return socket.inet_ntoa(address.to_bytes(4, "big"))


def pod_hosts(name: str, address: int) -> str:
    """/etc/hosts of a pod."""
    header = "# Kubernetes-managed hosts file.\n"
    own = f"{show_address(address)}\t{short_hostname(name)}\n"
    return header + LOCALHOST + LOCALHOST_IPV6 + own


def node_hosts(name: str, address: int) -> str:
    """/etc/hosts of a node."""
    return LOCALHOST + f"{show_address(address)}\t{short_hostname(name)}\n"


def host_pod_hosts(node: str, address: int) -> str:
    """/etc/hosts of a pod on its node's network."""
    return "# Kubernetes-managed hosts file (host network).\n" + node_hosts(node, address)


def pod_resolv_conf(namespace: str, nameserver: int, domain: str) -> str:
    """/etc/resolv.conf of a pod with dnsPolicy ClusterFirst."""
    return (
        f"search {namespace}.svc.{domain} svc.{domain} {domain}\n"
        f"nameserver {show_address(nameserver)}\n"
        "options ndots:5\n"
    )
