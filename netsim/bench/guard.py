"""`python -m netsim.bench.guard LAB`: takes a lab down when whoever started it was killed.

It learns that from its standard input, which ends then; a byte there dismisses it.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from netsim.lab import launch

START_S = 1.0  # a lab that was just being started shows up in this time


def main() -> None:
    """Wait, then do it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.read(0, 1):
        return
    time.sleep(START_S)
    launch.stop_lab(sys.argv[1])
    launch.sweep()


if __name__ == "__main__":
    main()
