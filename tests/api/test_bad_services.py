"""Services, slices and Endpoints that the API refuses, or that a lab warns about."""

from __future__ import annotations

import pytest

from tests.api.cases import ENDPOINTS, SERVICE, SLICE, Case, reported

SERVICES = [
    Case(
        "no ports",
        SERVICE + "  selector: {app: a}\n",
        ["t:4:1: error: spec.ports: Required value"],
    ),
    Case("no ports, but headless", SERVICE + "  clusterIP: None\n", []),
    Case(
        "three list items in place of one port",
        SERVICE + "  ports:\n  - protocol: TCP\n  - port: 80\n  - targetPort: 9376\n",
        [
            "t:6:5: error: spec.ports[0].port: Invalid value: 0:"
            " must be between 1 and 65535, inclusive",
            "t:6:5: error: spec.ports[0].name: Required value"
            " (a Service with more than one port needs a name for each)",
            "t:7:5: error: spec.ports[1].name: Required value"
            " (a Service with more than one port needs a name for each)",
            "t:8:5: error: spec.ports[2].port: Invalid value: 0:"
            " must be between 1 and 65535, inclusive",
            "t:8:5: error: spec.ports[2].name: Required value"
            " (a Service with more than one port needs a name for each)",
        ],
    ),
    Case(
        "one port and one name twice",
        SERVICE + "  ports:\n  - {name: a, port: 80}\n  - {name: a, port: 80}\n",
        [
            't:7:5: error: spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}',
            't:7:12: error: spec.ports[1].name: Duplicate value: "a"',
        ],
    ),
    Case(
        "one number with two protocols",
        SERVICE + "  ports:\n  - {name: a, port: 53}\n  - {name: b, port: 53, protocol: UDP}\n",
        [],
    ),
    Case(
        "a protocol in the wrong case",
        SERVICE + "  ports: [{port: 80, protocol: tcp}]\n",
        [
            't:5:32: error: spec.ports[0].protocol: Unsupported value: "tcp":'
            ' supported values: "SCTP", "TCP", "UDP" (did you mean TCP?)'
        ],
    ),
    Case(
        "a target port in quotes",
        SERVICE + '  ports: [{port: 80, targetPort: "8080"}]\n',
        [
            't:5:34: error: spec.ports[0].targetPort: Invalid value: "8080":'
            " must contain at least one letter (a-z) (a number is written without quotes)"
        ],
    ),
    Case(
        "a node port on a ClusterIP service",
        SERVICE + "  ports: [{port: 80, nodePort: 30080}]\n",
        [
            "t:5:22: error: spec.ports[0].nodePort: Forbidden:"
            " may not be used when `type` is 'ClusterIP'"
        ],
    ),
    Case(
        "a node port out of range",
        SERVICE + "  type: NodePort\n  ports: [{port: 80, nodePort: 80}]\n",
        [
            "t:6:32: error: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the"
            " valid range. The range of valid ports is 30000-32767",
        ],
    ),
    Case(
        "an affinity that does not exist",
        SERVICE + "  ports: [{port: 80}]\n  sessionAffinity: ClientIp\n",
        [
            't:6:20: error: spec.sessionAffinity: Unsupported value: "ClientIp":'
            ' supported values: "ClientIP", "None" (did you mean ClientIP?)'
        ],
    ),
    Case(
        "an affinity that lasts too long",
        SERVICE
        + "  ports: [{port: 80}]\n  sessionAffinity: ClientIP\n"
        + "  sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}\n",
        [
            "t:7:54: error: spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value:"
            " 86401: must be greater than 0 and less than 86400"
        ],
    ),
    Case(
        "affinity settings without affinity",
        SERVICE
        + "  ports: [{port: 80}]\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}\n",
        [
            "t:6:3: error: spec.sessionAffinityConfig: Forbidden:"
            " must not be set when session affinity is None"
        ],
    ),
    Case(
        "a cluster IP that is no address",
        SERVICE + "  clusterIP: 10.96.0\n  ports: [{port: 80}]\n",
        [
            't:5:14: error: spec.clusterIPs[0]: Invalid value: "10.96.0":'
            " must be a valid IPv4 address, (e.g. 10.9.8.7)"
        ],
    ),
    Case(
        "names that no port and no application has",
        SERVICE + "  ports: [{name: A, port: 80, appProtocol: a/b/c, targetPort: a--b}]\n",
        [
            't:5:18: error: spec.ports[0].name: Invalid value: "A": a lowercase RFC 1123 label must'
            " consist of lower case alphanumeric characters or '-', and must start and end with an"
            " alphanumeric character (e.g. 'my-name', or '123-abc')",
            't:5:44: error: spec.ports[0].appProtocol: Invalid value: "a/b/c": prefix part a'
            " lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-'"
            " or '.', and must start and end with an alphanumeric character (e.g. 'example.com')",
            't:5:63: error: spec.ports[0].targetPort: Invalid value: "a--b":'
            " must not contain consecutive hyphens",
        ],
    ),
    Case(
        "addresses from outside, and how they are shared",
        SERVICE
        + "  ports: [{port: 80}]\n  externalIPs: [1.2.3.4, 127.0.0.1, 'fd00::1', 'fe80::1']\n"
        + "  trafficDistribution: PreferNear\n  loadBalancerSourceRanges: [10.0.0.0/8]\n",
        [
            't:6:26: error: spec.externalIPs[1]: Invalid value: "127.0.0.1":'
            " may not be in the loopback range (127.0.0.0/8, ::1/128)",
            "t:6:37: warning: spec.externalIPs[2]: IPv6 addresses are not used",
            't:6:48: error: spec.externalIPs[3]: Invalid value: "fe80::1":'
            " may not be in the link-local range (169.254.0.0/16, fe80::/10)",
            't:7:24: error: spec.trafficDistribution: Unsupported value: "PreferNear": supported'
            ' values: "PreferClose", "PreferSameNode", "PreferSameZone"'
            " (did you mean PreferSameZone?)",
            "t:8:3: error: spec.LoadBalancerSourceRanges: Forbidden:"
            " may only be used when `type` is 'LoadBalancer'",
        ],
    ),
    Case(
        "ranges that are none, and what is not a load balancer's",
        SERVICE
        + "  type: LoadBalancer\n  ports: [{port: 80}]\n  healthCheckNodePort: 30001\n"
        + "  loadBalancerSourceRanges: [' 10.0.0.0/8 ', 10.0.0.1, a/b]\n"
        + "  loadBalancerClass: a/b/c\n",
        [
            "t:7:24: error: spec.healthCheckNodePort: Invalid value: 30001: may only be set when"
            " `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
            't:8:46: error: spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.1":'
            " must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            't:8:56: error: spec.LoadBalancerSourceRanges[2]: Invalid value: "a/b":'
            " must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            't:9:22: error: spec.loadBalancerClass: Invalid value: "a/b/c": prefix part a'
            " lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-'"
            " or '.', and must start and end with an alphanumeric character (e.g. 'example.com')",
        ],
    ),
    Case(
        "a class and node ports of what is no load balancer",
        SERVICE
        + "  type: NodePort\n  loadBalancerClass: a\n  allocateLoadBalancerNodePorts: false\n"
        + "  ports: [{name: a, port: 80, nodePort: 30000},"
        + " {name: b, port: 81, nodePort: 30000},"
        + " {name: c, port: 81, nodePort: 30000, protocol: UDP}]\n",
        [
            "t:6:3: error: spec.loadBalancerClass: Forbidden:"
            " may only be used when `type` is 'LoadBalancer'",
            "t:7:3: error: spec.allocateLoadBalancerNodePorts: Forbidden:"
            " may only be used when `type` is 'LoadBalancer'",
            "t:8:79: error: spec.ports[1].nodePort: Duplicate value: 30000",
        ],
    ),
    Case(
        "a health check out of range",
        SERVICE
        + "  type: LoadBalancer\n  externalTrafficPolicy: Local\n  ports: [{port: 80}]\n"
        + "  healthCheckNodePort: 80\n",
        [
            "t:8:24: error: spec.healthCheckNodePort: Invalid value: 80: provided port is not in"
            " the valid range. The range of valid ports is 30000-32767"
        ],
    ),
    Case(
        "a headless NodePort service",
        SERVICE + "  type: NodePort\n  clusterIP: None\n  ports: [{port: 80}]\n",
        [
            't:6:14: error: spec.clusterIPs[0]: Invalid value: "None":'
            " may not be set to 'None' for NodePort services",
        ],
    ),
    Case(
        "clusterIP and clusterIPs that differ, and two families",
        SERVICE
        + '  clusterIP: 10.96.0.5\n  clusterIPs: [10.96.0.6, "fd00::1"]\n'
        + "  ipFamilies: [IPv4, IPv6]\n  ipFamilyPolicy: RequireDualStack\n"
        + "  ports: [{port: 80}]\n",
        [
            't:6:3: error: spec.clusterIPs: Invalid value: ["10.96.0.6","fd00::1"]:'
            " first value must match `clusterIP`",
            't:6:3: error: spec.clusterIPs: Invalid value: ["10.96.0.6","fd00::1"]:'
            " may only hold one value: dual stack is not supported yet",
            't:7:22: error: spec.ipFamilies[1]: Invalid value: "IPv6":'
            " not configured on this cluster",
            't:8:19: error: spec.ipFamilyPolicy: Invalid value: "RequireDualStack":'
            " this cluster is not configured for dual-stack services",
        ],
    ),
    Case(
        "an external name with a cluster IP and without a name",
        SERVICE + "  type: ExternalName\n  clusterIP: 10.96.0.5\n",
        [
            "t:4:1: error: spec.clusterIPs: Forbidden: may not be set for ExternalName services",
            "t:4:1: error: spec.externalName: Required value",
        ],
    ),
    Case(
        "traffic policies",
        SERVICE
        + "  ports: [{port: 80}]\n  internalTrafficPolicy: Local\n"
        + "  externalTrafficPolicy: Local\n",
        [
            't:7:26: error: spec.externalTrafficPolicy: Invalid value: "Local":'
            " may only be set for externally-accessible services",
        ],
    ),
]


