"""Cluster IPs: given to services when they are admitted. K-60, K-61, K-64, K-68."""

from __future__ import annotations

from random import Random

from netsim.api.addresses import address_or_none, format_address
from netsim.api.fields import Json, text, texts
from netsim.api.lab_spec import DNS_NAME, DNS_NAMESPACE, Lab
from netsim.api.meta import ObjectKey, key_of, name_of
from netsim.api.service_cidrs import service_ranges
from netsim.controllers.objects import deleting, spec, with_spec
from netsim.controllers.ranges import Band, pick, service_band
from netsim.store.base import View
from netsim.store.errors import ApiError, Cause, invalid


class ClusterIPs:
    """The addresses of the service ranges and who has them.

    Admission is asked about every service, so what it gave out is known here; whether a holder
    still has its address is looked up in the view. An address given out on the very view that is
    asked about is held although nothing is stored yet: one transaction may create many services,
    and ranges for them (`expect`).
    """

    def __init__(self, lab: Lab, random: Random) -> None:
        self.lab = lab
        self._reserved = {service_band(lab.service_cidr).first: ("default", "kubernetes")}
        if lab.cluster_dns:
            self._reserved[lab.dns_address] = (DNS_NAMESPACE, DNS_NAME)
        self._expected: dict[str, tuple[Json, int]] = {}
        self._ranges: dict[str, Band] = {}
        self._ranges_at: tuple[int, int] | None = None
        self._random = random
        self._holders: dict[int, tuple[ObjectKey, int]] = {}
        self._loaded = False

    def expect(self, view: View, service_cidr: Json) -> None:
        """Count on a ServiceCIDR that will be stored with what is asked about on this view."""
        self._expected[name_of(service_cidr)] = (service_cidr, view.revision)
        self._ranges_at = None

    def admit(self, view: View, service: Json, old: Json | None = None) -> Json:
        """`service` with its address: the one it asks for, had before, or a free one.

        ApiError 422 when the address asked for is taken, outside the ranges or changed (K-68); 500
        when they are full.
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

    def _open(self, view: View) -> dict[str, Band]:
        """Ranges from which may be allocated: of ServiceCIDRs that are not being deleted."""
        now = (view.kind_revision("ServiceCIDR"), view.revision if self._expected else 0)
        if now != self._ranges_at:
            stored = view.list("ServiceCIDR")
            new = [obj for obj, revision in self._expected.values() if revision == view.revision]
            each = [with_spec(obj, cidrs=[]) if deleting(obj) else obj for obj in stored]
            found = service_ranges(self.lab, [*each, *new])
            self._ranges = {str(cidr): service_band(cidr) for cidr in found}
            self._ranges_at = now
        return self._ranges

    def _checked(self, view: View, key: ObjectKey, asked: str) -> int:
        address, ranges = address_or_none(asked), self._open(view)
        if address is None or not any(b.first <= address <= b.last for b in ranges.values()):
            why = f"the provided IP ({asked}) is not in the valid range."
            allowed = ", ".join(ranges)
            raise _refused(key.name, asked, f"{why} The range of valid IPs is {allowed}")
        if self._taken(view, key, address):
            raise _refused(key.name, asked, "provided IP is already allocated")
        return address

    def _free(self, view: View, key: ObjectKey) -> int:
        """From the first range that has room."""
        ranges = self._open(view)
        for band in ranges.values():
            address = pick(band, lambda ip: self._taken(view, key, ip), self._random)
            if address is not None:
                return address
        message = f"failed to allocate a serviceIP: range is full ({', '.join(ranges)})"
        raise ApiError(500, "InternalError", message, kind="services", name=key.name)

    def _taken(self, view: View, key: ObjectKey, address: int) -> bool:
        """Whether another service has it, or it is kept for another."""
        holder, revision = self._holders.get(address, (None, 0))
        if holder is None:
            return self._reserved.get(address, key[1:]) != key[1:]
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
