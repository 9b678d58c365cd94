"""Servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.running import Server, new_api


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with the namespace `default`."""
    made = Server(new_api())
    yield made
    made.close()
