"""Whether a plan can be carried out: what cross checks and updates of stored objects forbid.

`netsim apply` asks the running lab, which knows what there is already; the answer names fields, and
the client, which has read the files, adds file, line and column (`topology.with_places`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from netsim.api.fields import Json, flag, text
from netsim.api.lab_spec import Lab
from netsim.api.located import Located
from netsim.api.meta import key_of
from netsim.api.problems import Path, Problem, errors
from netsim.api.validation import validate_all, validate_object
from netsim.controllers.service_update import carried_over
from netsim.lab.apply import Step

# A running lab was built with these: they are in its namespaces and sockets.
FIXED = {
    "podCIDR": "pod_cidr",
    "serviceCIDR": "service_cidr",
    "nodeCIDR": "node_cidr",
    "backend": "backend",
    "loadBalancerCIDR": "load_balancer_cidr",
    "proxy": "proxy",
    "proxyMode": "proxy_mode",
    "conntrack": "conntrack",
    "outside": "outside",
    "clusterDNS": "cluster_dns",
    "wire": "wire",
    "mtu": "mtu",
    "workers": "workers",
    "io": "io",
    "polling": "polling",
    "seed": "seed",
}


def lab_changes(old: Json, new: Json) -> list[Problem]:
    """What of a Lab object may not change while the lab runs."""
    before, after = Lab.parse(old), Lab.parse(new)
    return [
        Problem(
            "error",
            "Forbidden: may not change while the lab runs: take it down and up again",
            ("spec", field),
            reason="FieldValueForbidden",
        )
        for field, attribute in FIXED.items()
        if getattr(before, attribute) != getattr(after, attribute)
    ]


def find_problems(
    stored: Iterable[Json], objects: Sequence[Json], steps: Iterable[Step], *, prune: bool
) -> list[Problem]:
    """Problems of applying `objects` by `steps`; each one's `subject` is its object's key.

    With `prune` the objects are a whole topology, which was checked as such before.
    """
    live = {key_of(obj): obj for obj in stored}
    found = [] if prune else validate_all([Located(dict(o)) for o in objects], live.values())
    for step in steps:
        if step.verb == "configured" and step.object is not None:
            found += _update_problems(step.object, live[step.key], str(step.key))
    return found


def _update_problems(new: Json, old: Json, subject: str) -> Iterator[Problem]:
    kind = text(new, "kind")
    wrong = errors(validate_object(carried_over(new, old) if kind == "Service" else new, old))
    if kind == "Lab":
        wrong += lab_changes(old, new)
    return (dataclasses.replace(problem, subject=subject) for problem in wrong)


def to_json(problem: Problem) -> dict[str, object]:
    """A problem in the answer to `POST /netsim/apply`."""
    return {
        "severity": problem.severity,
        "object": problem.subject,
        "field": list(problem.where),
        "message": problem.message,
        "hint": problem.hint,
        "at": list(problem.at),
        "atKey": problem.at_key,
    }


def from_json(value: Json) -> Problem:
    """What `to_json` was given."""
    return Problem(
        "error" if text(value, "severity") == "error" else "warning",
        text(value, "message"),
        _path(value, "field"),
        text(value, "hint"),
        at=_path(value, "at"),
        at_key=flag(value, "atKey"),
        subject=text(value, "object"),
    )


def _path(value: Mapping[str, object], key: str) -> Path:
    parts = value.get(key)
    return tuple(p for p in parts if isinstance(p, str | int)) if isinstance(parts, list) else ()
