"""Fixtures of tests that run whole labs: labs with names of their own that go down at the end."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from netsim import Lab
from netsim.lab.topology import Source
from netsim.linux import features

NUMBERS = itertools.count()


def lab_name() -> str:
    """A name that no other lab on this machine has."""
    return f"e{os.getpid()}-{next(NUMBERS)}"


@pytest.fixture(scope="module")
def module_lab() -> Iterator[Callable[[Source], Lab]]:
    """A function that brings a lab up; all of a module's go down after its last test."""
    missing = features.missing()
    if missing:
        pytest.skip("; ".join(f"{f.name}: {f.detail}" for f in missing))
    with ExitStack() as labs:
        yield lambda source: labs.enter_context(Lab(source, name=lab_name()))
