"""get and describe: every kind in every format, selectors, watches, what is not there."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable

import pytest
import yaml

from netsim.api.meta import KINDS
from tests.cli.command import ARGV, ROOT, environment, finish, run, start, succeed

pytestmark = [pytest.mark.linux, pytest.mark.usefixtures("lab")]

NAMES = {
    "labs": "lab.netsim.dev/shared",
    "nodes": "node/node1",
    "namespaces": "namespace/shop",
    "servicecidrs": "servicecidr.networking.k8s.io/kubernetes",
    "pods": "pod/client",
    "services": "service/web",
    "deployments": "deployment.apps/web",
    "replicasets": "replicaset.apps/web-",
    "endpoints": "endpoints/web",
    "endpointslices": "endpointslice.discovery.k8s.io/web-",
}


def test_every_kind_is_tried() -> None:
    assert {kind.plural for kind in KINDS} == set(NAMES)


@pytest.mark.parametrize(("plural", "name"), NAMES.items())
def test_every_kind_in_every_format(plural: str, name: str) -> None:
    table = succeed("get", plural)
    assert table.err == ""
    assert table.lines[0].startswith("NAME ")
    wide = succeed("get", plural, "-o", "wide")
    assert len(wide.lines[0]) >= len(table.lines[0])
    names = succeed("get", plural, "-o", "name").lines
    assert [line for line in names if line.startswith(name)]
    assert len(names) == len(table.lines) - 1
    listed = json.loads(succeed("get", plural, "-o", "json").out)
    assert (listed["kind"], len(listed["items"])) == ("List", len(names))
    assert {"apiVersion", "kind", "metadata"} <= listed["items"][0].keys()
    assert yaml.safe_load(succeed("get", plural, "-o", "yaml").out) == listed
    one = json.loads(
        succeed(
            "get", names[0].split(".")[0].split("/")[0] + "/" + names[0].split("/")[1], "-o", "json"
        ).out
    )
    assert one == listed["items"][0]


@pytest.mark.parametrize("plural", NAMES)
def test_every_kind_is_described(plural: str) -> None:
    said = succeed("describe", plural)
    assert said.lines[0].startswith("Name: ")
    assert said.err == ""


@pytest.mark.parametrize("word", ["po", "pod", "pods", "Pod", "pods.v1", "po,", "pod/client"])
def test_types_have_kubectls_names(word: str) -> None:
    assert "pod/client" in succeed("get", word.rstrip(","), "-o", "name").out


def test_all_namespaces_and_one() -> None:
    assert succeed("get", "pods", "-n", "shop", "-o", "name").out == "pod/till\n"
    lines = succeed("get", "pods", "-A").lines
    assert lines[0].split()[:2] == ["NAMESPACE", "NAME"]
    assert lines[1].split()[:2] == ["default", "client"]
    assert lines[-1].split()[:2] == ["shop", "till"]


def test_nothing_is_no_failure() -> None:
    said = succeed("get", "pods", "-n", "nowhere")
    assert (said.out, said.err) == ("", "No resources found in nowhere namespace.\n")
    assert json.loads(succeed("get", "pods", "-n", "nowhere", "-o", "json").out)["items"] == []


SELECTORS = [
    (["-l", "app=web"], ["web-", "web-"]),
    (["-l", "app in (web),app!=till"], ["web-", "web-"]),
    (["-l", "role"], ["client"]),
    (["-l", "!app"], ["client"]),
    (["--field-selector", "spec.nodeName=node2,metadata.namespace=shop", "-A"], ["till"]),
    (["--field-selector", "metadata.name=client"], ["client"]),
    (["--field-selector", "status.phase!=Running"], []),
]


@pytest.mark.parametrize(("args", "names"), SELECTORS, ids=lambda v: " ".join(v))
def test_selectors_choose(args: list[str], names: list[str]) -> None:
    found = [line.partition("/")[2] for line in succeed("get", "pods", *args, "-o", "name").lines]
    assert [name[: len(wanted)] for name, wanted in zip(found, names, strict=True)] == names


def test_a_malformed_selector_is_a_mistake() -> None:
    for args in (["-l", "app in web"], ["--field-selector", "nonsense"]):
        said = run("get", "pods", *args)
        assert said.code == 2
        assert said.err.startswith("error: ")


def test_headers_and_labels() -> None:
    bare = succeed("get", "pods", "--no-headers")
    assert bare.lines[0].startswith("client ")
    labelled = succeed("get", "pods", "client", "--show-labels")
    assert labelled.lines[0].endswith("LABELS")
    assert labelled.lines[1].endswith("   role=client")


def test_several_kinds_and_names() -> None:
    blocks = succeed("get", "svc,deploy").out.split("\n\n")
    assert [block.splitlines()[1].split()[0] for block in blocks] == [
        "service/web",
        "deployment.apps/web",
    ]
    pairs = succeed("get", "svc/web", "pod/client", "-o", "name")
    assert pairs.lines == ["service/web", "pod/client"]
    assert "deployment.apps/web" in succeed("get", "all").out


def test_what_is_not_there_is_said_after_what_is() -> None:
    said = run("get", "pods", "nope", "client", "nada")
    assert said.code == 3
    assert said.lines[1].startswith("client ")
    assert said.err.splitlines() == [
        'error: pods "nope" not found',
        'error: pods "nada" not found',
    ]
    named = run("get", "pod/nope", "-o", "json")
    assert (named.code, named.out) == (3, "")


def test_fields_by_path() -> None:
    template = "{.spec.clusterIP}:{.spec.ports[0].port}"
    assert succeed("get", "svc/web", "-o", f"jsonpath={template}").out == "10.96.0.80:80"
    columns = "custom-columns=N:.metadata.name,R:.status.conditions[?(@.type=='Ready')].status"
    assert succeed("get", "nodes", "-o", columns).lines == [
        "N       R",
        "node1   True",
        "node2   True",
    ]
    assert run("get", "nodes", "-o", "jsonpath={.items[}").code == 2


def test_rows_are_sorted_by_a_field() -> None:
    up = succeed("get", "nodes", "--sort-by", ".status.addresses[0].address", "-o", "name").lines
    assert up == ["node/node1", "node/node2"]
    by_node = succeed("get", "pods", "-A", "--sort-by", ".spec.nodeName", "-o", "wide").lines
    nodes = [line.split()[-1] for line in by_node[1:]]
    assert nodes == sorted(nodes)


def read_until(
    lines: list[str], process: subprocess.Popen[str], wanted: Callable[[str], bool]
) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if wanted(line):
            return
    raise AssertionError(f"ended: {lines}")


@pytest.mark.parametrize(
    ("args", "first", "changed"),
    [
        (["-w"], "client ", "web-"),
        (["-w", "-o", "name"], "pod/client", "pod/web-"),
        (["--watch-only", "-o", "jsonpath={.metadata.name}"], None, "web-"),
        (["-w", "-o", "custom-columns=N:.metadata.name"], "client", "web-"),
    ],
    ids=["table", "name", "only", "columns"],
)
def test_a_watch_prints_changes_as_they_come(
    args: list[str], first: str | None, changed: str
) -> None:
    web = succeed("get", "pods", "-l", "app=web", "-o", "name").lines[0].partition("/")[2]
    watch = start("get", "pods", *args)
    lines: list[str] = []
    if first is not None:
        read_until(lines, watch, lambda line: line.startswith(first))
        read_until(lines, watch, lambda line: line.startswith(changed))
        read_until(lines, watch, lambda line: line.startswith(changed))
    later = threading.Timer(0.5, lambda: run("delete", "pod", web, "--no-wait"))
    later.start()
    seen = len(lines)
    read_until(lines, watch, lambda line: web in line)
    assert len(lines) == seen + 1
    later.join()
    watch.send_signal(2)
    said = finish(watch)
    assert said.code == 130
    assert "Traceback" not in said.err
    succeed("apply", "-f", "tests/cli/topology.yaml", "--wait", "-q")


def test_a_watch_is_of_one_kind() -> None:
    assert run("get", "pods,svc", "-w").code == 2


def test_a_reader_that_goes_is_no_error() -> None:
    line = f"{' '.join(ARGV)} get pods -A -o yaml | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        check=False,
        timeout=20,
    )
    assert done.stdout == "apiVersion: v1\n"
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_describe_says_what_belongs_to_an_object() -> None:
    service = succeed("describe", "svc/web").out
    assert "10.96.0.80:80/TCP:" in service
    assert "(1/2 each)" in service
    assert service.count("ready, serving") == 2
    node = succeed("describe", "node", "node1").out
    assert "default/client:" in node
    assert "packets:" in node
    pod = succeed("describe", "pod/till", "-n", "shop").out
    assert "(netsim's answerer)" in pod
    assert "Restarts:" in pod
    deployment = succeed("describe", "deploy", "web").out
    assert "2 desired, 2 ready" in deployment
    both = succeed("describe", "svc/web", "node/node1").out
    assert both.count("Name: ") == 2


def test_describing_nothing_is_not_found() -> None:
    assert run("describe", "pod/nope").code == 3
    said = run("describe", "pods", "-n", "nowhere")
    assert (said.code, said.err) == (3, "error: no pods found in nowhere namespace\n")


def test_tracked_connections() -> None:
    succeed("exec", "client", "--", "curl", "-s", "http://10.96.0.80/hostname")
    asked = ("get", "conntrack", "-d", "10.96.0.80", "-p", "tcp")
    said = succeed(*asked)
    assert said.lines[0] == "# node1"
    assert said.lines[1].startswith("tcp      6 ")
    assert " dst=10.96.0.80 sport=" in said.lines[1]
    assert said.err == f"netsim: {len(said.lines) - 1} flow entries have been shown.\n"
    assert succeed("get", "ct", "node1", *asked[2:]).lines[0].startswith("tcp ")
    listed = json.loads(succeed(*asked, "-o", "json").out)
    assert listed["kind"] == "FlowList"
    assert listed["items"][0]["service"] == "default/web:http"
    nothing = succeed("get", "ct", "--reply-dport", "1")
    assert (nothing.out, nothing.err) == ("", "netsim: 0 flow entries have been shown.\n")
    assert json.loads(succeed("get", "ct", "--sport", "1", "-o", "json").out)["items"] == []


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (("node9",), 3, 'nodes "node9" not found'),
        (("--dst", "web"), 2, "dst: 'web' is not an IPv4 address"),
        (("--state", "open"), 2, "no flow is ever in the state OPEN"),
    ],
)
def test_tracked_connections_that_can_not_be(args: tuple[str, ...], code: int, why: str) -> None:
    said = run("get", "conntrack", *args)
    assert (said.code, why in said.err) == (code, True), said
