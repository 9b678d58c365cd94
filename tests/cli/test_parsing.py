"""What the command says before it does anything: help, versions, mistakes and their exit codes."""

from __future__ import annotations

import errno
import re
import signal
import subprocess
import sys

import click
import pytest

import netsim
from netsim.cli import main as root
from netsim.cli import output
from netsim.errors import NetsimError, NotFoundError, PreconditionError, WaitTimeoutError
from tests.cli.command import Main


@pytest.mark.parametrize("command", root.COMMANDS)
def test_every_command_explains_itself_with_examples(main: Main, command: str) -> None:
    shown = main(command, "--help")
    assert shown.code == 0
    assert f"Usage: netsim {command}" in shown.out
    examples = shown.out.partition("Examples:")[2]
    assert len(re.findall(rf"^.*netsim.* {command}\b.*$", examples, re.MULTILINE)) >= 2
    assert max(len(line) for line in shown.out.splitlines()) <= 100


def test_help_lists_every_command_and_the_exit_codes(main: Main) -> None:
    shown = main("--help")
    assert shown.code == 0
    for command, (_, text) in root.COMMANDS.items():
        assert re.search(rf"^  {command} +{re.escape(text)}$", shown.out, re.MULTILINE)
    assert "Exit codes" in shown.out


def test_short_help_is_help(main: Main) -> None:
    assert main("get", "-h") == main("get", "--help")


def test_version_is_printed_in_both_ways(main: Main) -> None:
    assert main("--version").out == f"netsim {netsim.__version__}\n"
    assert main("version").out.startswith(f"netsim {netsim.__version__} (Python ")


MISTAKES = [
    (["gte", "pods"], "No such command 'gte'. Did you mean 'get'?", ""),
    (["nonsense"], "No such command 'nonsense'.", ""),
    (["get", "--foo"], "No such option '--foo'.", "netsim get --help"),
    (["get", "pods", "--watc"], "--watch", "netsim get --help"),
    (["scale", "deploy/web"], "Missing option '--replicas'", "netsim scale --help"),
    (["scale", "deploy/web", "--replicas", "many"], "'many' is not a valid integer", ""),
    (["scale", "deploy/web", "--replicas", "-1"], "-1 is not in the range", ""),
    (["up"], "name a topology file", "netsim up examples/quickstart.yaml"),
    (["up", "x.yaml", "--timeout", "-1"], "-1.0 is not in the range", ""),
    (["get", "-A", "rules"], "rules comes first", "netsim get rules [NODE]"),
    (["get"], "say what: TYPE [NAME...] or TYPE/NAME", "types: labs, nodes"),
    (["get", "pdos"], 'no resource type "pdos"', "did you mean pods?"),
    (["get", "pods,nodse"], 'no resource type "nodse"', "did you mean node?"),
    (["get", "po/web", "svc"], "TYPE NAME and TYPE/NAME can not be mixed", ""),
    (["get", "po,svc", "web"], "names go with a single type", ""),
    (["get", "pods", "-o", "josn"], "-o josn: no such format", "json"),
    (["get", "pods", "-o", "jsonpath"], "it needs a template", "-o jsonpath='{.items"),
    (["get", "pods", "-o", "custom-columns="], "it needs a template", "NAME:.metadata.name"),
    (["exec", "web"], "no command given", "netsim exec web -- CMD"),
    (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'", ""),
    (["--color", "blue", "version"], "'blue' is not one of 'auto', 'always', 'never'", ""),
    (["validate"], "Missing argument 'FILE|DIR|-...'", "netsim validate --help"),
]


@pytest.mark.parametrize(("args", "what", "hint"), MISTAKES, ids=lambda v: str(v)[:40])
def test_a_mistake_is_said_in_the_house_style(
    main: Main, args: list[str], what: str, hint: str
) -> None:
    said = main(*args)
    assert said.code == 2, said
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert what in said.err.splitlines()[0]
    assert hint in said.err
    assert "Traceback" not in said.err


ERRORS = [
    (NetsimError("no"), 1),
    (click.UsageError("no"), 2),
    (NotFoundError("no"), 3),
    (PreconditionError("no"), 4),
    (WaitTimeoutError("no"), 5),
    (OSError(errno.ENOSPC, "No space left on device", "x.pcapng"), 1),
    (ZeroDivisionError("division by zero"), 1),
]


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda v: type(v).__name__)
def test_errors_become_exit_codes(error: Exception, code: int) -> None:
    assert root.as_shown(error).exit_code == code


def test_an_error_of_the_system_names_the_file() -> None:
    shown = root.as_shown(OSError(errno.ENOSPC, "No space left on device", "x.pcapng"))
    assert (shown.what, shown.hint) == ("x.pcapng: No space left on device", "")


def test_an_internal_error_asks_for_a_report() -> None:
    shown = root.as_shown(ZeroDivisionError("division by zero"))
    assert shown.what == "internal error: ZeroDivisionError: division by zero"
    assert "--debug" in shown.hint


def fail(*_: object) -> None:
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize("debug", [False, True])
def test_a_traceback_is_printed_on_request_only(
    main: Main, monkeypatch: pytest.MonkeyPatch, debug: bool
) -> None:
    monkeypatch.setattr(output, "dump_json", fail)
    said = main(*(["--debug"] if debug else []), "version", "-o", "json")
    assert said.code == 1
    assert ("Traceback" in said.err) is debug
    assert "error: internal error: ZeroDivisionError" in said.err


def test_debugging_can_be_asked_for_by_the_environment(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETSIM_DEBUG", "1")
    monkeypatch.setattr(output, "dump_json", fail)
    assert "Traceback" in main("version", "-o", "json").err


def test_any_option_can_come_from_the_environment(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETSIM_VERSION_OUTPUT", "json")
    assert main("version").out.startswith("{")


@pytest.mark.parametrize("error", [KeyboardInterrupt, click.Abort])
def test_an_interrupt_is_130(
    main: Main, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr(output, "dump_json", stop)
    assert main("version", "-o", "json").code == 130


INTERRUPTED_IMPORT = """
import os, signal, sys
from netsim.__main__ import main

class Finder:
    def find_spec(self, name, *_):
        if name == "netsim.cli.lifecycle":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["netsim", "up", "--help"]
main()
"""


def test_ctrl_c_while_modules_are_imported_ends_it_without_a_word() -> None:
    argv = [sys.executable, "-c", INTERRUPTED_IMPORT]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
