"""The whole way from a view to the rows that the data plane should run."""

from __future__ import annotations

from collections.abc import Mapping

from netsim.backends.base import Backend
from netsim.controllers import proxy, routes
from netsim.dataplane.rows import Tables
from netsim.store.base import View


class Compiler:
    """Views to tables; a view costs what changed since the one before."""

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._routes = routes.Compiler(backends)
        self._services = proxy.Compiler()

    def compile(self, view: View) -> Tables:
        """What the data plane should run. Parts that did not change are the same objects."""
        found, pods = self._routes.compile(view)
        return Tables(
            lab=found.lab,
            nodes=found.nodes,
            pods=pods,
            services=self._services.compile(view),
            peers=found.peers,
            paths=found.paths,
        )
