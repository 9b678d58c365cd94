"""Completion: the scripts load in their shells, and complete what a lab has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import ARGV, ROOT, Main, environment, run, succeed

SHELLS = ("bash", "zsh", "fish")


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_printed(main: Main, shell: str) -> None:
    said = main("completion", shell)
    assert said.code == 0
    assert f"_NETSIM_COMPLETE={shell}_complete" in said.out


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_good_syntax(main: Main, shell: str, tmp_path: Path) -> None:
    needs(shell)
    script = tmp_path / "script"
    script.write_text(main("completion", shell).out)
    subprocess.run([shell, "-n", str(script)], check=True, timeout=20)


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    """A folder with the command in it."""
    path = tmp_path / "bin"
    path.mkdir()
    (path / "netsim").write_text(f'#!/bin/sh\nexec {" ".join(ARGV)} "$@"\n')
    (path / "netsim").chmod(0o755)
    return path


def completed(bin_dir: Path, line: str) -> list[str]:
    """What bash completes at the end of a line."""
    needs("bash")
    words = " ".join(f"'{word}'" for word in line.split(" "))
    script = f"""
        source <(netsim completion bash)
        COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMP_LINE='{line}'
        COMP_POINT=${{#COMP_LINE}}
        _netsim_completion netsim "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    env = environment(PATH=f"{bin_dir}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env=env,
        cwd=ROOT,
        check=True,
        timeout=30,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("netsim g", ["get"]),
        ("netsim co", ["completion"]),
        ("netsim get --wa", ["--watch", "--watch-only"]),
        ("netsim get -o js", ["json", "jsonpath="]),
        ("netsim completion b", ["bash"]),
        ("netsim get depl", ["deployments", "deploy"]),
        ("netsim get ru", ["rules"]),
        ("netsim describe ru", []),
        ("netsim get rules --format n", ["nft"]),
    ],
)
def test_words_are_completed_without_a_lab(
    bin_dir: Path, empty_root: Path, line: str, words: list[str]
) -> None:
    assert sorted(completed(bin_dir, line)) == sorted(words)


def test_names_complete_to_nothing_without_a_lab(bin_dir: Path, empty_root: Path) -> None:
    for line in ("netsim get pods c", "netsim exec c", "netsim down s", "netsim get pods -L s"):
        assert completed(bin_dir, line) == []


@pytest.mark.linux
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("netsim get po cl", ["client"]),
        ("netsim get rules ", ["node1", "node2"]),
        ("netsim get pods -n shop ", ["till"]),
        ("netsim get po/cl", ["po/client"]),
        ("netsim describe node ", ["node1", "node2"]),
        ("netsim delete svc client w", ["web"]),
        ("netsim exec c", ["client"]),
        ("netsim exec node/", ["node/node1", "node/node2"]),
        ("netsim logs -n shop t", ["till"]),
        ("netsim capture cl", ["client"]),
        ("netsim down s", ["shared"]),
        ("netsim status s", ["shared"]),
        ("netsim get pods -L ", ["shared"]),
        ("netsim scale deploy/", ["deploy/web"]),
    ],
)
def test_names_of_a_lab_are_completed(lab: str, bin_dir: Path, line: str, words: list[str]) -> None:
    assert sorted(completed(bin_dir, line)) == words


@pytest.mark.linux
def test_completion_speaks_of_the_lab_that_is_meant(lab: str, bin_dir: Path) -> None:
    assert completed(bin_dir, "netsim get -L nope pods c") == []
    assert succeed("ps", "-o", "name").out == f"{lab}\n"


def test_an_unknown_shell_is_a_mistake() -> None:
    assert run("completion", "tcsh").code == 2
