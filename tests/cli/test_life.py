"""up, down, ps, status: the life of labs, as one types it."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import EXAMPLES, environment, finish, run, start, succeed
from tests.cli.conftest import LAB, TOPOLOGY

pytestmark = pytest.mark.linux

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - {name: c, command: [sleep, infinity]}
"""
LATE = """\
apiVersion: v1
kind: Pod
metadata: {name: late}
spec:
  containers:
  - name: c
    command: [sleep, infinity]
    readinessProbe:
      exec: {command: ["false"]}
      periodSeconds: 1
"""


@pytest.fixture
def own_lab(state_root: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A name, and a file with a small topology; whatever runs of that name goes down."""
    file = tmp_path / "t.yaml"
    file.write_text(POD)
    name = f"own{os.getpid()}"
    yield name, file
    run("down", name)


def test_up_changes_down(own_lab: tuple[str, Path]) -> None:
    name, file = own_lab
    planned = succeed("up", str(file), "--name", name, "--dry-run")
    assert planned.lines == [f"lab/{name} created (dry run)", "pod/p created (dry run)"]
    assert name not in succeed("ps").out

    came = succeed("up", str(file), "--name", name)
    assert came.out == ""
    last = came.err.splitlines()[-1]
    assert re.fullmatch(rf"lab {name} is ready: 2 nodes, 1 pod, 0 services \(\d+\.\d s\)", last)

    again = succeed("up", str(file), "--name", name)
    assert again.lines == [f"lab/{name} unchanged", "pod/p unchanged"]

    file.write_text(POD.replace("{name: p}", "{name: q}"))
    planned = succeed("up", str(file), "--name", name, "--dry-run")
    assert planned.lines[1:] == ["pod/q created (dry run)", "pod/p deleted (dry run)"]
    assert succeed("get", "pods", "-L", name, "-o", "name").out == "pod/p\n"
    changed = succeed("up", str(file), "--name", name, "-q")
    assert changed.lines == [f"lab/{name} unchanged", "pod/q created", "pod/p deleted"]
    assert changed.err == ""

    gone = succeed("down", name)
    assert re.fullmatch(rf"lab {name} is down \(\d+\.\d s\)\n", gone.out)
    assert succeed("down", name).out == f"lab {name} is not running\n"
    assert name not in succeed("ps").out


def test_up_says_warnings_once(own_lab: tuple[str, Path]) -> None:
    name, file = own_lab
    file.write_text(POD.replace("{name: c,", "{name: c, image: nginx,"))
    for _ in range(2):
        said = succeed("up", str(file), "--name", name, "--no-wait").err
        assert said.count("warning: ") == 1
        assert f"warning: {file}:6:15: spec.containers[0].image: ignored" in said
    said = succeed("apply", "-f", str(file), "-L", name).err
    assert said.count("warning: ") == 1


def test_up_takes_standard_input_and_folders(own_lab: tuple[str, Path]) -> None:
    name, file = own_lab
    succeed("up", "-", "--name", name, "--no-wait", stdin=POD)
    assert "pod/p unchanged" in succeed("up", str(file.parent), "--name", name).lines


def test_up_refuses_bad_files_and_creates_nothing(own_lab: tuple[str, Path]) -> None:
    name, file = own_lab
    file.write_text(POD.replace("name: c", "nam: c"))
    said = run("up", str(file), "--name", name)
    assert said.code == 2
    assert said.out == ""
    assert f'{file}:6:6: error: spec.containers[0].nam: unknown field "nam"' in said.err
    assert "nothing was done" in said.err
    assert name not in succeed("ps").out


def test_up_on_a_running_lab_says_what_can_not_change(own_lab: tuple[str, Path]) -> None:
    name, file = own_lab
    succeed("up", str(file), "--name", name, "--no-wait")
    lab = "apiVersion: netsim.dev/v1alpha1\nkind: Lab\nspec: {backend: udp}\n---\n"
    file.write_text(lab + POD.replace("infinity", "'1000'") + "---\n" + POD.replace("p}", "q}"))
    said = run("up", str(file), "--name", name)
    assert said.code == 2
    assert f"{file}:3:17: error: spec.backend: Forbidden: may not change while the lab" in said.err
    assert f"{file}:9:3: error: spec: Forbidden: pod updates may not change" in said.err
    assert "pod/q" not in succeed("get", "pods", "-L", name, "-o", "name").out


def test_a_wait_that_is_too_long_lists_what_is_not_ready(own_lab: tuple[str, Path]) -> None:
    name, file = own_lab
    file.write_text(LATE)
    said = run("up", str(file), "--name", name, "--timeout", "5")
    assert said.code == 5
    assert said.err.splitlines()[-3:] == [
        f"error: lab {name} was not ready after 5 s",
        "  Pod default/late: container c runs but is not ready",
        f"  hint: the lab is left running: netsim status {name}; netsim logs POD",
    ]
    status = run("status", name)
    assert status.code == 1
    assert status.lines[0] == f"lab {name}: not ready"
    assert status.lines[1] == "  Pod default/late: container c runs but is not ready"
    assert re.search(rf"^{name} +not ready ", succeed("ps").out, re.MULTILINE)
    waited = run("apply", "-f", str(file), "-L", name, "--wait", "--timeout", "0.5")
    assert waited.code == 5
    assert waited.lines == ["pod/late unchanged"]
    at_once = run("up", str(file), "--name", name, "--timeout", "0")
    assert at_once.code == 5
    assert "  Pod default/late: container c runs but is not ready\n" in at_once.err


def test_ctrl_c_leaves_the_lab_and_says_so(own_lab: tuple[str, Path]) -> None:
    name, file = own_lab
    file.write_text(LATE)
    up = start("up", str(file), "--name", name)
    assert up.stderr is not None
    for line in up.stderr:
        if "Pod default/late" in line:
            break
    up.send_signal(signal.SIGINT)
    said = finish(up)
    assert said.code == 130
    assert f"interrupted; lab {name} is left as it is: netsim status {name}" in said.err
    assert "Traceback" not in said.err
    assert name in succeed("ps", "-o", "name").lines


def test_a_lab_that_died_is_no_obstacle(own_lab: tuple[str, Path]) -> None:
    name, file = own_lab
    succeed("up", str(file), "--name", name)
    found = json.loads(succeed("ps", "-o", "json").out)["items"]
    init = next(item["initPid"] for item in found if item["name"] == name)
    os.kill(init, signal.SIGKILL)
    end = time.monotonic() + 10
    while name in succeed("ps", "-o", "name").lines:
        assert time.monotonic() < end
    assert run("get", "pods", "-L", name).code == 3
    succeed("up", str(file), "--name", name)
    assert succeed("get", "pods", "-L", name, "-o", "name").out == "pod/p\n"


def test_a_name_must_be_a_label(state_root: Path) -> None:
    for args in (("up", str(EXAMPLES / "quickstart.yaml"), "--name", "A_B"), ("down", "A_B")):
        said = run(*args)
        assert said.code == 2
        assert said.err.startswith("error: invalid lab name 'A_B'")


def test_status_as_json_is_clean(lab: str) -> None:
    said = succeed("status", lab, "-o", "json")
    assert said.err == ""
    status = json.loads(said.out)
    assert (status["kind"], status["name"], status["ready"]) == ("LabStatus", lab, True)
    assert status["notReady"] == []
    assert [node["name"] for node in status["nodes"]] == ["node1", "node2"]
    assert status["counts"]["Pod"] == 4
    assert status["dataPlane"]["workers"] >= 1


def test_status_for_people(lab: str) -> None:
    lines = succeed("status").lines
    assert lines[0] == f"lab {lab}: ready"
    assert lines[1].startswith("data plane: pid ")
    assert lines[3].startswith("NODE ")
    assert [line.split()[:2] for line in lines[4:]] == [["node1", "Ready"], ["node2", "Ready"]]


def test_ps_in_every_format(lab: str) -> None:
    header, row = succeed("ps").lines
    assert header.split() == ["NAME", "STATE", "NODES", "PODS", "SERVICES", "INIT", "PID", "AGE"]
    assert row.split()[:5] == [lab, "ready", "2", "4", "2"]
    assert succeed("ps", "-o", "name").out == f"{lab}\n"
    listed = json.loads(succeed("ps", "-o", "json").out)
    assert listed["kind"] == "LabList"
    assert listed["items"][0]["state"] == "ready"
    assert "name: shared" in succeed("ps", "-o", "yaml").out


def test_many_labs(lab: str, own_lab: tuple[str, Path]) -> None:
    name, file = own_lab
    succeed("up", str(file), "--name", name)
    for args in (("get", "pods"), ("status",), ("exec", "p", "--", "true")):
        said = run(*args)
        assert said.code == 2
        assert said.err.splitlines() == [
            f"error: several labs run: {name}, {lab}",
            "  hint: name one with --lab or NETSIM_LAB",
        ]
    said = run("down")
    assert said.code == 2
    assert "hint: name one, or use --all" in said.err
    assert succeed("get", "pods", "--lab", name, "-o", "name").out == "pod/p\n"
    named = run("get", "pods", "-o", "name", env=environment(NETSIM_LAB=name))
    assert named.out == "pod/p\n"
    assert succeed("exec", "-L", name, "p", "--", "hostname").out == "p\n"
    both = [line.split()[0] for line in succeed("ps").lines]
    assert both == ["NAME", name, lab]
    succeed("down", name)
    assert succeed("get", "pods", "-o", "name").lines[0] == "pod/client"


def test_down_of_all_and_a_name_is_a_mistake(lab: str) -> None:
    assert run("down", lab, "--all").code == 2
    assert LAB in succeed("ps").out


def test_an_unknown_lab_is_not_found(lab: str) -> None:
    for args in (("get", "pods", "-L", "nope"), ("status", "nope"), ("logs", "x", "-L", "nope")):
        said = run(*args)
        assert said.code == 3
        assert said.err == "error: lab nope is not running\n  hint: netsim ps lists labs\n"


def test_no_lab_at_all(lab: str, tmp_path: Path) -> None:
    said = run("get", "pods", env=environment(NETSIM_RUN=str(tmp_path)))
    assert said.code == 3
    assert said.err.splitlines()[0] == "error: no lab is running"
    empty = environment(NETSIM_RUN=str(tmp_path))
    assert run("down", env=empty).out == "no lab is running\n"
    assert run("ps", env=empty).lines[0].startswith("NAME ")
    assert run("ps", env=empty).code == 0


def test_colour_on_request(lab: str) -> None:
    plain = run("status").out
    assert "\x1b[" not in plain
    assert "\x1b[32mready" in run("--color", "always", "status").out
    assert "\x1b[32mready" in run("status", env=environment(FORCE_COLOR="1")).out
    both = environment(FORCE_COLOR="1", NO_COLOR="1")
    assert "\x1b[" not in run("status", env=both).out
    assert "\x1b[" not in run("--color", "never", "status", env=environment(FORCE_COLOR="1")).out


def test_the_shared_lab_is_up_to_date(lab: str) -> None:
    verbs = {line.split()[-1] for line in succeed("up", str(TOPOLOGY), "--name", lab).lines}
    assert verbs == {"unchanged"}
