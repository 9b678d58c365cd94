"""ServiceCIDR: ranges that cluster IPs come from (P-114); what it may say, and all of a lab's.

The Lab's serviceCIDR is the one named `kubernetes`, which the lab makes. Ranges of IPv6 are taken
and have no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from netsim.api import rules
from netsim.api.addresses import Cidr, cidr_or_none
from netsim.api.fields import Json, mapping, texts
from netsim.api.lab_spec import Lab
from netsim.api.object_meta import Metadata, Resource
from netsim.api.problems import Path, Problem, invalid, required

DEFAULT_NAME = "kubernetes"
CIDRS: Path = ("spec", "cidrs")
LONGEST = 30
APART = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


@dataclass(frozen=True, slots=True)
class ServiceCIDR(Resource):
    """A ServiceCIDR; `ranges` are its IPv4 ones."""

    kind: ClassVar[str] = "ServiceCIDR"
    ranges: tuple[Cidr, ...]

    @classmethod
    def parse(cls, obj: Json) -> ServiceCIDR:
        """From a ServiceCIDR object."""
        found = (cidr_or_none(each) for each in texts(mapping(obj, "spec"), "cidrs"))
        return cls(Metadata.parse(obj), tuple([cidr for cidr in found if cidr is not None]))


def service_ranges(lab: Lab, objects: Iterable[Json]) -> tuple[Cidr, ...]:
    """The ranges of ServiceCIDR objects, each once: the default one's first, then by name.

    The Lab's stands for the default one where that is not there.
    """
    by_name = {(found := ServiceCIDR.parse(obj)).name: found.ranges for obj in objects}
    first = by_name.pop(DEFAULT_NAME, (lab.service_cidr,))
    more = (cidr for name in sorted(by_name) for cidr in by_name[name])
    return tuple(dict.fromkeys((*first, *more)))


def check_service_cidr(obj: Json) -> Iterator[Problem]:
    """A ServiceCIDR (ValidateServiceCIDR)."""
    given = texts(mapping(obj, "spec"), "cidrs")
    if not given:
        yield required(CIDRS, "at least one CIDR required")
    elif len(given) > 2:
        yield invalid(CIDRS, list(given), "may only hold up to 2 values")
    elif len(given) == 2 and [":" in each for each in given].count(True) != 1:
        yield invalid(CIDRS, list(given), APART)
    else:
        for index, value in enumerate(given):
            where = (*CIDRS, index)
            yield from (
                rules.any_cidr(where, value) if ":" in value else rules.cidr(where, value, LONGEST)
            )


def check_service_cidr_update(new: Json, old: Json) -> Iterator[Problem]:
    """Ranges stay."""
    before, after = (texts(mapping(obj, "spec"), "cidrs") for obj in (old, new))
    if before != after:
        yield invalid(CIDRS, list(after), rules.IMMUTABLE)


def range_problems(obj: Json, lab: Lab) -> Iterator[Problem]:
    """Why this lab cannot have a ServiceCIDR: its addresses are others', or its name the Lab's."""
    found = ServiceCIDR.parse(obj)
    if found.name == DEFAULT_NAME and found.ranges != (lab.service_cidr,):
        given = list(texts(mapping(obj, "spec"), "cidrs"))
        detail = f"is not the Lab's serviceCIDR {lab.service_cidr}"
        yield invalid(CIDRS, given, detail, "change one of them, or the name")
    others = {"podCIDR": lab.pod_cidr, "nodeCIDR": lab.node_cidr}
    others["loadBalancerCIDR"] = lab.load_balancer_cidr
    for index, value in enumerate(texts(mapping(obj, "spec"), "cidrs")):
        cidr = cidr_or_none(value)
        for name, other in others.items():
            if cidr is not None and cidr.overlaps(other):
                hint = "pod, service and node addresses need ranges of their own"
                yield invalid((*CIDRS, index), value, f"overlaps the Lab's {name} {other}", hint)
