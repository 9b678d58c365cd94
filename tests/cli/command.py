"""Running the command: in this process where that is enough, as users do where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ARGV = (sys.executable, "-m", "netsim")
TIMEOUT_S = 60.0


class Result(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Main(Protocol):
    """Runs the command in this process."""

    def __call__(self, *args: str) -> Result: ...


def environment(**changes: str | None) -> dict[str, str]:
    """Ours, without what could change outputs, with `changes`; None removes."""
    neutral = ("NO_COLOR", "FORCE_COLOR", "CI", "TERM", "NETSIM_LAB", "NETSIM_DEBUG")
    env = {k: v for k, v in os.environ.items() if k not in neutral}
    env["PYTHONPATH"] = str(ROOT)
    return {**{k: v for k, v in env.items() if k not in changes}, **_given(changes)}


def _given(changes: Mapping[str, str | None]) -> dict[str, str]:
    return {k: v for k, v in changes.items() if v is not None}


def run(
    *args: str,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> Result:
    """Run `netsim ARGS` to its end; `before` are words in front, such as setpriv's."""
    done = subprocess.run(
        [*before, *ARGV, *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment() if env is None else dict(env),
        cwd=ROOT,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def start(*args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `netsim ARGS` with pipes."""
    return subprocess.Popen(
        [*ARGV, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() if env is None else dict(env),
        cwd=ROOT,
    )


def finish(process: subprocess.Popen[str], timeout_s: float = 20) -> Result:
    """Wait for a started command's end, and close its pipes; kill it if it does not end."""
    killer = threading.Timer(timeout_s, process.kill)
    killer.start()
    with process:
        out = process.stdout.read() if process.stdout else ""
        err = process.stderr.read() if process.stderr else ""
    killer.cancel()
    return Result(process.returncode, out, err)


def succeed(*args: str, stdin: str = "") -> Result:
    """Run a command that must succeed."""
    result = run(*args, stdin=stdin)
    assert result.code == 0, result
    return result
