"""The data plane's server in a thread of the test, and the process with an init of the test's."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from netsim.dataplane.answers import DataPlane
from netsim.dataplane.client import DataplaneClient
from netsim.dataplane.process import listen, serve
from netsim.lab import init_messages as im
from tests.dataplane.sandboxes import Sandboxes

REPO = Path(__file__).parents[2]
START_S = 20.0


@contextmanager
def served(boxes: Sandboxes, path: Path) -> Iterator[DataPlane]:
    """A data plane that listens at `path`."""
    dataplane = DataPlane(boxes.fetch)
    with listen(path) as listener:
        thread = threading.Thread(target=serve, args=(listener, dataplane))
        thread.start()
        try:
            yield dataplane
        finally:
            dataplane.leaving = True
            with suppress(OSError), socket.socket(socket.AF_UNIX) as wake:
                wake.connect(str(path))
            thread.join()
            dataplane.close()


@contextmanager
def init_at(path: Path, boxes: Sandboxes) -> Iterator[None]:
    """Answers Get as init does, for any number of clients."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen()

    def answer(client: socket.socket) -> None:
        with client:
            while data := client.recv(im.MESSAGE_BYTES_MAX):
                request = im.decode_request(data)
                assert isinstance(request, im.Get)
                try:
                    fds = boxes.fetch(request.key)
                except LookupError as error:
                    client.send(im.encode(im.Failed("missing", str(error))))
                    continue
                socket.send_fds(client, [im.encode(im.Names(list(fds)))], list(fds.values()))
                for fd in fds.values():
                    os.close(fd)

    def accept() -> None:
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def process(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m netsim.dataplane.process`, killed at the end if it has not ended."""
    env = {**os.environ, "NETSIM_STATE": str(state), "NETSIM_LAB": "test"}
    with subprocess.Popen(
        [sys.executable, "-m", "netsim.dataplane.process"], cwd=REPO, env=env
    ) as child:
        try:
            yield child
        finally:
            child.kill()


async def connect(path: Path) -> DataplaneClient:
    """Connect as soon as somebody listens."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            return await DataplaneClient.connect(path)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
