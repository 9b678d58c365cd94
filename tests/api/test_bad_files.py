"""Files that are no YAML, or hold no objects that a lab knows; and what is read all the same."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from netsim.api.manifests import load, load_text

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c}]}\n"
NO_FILE = "No such file or directory"


class Case(NamedTuple):
    name: str
    text: str
    problems: list[str]


SYNTAX = [
    Case("a tab", "a:\n\tb: 1\n", ["t:2:1: error: a: a tab cannot indent YAML (use spaces)"]),
    Case(
        "a value with a colon",
        "a: b: c\n",
        [
            "t:1:5: error: a ':' where no key can be"
            " (check the indentation; a value that holds ': ' needs quotes)"
        ],
    ),
    Case(
        "an indentation between two levels",
        "a:\n    b: 1\n  c: 2\n",
        [
            "t:3:3: error: wrong indentation, or something that is not 'key: value'"
            " (keys of one object start in one column)"
        ],
    ),
    Case(
        "a list that goes on as a mapping",
        "a:\n- b\nc\n",
        ["t:3:1: error: a: a key without ':' (write 'key: value')"],
    ),
    Case(
        "an open bracket", "a:\n  b: [1, 2\nc: 3\n", ["t:2:6: error: a.b: a '[' that is not closed"]
    ),
    Case("an open brace", "a: {b: 1\n", ["t:1:4: error: a: a '{' that is not closed"]),
    Case("an open quote", "a:\n  b: 'c\nd: e\n", ["t:2:6: error: a.b: a quote that is not closed"]),
    Case(
        "a control character",
        "a: 1\nb: \x07\n",
        ["t:2:4: error: the character U+0007 is not allowed in YAML"],
    ),
    Case("an alias of nothing", "a: *x\n", ["t:1:4: error: a: *x names no anchor above it"]),
    Case(
        "an alias of what holds it",
        "a: &x [*x]\n",
        ["t:1:8: error: a[0]: *x names no anchor above it"],
    ),
    Case(
        "a key twice",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n"
        "    name: d\n",
        ['t:7:5: error: spec.containers[0].name: duplicate key "name" (it is already at line 6)'],
    ),
    Case(
        "a tag that nobody knows",
        "a: !!python/object:os.system x\n",
        ["t:1:4: error: a: the tag tag:yaml.org,2002:python/object:os.system is not known"],
    ),
    Case("a key that is a list", "? [a]\n: b\n", ["t:1:3: error: a key must be a plain word"]),
    Case(
        "a merge of no mapping", "x: &x 1\n<<: *x\n", ["t:2:1: error: [<<]: << must name a mapping"]
    ),
    Case(
        "an error in one document leaves the others",
        f"{POD}---\na: [\n---\n{POD.replace('name: c', 'nam: c')}",
        [
            "t:6:4: error: a: a '[' or '{' that is not closed",
            "t:11:21: error: spec.containers[0].name: Required value",
            't:11:22: error: spec.containers[0].nam: unknown field "nam" (did you mean name?)',
        ],
    ),
]

KINDS = [
    Case("nothing", "", ["t: error: no objects in it"]),
    Case("comments only", "# nothing\n---\n# here\n", ["t: error: no objects in it"]),
    Case(
        "text",
        "hello\n",
        ['t:1:1: error: "hello" is not an object with apiVersion and kind'],
    ),
    Case(
        "no apiVersion",
        "kind: Deployment\n",
        ["t:1:1: error: apiVersion: Required value (apiVersion: apps/v1)"],
    ),
    Case(
        "no kind",
        "apiVersion: v1\nkinds: Pod\n",
        ['t:1:1: error: kind: Required value ("kinds" is written instead)'],
    ),
    Case(
        "a kind of another version",
        "apiVersion: extensions/v1beta1\nkind: Deployment\n",
        [
            't:1:13: error: apiVersion: no kind "Deployment" in "extensions/v1beta1"'
            " (apiVersion: apps/v1)"
        ],
    ),
    Case(
        "a misspelt kind",
        "apiVersion: v1\nkind: Srevice\n",
        ['t:2:7: error: kind: no kind "Srevice" in "v1" (did you mean Service?)'],
    ),
    Case(
        "a kind without effect, once",
        "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: v1\nkind: ConfigMap\n",
        [
            "t:2:1: warning: kind: ignored: ConfigMap has no effect here:"
            " there are no volumes, and no variables from it"
        ],
    ),
    Case(
        "pods of kinds that are not supported yet",
        "apiVersion: apps/v1\nkind: StatefulSet\n",
        ["t:2:1: warning: kind: ignored: StatefulSet is not supported yet: its pods are not made"],
    ),
    Case(
        "a custom resource",
        "apiVersion: example.com/v1\nkind: Widget\n",
        ["t:2:1: warning: kind: ignored: Widget of example.com has no effect here"],
    ),
    Case(
        "a list with a member that is no object",
        "apiVersion: v1\nkind: List\nitems:\n- 1\n",
        ["t:4:3: error: 1 is not an object with apiVersion and kind"],
    ),
    Case(
        "a list that is none",
        "apiVersion: v1\nkind: List\nitems: {}\n",
        ["t:3:8: error: items: must be a list of objects"],
    ),
    Case(
        "a problem inside a list",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n"
        "  metadata: {name: s}\n  spec:\n    ports:\n    - port: 0\n",
        [
            "t:9:13: error: spec.ports[0].port: Invalid value: 0:"
            " must be between 1 and 65535, inclusive"
        ],
    ),
]


@pytest.mark.parametrize("case", [*SYNTAX, *KINDS], ids=lambda case: case.name)
def test_says_what_is_wrong_and_where(case: Case) -> None:
    assert [str(problem) for problem in load_text(case.text, "t").problems] == case.problems


def test_a_problem_names_its_object() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n---\n" + POD.replace(
        "[{", "[{image: x, "
    )
    assert [p.subject for p in load_text(text, "t").problems] == ["", "Pod default/p"]


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    problems = load_text("\n".join(lines), "t").problems
    assert [str(p) for p in problems] == [
        "t:5:38: error: a4[7]: aliases stand for more than 100000 values"
    ]


@pytest.mark.parametrize("text", ["[" * 10_000, "{a: " * 10_000, "- " * 10_000])
def test_deep_nesting_is_refused(text: str) -> None:
    (problem,) = load_text(text, "t").problems
    assert problem.message == "nested deeper than 64 levels"


def test_one_problem_does_not_hide_another() -> None:
    text = POD.replace("name: p", "name: P") + "---\nkind: Pod\n---\n" + POD + "extra: 1\n"
    assert [p.line for p in load_text(text, "t").problems] == [3, 6, 12]


def test_anchors_and_merge_keys_work() -> None:
    loaded = load_text(
        "apiVersion: v1\nkind: Pod\nmetadata: &m {name: p, labels: &l {a: b}}\n"
        "spec:\n  nodeSelector: *l\n  containers:\n  - &c {name: c, command: [x]}\n"
        "  - {<<: *c, name: d}\n",
        "t",
    )
    assert loaded.problems == []
    assert loaded.objects[0].obj["spec"] == {
        "nodeSelector": {"a": "b"},
        "containers": [{"name": "c", "command": ["x"]}, {"name": "d", "command": ["x"]}],
    }


def test_json_with_tabs_is_read() -> None:
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "uid": ""}}
    loaded = load_text(json.dumps(obj, indent="\t"), "t")
    assert [item.obj for item in loaded.objects] == [obj]


def test_a_byte_order_mark_and_dos_line_ends_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + POD.replace("\n", "\r\n").encode())
    loaded = load([str(tmp_path / "a.yaml")])
    assert (len(loaded.objects), loaded.problems) == (1, [])


def test_a_directory_is_its_manifests_in_order(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "c.json", "README.md", "d.yaml~"):
        (tmp_path / name).write_text(POD.replace("name: p", f"name: {name[0].lower()}"))
    loaded = load([str(tmp_path)])
    assert [item.key.name for item in loaded.objects] == ["a", "b", "c"]
    assert loaded.objects[1].place() == f"{tmp_path / 'b.yml'}:1"


def test_standard_input_is_a_dash() -> None:
    loaded = load(["-"], io.BytesIO(POD.replace("name: p", "nam: p").encode()))
    assert [(p.file, p.line, p.column, p.path) for p in loaded.problems] == [
        ("<stdin>", 3, 1, "metadata.name"),
        ("<stdin>", 3, 12, "metadata.nam"),
    ]


def test_files_that_cannot_be_read_are_problems(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe4\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text(POD)
    missing, empty = str(tmp_path / "missing"), str(tmp_path / "empty")
    loaded = load(
        [missing, empty, str(tmp_path / "latin.yaml"), "a\0b", "-", str(tmp_path / "file")]
    )
    assert not loaded.ok
    assert len(loaded.objects) == 1
    assert [str(p) for p in loaded.problems] == [
        f"{missing}: error: cannot be read: {NO_FILE}",
        f"{empty}: error: no *.yaml, *.yml or *.json file in this directory",
        f"{tmp_path / 'latin.yaml'}:2:4: error: byte 0xe4 is not UTF-8 text",
        "a\0b: error: cannot be read: embedded null byte",
        "<stdin>: error: nothing to read from",
    ]


def test_a_typed_list_says_what_its_members_are() -> None:
    loaded = load_text(
        "apiVersion: v1\nkind: PodList\nitems:\n"
        "- {metadata: {name: p}, spec: {containers: [{name: c}]}}\n"
    )
    assert [str(item.key) for item in loaded.objects] == ["Pod default/p"]
    assert loaded.problems == []
