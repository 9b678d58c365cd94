"""apply, delete, scale on a running lab, and what of a change reaches the data plane."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import run, succeed

pytestmark = [pytest.mark.linux, pytest.mark.usefixtures("lab")]

EXTRA = """\
apiVersion: v1
kind: Pod
metadata: {name: extra, labels: {app: extra}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: extra}
spec:
  selector: {app: extra}
  ports: [{port: 80}]
"""
STUBBORN = """\
apiVersion: v1
kind: Pod
metadata: {name: stubborn, labels: {app: extra}}
spec:
  terminationGracePeriodSeconds: 30
  containers:
  - {name: c, command: [sh, -c, "trap '' TERM; while :; do sleep 0.1; done"]}
"""


@pytest.fixture
def extra(tmp_path: Path) -> Iterator[Path]:
    """A file with a pod and its service; they are gone after the test."""
    path = tmp_path / "extra.yaml"
    path.write_text(EXTRA)
    yield path
    for target in ("svc/extra", "pod/extra", "pod/stubborn"):
        run("delete", target, "--grace-period", "0", "--ignore-not-found")


def pods(*args: str) -> list[str]:
    return succeed("get", "pods", "-o", "name", *args).lines


def test_apply_creates_changes_and_leaves(extra: Path) -> None:
    planned = succeed("apply", "-f", str(extra), "--dry-run")
    assert planned.lines == ["service/extra created (dry run)", "pod/extra created (dry run)"] or (
        planned.lines == ["pod/extra created (dry run)", "service/extra created (dry run)"]
    )
    assert "pod/extra" not in pods()
    said = succeed("apply", "-f", str(extra), "--wait")
    assert sorted(said.lines) == ["pod/extra created", "service/extra created"]
    assert "is ready" in said.err
    assert succeed("exec", "client", "--", "hostname").out == "client\n"
    extra.write_text(EXTRA.replace("port: 80}", "port: 81}"))
    said = succeed("apply", "-f", str(extra))
    assert sorted(said.lines) == [
        "pod/extra unchanged",
        "service/extra configured: spec.ports[0].port, spec.ports[0].targetPort",
    ]
    assert succeed("apply", "-f", "-", stdin=extra.read_text()).out.count("unchanged") == 2
    assert "deployment/web" not in said.out


def test_apply_takes_a_folder(extra: Path) -> None:
    (extra.parent / "stubborn.yaml").write_text(STUBBORN)
    assert succeed("apply", "-f", str(extra.parent)).out.count(" created") == 3


def test_apply_of_what_the_lab_printed_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "dump.yaml"
    file.write_text(succeed("get", "svc,deploy,pods", "-o", "yaml").out)
    said = succeed("apply", "-f", str(file))
    assert {line.split()[-1] for line in said.lines} == {"unchanged"}


def test_apply_knows_what_the_lab_has(extra: Path) -> None:
    extra.write_text(
        EXTRA.replace("  terminationG", "  nodeName: node7\n  terminationG").replace(
            "  selector", "  clusterIP: 10.96.0.80\n  selector"
        )
    )
    said = run("apply", "-f", str(extra))
    assert said.code == 2
    assert said.out == ""
    assert f'{extra}:5:13: error: spec.nodeName: Not found: "node7"' in said.err
    assert f"{extra}:14:14: error: spec.clusterIPs[0]: " in said.err
    assert "pod/extra" not in pods()
    dry = run("apply", "-f", str(extra), "--dry-run")
    assert (dry.code, dry.err) == (2, said.err)


def test_apply_warns_about_what_it_applied(extra: Path) -> None:
    extra.write_text(EXTRA.replace("selector: {app: extra}", "selector: {app: nobody}"))
    said = succeed("apply", "-f", str(extra))
    assert said.err.count("warning: ") == 1
    assert f"warning: {extra}:13:3: spec.selector: matches no pod" in said.err


def test_apply_needs_a_file() -> None:
    assert run("apply").code == 2
    said = run("apply", "-f", "/nonexistent.yaml")
    assert said.code == 2
    assert "/nonexistent.yaml: error: cannot be read: No such file or directory" in said.err


def test_delete_by_name_selector_and_file(extra: Path) -> None:
    succeed("apply", "-f", str(extra), "--wait", "-q")
    assert succeed("delete", "svc", "extra").out == 'service "extra" deleted\n'
    assert succeed("delete", "pods", "-l", "app=extra").out == 'pod "extra" deleted\n'
    assert "pod/extra" not in pods()
    succeed("apply", "-f", str(extra), "--wait", "-q")
    said = succeed("delete", "-f", str(extra))
    assert sorted(said.lines) == ['pod "extra" deleted', 'service "extra" deleted']
    again = run("delete", "-f", str(extra))
    assert again.code == 3
    assert succeed("delete", "-f", str(extra), "--ignore-not-found").out == ""


def test_delete_says_what_is_not_there() -> None:
    said = run("delete", "pod", "nope")
    assert (said.code, said.err) == (3, 'error: pods "nope" not found\n')
    which = run("delete", "pods")
    assert which.code == 2
    assert "hint: name them, or use -l or --all" in which.err
    assert succeed("delete", "pods", "-l", "app=nobody").err == "No resources found.\n"
    assert run("delete", "pod/x", "-f", "y.yaml").code == 2


def test_grace_period_0_does_not_wait(extra: Path) -> None:
    extra.write_text(STUBBORN)
    succeed("apply", "-f", str(extra), "--wait", "-q")
    late = run("delete", "pod", "stubborn", "--timeout", "0.5")
    assert late.code == 5
    assert "hint: its program may ignore SIGTERM; --grace-period 0 kills at once" in late.err
    assert "Terminating" in succeed("get", "pods", "stubborn").out
    began = time.monotonic()
    succeed("delete", "pod", "stubborn", "--grace-period", "0")
    assert time.monotonic() - began < 10
    assert "pod/stubborn" not in pods()


def test_scale_up_and_down() -> None:
    assert succeed("scale", "deploy/web", "--replicas", "4").out == "deployment.apps/web scaled\n"
    replicas = "jsonpath={.spec.replicas}"
    assert succeed("get", "deploy/web", "-o", replicas).out == "4"
    said = succeed("apply", "-f", "tests/cli/topology.yaml", "--wait", "-q")
    assert "deployment/web configured: spec.replicas" in said.lines
    assert succeed("get", "deploy/web", "-o", replicas).out == "2"
    wait_for(lambda: len(pods("-l", "app=web")) == 2)
    owner = json.loads(succeed("get", "rs", "-o", "json").out)["items"][0]["metadata"]["name"]
    assert (
        succeed("scale", "rs", owner, "--replicas", "2").out == f"replicaset.apps/{owner} scaled\n"
    )


def wait_for(check: object) -> None:
    end = time.monotonic() + 20
    assert callable(check)
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_scale_says_what_can_not_be_scaled() -> None:
    said = run("scale", "svc/web", "--replicas", "2")
    assert said.code == 2
    assert said.err == "error: service has no replicas\n  hint: deploy/NAME or rs/NAME\n"
    assert run("scale", "deploy/nope", "--replicas", "2").code == 3
