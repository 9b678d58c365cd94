"""`GET /netsim/wait` where a lab changes while its status is put together."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from netsim.lab.control import Control
from netsim.lab.lab_api import LabApi


async def progressed(since: int, timeout_s: float) -> None:
    """A pass has ended."""


class Told(LabApi):
    """Looks ready all the time; tells whether it is as listed, then the last for ever."""

    def __init__(self, *told: bool) -> None:
        super().__init__(cast(Control, SimpleNamespace(passes=0, progressed=progressed)))
        self.told = list(told)

    def _ready(self) -> bool:
        return True

    async def _status(self) -> dict[str, object]:
        return {"ready": self.told.pop(0) if len(self.told) > 1 else self.told[0]}


def asked(api: LabApi, timeout_s: float) -> dict[str, object]:
    request = make_mocked_request("GET", f"/netsim/wait?timeoutSeconds={timeout_s}")
    answer: web.Response = asyncio.run(api.wait(request))
    found: dict[str, object] = json.loads(cast(str, answer.text))
    return found


@pytest.mark.parametrize("told", [(True,), (False, True), (False, False, False, True)])
def test_a_lab_that_is_ready_again_in_time_is_told_to_be(told: tuple[bool, ...]) -> None:
    assert asked(Told(*told), 20) == {"ready": True}


@pytest.mark.parametrize("timeout_s", [0, 0.05])
def test_a_lab_that_is_not_is_told_when_time_is_up(timeout_s: float) -> None:
    assert asked(Told(False), timeout_s) == {"ready": False}
