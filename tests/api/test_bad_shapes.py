"""Fields that do not exist, or are of the wrong type; metadata of any kind."""

from __future__ import annotations

import pytest

from tests.api.cases import (
    CONTAINERS,
    DEPLOYMENT,
    NODE,
    POD,
    SELECTOR,
    SERVICE,
    TEMPLATE,
    Case,
    reported,
)

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
        "more annotations than the API stores",
        POD.replace("name: p", f"name: p, annotations: {{a: {'x' * 262144}}}") + CONTAINERS,
        [
            "t:3:21: error: metadata.annotations: Too long: may not be more than 262144 bytes",
        ],
    ),
    Case(
        "a label key without a name, and one that is too long",
        POD.replace("name: p", f"name: p, labels: {{a/: x, {'k' * 64}: y}}") + CONTAINERS,
        [
            't:3:30: error: metadata.labels: Invalid value: "a/": name part must be non-empty',
            f't:3:37: error: metadata.labels: Invalid value: "{"k" * 64}":'
            " name part must be no more than 63 characters",
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


@pytest.mark.parametrize("case", [*SHAPE, *METADATA], ids=lambda case: case.name)
def test_says_what_is_wrong_and_where(case: Case) -> None:
    assert reported(case.text) == case.problems
