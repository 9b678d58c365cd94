"""What Services say that the proxy can do nothing with, told once. P-96, P-112."""

from __future__ import annotations

from netsim.controllers.changes import Changes
from netsim.controllers.frontends import passed_over
from netsim.controllers.membership import Name, name_in


class Oddities:
    """Addresses that are passed over; an object's are told again only when there are others."""

    def __init__(self) -> None:
        self._told: dict[Name, list[str]] = {}

    def advance(self, services: Changes) -> list[str]:
        """A line for each object that has such addresses and has not been told of."""
        gone, new = services
        before = {name: told for s in gone if (told := self._told.pop(name := name_in(s), []))}
        lines = []
        for service in new:
            found = passed_over(service)
            if found:
                name = name_in(service)
                self._told[name] = found
                if before.get(name) != found:
                    lines.append(f"service {'/'.join(name)}: not used: {', '.join(found)}")
        return lines
