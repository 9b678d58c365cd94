"""The data plane process: `python -m netsim.dataplane.process`, started by the lab's init.

One Python thread that answers control's messages on $NETSIM_STATE/dataplane.sock; packets are the
business of the engine's C threads. It keeps nothing that is not with init: killed at any time, the
next one gets the same descriptors and adopts the flows. Imports stay few: it must start fast.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from netsim.dataplane import messages as m
from netsim.dataplane.answers import DataPlane, Session
from netsim.dataplane.attach import Fetch
from netsim.errors import NotFoundError

if TYPE_CHECKING:
    from netsim.lab.init_client import InitClient

log = logging.getLogger("netsim.dataplane")

CHUNK_BYTES = 1 << 18
YOUNG_MAX = 200_000  # net allocations before the collector looks at them: rows of 10,000 services
FDS_MAX = 8
BALANCE_S = 0.1  # between looks at how busy the workers are
CLIENT_TIMEOUT_S = 10.0  # a client that does not read its answer is let go


class Connection:
    """A client: bytes in, requests to the data plane, replies out."""

    def __init__(self, sock: socket.socket, dataplane: DataPlane) -> None:
        sock.settimeout(CLIENT_TIMEOUT_S)
        self.sock = sock
        self._dataplane = dataplane
        self._received = bytearray()
        self._session = Session()

    def serve(self) -> bool:
        """Read what there is and answer what is whole; False when the client is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(
                self.sock, CHUNK_BYTES, FDS_MAX, socket.MSG_CMSG_CLOEXEC
            )
            self._session.fds += fds
            self._received += data
            while (body := m.take(self._received)) is not None:
                self.sock.sendall(m.pack(self._reply(body)))
        except (OSError, ValueError) as error:
            log.warning("client: %s", error)
            return False
        return bool(data)

    def close(self) -> None:
        """Forget the client and what it has started."""
        self._dataplane.leave(self._session)
        self.sock.close()

    def _reply(self, body: bytes) -> m.Reply:
        try:
            request = m.request_decoder.decode(body)
        except msgspec.DecodeError as error:
            return m.Failed("invalid", str(error))
        return self._dataplane.answer(request, self._session)


def listen(path: Path) -> socket.socket:
    """The socket that clients find; takes the place of one that an earlier process left."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    path.chmod(0o600)
    sock.listen()
    return sock


def serve(listener: socket.socket, dataplane: DataPlane) -> None:
    """Answer clients until the data plane must leave."""
    clients: set[Connection] = set()
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while not dataplane.leaving:
            for key, _ in selector.select(BALANCE_S if dataplane.balances else None):
                if not isinstance(key.data, Connection):
                    client = Connection(listener.accept()[0], dataplane)
                    selector.register(client.sock, selectors.EVENT_READ, client)
                    clients.add(client)
                elif not key.data.serve():
                    selector.unregister(key.fileobj)
                    clients.remove(key.data)
                    key.data.close()
            dataplane.balance()
    for client in clients:
        client.close()


def fetch_from(client: InitClient) -> Fetch:
    """Descriptors that init keeps, by key; LookupError where it keeps none."""

    def fetch(key: str) -> Mapping[str, int]:
        try:
            return client.get(key)
        except NotFoundError as error:
            raise LookupError(str(error)) from error

    return fetch


def raise_file_limit() -> None:
    """One descriptor per pod and 17 per node: take all that we may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def expect_many_rows() -> None:
    """Let the collector wait for more objects than usual: rows come by the ten thousand."""
    gc.set_threshold(YOUNG_MAX, *gc.get_threshold()[1:])


def main() -> int:
    """Run until SIGTERM."""
    from netsim.lab.init_client import InitClient  # here, for tests that have no init

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    expect_many_rows()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    raise_file_limit()
    state = Path(os.environ["NETSIM_STATE"])
    with InitClient(state / "init.sock") as client:
        dataplane = DataPlane(fetch_from(client))
        try:
            with listen(state / "dataplane.sock") as listener:
                serve(listener, dataplane)
        finally:
            dataplane.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
