"""Real inits and sandboxes for the tests that need them: the fixtures of tests/linux."""

from __future__ import annotations

from tests.linux.conftest import lab, maker, run_root, start_lab

__all__ = ["lab", "maker", "run_root", "start_lab"]
