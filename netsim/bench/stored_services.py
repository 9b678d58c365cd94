"""A store with many settled Services, as a lab's control side has it, without a lab."""

from __future__ import annotations

import time
from pathlib import Path

from netsim.api.meta import ObjectKey
from netsim.backends import BACKENDS
from netsim.bench import rules
from netsim.bench.ours import endpoints_of, lab_manifest, other_manifests
from netsim.bench.rules import ServicePort
from netsim.controllers import all_controllers
from netsim.controllers.base import Pass, settle
from netsim.controllers.clock import rfc3339
from netsim.lab.admission import Admission
from netsim.lab.initial import admitted
from netsim.store.base import Create, Update
from netsim.store.sqlite import open_store


class StoredServices:
    """The store, in a file of `folder`, and the controllers that keep it settled."""

    def __init__(self, folder: Path, services: int, endpoints: int, nodes: int) -> None:
        self.store = open_store(str(folder / "store.sqlite"))
        self._admission = Admission()
        self._controllers = all_controllers(BACKENDS)
        self._up = frozenset(f"node{i + 1}" for i in range(nodes))
        objects = [lab_manifest("bench", "fabric", nodes)]
        for service in rules.others(services, endpoints):
            objects += other_manifests(service)
        self.store.transaction([Create(obj) for obj in admitted(objects)])
        self.settle()

    def settle(self) -> None:
        """Controllers pass until nothing is left to do."""
        now = rfc3339(time.time())
        settle(
            lambda: Pass(self.store.view(), now, self._up),
            self.store.transaction,
            self._controllers,
        )

    def change(self, service: ServicePort) -> None:
        """Commit a Service's endpoints, as an API request does."""
        view = self.store.view()
        old = view.get(ObjectKey("EndpointSlice", "default", service.name))
        assert old is not None
        new = {**old, "endpoints": endpoints_of(service)}
        self.store.transaction([Update(self._admission(view, "UPDATE", new, old))])
