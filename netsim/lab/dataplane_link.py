"""The control side's end of the data plane: what it runs, what it should run, and reconnecting.

Level-triggered: `publish` takes whole desired tables and sends what differs from what this data
plane process has applied. What that is it tells itself, so a control process that has just started
changes nothing that is right already, and a new data plane process gets everything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from netsim.api.fields import Json
from netsim.dataplane.client import DataplaneClient, RefusedError
from netsim.dataplane.messages import Hello
from netsim.dataplane.plan import plan
from netsim.dataplane.rows import Tables

log = logging.getLogger(__name__)
RETRY_S = 0.02
RETRY_MAX_S = 1.0


class DataplaneLink:
    """Keeps one connection to the data plane; `wake` is called when a pass is needed."""

    def __init__(self, path: Path, hello: Hello, wake: Callable[[], None]) -> None:
        self._path = path
        self._hello = hello
        self._wake = wake
        self._client: DataplaneClient | None = None
        self.applied = Tables()
        self.published = 0
        self.revisions: Mapping[str, int] = {}
        self.error = ""

    @property
    def client(self) -> DataplaneClient | None:
        """The connection, None while there is none."""
        return self._client

    async def keep_connected(self) -> None:
        """Connect, wait until the data plane goes, begin again; for ever."""
        delay = RETRY_S
        while True:
            try:
                client = await DataplaneClient.connect(self._path)
                welcome = await client.hello(self._hello)
                self.applied = await client.tables()
                self.revisions = await client.revisions()
            except (OSError, EOFError) as error:
                self.error = f"data plane: {error}"
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_MAX_S)
                continue
            log.info("connected to the data plane")
            self.published = welcome.revision
            self._client, self.error, delay = client, "", RETRY_S
            self._wake()
            await client.closed.wait()
            self._client = None
            log.warning("the data plane went away")

    async def publish(self, desired: Tables, revision: int) -> bool:
        """Send what differs; whether the data plane now runs `desired` at `revision`.

        Rows that are refused are named in `error`; all others are in place.
        """
        client = self._client
        if client is None:
            return False
        changes = plan(self.applied, desired)
        if not changes and self.published:
            return True
        try:
            self.revisions = await client.apply(changes, revision)
        except RefusedError as error:
            self.error = str(error)
            self.applied = await client.tables()
            return False
        except (OSError, EOFError) as error:
            self.error = f"data plane: {error}"
            return False
        self.applied, self.published, self.error = desired, revision, ""
        return True

    async def facts(self) -> tuple[Json | None, Mapping[str, Json]]:
        """Facts of the process and counters by node; (None, {}) while there is none."""
        client = self._client
        if client is None:
            return None, {}
        try:
            return await client.info(), await client.stats()
        except (OSError, EOFError):
            return None, {}
