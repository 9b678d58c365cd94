"""`netsim` and `python -m netsim`: while modules are imported Ctrl-C just ends the process.

Python would print a traceback then, or lose the signal in one of the import system's callbacks;
nothing has begun that would need cleaning up. `cli.main` takes over when a command is known.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Entry point of the command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from netsim.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
