"""`netsim.Lab`: what a script does with a lab."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import netsim
from netsim.api import meta
from netsim.api.fields import Json
from netsim.errors import NotFoundError, UsageError, WaitTimeoutError
from netsim.linux import features

pytestmark = pytest.mark.linux

TOPOLOGY = Path(__file__).parents[2] / "examples" / "quickstart.yaml"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[netsim.Lab]:
    """The quickstart, running; tests leave it as they find it."""
    missing = features.missing()
    if missing:
        pytest.skip("; ".join(f"{f.name}: {f.detail}" for f in missing))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETSIM_RUN", str(tmp_path_factory.mktemp("run")))
        with netsim.Lab(TOPOLOGY, name=f"lab{os.getpid()}") as made:
            yield made


def pod(name: str, *command: str, **container: object) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "command": list(command), **container}],
        },
    }


def test_a_lab_is_up_within_its_block_and_gone_after(lab: netsim.Lab) -> None:
    with netsim.Lab([pod("p", "sleep", "infinity")], name=f"{lab.name}-b") as other:
        assert other.running
        assert other.status()["ready"] is True
        assert [n["metadata"] for n in other.objects("pod")] != []
    assert not other.running
    assert other.down() is False


def test_a_lab_that_does_not_get_ready_says_why_and_goes_down(
    lab: netsim.Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = pod("p", "sleep", "9", readinessProbe={"exec": {"command": ["false"]}})
    other = netsim.Lab([never], name=f"{lab.name}-n")
    late = partial(other.wait, timeout_s=4)
    monkeypatch.setattr(other, "wait", lambda **_: late())
    with pytest.raises(WaitTimeoutError, match="was not ready after 4 s") as error, other:
        raise AssertionError("must not get here")
    assert error.value.why == "Pod default/p: container c runs but is not ready"
    assert not other.running


def test_programs_run_in_pods_and_nodes(lab: netsim.Lab) -> None:
    answer = lab.run("client", ["curl", "-s", "http://10.96.0.80/hostname"])
    assert answer.stdout.strip().startswith("web-")
    assert lab.run("node/node1", ["hostname"]).stdout == "node1\n"
    assert lab.run("client", ["cat"], stdin="in").stdout == "in"
    assert lab.run("client", ["false"], check=False).returncode == 1
    with pytest.raises(subprocess.CalledProcessError):
        lab.run("client", ["false"])
    with pytest.raises(NotFoundError, match="has no pod default/nope"):
        lab.run("nope", ["true"])
    with lab.popen("client", ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.communicate("text")[0] == "text"


def test_objects_are_read_and_changed(lab: netsim.Lab) -> None:
    assert len(lab.objects("pods", "default", selector="app=web")) == 3
    assert lab.objects("pods", "nowhere") == []
    steps = lab.apply([pod("extra", "sleep", "infinity")])
    assert [(s["verb"], s["name"]) for s in steps] == [("created", "extra")]
    assert lab.warnings == ()
    lab.wait()
    lab.delete("pod", "extra", grace_s=0)
    with pytest.raises(NotFoundError):
        lab.delete("pod", "nope")
    lab.scale("deployment/web", 4)
    lab.wait()
    assert len(lab.objects("pod", selector="app=web")) == 4
    (change,) = [s for s in lab.up() if s["verb"] == "configured"]
    assert change["fields"] == ["spec.replicas"]


def test_what_up_would_do_is_told_first(lab: netsim.Lab) -> None:
    assert {step["verb"] for step in lab.preview()} == {"unchanged"}
    new = netsim.Lab(TOPOLOGY, name=f"{lab.name}-new")
    assert {step["verb"] for step in new.preview()} == {"created"}


def test_mistakes_in_an_apply_change_nothing(lab: netsim.Lab) -> None:
    before = lab.status()["revision"]
    with pytest.raises(UsageError) as refused:
        lab.apply([pod("fine", "true"), {**pod("bad"), "spec": {"nodeName": "node9"}}])
    assert "spec.containers: Required value" in refused.value.why
    spec = {"nodeName": "node9", "containers": [{"name": "c", "command": ["true"]}]}
    with pytest.raises(UsageError) as refused:
        lab.apply([pod("fine", "true"), {**pod("bad"), "spec": spec}])
    assert 'spec.nodeName: Not found: "node9"' in refused.value.why
    assert lab.status()["revision"] == before


def test_counters_tell_what_the_data_plane_did(lab: netsim.Lab) -> None:
    before = lab.counters("node1"), lab.counters("node2")
    lab.run("client", ["curl", "-s", "http://10.96.0.80/hostname"])
    after = lab.counters("node1"), lab.counters("node2")
    assert sum(int(str(c["service_hits"])) for c in after) == 1 + sum(
        int(str(c["service_hits"])) for c in before
    )
    with pytest.raises(NotFoundError):
        lab.counters("node9")


def test_a_capture_is_complete_when_its_block_ends(lab: netsim.Lab, tmp_path: Path) -> None:
    file = tmp_path / "c.pcapng"
    with lab.capture("client", file) as capture:
        lab.run("client", ["ping", "-c", "3", "-i", "0.01", "-q", "10.244.0.1"])
    assert (capture.captured, capture.missed) == (6, 0)
    assert file.stat().st_size > 6 * 84


def test_a_lab_can_be_opened_by_its_name(lab: netsim.Lab) -> None:
    same = netsim.Lab(name=lab.name)
    assert same.running
    assert same.get("svc", "web") == lab.get("Service", "web")
    with pytest.raises(UsageError, match="was opened by name"):
        same.up()
    with pytest.raises(NotFoundError, match="is not running"):
        netsim.Lab(name="nope").status()


def test_a_revision_can_be_waited_for_until_every_node_runs_it(lab: netsim.Lab) -> None:
    with lab.api as api:
        ports = {"spec": {"sessionAffinity": "ClientIP"}}
        changed = api.patch(meta.resolve_kind("service"), "web", ports, "default")
        revision = int(str(meta.metadata(changed)["resourceVersion"]))
        found = api.call("GET", f"/netsim/published?revision={revision}&timeoutSeconds=20")
        later = api.call("GET", f"/netsim/published?revision={revision + 1000}&timeoutSeconds=0")
        api.patch(
            meta.resolve_kind("service"), "web", {"spec": {"sessionAffinity": None}}, "default"
        )
    assert int(str(found["revision"])) >= revision
    nodes = found["nodes"]
    assert isinstance(nodes, dict)
    assert set(nodes) == {"node1", "node2"}
    assert min(nodes.values()) >= revision
    assert 0 < int(str(found["committedNs"])) < int(str(found["inUseNs"])) < time.monotonic_ns()
    assert later["inUseNs"] is None
    assert later["committedNs"] is None


def test_a_wait_does_not_miss_that_a_lab_has_become_ready(lab: netsim.Lab) -> None:
    """Never until its time is up, and never before what was just written is in use."""
    timeout_s = 20
    began = time.monotonic()
    for count in range(12):
        with lab.api as api:
            note = {"metadata": {"annotations": {"wait": str(count)}}}
            changed = api.patch(meta.resolve_kind("service"), "web", note, "default")
            status = api.call("GET", f"/netsim/wait?timeoutSeconds={timeout_s}")
            in_use = api.call("GET", "/netsim/published?revision=0&timeoutSeconds=0")
        assert status["ready"] is True, status
        assert int(str(in_use["revision"])) >= int(str(meta.metadata(changed)["resourceVersion"]))
    assert time.monotonic() - began < timeout_s
