"""ReplicaSets, Deployments, Nodes and Labs that are refused."""

from __future__ import annotations

import pytest

from netsim.api.proxy_modes import PROXY_MODES
from tests.api.cases import DEPLOYMENT, LAB, NODE, SELECTOR, TEMPLATE, Case, reported

PROXY_MODE_LIST = ", ".join(f'"{mode}"' for mode in sorted(PROXY_MODES))
WORKLOADS = [
    Case(
        "nothing of what is needed",
        "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: r}\nspec: {}\n",
        [
            "t:4:1: error: spec.selector: Required value"
            " (selector: {matchLabels: ...} with the template's labels)",
            "t:4:1: error: spec.template: Required value",
        ],
    ),
    Case(
        "a selector that the template does not meet",
        DEPLOYMENT
        + "  selector: {matchLabels: {app: b}}\n"
        + "  template:\n    metadata: {labels: {app: a}}\n    spec: {containers: [{name: c}]}\n",
        [
            't:7:16: error: spec.template.metadata.labels: Invalid value: {"app":"a"}:'
            " `selector` does not match template `labels` (the selector wants app=b)"
        ],
    ),
    Case(
        "an empty selector",
        DEPLOYMENT + "  selector: {}\n" + TEMPLATE,
        ["t:5:13: error: spec.selector: Invalid value: {}: empty selector is invalid"],
    ),
    Case(
        "expressions that make no sense",
        DEPLOYMENT
        + "  selector:\n    matchExpressions:\n    - {key: app, operator: in, values: [a]}\n"
        + "    - {key: app, operator: In}\n    - {key: app, operator: Exists, values: [a]}\n"
        + TEMPLATE,
        [
            't:7:28: error: spec.selector.matchExpressions[0].operator: Invalid value: "in":'
            " not a valid selector operator (one of In, NotIn, Exists, DoesNotExist)",
            "t:8:7: error: spec.selector.matchExpressions[1].values: Required value:"
            " must be specified when `operator` is 'In' or 'NotIn'",
            "t:9:36: error: spec.selector.matchExpressions[2].values: Forbidden:"
            " may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ],
    ),
    Case(
        "fewer than no replicas",
        DEPLOYMENT + "  replicas: -1\n" + SELECTOR + TEMPLATE,
        ["t:5:13: error: spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    ),
    Case(
        "a template whose pods end",
        DEPLOYMENT
        + SELECTOR
        + "  template:\n    metadata: {labels: {app: a}}\n    spec:\n      restartPolicy: Never\n"
        + "      containers: [{name: c}]\n",
        [
            't:9:22: error: spec.template.spec.restartPolicy: Unsupported value: "Never":'
            ' supported values: "Always"'
        ],
    ),
    Case(
        "a fixed address in a template",
        DEPLOYMENT
        + SELECTOR
        + "  template:\n    metadata:\n      labels: {app: a}\n"
        + "      annotations: {netsim.dev/pod-ip: 10.244.0.9}\n"
        + "    spec: {containers: [{name: c}]}\n",
        [
            "t:9:21: error: spec.template.metadata.annotations[netsim.dev/pod-ip]: Forbidden:"
            " the pods of one template cannot share an address (write a Pod)"
        ],
    ),
    Case(
        "a strategy that cannot move",
        DEPLOYMENT
        + SELECTOR
        + TEMPLATE
        + "  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}\n",
        [
            "t:7:59: error: spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0:"
            " may not be 0 when `maxSurge` is 0"
        ],
    ),
    Case(
        "a share that is neither a count nor a percentage",
        DEPLOYMENT + SELECTOR + TEMPLATE + "  strategy: {rollingUpdate: {maxSurge: half}}\n",
        [
            't:7:40: error: spec.strategy.rollingUpdate.maxSurge: Invalid value: "half":'
            " must be an integer or percentage (e.g '5%')"
        ],
    ),
    Case(
        "expressions without a key, with values that are none",
        DEPLOYMENT
        + "  selector:\n    matchExpressions: [{operator: In, values: [a b]}]\n"
        + TEMPLATE,
        [
            "t:6:24: error: spec.selector.matchExpressions[0].key: Required value",
            't:6:48: error: spec.selector.matchExpressions[0].values[0]: Invalid value: "a b":'
            " a valid label must be an empty string or consist of alphanumeric characters, '-',"
            " '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',"
            " or 'my_value', or '12345')",
        ],
    ),
    Case(
        "shares that are none",
        DEPLOYMENT
        + SELECTOR
        + TEMPLATE
        + "  strategy: {type: Recreate, rollingUpdate: {maxSurge: -1, maxUnavailable: 110%}}\n",
        [
            "t:7:30: error: spec.strategy.rollingUpdate: Forbidden:"
            " may not be specified when strategy `type` is 'Recreate'",
            "t:7:56: error: spec.strategy.rollingUpdate.maxSurge: Invalid value: -1:"
            " must be greater than or equal to 0",
            't:7:76: error: spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "110%":'
            " must not be greater than 100%",
        ],
    ),
]


NODES = [
    Case(
        "a pod range that is none",
        NODE + "  podCIDR: 10.244.0.0\n",
        [
            't:5:12: error: spec.podCIDR: Invalid value: "10.244.0.0": must be a valid CIDR value,'
            " (e.g. 10.9.8.0/24) ('10.244.0.0' is not an IPv4 range such as 10.244.0.0/16)"
        ],
    ),
    Case(
        "CPUs that are no quantity",
        NODE + "  unschedulable: false\nstatus: {allocatable: {cpu: two, memory: 1Gi}}\n",
        [
            't:6:29: error: status.allocatable.cpu: Invalid value: "two": quantities must match the'
            " regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        ],
    ),
    Case(
        "a pod range with host bits",
        NODE + "  podCIDR: 10.244.0.1/24\n",
        [
            't:5:12: error: spec.podCIDR: Invalid value: "10.244.0.1/24": must be a valid CIDR'
            " value, (e.g. 10.9.8.0/24)"
            " ('10.244.0.1/24' has host bits set; its range is 10.244.0.0/24)"
        ],
    ),
    Case(
        "a pod range without room for pods",
        NODE + "  podCIDR: 10.244.0.0/31\n",
        [
            't:5:12: error: spec.podCIDR: Invalid value: "10.244.0.0/31":'
            " is too small: at least a /30 is needed"
        ],
    ),
    Case(
        "pod ranges that differ, addresses that no node has",
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: n\n"
        "  annotations: {netsim.dev/node-ip: 127.0.0.1, netsim.dev/external: 'yes'}\n"
        "spec: {podCIDR: 10.244.0.0/24, podCIDRs: [10.244.1.0/24]}\n"
        "status: {addresses: [{type: InternalIP, address: 1.2.3}]}\n",
        [
            't:5:37: error: metadata.annotations[netsim.dev/node-ip]: Invalid value: "127.0.0.1":'
            " may not be in the loopback range (127.0.0.0/8, ::1/128)",
            't:5:69: error: metadata.annotations[netsim.dev/external]: Unsupported value: "yes":'
            ' supported values: "false", "true"',
            't:6:32: error: spec.podCIDRs: Invalid value: ["10.244.1.0/24"]:'
            " first value must match `podCIDR`",
            't:7:50: error: status.addresses[0].address: Invalid value: "1.2.3":'
            " must be a valid IPv4 address, (e.g. 10.9.8.7)",
        ],
    ),
    Case(
        "a proxy mode for an external node",
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: n\n"
        "  annotations: {netsim.dev/external: 'true', netsim.dev/proxy-mode: ipvs}\n"
        "status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}\n",
        [
            "t:5:46: error: metadata.annotations[netsim.dev/proxy-mode]: Forbidden:"
            " an external node's proxy is not the lab's",
        ],
    ),
    Case(
        "an external node without an address",
        "apiVersion: v1\nkind: Node\n"
        "metadata: {name: n, annotations: {netsim.dev/external: 'true'}}\n",
        [
            "t:1:1: error: status.addresses: Required value: an external node brings its"
            " InternalIP (status: {addresses: [{type: InternalIP, address: ...}]})"
        ],
    ),
    Case(
        "flannel's data about a node that is not JSON",
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: n\n  annotations:\n"
        "    flannel.alpha.coreos.com/backend-data: 4e:38:ae:b0:85:95\n",
        [
            "t:6:44: error: metadata.annotations[flannel.alpha.coreos.com/backend-data]: Invalid"
            ' value: "4e:38:ae:b0:85:95":'
            ' must be JSON such as {"VNI":1,"VtepMAC":"4e:38:ae:b0:85:95"}'
        ],
    ),
]


LABS = [
    Case(
        "ranges that share addresses",
        LAB + "  podCIDR: 10.96.0.0/16\n  nodeCIDR: 10.96.8.0/24\n",
        [
            't:4:12: error: spec.podCIDR: Invalid value: "10.96.0.0/16":'
            " overlaps serviceCIDR 10.96.0.0/12 (the default)"
            " (pod, service and node addresses need ranges of their own)",
            't:5:13: error: spec.nodeCIDR: Invalid value: "10.96.8.0/24":'
            " overlaps podCIDR 10.96.0.0/16"
            " (pod, service and node addresses need ranges of their own)",
            't:5:13: error: spec.nodeCIDR: Invalid value: "10.96.8.0/24":'
            " overlaps serviceCIDR 10.96.0.0/12 (the default)"
            " (pod, service and node addresses need ranges of their own)",
        ],
    ),
    Case(
        "ranges that no network has",
        LAB + "  podCIDR: 0.0.0.0/0\n",
        [
            't:4:12: error: spec.podCIDR: Invalid value: "0.0.0.0/0":'
            " holds addresses that no host may have (use 10.0.0.0/8)",
            't:4:12: error: spec.podCIDR: Invalid value: "0.0.0.0/0":'
            " overlaps serviceCIDR 10.96.0.0/12 (the default)"
            " (pod, service and node addresses need ranges of their own)",
            't:4:12: error: spec.podCIDR: Invalid value: "0.0.0.0/0":'
            " overlaps nodeCIDR 172.18.0.0/16 (the default)"
            " (pod, service and node addresses need ranges of their own)",
            't:4:12: error: spec.podCIDR: Invalid value: "0.0.0.0/0":'
            " overlaps loadBalancerCIDR 172.19.0.0/24 (the default)"
            " (pod, service and node addresses need ranges of their own)",
        ],
    ),
    Case(
        "a service proxy that can not be",
        LAB
        + "  proxy:\n    detectLocalMode: ClusterCidr\n"
        + "    nodePortAddresses: [primary, 10.0.0.1]\n    ipvsScheduler: lblc\n"
        + "    minSyncPeriod: 1h\n",
        [
            't:5:22: error: spec.proxy.detectLocalMode: Unsupported value: "ClusterCidr":'
            ' supported values: "BridgeInterface", "ClusterCIDR",'
            ' "InterfaceNamePrefix", "NodeCIDR", "None" (did you mean ClusterCIDR?)',
            't:6:34: error: spec.proxy.nodePortAddresses[1]: Invalid value: "10.0.0.1":'
            " must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            't:7:20: error: spec.proxy.ipvsScheduler: Unsupported value: "lblc": supported values:'
            ' "dh", "lc", "mh", "nq", "rr", "sed", "sh", "wlc", "wrr" (did you mean lc?)',
            't:8:20: error: spec.proxy.minSyncPeriod: Invalid value: "1h":'
            " must be a time of at most 30 s, such as 1s or 500ms",
        ],
    ),
    Case(
        "numbers out of their limits",
        LAB
        + "  seed: -1\n  mtu: 100\n  workers: 65\n  flowsMax: 1\n  generate: {nodes: -1}\n"
        + "  backend: {vxlan: {vni: 16777216, port: 0}}\n",
        [
            "t:4:9: error: spec.seed: Invalid value: -1: must be greater than or equal to 0",
            "t:5:8: error: spec.mtu: Invalid value: 100: must be between 576 and 65535, inclusive",
            "t:6:12: error: spec.workers: Invalid value: 65: must be between 0 and 64, inclusive",
            "t:7:13: error: spec.flowsMax: Invalid value: 1:"
            " must be between 1024 and 8380416, inclusive",
            "t:8:21: error: spec.generate.nodes: Invalid value: -1:"
            " must be between 0 and 4096, inclusive",
            "t:9:26: error: spec.backend.vxlan.vni: Invalid value: 16777216:"
            " must be between 1 and 16777215, inclusive",
            "t:9:42: error: spec.backend.vxlan.port: Invalid value: 0:"
            " must be between 1 and 65535, inclusive",
        ],
    ),
    Case(
        "words that are none of the choices",
        LAB + "  backend: vxlans\n  wire: cable\n  proxyMode: iptable\n",
        [
            't:4:12: error: spec.backend: Unsupported value: "vxlans":'
            ' supported values: "host-gw", "udp", "vxlan" (did you mean vxlan?)',
            't:5:9: error: spec.wire: Unsupported value: "cable":'
            ' supported values: "fabric", "udp"',
            't:6:14: error: spec.proxyMode: Unsupported value: "iptable":'
            f" supported values: {PROXY_MODE_LIST} (did you mean iptables?)",
        ],
    ),
    Case(
        "a node's proxy mode that is none",
        "apiVersion: v1\nkind: Node\n"
        "metadata: {name: n, annotations: {netsim.dev/proxy-mode: iptable}}\n",
        [
            "t:3:58: error: metadata.annotations[netsim.dev/proxy-mode]: Unsupported value:"
            f' "iptable": supported values: {PROXY_MODE_LIST} (did you mean iptables?)',
        ],
    ),
    Case(
        "two backends, none, one with a setting of another",
        LAB + "  backend: {udp: {vni: 1}, host-gw: {}}\n",
        [
            't:4:19: error: spec.backend.udp.vni: unknown field "vni"',
            "t:4:28: error: spec.backend.host-gw: Forbidden: only one backend joins the nodes",
        ],
    ),
    Case(
        "words that are empty, ranges that are none",
        LAB + "  backend: ''\n  podCIDR: all\n",
        [
            't:4:12: error: spec.backend: Unsupported value: "":'
            ' supported values: "host-gw", "udp", "vxlan"',
            't:5:12: error: spec.podCIDR: Invalid value: "all": must be a valid CIDR value,'
            " (e.g. 10.9.8.0/24) ('all' is not an IPv4 range such as 10.244.0.0/16)",
        ],
    ),
    Case(
        "no backend",
        LAB + "  backend: {}\n",
        ["t:4:3: error: spec.backend: Required value: one of vxlan, udp, host-gw"],
    ),
]


@pytest.mark.parametrize("case", [*WORKLOADS, *NODES, *LABS], ids=lambda case: case.name)
def test_says_what_is_wrong_and_where(case: Case) -> None:
    assert reported(case.text) == case.problems
