"""validate: what files get told, where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import EXAMPLES, Main, run

BAD = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80000}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: node9
  containers:
  - {name: c, comand: [sleep]}
"""


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    return path


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda p: p.name)
def test_examples_are_valid(main: Main, file: Path) -> None:
    said = main("validate", str(file))
    assert said.code == 0
    assert "error" not in said.out


def test_the_examples_folder_is_too_much_for_one_lab(main: Main) -> None:
    said = main("validate", str(EXAMPLES))
    assert said.code == 1
    assert "a topology has one Lab" in said.out


def test_every_problem_has_file_line_and_column(main: Main, bad: Path) -> None:
    said = main("validate", str(bad))
    assert said.code == 1
    assert [line.removeprefix(f"{bad}:").split(" ")[0] for line in said.lines] == [
        "7:24:",
        "7:24:",
        "13:13:",
        "15:15:",
    ]
    assert 'unknown field "comand" (did you mean command?)' in said.out
    assert said.err == "2 objects: 3 errors, 1 warning\n"


def test_problems_as_json(main: Main, bad: Path) -> None:
    said = main("validate", str(bad), "-o", "json")
    assert (said.code, said.err) == (1, "")
    value = json.loads(said.out)
    assert value["apiVersion"] == "netsim.dev/v1alpha1"
    assert (value["valid"], value["objects"]) == (False, 2)
    first = value["problems"][0]
    assert (first["file"], first["line"], first["column"]) == (str(bad), 7, 24)
    assert (first["object"], first["field"]) == ("Service default/web", "spec.ports[0].port")


def test_a_warning_is_no_error(main: Main, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(BAD.partition("---")[0].replace("80000", "80"))
    said = main("validate", str(path))
    assert said.code == 0
    assert "warning: spec.selector" in said.out
    assert said.err == "1 object: 0 errors, 1 warning\n"


def test_standard_input_is_named_in_problems() -> None:
    said = run("validate", "-", stdin=BAD)
    assert said.code == 1
    assert said.out.startswith("<stdin>:7:24: error: spec.ports[0].port: ")


BROKEN = {
    "yaml": ("kind: [Pod", ":1:7: error:"),
    "tab": ("kind:\n\tPod", ":2:1: error:"),
    "empty": ("", "no objects in it"),
    "text": ("hello", "is not an object with apiVersion and kind"),
    "binary": ("\0\1\2", "error:"),
    "kind": ("apiVersion: v1\nkind: Pood\n", 'no kind "Pood" in "v1"'),
}


@pytest.mark.parametrize(("content", "what"), BROKEN.values(), ids=BROKEN)
def test_broken_files_are_explained(main: Main, tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    said = main("validate", str(path))
    assert said.code == 1
    assert what in said.out


def test_what_can_not_be_read_is_named(main: Main, tmp_path: Path) -> None:
    assert "gone.yaml: error: cannot be read: No such file" in main("validate", "gone.yaml").out
    assert "no *.yaml, *.yml or *.json file" in main("validate", str(tmp_path)).out
