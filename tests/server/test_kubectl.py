"""Real kubectl against the server, over loopback TCP; skipped where there is none."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.server.running import Server, new_api

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: one}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.10, type: ClusterIP, selector: {app: web}, ports: [{port: PORT}]}
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Kubectl:
    """Runs kubectl with a configuration and a cache of its own."""

    def __init__(self, directory: Path, port: int) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "me"}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "me"}}],
            "current-context": "lab",
        }
        self.directory = directory
        self.config = directory / "config"
        self.config.write_text(json.dumps(config))

    def command(self, *args: str) -> list[str]:
        assert KUBECTL is not None
        options = [f"--kubeconfig={self.config}", f"--cache-dir={self.directory / 'cache'}"]
        return [KUBECTL, *options, *args]

    def __call__(self, *args: str, stdin: str = "") -> Done:
        done = subprocess.run(
            self.command(*args),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=self.directory,
        )
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def lab() -> Iterator[Server]:
    server = Server(new_api(), tcp_port=0)
    yield server
    server.close()


@pytest.fixture
def kubectl(lab: Server, tmp_path: Path) -> Kubectl:
    return Kubectl(tmp_path, lab.runner.addresses[1][1])


def manifest(port: int = 80) -> str:
    return MANIFEST.replace("PORT", str(port))


def ok(done: Done) -> str:
    assert done.code == 0, done.err
    return done.out


def test_create_get_scale_label_delete(kubectl: Kubectl) -> None:
    out = ok(kubectl("create", "-f", "-", stdin=manifest()))
    assert out.splitlines() == ["deployment.apps/web created", "service/web created"]
    rows = ok(kubectl("get", "services")).splitlines()
    assert rows[0].split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert rows[1].split()[:5] == ["web", "ClusterIP", "10.96.0.10", "<none>", "80/TCP"]
    wide = ok(kubectl("get", "svc", "-o", "wide")).splitlines()
    assert wide[0].split()[-1] == "SELECTOR"
    assert wide[1].split()[-1] == "app=web"
    assert ok(kubectl("scale", "deploy/web", "--replicas=5")) == "deployment.apps/web scaled\n"
    path = "jsonpath={.spec.replicas}"
    assert ok(kubectl("get", "deploy", "web", "-o", path)) == "5"
    assert "labeled" in ok(kubectl("label", "svc", "web", "tier=front"))
    assert ok(kubectl("get", "svc", "-l", "tier=front", "-o", "name")) == "service/web\n"
    assert ok(kubectl("get", "svc", "-l", "tier=back", "-o", "name")) == ""
    assert ok(kubectl("delete", "deploy", "web")) == 'deployment.apps "web" deleted\n'
    assert "deleted" in ok(kubectl("delete", "svc", "--all"))
    assert "No resources found" in kubectl("get", "all").err


def test_apply_creates_changes_and_leaves_alone(kubectl: Kubectl) -> None:
    apply = ("apply", "-f", "-")
    assert ok(kubectl(*apply, stdin=manifest())).count("created") == 2
    assert ok(kubectl(*apply, stdin=manifest())).count("unchanged") == 2
    out = ok(kubectl(*apply, stdin=manifest(81)))
    assert out.splitlines() == ["deployment.apps/web unchanged", "service/web configured"]
    ports = "jsonpath={.spec.ports[*].port}"
    assert ok(kubectl("get", "svc", "web", "-o", ports)) == "81"
    out = ok(kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest(81)))
    assert out.count("serverside-applied") == 2


def test_patches_of_every_type(kubectl: Kubectl) -> None:
    ok(kubectl("create", "-f", "-", stdin=manifest()))
    image = "jsonpath={.spec.template.spec.containers[*].image}"
    assert "image updated" in ok(kubectl("set", "image", "deploy/web", "web=two"))
    assert ok(kubectl("get", "deploy", "web", "-o", image)) == "two"
    operation = '[{"op":"replace","path":"/spec/replicas","value":4}]'
    ok(kubectl("patch", "deploy", "web", "--type=json", "-p", operation))
    ok(kubectl("patch", "deploy", "web", "--type=merge", "-p", '{"spec":{"minReadySeconds":3}}'))
    both = "jsonpath={.spec.replicas},{.spec.minReadySeconds}"
    assert ok(kubectl("get", "deploy", "web", "-o", both)) == "4,3"
    assert "restarted" in ok(kubectl("rollout", "restart", "deploy/web"))
    assert "annotate" in ok(kubectl("annotate", "deploy", "web", "a=b"))


def test_errors_are_readable(kubectl: Kubectl) -> None:
    missing = kubectl("get", "pods", "nope")
    assert (missing.code, missing.err) == (
        1, 'Error from server (NotFound): pods "nope" not found\n',
    )  # fmt: skip
    ok(kubectl("create", "-f", "-", stdin=manifest()))
    twice = kubectl("create", "-f", "-", stdin=manifest())
    assert twice.code == 1
    assert 'services "web" already exists' in twice.err


def test_watch_shows_changes_as_table_rows(kubectl: Kubectl, lab: Server) -> None:
    ok(kubectl("create", "-f", "-", stdin=manifest()))
    watcher = subprocess.Popen(
        kubectl.command("get", "svc", "-w"), stdout=subprocess.PIPE, text=True
    )
    try:
        assert watcher.stdout is not None
        assert watcher.stdout.readline().split()[0] == "NAME"
        assert watcher.stdout.readline().split()[4] == "80/TCP"
        ok(kubectl("apply", "-f", "-", stdin=manifest(82)))
        lines = iter(watcher.stdout.readline, "")
        assert any("82/TCP" in line for line in lines)
    finally:
        watcher.terminate()
        watcher.wait()
        if watcher.stdout is not None:
            watcher.stdout.close()


def test_describe_and_the_rest(kubectl: Kubectl) -> None:
    ok(kubectl("create", "-f", "-", stdin=manifest()))
    assert "app=web" in ok(kubectl("describe", "svc", "web"))
    assert ok(kubectl("get", "svc", "--sort-by=.metadata.name", "-o", "name")) == "service/web\n"
    assert "endpointslices" in ok(kubectl("api-resources"))
    assert "+netsim-" in ok(kubectl("version"))
    assert ok(kubectl("get", "--raw", "/healthz")) == "ok"
    assert "dry run" in ok(kubectl("delete", "svc", "web", "--dry-run=server"))
    assert ok(kubectl("get", "svc", "-A", "-o", "name")) == "service/web\n"
