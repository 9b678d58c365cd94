"""What an object becomes before it is stored: defaults, validation, cluster IP, node ports."""

from __future__ import annotations

from random import Random

from netsim.api.defaults import with_defaults
from netsim.api.fields import Json
from netsim.api.lab_spec import Lab
from netsim.api.meta import kind_of, name_of
from netsim.api.problems import Problem, errors
from netsim.api.service_cidrs import range_problems
from netsim.api.validation import validate_object
from netsim.controllers.base import lab_of
from netsim.controllers.clusterip import ClusterIPs
from netsim.controllers.nodeports import NodePorts
from netsim.controllers.service_update import carried_over
from netsim.lab.apply_checks import lab_changes
from netsim.store.base import View
from netsim.store.errors import ApiError, Cause, invalid


class Admission:
    """`server.api.Admit` for a lab."""

    def __init__(self) -> None:
        self._addresses: ClusterIPs | None = None
        self._ports: NodePorts | None = None

    def __call__(self, view: View, operation: str, new: Json, old: Json | None) -> Json:
        """The object to store. ApiError 422 with every field that is wrong."""
        kind = kind_of(new)
        kept = carried_over(new, old) if kind.name == "Service" and old is not None else new
        obj = with_defaults(kept)
        problems = errors(validate_object(obj, old))
        if kind.name == "Lab":
            problems += _lab_problems(view, obj, old)
        if kind.name == "ServiceCIDR":
            problems += range_problems(obj, lab_of(view) or Lab.parse({}))
        if problems:
            raise refusal(obj, problems)
        if kind.name == "ServiceCIDR" and old is None:
            self._cluster_ips(view).expect(view, obj)
        if kind.name == "Service":
            addressed = self._cluster_ips(view).admit(view, obj, old)
            return self._node_ports(view).admit(view, addressed)
        return obj

    def _node_ports(self, view: View) -> NodePorts:
        if self._ports is None:
            lab = lab_of(view) or Lab.parse({})
            self._ports = NodePorts(Random(lab.seed))
        return self._ports

    def _cluster_ips(self, view: View) -> ClusterIPs:
        lab = lab_of(view) or Lab.parse({})
        if self._addresses is None or self._addresses.lab != lab:
            self._addresses = ClusterIPs(lab, Random(lab.seed))
        return self._addresses


def refusal(obj: Json, problems: list[Problem]) -> ApiError:
    """422 Invalid for an object with problems."""
    kind = kind_of(obj)
    causes = [Cause(p.reason, p.message, p.path) for p in problems]
    return invalid(kind.name, name_of(obj), causes, kind.group)


def _lab_problems(view: View, new: Json, old: Json | None) -> list[Problem]:
    """A lab has one Lab object, whose foundations stay."""
    if old is None:
        if view.list("Lab"):
            return [Problem("error", "a lab has one Lab object", ("metadata", "name"))]
        return []
    return lab_changes(old, new)
