"""/etc/hosts and /etc/resolv.conf as kubelet writes them."""

from __future__ import annotations

import pytest

from netsim.lab import hosts
from tests.linux.conftest import ip


def test_a_pods_hosts_file_is_kubelets() -> None:
    assert hosts.pod_hosts("web-0", ip("10.244.1.7")).splitlines() == [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
        "10.244.1.7\tweb-0",
    ]


def test_a_pods_resolv_conf_searches_its_namespace_first() -> None:
    assert hosts.pod_resolv_conf("prod", ip("10.96.0.10"), "cluster.local") == (
        "search prod.svc.cluster.local svc.cluster.local cluster.local\n"
        "nameserver 10.96.0.10\n"
        "options ndots:5\n"
    )


@pytest.mark.parametrize(
    ("name", "hostname"), [("web", "web"), ("a" * 70, "a" * 63), ("b" * 62 + "-cdef", "b" * 62)]
)
def test_a_hostname_is_a_label(name: str, hostname: str) -> None:
    assert hosts.short_hostname(name) == hostname
