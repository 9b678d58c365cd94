"""netsim: the network of a Kubernetes cluster on one machine.

`netsim.Lab` is the object that people script; importing this package alone costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netsim.lab.lab import Lab as Lab

__version__ = "0.1.0"
__all__ = ["Lab", "__version__"]


def __getattr__(name: str) -> object:
    """Import `Lab` when it is first asked for (PEP 562): the CLI and the data plane do without."""
    if name == "Lab":
        from netsim.lab.lab import Lab

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
