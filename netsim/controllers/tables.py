"""The whole way from a view to the rows that the data plane should run."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from netsim.backends.base import Backend
from netsim.controllers import host_port_rows, proxy, routes
from netsim.dataplane.rows import Tables
from netsim.store.base import View

MANY_OBJECTS = 100_000


@contextmanager
def collector_paused() -> Iterator[None]:
    """No look for cycles meanwhile: rows have none, and looking takes a third of the time.

    Nor later, when many were made: that would stop us for as long as making them took.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > MANY_OBJECTS:
            gc.freeze()
        if was_enabled:
            gc.enable()


class Compiler:
    """Views to tables; a view costs what changed since the one before."""

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._routes = routes.Compiler(backends)
        self._host_ports = host_port_rows.Compiler()
        self._services = proxy.Compiler()

    def compile(self, view: View) -> Tables:
        """What the data plane should run. Parts that did not change are the same objects."""
        found, pods = self._routes.compile(view)
        with collector_paused():
            host_ports = self._host_ports.compile(view, found.nodes)
            services = self._services.compile(view, host_ports)
        return Tables(
            lab=found.lab,
            nodes=found.nodes,
            pods=pods,
            services=services,
            peers=found.peers,
            paths=found.paths,
        )
