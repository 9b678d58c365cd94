"""Workloads with the real init and real sandboxes; only the data plane is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from netsim.api.fields import Json, items, mapping
from netsim.api.meta import ObjectKey
from netsim.api.pods import Probe
from netsim.backends import BACKENDS
from netsim.controllers import all_controllers
from netsim.controllers.base import Pass, settle
from netsim.controllers.objects import is_true, status
from netsim.lab.pod_sandboxes import InitProcesses, PodSandboxes
from netsim.lab.sandbox import Maker
from netsim.lab.timing import WallClock
from netsim.lab.workloads import Workloads
from netsim.store.memory import ObjectStore
from tests.controllers.world import NOW, Object, container, pod
from tests.controllers.world import lab as lab_object
from tests.linux.conftest import InitLab

pytestmark = pytest.mark.linux
PATIENCE_S = 20.0


async def nobody(probe: Probe, address: str, port: int, node: str) -> bool:
    raise AssertionError("no network here")


class Cluster:
    """A control process without its data plane and API."""

    def __init__(self, lab: InitLab, maker: Maker, store: ObjectStore) -> None:
        self.store = store
        self.logs = lab.state / "pods"
        self.controllers = all_controllers(BACKENDS)
        self.woken = asyncio.Event()
        self.workloads = Workloads(
            store,
            PodSandboxes(lab.name, lab.pid, lab.client, lambda: maker),
            InitProcesses(lab.client, lab.state / "init.sock"),
            nobody,
            backends=BACKENDS,
            logs=self.logs,
            clock=WallClock(),
            wake=self.woken.set,
        )
        self.watching = asyncio.get_running_loop().create_task(self.workloads.watch())

    async def until(self, holds: Callable[[], bool]) -> None:
        """Passes until it holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await self.one_pass()
                waits = asyncio.ensure_future(self.store.changed(self.store.revision))
                woken = asyncio.ensure_future(self.woken.wait())
                if not holds():
                    await asyncio.wait({waits, woken}, return_when="FIRST_COMPLETED")
                waits.cancel()
                woken.cancel()
                self.woken.clear()

    async def one_pass(self) -> None:
        def take() -> Pass:
            return Pass(self.store.view(), NOW, frozenset({"node1", "node2"}))

        settle(take, self.store.transaction, self.controllers)
        await self.workloads.reconcile(self.store.view())
        self.workloads.published(self.store.revision)

    async def close(self) -> None:
        self.watching.cancel()
        await asyncio.gather(self.watching, return_exceptions=True)
        await self.workloads.close()

    def pod(self, name: str) -> Json | None:
        return self.store.view().get(ObjectKey("Pod", "default", name))

    def ready(self, name: str) -> bool:
        found = self.pod(name)
        return found is not None and is_true(found, "Ready")

    def restarts(self, name: str) -> object:
        found = self.pod(name)
        assert found is not None
        return items(status(found), "containerStatuses")[0]["restartCount"]


def shell(name: str, script: str, **fields: object) -> Object:
    one = container(command=["/bin/sh", "-c", script], **fields)
    return pod(name, containers=[one])


LISTEN = (
    'trap "echo bye; exit 0" TERM; hostname; ip -o -4 addr show eth0; while :; do sleep 0.05; done'
)


def log(cluster: Cluster, name: str) -> str:
    path = Path(cluster.logs, f"default_{name}_main.log")
    return path.read_text() if path.exists() else ""


def test_a_pod_lives_and_goes(lab: InitLab, maker: Maker) -> None:
    async def scenario() -> None:
        store = ObjectStore()
        store.create(lab_object())
        store.create(shell("web", LISTEN))
        cluster = Cluster(lab, maker, store)
        try:
            await cluster.until(lambda: cluster.ready("web"))
            assert "pod/default/web" in lab.client.keys()  # noqa: SIM118
            async with asyncio.timeout(PATIENCE_S):
                while "10.244.0.2/32" not in log(cluster, "web"):
                    await asyncio.sleep(0.01)
            assert log(cluster, "web").startswith("web\n")
            store.delete(ObjectKey("Pod", "default", "web"))
            await cluster.until(lambda: cluster.pod("web") is None)
            assert lab.client.keys() == {}
            async with asyncio.timeout(PATIENCE_S):
                while any(p.key.startswith("container/") for p in lab.client.processes()):
                    await asyncio.sleep(0.01)
        finally:
            await cluster.close()

    asyncio.run(scenario())


def test_the_next_control_process_adopts(lab: InitLab, maker: Maker) -> None:
    async def scenario() -> None:
        store = ObjectStore()
        store.create(lab_object())
        store.create(shell("web", "while :; do sleep 0.05; done"))
        first = Cluster(lab, maker, store)
        await first.until(lambda: first.ready("web"))
        await first.close()
        (before,) = (p for p in lab.client.processes() if p.key.startswith("container/"))
        second = Cluster(lab, maker, store)
        try:
            await second.one_pass()
            (after,) = (p for p in lab.client.processes() if p.key.startswith("container/"))
            assert (after.pid, after.running) == (before.pid, True)
            lab.client.signal(after.key, 9)
            await second.until(lambda: second.restarts("web") == 1 and second.ready("web"))
        finally:
            await second.close()

    asyncio.run(scenario())


def test_a_probe_command_runs_inside(lab: InitLab, maker: Maker) -> None:
    async def scenario() -> None:
        store = ObjectStore()
        store.create(lab_object())
        check = {"exec": {"command": ["sh", "-c", 'test "$(hostname)" = web']}, "periodSeconds": 1}
        store.create(shell("web", "while :; do sleep 0.05; done", readinessProbe=check))
        cluster = Cluster(lab, maker, store)
        try:
            await cluster.until(lambda: cluster.ready("web"))
        finally:
            await cluster.close()

    asyncio.run(scenario())


def test_a_program_that_is_not_there_is_said(lab: InitLab, maker: Maker) -> None:
    async def scenario() -> None:
        store = ObjectStore()
        store.create(lab_object())
        store.create(pod("web", containers=[container(command=["/no/such/program"])]))
        cluster = Cluster(lab, maker, store)

        def said() -> bool:
            found = cluster.pod("web")
            assert found is not None
            texts = [
                str(mapping(mapping(c, "state"), "waiting").get("message"))
                for c in items(status(found), "containerStatuses")
            ]
            return any("/no/such/program: No such file or directory" in t for t in texts)

        try:
            await cluster.until(said)
        finally:
            await cluster.close()

    asyncio.run(scenario())
