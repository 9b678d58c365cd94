"""The developers' benchmarks run to their end."""

from __future__ import annotations

import pytest

from benchmarks import path


@pytest.mark.parametrize("new", [False, True])
def test_the_packet_path_is_measured_in_memory(new: bool) -> None:
    figures = path.nanoseconds(path.Case("small", 1000, 10, 64, 960, new))
    assert 0 < figures["ns"] < 100_000
