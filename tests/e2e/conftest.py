"""Fixtures of tests that run whole labs: labs with names of their own that go down at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from netsim import Lab
from netsim.lab.topology import Source
from netsim.linux import features
from tests.e2e.world import lab_name


@pytest.fixture(scope="session")
def runnable() -> None:
    """Skips, with the reason, where labs can not run."""
    missing = features.missing()
    if missing:
        pytest.skip("; ".join(f"{f.name}: {f.detail}" for f in missing))


@pytest.fixture(scope="module")
def module_lab(runnable: None) -> Iterator[Callable[[Source], Lab]]:
    """A function that brings a lab up; all of a module's go down after its last test."""
    with ExitStack() as labs:
        yield lambda source: labs.enter_context(Lab(source, name=lab_name()))
