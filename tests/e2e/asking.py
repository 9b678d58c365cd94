"""Programs in pods that are asked line by line."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from netsim import Lab
from tests.e2e.world import TIMEOUT_S, program


@dataclass(frozen=True)
class Asker:
    """A running program that answers each line with one."""

    process: subprocess.Popen[str]

    def ask(self, line: str) -> str:
        """The answer; empty when the program has ended."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")


@contextmanager
def asker(lab: Lab, target: str, script: str, *args: str) -> Iterator[Asker]:
    """A script of programs/ in a pod or node; it ends with the block."""
    pipe = subprocess.PIPE
    process = lab.popen(target, program(script, *args), stdin=pipe, stdout=pipe)
    try:
        yield Asker(process)
    finally:
        process.communicate(timeout=TIMEOUT_S)
