"""A running capture, as a lab's client sees it: an HTTP answer that is copied into a file."""

from __future__ import annotations

import contextlib
import http.client
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import urlencode

from netsim.api.fields import number
from netsim.errors import NetsimError
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
        self._ended = threading.Event()
        self._error: Exception | None = None
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
        self._out = self._file.open("wb") if isinstance(self._file, Path) else self._file
        try:
            self._answer = self._api.open("GET", f"/netsim/captures?{self._query}")
        except BaseException:
            self._close_file()
            raise
        threading.Thread(target=self._copy, name="capture", daemon=True).start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the capture ends by itself; whether it has."""
        return self._ended.wait(timeout_s)

    def stop(self) -> None:
        """End it and wait until all that was captured is in the file.

        OSError: it could not be written. NetsimError: the lab went away meanwhile.
        """
        try:
            if not self._ended.is_set():
                number_text = self._answer.headers.get("Netsim-Capture", "")
                done = self._api.call("DELETE", f"/netsim/captures/{number_text}")
                self.captured, self.missed = number(done, "captured"), number(done, "missed")
                self._ended.wait()
        finally:
            self._api.close()
            self._close_file()
        if self._error is not None:
            raise self._error

    def _copy(self) -> None:
        try:
            with self._answer:
                while chunk := self._read():
                    self._out.write(chunk)
                    self._out.flush()
        except Exception as error:
            self._error = error
        finally:
            self._ended.set()

    def _read(self) -> bytes:
        try:
            return self._answer.read1(1 << 16)
        except (OSError, http.client.HTTPException) as error:
            raise NetsimError("the lab went away", str(error)) from error

    def _close_file(self) -> None:
        if isinstance(self._file, Path):
            with contextlib.suppress(BrokenPipeError):
                self._out.close()
