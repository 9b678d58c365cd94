"""Cluster IPs: given to services when they are admitted. K-60, K-61, K-64, K-68."""

from __future__ import annotations

from random import Random

from netsim.api.addresses import Cidr, address_or_none, format_address
from netsim.api.fields import Json, text, texts
from netsim.api.meta import ObjectKey, key_of
from netsim.controllers.objects import spec, with_spec
from netsim.controllers.ranges import pick, service_band
from netsim.store.base import View
from netsim.store.errors import ApiError, Cause, invalid


class ClusterIPs:
    """The addresses of a service range and who has them.

    Admission is asked about every service, so what it gave out is known here; whether a holder
    still has its address is looked up in the view. An address given out on the very view that is
    asked about is held although nothing is stored yet: one transaction may create many services.
    """

    def __init__(self, cidr: Cidr, random: Random) -> None:
        self.cidr = cidr
        self._band = service_band(cidr)
        self._random = random
        self._holders: dict[int, tuple[ObjectKey, int]] = {}
        self._loaded = False

    def admit(self, view: View, service: Json, old: Json | None = None) -> Json:
        """`service` with its address: the one it asks for, had before, or a free one.

        ApiError 422 when the address asked for is taken, outside the range or changed (K-68); 500
        when the range is full.
        """
        self._load(view)
        if text(spec(service), "type") == "ExternalName":
            return without_address(service)
        before = _asked(old) if old is not None else ""
        asked = _asked(service) or before
        if before and asked != before:
            raise _invalid(key_of(service).name, asked, "may not change once set")
        if asked == "None":
            return with_spec(service, clusterIP="None", clusterIPs=["None"])
        key = key_of(service)
        address = self._checked(view, key, asked) if asked else self._free(view, key)
        self._holders[address] = (key, view.revision)
        ip = format_address(address)
        return with_spec(service, clusterIP=ip, clusterIPs=[ip])

    def _load(self, view: View) -> None:
        """Once: what was given out before this process started."""
        if self._loaded:
            return
        self._loaded = True
        for service in view.list("Service"):
            address = address_or_none(text(spec(service), "clusterIP"))
            if address is not None:
                self._holders[address] = (key_of(service), view.revision)

    def _checked(self, view: View, key: ObjectKey, asked: str) -> int:
        address = address_or_none(asked)
        if address is None or not self._band.first <= address <= self._band.last:
            why = f"the provided IP ({asked}) is not in the valid range."
            raise _refused(key.name, asked, f"{why} The range of valid IPs is {self.cidr}")
        if self._taken(view, key, address):
            raise _refused(key.name, asked, "provided IP is already allocated")
        return address

    def _free(self, view: View, key: ObjectKey) -> int:
        address = pick(self._band, lambda ip: self._taken(view, key, ip), self._random)
        if address is None:
            message = f"failed to allocate a serviceIP: range is full ({self.cidr})"
            raise ApiError(500, "InternalError", message, kind="services", name=key.name)
        return address

    def _taken(self, view: View, key: ObjectKey, address: int) -> bool:
        """Whether another service has the address; the first one is for `default/kubernetes`."""
        holder, revision = self._holders.get(address, (None, 0))
        if holder is None:
            return address == self._band.first and (key.namespace, key.name) != (
                "default",
                "kubernetes",
            )
        if holder == key:
            return False
        stored = view.get(holder)
        if stored is not None and text(spec(stored), "clusterIP") == format_address(address):
            return True
        return stored is None and revision == view.revision


def without_address(service: Json) -> Json:
    """An ExternalName service has no address; one that it had is free again (K-64)."""
    fields = {k: v for k, v in spec(service).items() if k not in ("clusterIP", "clusterIPs")}
    return {**service, "spec": fields}


def _asked(service: Json) -> str:
    """The address in `clusterIP`, or first in `clusterIPs`."""
    listed = texts(spec(service), "clusterIPs")
    return text(spec(service), "clusterIP") or (listed[0] if listed else "")


def _refused(name: str, asked: str, why: str) -> ApiError:
    return _invalid(name, asked, f"failed to allocate IP {asked}: {why}")


def _invalid(name: str, asked: str, why: str) -> ApiError:
    message = f'Invalid value: "{asked}": {why}'
    return invalid("Service", name, [Cause("FieldValueInvalid", message, "spec.clusterIPs[0]")])
