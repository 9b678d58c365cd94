"""How tests of workloads tell a story: objects in, a coroutine that plays, what is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

from netsim.api.fields import Json, items, mapping, number
from netsim.controllers.objects import status
from tests.controllers.world import (
    Object,
    container,
    lab,
    pod,
)
from tests.workloads.fakes import Machine

Scenario = Callable[[Machine], Coroutine[object, object, None]]

PROGRAM = container(command=["server"])
HTTP = {"name": "http", "containerPort": 8080}


def program(name: str = "p", **fields: object) -> Object:
    given: Object = {"containers": [PROGRAM], **fields}
    return pod(name, **given)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(path: Path, *objects: Json) -> AsyncIterator[Machine]:
    machine = Machine(path, lab(), *objects)
    try:
        yield machine
    finally:
        await machine.close()


def play(path: Path, scenario: Scenario, *objects: Json) -> None:
    async def whole() -> None:
        async with opened(path, *objects) as machine:
            await scenario(machine)

    asyncio.run(whole())


def state_of(stored: Json, container_name: str = "main") -> tuple[str, Json]:
    (only,) = (c for c in items(status(stored), "containerStatuses") if c["name"] == container_name)
    ((kind, detail),) = mapping(only, "state").items()
    assert isinstance(detail, dict)
    return kind, detail


def restart_count(stored: Json) -> int:
    return number(items(status(stored), "containerStatuses")[0], "restartCount")