ENDPOINT_OBJECTS = [
    Case(
        "a slice of no type",
        SLICE + "endpoints: []\n",
        ["t:1:1: error: addressType: Required value (addressType: IPv4)"],
    ),
    Case(
        "addresses that no endpoint has",
        SLICE
        + "addressType: IPv4\nendpoints:\n- addresses: []\n- addresses: [10.0.0]\n"
        + "- addresses: [127.0.0.1, 0.0.0.0]\n",
        [
            "t:6:3: error: endpoints[0].addresses: Required value: must contain at least 1 address",
            't:7:15: error: endpoints[1].addresses[0]: Invalid value: "10.0.0":'
            " must be a valid IPv4 address, (e.g. 10.9.8.7)",
            't:8:15: error: endpoints[2].addresses[0]: Invalid value: "127.0.0.1":'
            " may not be in the loopback range (127.0.0.0/8, ::1/128)",
            't:8:26: error: endpoints[2].addresses[1]: Invalid value: "0.0.0.0":'
            " may not be unspecified (0.0.0.0 or ::)",
        ],
    ),
    Case(
        "slice ports of one name",
        SLICE + "addressType: IPv4\nports: [{port: 1}, {port: 99999}]\n",
        [
            't:5:20: error: ports[1].name: Duplicate value: ""',
            "t:5:27: error: ports[1].port: Invalid value: 99999:"
            " must be between 1 and 65535, inclusive",
        ],
    ),
    Case(
        "too much in one slice",
        SLICE
        + "addressType: IPv4\n"
        + f"endpoints: [{', '.join(['{addresses: [10.0.0.1]}'] * 1001)}]\n"
        + f"ports: [{', '.join(f'{{name: p{n}, port: 1}}' for n in range(101))}]\n",
        [
            "t:5:1: error: endpoints: Invalid value: 1001: must have at most 1000 items",
            "t:6:1: error: ports: Invalid value: 101: must have at most 100 items",
        ],
    ),
    Case(
        "too many addresses of one endpoint, and a host name that is none",
        SLICE
        + "addressType: IPv4\n"
        + f"endpoints: [{{hostname: a.b, addresses: [{', '.join(['10.0.0.1'] * 101)}]}}]\n"
        + "ports: [{name: A, port: 1}]\n",
        [
            't:5:24: error: endpoints[0].hostname: Invalid value: "a.b": a lowercase RFC 1123 label'
            " must consist of lower case alphanumeric characters or '-', and must start and end"
            " with an alphanumeric character (e.g. 'my-name', or '123-abc')",
            "t:5:29: error: endpoints[0].addresses: Invalid value: 101:"
            " must have at most 100 items",
            't:6:16: error: ports[0].name: Invalid value: "A": a lowercase RFC 1123 label must'
            " consist of lower case alphanumeric characters or '-', and must start and end with an"
            " alphanumeric character (e.g. 'my-name', or '123-abc')",
        ],
    ),
    Case(
        "endpoints of another family",
        SLICE + "addressType: IPv6\nendpoints: [{addresses: ['fd00::1']}]\n",
        ["t:4:14: warning: addressType: IPv6 endpoints are not used"],
    ),
    Case(
        "Endpoints without addresses, ports without names",
        ENDPOINTS
        + "subsets:\n- ports: [{port: 80}]\n- addresses: [{ip: 169.254.1.1}, {}]\n"
        + "  ports: [{name: a, port: 1}, {}]\n",
        [
            "t:5:3: error: subsets[0]: Required value:"
            " must specify `addresses` or `notReadyAddresses`",
            't:6:20: error: subsets[1].addresses[0].ip: Invalid value: "169.254.1.1":'
            " may not be in the link-local range (169.254.0.0/16, fe80::/10)",
            "t:6:34: error: subsets[1].addresses[1].ip: Required value",
            "t:7:31: error: subsets[1].ports[1].port: Required value",
            "t:7:31: error: subsets[1].ports[1].name: Required value",
        ],
    ),
]


@pytest.mark.parametrize("case", [*SERVICES, *ENDPOINT_OBJECTS], ids=lambda case: case.name)
def test_says_what_is_wrong_and_where(case: Case) -> None:
    assert reported(case.text) == case.problems
