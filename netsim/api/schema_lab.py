"""The fields of a Lab's spec."""

from __future__ import annotations

from netsim.api.lab_spec import (
    BACKENDS,
    IO_METHODS,
    LOCAL_DETECTORS,
    POLLING,
    WIRES,
)
from netsim.api.proxy_modes import IPVS_SCHEDULERS, PROXY_MODES
from netsim.api.schema import BOOLEAN, INTEGER, INTEGER64, STRING, Either, ListOf, record, word

STRINGS = ListOf(STRING)
BACKEND = record(
    "Backend",
    {
        "vxlan": record("VXLANBackend", {"vni": INTEGER, "port": INTEGER}),
        "udp": record("UDPBackend", {"port": INTEGER}),
        "host-gw": record("HostGatewayBackend", {}),
    },
)
LAB_SPEC = record(
    "LabSpec",
    {
        "seed": INTEGER64,
        "podCIDR": STRING,
        "serviceCIDR": STRING,
        "nodeCIDR": STRING,
        "loadBalancerCIDR": STRING,
        "generate": record("Generate", {"nodes": INTEGER}),
        "backend": Either(word(*BACKENDS), BACKEND),
        "wire": word(*WIRES),
        "mtu": INTEGER,
        "workers": INTEGER,
        "io": word(*IO_METHODS),
        "polling": word(*POLLING),
        "proxyMode": word(*PROXY_MODES),
        "proxy": record(
            "Proxy",
            {
                "detectLocalMode": word(*LOCAL_DETECTORS),
                "masqueradeAll": BOOLEAN,
                "localhostNodePorts": BOOLEAN,
                "nodePortAddresses": STRINGS,
                "ipvsScheduler": word(*IPVS_SCHEDULERS),
                "minSyncPeriod": STRING,
            },
        ),
        "conntrack": record(
            "Conntrack",
            {"tcpBeLiberal": BOOLEAN, "loseOnPortCollision": BOOLEAN, "udpRace": BOOLEAN},
        ),
        "outside": STRINGS,
        "clusterDNS": BOOLEAN,
        "flowsMax": INTEGER,
    },
)
