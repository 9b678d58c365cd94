"""The engine's workers under churn, watched by the thread and the address sanitizer."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from netsim.dataplane._core import engine_io


@pytest.mark.parametrize("io", ["io_uring", "epoll"])
@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_churn_under_traffic_is_clean(
    build_driver: Callable[[str], Path], sanitizer: str, io: str
) -> None:
    """Exit status 0: answers came, each from the service asked; no reports; no unknown drops."""
    if io == "io_uring" and engine_io()[0] != io:
        pytest.skip("this kernel has no io_uring of 6.7")
    try:
        driver = build_driver(sanitizer)
    except RuntimeError as error:
        if "cannot find" in str(error):
            pytest.skip(f"the compiler has no runtime for -fsanitize={sanitizer}")
        raise
    env = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1", "ASAN_OPTIONS": "detect_leaks=1"}
    done = subprocess.run(
        [str(driver), "250", "1", io],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=env,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong 0" in done.stdout
