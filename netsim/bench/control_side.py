"""Asks a control_case process: one child per number of services, endpoints and nodes."""

from __future__ import annotations

import subprocess
import sys

from netsim.bench.load import Figures, parse
from netsim.bench.space import ToolError, stop


class ControlSide:
    """A control side with so many services. ToolError when it fails."""

    def __init__(self, services: int, endpoints: int, nodes: int) -> None:
        pipe = subprocess.PIPE
        words = ["-m", "netsim.bench.control_case", *map(str, (services, endpoints, nodes))]
        self._process = subprocess.Popen(
            [sys.executable, *words], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        self._begun = False

    def ask(self, line: str) -> Figures:
        """Have a command done."""
        if not self._begun:
            self._begun = True
            self._read()  # what it says when all is published
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Figures:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            why = self._process.stderr.read().strip().splitlines()
            raise ToolError("control side", "\n".join(why[-3:]))
        return parse(line)

    def close(self) -> None:
        """End it."""
        stop(self._process)
