"""A running capture, as a lab's client sees it: an HTTP answer that is copied into a file."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import urlencode

from netsim.api.fields import number
from netsim.lab.targets import qualified
from netsim.server.client import ApiClient


class Capture:
    """Packets of one iface as pcapng, from `start` (or `with`) until `stop`.

    `missed` packets found no room because the file was written too slowly.
    """

    def __init__(
        self, api: ApiClient, target: str, file: Path | IO[bytes], snaplen: int = 0
    ) -> None:
        self._api = api
        self._query = urlencode({"target": qualified(target), "snaplen": snaplen})
        self._file = file
        self.captured = 0
        self.missed = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin; packets from here on are in the file. NotFoundError, UsageError."""
        self._answer = self._api.open("GET", f"/netsim/captures?{self._query}")
        self._out = self._file.open("wb") if isinstance(self._file, Path) else self._file
        self._thread = threading.Thread(target=self._copy, name="capture", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the capture ends by itself; whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End it and wait until all that was captured is in the file."""
        if self._thread.is_alive():
            number_text = self._answer.headers.get("Netsim-Capture", "")
            with self._api as api:
                done = api.call("DELETE", f"/netsim/captures/{number_text}")
            self.captured, self.missed = number(done, "captured"), number(done, "missed")
        self._thread.join()
        self._answer.close()
        if isinstance(self._file, Path):
            self._out.close()

    def _copy(self) -> None:
        while chunk := self._answer.read1(1 << 16):
            self._out.write(chunk)
            self._out.flush()
