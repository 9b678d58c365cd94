"""The backends by name. Adding one is adding a file and a line here."""

from __future__ import annotations

from netsim.backends.base import Backend
from netsim.backends.host_gw import HostGateway
from netsim.backends.udp import Udp
from netsim.backends.vxlan import Vxlan

BACKENDS: dict[str, Backend] = {b.name: b for b in (Vxlan(), Udp(), HostGateway())}


def backend(name: str) -> Backend:
    """The backend called `name`. ValueError names the ones there are."""
    try:
        return BACKENDS[name]
    except KeyError:
        raise ValueError(f"no backend {name!r}: use one of {', '.join(BACKENDS)}") from None
