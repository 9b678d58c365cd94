"""Health checks of Services: how many ready endpoints each node has. P-74.

Terminating endpoints do not count, although traffic may still reach them: a balancer that asks
stops sending before they go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from netsim.api.fields import Json, items, number, text, texts
from netsim.api.meta import name_of
from netsim.api.services import needs_health_check
from netsim.controllers.categories import READY, condition_bits
from netsim.controllers.changes import Changes, Tracker
from netsim.controllers.frontends import is_proxied
from netsim.controllers.membership import Name, name_in, service_of
from netsim.controllers.objects import spec
from netsim.store.base import View


class HealthCheck(NamedTuple):
    """A Service that is asked about at `port` of every node; nodes without endpoints: 0."""

    service: Name
    port: int
    endpoints: Mapping[str, int]


class HealthChecks:
    """The health checks of the view shown last, `current`; a view costs what changed in them.

    `services` and `slices` are what that view changed, for whoever else wants to know.
    """

    def __init__(self) -> None:
        self.services = self.slices = Changes([], [])
        self._services, self._slices = Tracker("Service"), Tracker("EndpointSlice")
        self._ports: dict[Name, int] = {}
        self._slices_of: dict[Name, dict[str, Json]] = {}
        self.current: tuple[HealthCheck, ...] = ()

    def advance(self, view: View) -> tuple[HealthCheck, ...]:
        """Health checks by service; the same object while nothing changes."""
        self.services, self.slices = self._services.advance(view), self._slices.advance(view)
        (gone_services, new_services), (gone, new) = self.services, self.slices
        before = dict(self._ports)
        for service in gone_services:
            self._ports.pop(name_in(service), None)
        for service in new_services:
            port = number(spec(service), "healthCheckNodePort")
            if port and needs_health_check(service) and is_proxied(service):
                self._ports[name_in(service)] = port
        if self._ports.keys() - before.keys():
            self._slices_of = {}
            changed = self._note((), view.list("EndpointSlice"))
        else:
            changed = self._note(gone, new)
        if changed or self._ports != before:
            self.current = tuple([self._check(*found) for found in sorted(self._ports.items())])
        return self.current

    def _note(self, gone: Iterable[Json], new: Iterable[Json]) -> bool:
        """Take in slices; whether any belongs to a service that has a health check."""
        changed = False
        for slices, present in ((gone, False), (new, True)):
            for slice_ in slices:
                name = service_of(slice_)
                if name not in self._ports:
                    continue
                changed = True
                of_service = self._slices_of.setdefault(name, {})
                if present:
                    of_service[name_of(slice_)] = slice_
                else:
                    of_service.pop(name_of(slice_), None)
        return changed

    def _check(self, name: Name, port: int) -> HealthCheck:
        ready: dict[str, set[str]] = {}
        for slice_ in self._slices_of.get(name, {}).values():
            for endpoint in items(slice_, "endpoints"):
                if condition_bits(endpoint) & READY and text(slice_, "addressType") == "IPv4":
                    ready.setdefault(text(endpoint, "nodeName"), set()).update(
                        texts(endpoint, "addresses")[:1]
                    )
        return HealthCheck(name, port, {node: len(found) for node, found in ready.items()})
