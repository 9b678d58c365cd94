"""What every test has: hypothesis profiles, the `linux` marker, a C compiler; no engine left over.

NETSIM_HYPOTHESIS=default|ci|fuzz says how hard properties are tried. NETSIM_REQUIRE_ALL=1, which CI
sets, makes a failure of every skipped test but those that need what netsim can not install.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow]  # this machine is shared; examples count, not seconds
settings.register_profile("default", deadline=None, suppress_health_check=SLOW)
settings.register_profile("ci", deadline=None, suppress_health_check=SLOW, max_examples=500)
settings.register_profile("fuzz", deadline=None, suppress_health_check=SLOW, max_examples=20_000)
settings.load_profile(os.environ.get("NETSIM_HYPOTHESIS", "default"))

# A shell that runs this in the background ignores Ctrl-C for it: programs under test must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRE_ALL = os.environ.get("NETSIM_REQUIRE_ALL") == "1"
MAY_SKIP = {"kubectl is not installed"}  # Debian has none that is not years old


@pytest.fixture(scope="session")
def cc() -> str:
    """The C compiler; without one these tests can not run."""
    found = shutil.which(os.environ.get("CC", "cc"))
    if found is None:
        pytest.skip("no C compiler")
    return found


def require(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip whose reason is not in MAY_SKIP into a failure."""
    if not REQUIRE_ALL or report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    where = report.longrepr
    reason = where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)
    if reason not in MAY_SKIP:
        report.outcome = "failed"
        report.longrepr = f"skipped: {reason}, and NETSIM_REQUIRE_ALL is set"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    require(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    require(report)
    return report


def linux_lacks() -> str | None:
    """Why tests that need the kernel's help can not run here; None if they can."""
    if os.geteuid() != 0:
        return "needs root"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"/dev/net/tun: {error.strerror}"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("linux")]
    reason = linux_lacks() if marked else None
    if reason is not None:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))


def live_engines() -> int:
    core = sys.modules.get("netsim.dataplane._core")
    return core.live_engines() if core else 0


@pytest.fixture(autouse=True)
def no_engine_left() -> Iterator[None]:
    """A test closes the engines that it makes, or drops the last reference to them."""
    before = live_engines()
    yield
    if live_engines() > before:
        gc.collect()
        assert live_engines() <= before, "the test left an engine behind"
