"""How results look: tables, colours, formats and progress, without any lab."""

from __future__ import annotations

import io
import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netsim.api import meta
from netsim.api.fields import Json
from netsim.api.meta import NODE, POD
from netsim.cli import formats, output
from netsim.cli.describe import describe_pod
from netsim.cli.progress import LiveProgress, PlainProgress, QuietProgress, progress
from netsim.errors import NetsimError, UsageError
from netsim.server.client import ApiClient

PODS: list[Json] = [
    {"metadata": {"name": "b"}, "spec": {"nodeName": "node1"}, "status": {"restarts": 10}},
    {"metadata": {"name": "a"}, "spec": {}, "status": {"restarts": 9}},
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_are_aligned_and_empty_cells_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["NAME", "IP"], [["web-1", "10.244.0.2"], ["x", None], ["y", ""]])
    assert capsys.readouterr().out.splitlines() == [
        "NAME    IP",
        "web-1   10.244.0.2",
        "x       <none>",
        "y       <none>",
    ]


def test_a_stream_of_tables_keeps_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    widths = output.print_table(["NAME", "IP"], [["long-name", "1"]])
    output.print_table(["", ""], [["x", "2"]], no_headers=True, widths=widths)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].index("1") == lines[2].index("2")


@pytest.mark.parametrize(
    ("choice", "env", "tty", "colored"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"TERM": "dumb"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colour_is_used_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, choice: str, env: dict[str, str], tty: bool, colored: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", Terminal() if tty else io.StringIO())
    output.set_color(choice)
    try:
        assert ("\x1b[" in output.style("ready", "green")) is colored
    finally:
        output.set_color("never")


def test_an_error_is_three_lines_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    output.set_color("never")
    output.print_error(NetsimError("what", "why\nmore", "do this"))
    assert capsys.readouterr().err == "error: what\n  why\n  more\n  hint: do this\n"


SCALARS = st.none() | st.booleans() | st.integers() | st.text()
JSON = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3)
)


@given(st.dictionaries(st.text(), JSON))
def test_yaml_and_json_read_back_as_they_were(value: dict[str, object]) -> None:
    for how, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        out = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", out)
            output.dump(value, how)
        assert load(out.getvalue()) == value


def shown(how: str, capsys: pytest.CaptureFixture[str], no_headers: bool = False) -> str:
    chosen = formats.Format(*how.split("=", 1))
    formats.print_all([(POD, pod) for pod in PODS], chosen, no_headers=no_headers)
    return capsys.readouterr().out


def test_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("name", capsys) == "pod/b\npod/a\n"


def test_custom_columns(capsys: pytest.CaptureFixture[str]) -> None:
    how = "custom-columns=POD:.metadata.name,NODE:{.spec.nodeName}"
    assert shown(how, capsys) == "POD   NODE\nb     node1\na     <none>\n"
    assert shown(how, capsys, no_headers=True) == "b   node1\na   <none>\n"


@pytest.mark.parametrize("columns", ["NAME", "NAME:", ":.a", "A:.a,,B:.b"])
def test_malformed_columns_are_a_usage_error(columns: str) -> None:
    with pytest.raises(UsageError, match="custom-columns"):
        formats.parse_columns(columns)


def test_jsonpath_sees_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("jsonpath={.kind}: {.items[*].metadata.name}", capsys) == "List: b a"


def test_a_single_object_is_no_list(capsys: pytest.CaptureFixture[str]) -> None:
    one = formats.Format("jsonpath", "{.metadata.name}")
    formats.print_one(NODE, PODS[0], one, no_headers=False, stream=False)
    assert capsys.readouterr().out == "b"


@pytest.mark.parametrize(
    ("path", "order"),
    [
        (".metadata.name", "ab"),
        ("{.status.restarts}", "ab"),
        (".spec.nodeName", "ba"),
        (".nothing", "ba"),
    ],
)
def test_objects_are_sorted_by_a_field(path: str, order: str) -> None:
    found = sorted(PODS, key=lambda pod: formats.sort_key(path, pod))
    assert [meta.name_of(pod) for pod in found] == list(order)


def test_plain_progress_says_a_lasting_step_once(capsys: pytest.CaptureFixture[str]) -> None:
    report = PlainProgress()
    for text in ("starting", "waiting", "waiting"):
        report.step(text)
    report.done("ready")
    said = capsys.readouterr()
    assert said.out == ""
    assert re.sub(r"\d+\.\d", "N", said.err) == "... starting\n... waiting\nready (N s)\n"


def test_live_progress_fits_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(screen, "fileno", lambda: 2)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("os.get_terminal_size", lambda _: type("Size", (), {"columns": 20}))
    LiveProgress().step("x" * 100)
    text = screen.getvalue().removeprefix("\r\x1b[K")
    assert len(text) <= 20
    assert "\n" not in text


@pytest.mark.parametrize(
    ("quiet", "tty", "env", "kind"),
    [
        (True, True, {}, QuietProgress),
        (False, True, {}, LiveProgress),
        (False, False, {}, PlainProgress),
        (False, True, {"CI": "1"}, PlainProgress),
        (False, True, {"TERM": "dumb"}, PlainProgress),
    ],
)
def test_progress_suits_where_it_goes(
    monkeypatch: pytest.MonkeyPatch, quiet: bool, tty: bool, env: dict[str, str], kind: type
) -> None:
    for name in ("CI", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr", Terminal() if tty else io.StringIO())
    with progress(quiet=quiet) as report:
        assert type(report) is kind


def test_a_live_line_is_cleared_when_an_error_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("TERM", raising=False)
    monkeypatch.setattr("sys.stderr", screen)
    with pytest.raises(ZeroDivisionError), progress(quiet=False):
        raise ZeroDivisionError
    assert screen.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(("number", "text"), [(0, "0 pods"), (1, "1 pod"), (2, "2 pods")])
def test_numbers_have_their_nouns(number: int, text: str) -> None:
    assert output.counted(number, "pod") == text


def test_describe_says_why_a_pod_does_not_exist() -> None:
    status = {"phase": "Pending", "reason": "FailedCreatePodSandBox", "message": "no descriptors"}
    api = ApiClient("/nowhere")
    assert (0, "Reason", "FailedCreatePodSandBox  no descriptors") in [
        *describe_pod({"status": status}, api)
    ]
    assert "Reason" not in [line[1] for line in describe_pod({"status": {}}, api)]
