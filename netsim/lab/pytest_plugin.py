"""The pytest fixtures `lab` and `netsim_lab`, installed with the package.

    @pytest.mark.netsim("topology.yaml")
    def test_it(lab):
        assert lab.run("client", ["curl", "-sf", "http://10.96.0.10/healthz"]).stdout == "ok"

Tests skip, with the reason, where `netsim doctor` says that a lab can not run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from netsim.lab.lab import Lab
    from netsim.lab.topology import Source


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "netsim(source): the topology that the `lab` fixture runs")


@pytest.fixture
def netsim_lab(request: pytest.FixtureRequest) -> Iterator[Callable[[Source], Lab]]:
    """A function that brings a lab up under a name of its own; all go down after the test."""
    from netsim.lab.lab import Lab
    from netsim.linux import features

    missing = features.missing()
    if missing:
        pytest.skip("; ".join(f"{f.name}: {f.detail}" for f in missing))
    labs: list[Lab] = []

    def bring_up(source: Source) -> Lab:
        made = Lab(source, name=f"t{os.getpid()}-{len(labs)}")
        labs.append(made)
        made.up()
        return made

    try:
        yield bring_up
    finally:
        for made in labs:
            made.down()


@pytest.fixture
def lab(request: pytest.FixtureRequest, netsim_lab: Callable[[Source], Lab]) -> Lab:
    """The lab of the test's `netsim` marker, ready."""
    marker = request.node.get_closest_marker("netsim")
    if marker is None or not marker.args:
        pytest.fail("the lab fixture needs @pytest.mark.netsim(SOURCE)")
    return netsim_lab(marker.args[0])
