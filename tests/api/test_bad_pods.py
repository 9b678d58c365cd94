"""Pods that the API refuses, or that a lab warns about."""

from __future__ import annotations

import pytest

from tests.api.cases import CONTAINERS, POD, Case, reported

PODS = [
    Case(
        "no containers",
        POD + "  nodeName: n\n",
        ["t:4:1: error: spec.containers: Required value"],
    ),
    Case(
        "two containers of one name",
        POD + "  containers:\n  - name: c\n  - name: c\n",
        ['t:7:11: error: spec.containers[1].name: Duplicate value: "c"'],
    ),
    Case(
        "a container without a name",
        POD + "  containers:\n  - command: [sleep, infinity]\n",
        ["t:6:5: error: spec.containers[0].name: Required value"],
    ),
    Case(
        "ports out of range, twice of one name, of no protocol",
        POD
        + "  containers:\n  - name: c\n    ports:\n    - containerPort: 70000\n"
        + "    - {containerPort: 1, name: x}\n    - {containerPort: 2, name: x, protocol: ICMP}\n"
        + "    - name: y\n",
        [
            "t:8:22: error: spec.containers[0].ports[0].containerPort: Invalid value: 70000:"
            " must be between 1 and 65535, inclusive",
            't:10:32: error: spec.containers[0].ports[2].name: Duplicate value: "x"',
            't:10:45: error: spec.containers[0].ports[2].protocol: Unsupported value: "ICMP":'
            ' supported values: "SCTP", "TCP", "UDP"',
            "t:11:7: error: spec.containers[0].ports[3].containerPort: Required value",
        ],
    ),
    Case(
        "a port's name that is too long",
        POD + "  containers: [{name: c, ports: [{containerPort: 1, name: sixteen-letters-}]}]\n",
        [
            't:5:59: error: spec.containers[0].ports[0].name: Invalid value: "sixteen-letters-":'
            f" {message}"
            for message in (
                "must be no more than 15 characters",
                "must not begin or end with a hyphen",
            )
        ],
    ),
    Case(
        "one port in two containers",
        POD
        + "  containers:\n  - {name: c, ports: [{containerPort: 80}]}\n"
        + "  - {name: d, ports: [{containerPort: 80}]}\n",
        [
            "t:7:23: warning: spec.containers[1].ports[0]: container c declares TCP port 80 too"
            " (containers of a pod share its ports: one will fail)"
        ],
    ),
    Case(
        "host ports of a pod on its node's network, and twice the same",
        POD
        + "  hostNetwork: true\n  containers:\n  - name: c\n    ports:\n"
        + "    - {containerPort: 80, hostPort: 81, hostIP: here}\n"
        + "    - {containerPort: 90, hostPort: 90}\n    - {containerPort: 90, hostPort: 70000}\n"
        + "    - {containerPort: 90, hostPort: 90}\n",
        [
            "t:9:37: error: spec.containers[0].ports[0].hostPort: Invalid value: 81: must match"
            " `containerPort` when `hostNetwork` is true",
            't:9:49: error: spec.containers[0].ports[0].hostIP: Invalid value: "here": must be a'
            " valid IPv4 address, (e.g. 10.9.8.7)",
            "t:11:37: error: spec.containers[0].ports[2].hostPort: Invalid value: 70000: must be"
            " between 1 and 65535, inclusive",
            "t:11:37: error: spec.containers[0].ports[2].hostPort: Invalid value: 70000: must match"
            " `containerPort` when `hostNetwork` is true",
            't:12:37: error: spec.containers[0].ports[3].hostPort: Duplicate value: "TCP//90"',
        ],
    ),
    Case(
        "a restart policy that does not exist",
        POD + CONTAINERS + "  restartPolicy: always\n",
        [
            't:6:18: error: spec.restartPolicy: Unsupported value: "always": supported values:'
            ' "Always", "Never", "OnFailure" (did you mean Always?)'
        ],
    ),
    Case(
        "variables without a name, with two sources, of a field that there is not",
        POD
        + "  containers:\n  - name: c\n    env:\n    - value: x\n"
        + "    - {name: A, value: x, valueFrom: {fieldRef: {fieldPath: status.podIP}}}\n"
        + "    - {name: B, valueFrom: {fieldRef: {fieldPath: status.podIp}}}\n",
        [
            "t:8:7: error: spec.containers[0].env[0].name: Required value",
            't:9:27: error: spec.containers[0].env[1].valueFrom: Invalid value: "":'
            " may not be specified when `value` is not empty",
            "t:10:51: error: spec.containers[0].env[2].valueFrom.fieldRef.fieldPath: Unsupported"
            ' value: "status.podIp": supported values: "metadata.annotations", "metadata.labels",'
            ' "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",'
            ' "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP",'
            ' "status.podIPs" (did you mean status.podIP?)',
        ],
    ),
    Case(
        "probes with no handler, with two, of a port that has no such name",
        POD
        + "  containers:\n  - {name: a, readinessProbe: {periodSeconds: -1}}\n"
        + "  - {name: b, readinessProbe: {tcpSocket: {port: 0}, exec: {}}}\n"
        + "  - {name: c, readinessProbe: {httpGet: {port: http, scheme: FTP}}}\n",
        [
            "t:6:15: error: spec.containers[0].readinessProbe: Required value: must specify a"
            " handler type (one of httpGet, tcpSocket, exec, grpc)",
            "t:6:47: error: spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1:"
            " must be greater than or equal to 0",
            "t:7:50: error: spec.containers[1].readinessProbe.tcpSocket.port: Invalid value: 0:"
            " must be between 1 and 65535, inclusive",
            "t:7:54: error: spec.containers[1].readinessProbe.exec: Forbidden: may not specify"
            " more than 1 handler type",
            "t:7:54: error: spec.containers[1].readinessProbe.exec.command: Required value",
            "t:8:48: warning: spec.containers[2].readinessProbe.httpGet.port: no port of this"
            ' container is named "http" (it never gets ready)',
            "t:8:62: error: spec.containers[2].readinessProbe.httpGet.scheme: Unsupported value:"
            ' "FTP": supported values: "HTTP", "HTTPS"',
        ],
    ),
    Case(
        "readiness gates without a name, and with one that there cannot be",
        POD + CONTAINERS + "  readinessGates: [{}, {conditionType: a b}]\n",
        [
            "t:6:20: error: spec.readinessGates[0].conditionType: Required value",
            't:6:40: error: spec.readinessGates[1].conditionType: Invalid value: "a b": name part'
            " must consist of alphanumeric characters, '-', '_' or '.', and must start and end with"
            " an alphanumeric character (e.g. 'MyName', or 'my.name', or '123-abc')",
        ],
    ),
    Case(
        "names of the pod, of a variable, of a node that there cannot be",
        POD
        + "  hostname: a.b\n  containers:\n  - {name: c, env: [{name: A=B}, {name: C, valueFrom:"
        + " {fieldRef: {}}}]}\n",
        [
            't:5:13: error: spec.hostname: Invalid value: "a.b": a lowercase RFC 1123 label must'
            " consist of lower case alphanumeric characters or '-', and must start and end with an"
            " alphanumeric character (e.g. 'my-name', or '123-abc')",
            't:7:28: error: spec.containers[0].env[0].name: Invalid value: "A=B": a valid'
            " environment variable name must consist only of printable ASCII characters"
            " other than '='",
            "t:7:56: error: spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Required value",
        ],
    ),
    Case(
        "a probe of no port",
        POD + "  containers: [{name: c, readinessProbe: {httpGet: {path: /}}}]\n",
        [
            "t:5:43: error: spec.containers[0].readinessProbe.httpGet.port: Required value",
        ],
    ),
    Case(
        "a fixed address that is none",
        POD.replace("name: p", "name: p, annotations: {netsim.dev/pod-ip: 10.244.0}") + CONTAINERS,
        [
            't:3:54: error: metadata.annotations[netsim.dev/pod-ip]: Invalid value: "10.244.0":'
            " must be a valid IPv4 address, (e.g. 10.9.8.7)"
        ],
    ),
    Case(
        "arguments without a command",
        POD + "  containers:\n  - {name: c, args: [x]}\n",
        [
            "t:6:15: warning: spec.containers[0].args: ignored: without a command the built-in"
            " answerer runs, not the image's program (put the program into command)"
        ],
    ),
]


@pytest.mark.parametrize("case", PODS, ids=lambda case: case.name)
def test_says_what_is_wrong_and_where(case: Case) -> None:
    assert reported(case.text) == case.problems
