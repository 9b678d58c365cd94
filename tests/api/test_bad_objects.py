"""Objects that the API refuses, or that a lab warns about: message, field and place of each."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from netsim.api.manifests import load_text


class Case(NamedTuple):
    name: str
    text: str
    problems: list[str]


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n"
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n"
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n"
NODE = "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec:\n"
LAB = "apiVersion: netsim.dev/v1alpha1\nkind: Lab\nspec:\n"
SLICE = (
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
    "metadata: {name: e, labels: {kubernetes.io/service-name: s}}\n"
)
ENDPOINTS = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: s}\n"
SELECTOR = "  selector: {matchLabels: {app: a}}\n"
TEMPLATE = "  template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c}]}}\n"
CONTAINERS = "  containers: [{name: c}]\n"

SHAPE = [
    Case(
        "an unknown field, with what was meant",
        SERVICE + "  selectr: {app: a}\n  ports: [{port: 80}]\n",
        ['t:5:3: error: spec.selectr: unknown field "selectr" (did you mean selector?)'],
    ),
    Case(
        "a field of another level",
        DEPLOYMENT + SELECTOR + "  containers: []\n" + TEMPLATE,
        [
            't:6:3: error: spec.containers: unknown field "containers"'
            " (it belongs in spec.template.spec)"
        ],
    ),
    Case(
        "a field that does not exist and looks like none",
        POD + CONTAINERS + "  zzzzzz: 1\n",
        ['t:6:3: error: spec.zzzzzz: unknown field "zzzzzz"'],
    ),
    Case(
        "a real field without effect, once",
        POD + "  containers: [{name: c, image: a}, {name: d, image: b}]\n",
        [
            "t:5:26: warning: spec.containers[0].image: ignored: programs come from this machine;"
            " without a command the built-in answerer serves the ports"
        ],
    ),
    Case(
        "below a field without effect anything goes",
        POD + CONTAINERS + "  volumes: {what: [ever]}\n",
        [
            "t:6:3: warning: spec.volumes: ignored: there are no volumes;"
            " programs see this machine's files"
        ],
    ),
    Case(
        "a field without effect that holds its default",
        POD + CONTAINERS + "  dnsPolicy: ClusterFirst\n  priority: 0\n  securityContext: {}\n",
        [],
    ),
    Case("null is absent", POD + CONTAINERS + "  nodeName:\n  restartPolicy: null\n", []),
    Case(
        "text for a number",
        SERVICE + "  ports:\n  - port: eighty\n",
        ['t:6:11: error: spec.ports[0].port: Invalid value: "eighty": must be an integer'],
    ),
    Case(
        "a number in quotes",
        DEPLOYMENT + '  replicas: "3"\n' + SELECTOR + TEMPLATE,
        [
            't:5:13: error: spec.replicas: Invalid value: "3": must be an integer'
            " (remove the quotes)"
        ],
    ),
    Case(
        "a fraction for an integer",
        DEPLOYMENT + "  replicas: 1.5\n" + SELECTOR + TEMPLATE,
        ["t:5:13: error: spec.replicas: Invalid value: 1.5: must be an integer"],
    ),
    Case(
        "a number that is too large for the API",
        DEPLOYMENT + "  replicas: 3000000000\n" + SELECTOR + TEMPLATE,
        ["t:5:13: error: spec.replicas: Invalid value: 3000000000: must be an integer"],
    ),
    Case(
        "a number for text",
        POD + "  containers:\n  - name: c\n    env: [{name: PORT, value: 80}]\n",
        [
            "t:7:31: error: spec.containers[0].env[0].value: Invalid value: 80: must be a string"
            " (put it in quotes: YAML reads it as a number)"
        ],
    ),
    Case(
        "a word that YAML takes for a boolean",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {on: yes}}\nspec:\n" + CONTAINERS,
        [
            "t:3:34: error: metadata.labels.true: Invalid value: true: must be a string"
            " (put it in quotes: YAML reads it as a boolean)"
        ],
    ),
    Case(
        "an object for a list",
        POD + "  containers: {name: c}\n",
        [
            't:5:3: error: spec.containers: Invalid value: {"name":"c"}: must be a list'
            " (write '- ' before each item)"
        ],
    ),
    Case(
        "a list for an object",
        "apiVersion: v1\nkind: Pod\nmetadata: [p]\n",
        [
            "t:1:1: error: spec.containers: Required value",
            't:3:1: error: metadata: Invalid value: ["p"]:'
            " must be an object of 'key: value' pairs",
        ],
    ),
    Case(
        "an empty list item",
        POD + "  containers:\n  - name: c\n    ports:\n    -\n",
        [
            "t:8:6: error: spec.containers[0].ports[0]: Invalid value: null: must be an item"
            " (nothing follows the '-')"
        ],
    ),
]

METADATA = [
    Case(
        "no name",
        "apiVersion: v1\nkind: Namespace\nmetadata: {labels: {}}\n",
        ["t:3:1: error: metadata.name: Required value: name or generateName is required"],
    ),
    Case("a generated name", POD.replace("name:", "generateName:") + CONTAINERS, []),
    Case(
        "a Service's name must be a label that starts with a letter",
        SERVICE.replace("name: s", "name: 1s") + "  ports: [{port: 1}]\n",
        [
            't:3:18: error: metadata.name: Invalid value: "1s": a DNS-1035 label must consist of'
            " lower case alphanumeric characters or '-', start with an alphabetic character, and"
            " end with an alphanumeric character (e.g. 'my-name', or 'abc-123')"
        ],
    ),
    Case(
        "a long name",
        SERVICE.replace("name: s", "name: " + "s" * 64) + "  ports: [{port: 1}]\n",
        [
            f't:3:18: error: metadata.name: Invalid value: "{"s" * 64}":'
            " must be no more than 63 characters"
        ],
    ),
    Case(
        "a namespace where none can be",
        NODE.replace("name: n", "name: n, namespace: default") + "  podCIDR: 10.244.0.0/24\n",
        [
            "t:3:21: error: metadata.namespace: Forbidden: not allowed on this type"
            " (a Node is in no namespace)"
        ],
    ),
    Case(
        "a bad label key and value are placed at the label",
        POD.replace("name: p", 'name: p, labels: {"-a": b, c: "d e"}') + CONTAINERS,
        [
            't:3:30: error: metadata.labels: Invalid value: "-a": name part must consist of'
            " alphanumeric characters, '-', '_' or '.', and must start and end with an"
            " alphanumeric character (e.g. 'MyName', or 'my.name', or '123-abc')",
            't:3:42: error: metadata.labels: Invalid value: "d e": a valid label must be an empty'
            " string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
            " end with an alphanumeric character (e.g. 'MyValue', or 'my_value', or '12345')",
        ],
    ),
    Case(
        "a misspelt annotation of netsim",
        POD.replace("name: p", "name: p, annotations: {netsim.dev/podip: 10.244.0.9}") + CONTAINERS,
        [
            "t:3:35: warning: metadata.annotations[netsim.dev/podip]: no such annotation"
            " (did you mean netsim.dev/pod-ip?)"
        ],
    ),
]

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
        "host network",
        POD + CONTAINERS + "  hostNetwork: true\n",
        [
            "t:6:3: error: spec.hostNetwork: Forbidden: host network pods are not supported yet"
            " (leave it out: the pod gets an address of its own)"
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
            "t:5:9: warning: spec.type: only the cluster IP of a NodePort is served, as yet",
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
        "a headless NodePort service",
        SERVICE + "  type: NodePort\n  clusterIP: None\n  ports: [{port: 80}]\n",
        [
            "t:5:9: warning: spec.type: only the cluster IP of a NodePort is served, as yet",
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
            "t:5:9: warning: spec.type: ExternalName has no effect: a lab has no DNS server yet",
        ],
    ),
    Case(
        "traffic policies",
        SERVICE
        + "  ports: [{port: 80}]\n  internalTrafficPolicy: Local\n"
        + "  externalTrafficPolicy: Local\n",
        [
            "t:6:26: warning: spec.internalTrafficPolicy: Local is treated as Cluster, as yet",
            't:7:26: error: spec.externalTrafficPolicy: Invalid value: "Local":'
            " may only be set for externally-accessible services",
        ],
    ),
]

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
            " must be between 1024 and 16777216, inclusive",
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
            ' supported values: "iptables" (did you mean iptables?)',
        ],
    ),
    Case(
        "a proxy mode of the future",
        LAB + "  proxyMode: ipvs\n",
        [
            "t:4:3: error: spec.proxyMode: Forbidden: ipvs is not supported yet"
            " (proxyMode: iptables)"
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
        "no backend",
        LAB + "  backend: {}\n",
        ["t:4:3: error: spec.backend: Required value: one of vxlan, udp, host-gw"],
    ),
]

ALL = [*SHAPE, *METADATA, *PODS, *SERVICES, *WORKLOADS, *NODES, *ENDPOINT_OBJECTS, *LABS]


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_says_what_is_wrong_and_where(case: Case) -> None:
    loaded = load_text(case.text, "t")
    assert [str(problem) for problem in loaded.problems] == case.problems
    assert loaded.ok == (not any(": error: " in line for line in case.problems))
