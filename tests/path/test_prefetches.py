"""The compiler leaves prefetches in: GCC dropped one of new connections (PREFETCHING in base.h)."""

from __future__ import annotations

import re
import subprocess

import pytest

from benchmarks.compiled import CSRC, RELEASE

PREFETCH = re.compile(r"^\s+(?:prefetch\w*|prfm)\s", re.MULTILINE)


@pytest.mark.parametrize(
    ("stage", "count"),
    [
        pytest.param("parse", 1, id="the index of flows"),
        pytest.param("flow", 3, id="a flow, over three cache lines"),
        pytest.param("service", 5, id="a key, its frontend and service, an endpoint"),
        pytest.param("translate", 1, id="where answers will be found"),
    ],
)
def test_prefetches_are_compiled(cc: str, stage: str, count: int) -> None:
    command = [cc, "-std=c11", "-D_GNU_SOURCE", *RELEASE, "-S", "-o", "-"]
    made = subprocess.run(
        [*command, str(CSRC / f"stage_{stage}.c")], capture_output=True, text=True, check=True
    )
    assert len(PREFETCH.findall(made.stdout)) >= count
