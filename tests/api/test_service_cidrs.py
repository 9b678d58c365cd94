"""ServiceCIDRs that the API refuses, and the ranges that they make (P-114)."""

from __future__ import annotations

import pytest

from netsim.api.lab_spec import Lab
from netsim.api.manifests import load_text
from netsim.api.service_cidrs import service_ranges
from netsim.api.validation import validate_all, validate_object
from tests.api.cases import SERVICE

HEAD = (
    "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\n"
    "metadata: {name: %s}\nspec: {cidrs: [%s]}\n"
)
APART = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"

# (ranges, what is wrong)
REFUSED = [
    ("", ["t:4:8: error: spec.cidrs: Required value: at least one CIDR required"]),
    (
        "10.1.0.0/24, 10.2.0.0/24, 'fd00::/64'",
        [
            't:4:8: error: spec.cidrs: Invalid value: ["10.1.0.0/24","10.2.0.0/24","fd00::/64"]:'
            " may only hold up to 2 values"
        ],
    ),
    (
        "10.1.0.0/24, 10.2.0.0/24",
        [f't:4:8: error: spec.cidrs: Invalid value: ["10.1.0.0/24","10.2.0.0/24"]: {APART}'],
    ),
    (
        "10.1.0.0",
        [
            't:4:16: error: spec.cidrs[0]: Invalid value: "10.1.0.0": must be a valid CIDR value,'
            " (e.g. 10.9.8.0/24) ('10.1.0.0' is not an IPv4 range such as 10.244.0.0/16)"
        ],
    ),
    (
        "10.1.0.0/24, 'fd00::/200'",
        [
            't:4:29: error: spec.cidrs[1]: Invalid value: "fd00::/200": must be a valid CIDR value,'
            " (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        ],
    ),
    ("10.1.0.0/24", []),
    ("10.1.0.0/24, 'fd00::/64'", []),
    ("'fd00::/64'", []),
]


@pytest.mark.parametrize(("cidrs", "problems"), REFUSED)
def test_what_is_refused(cidrs: str, problems: list[str]) -> None:
    assert [str(p) for p in load_text(HEAD % ("more", cidrs), "t").problems] == problems


def test_ranges_stay() -> None:
    old, new = (
        load_text(HEAD % ("more", c)).objects[0].obj for c in ("10.1.0.0/24", "10.2.0.0/24")
    )
    [problem] = validate_object(new, old)
    assert (problem.path, problem.message) == (
        "spec.cidrs",
        'Invalid value: ["10.2.0.0/24"]: field is immutable',
    )


# (name, range, what this lab says to it)
CROSSED = [
    ("more", "10.1.0.0/24", []),
    ("kubernetes", "10.96.0.0/12", []),
    ("more", "10.244.9.0/24", ["overlaps the Lab's podCIDR 10.244.0.0/16"]),
    ("more", "172.18.0.0/24", ["overlaps the Lab's nodeCIDR 172.18.0.0/16"]),
    ("more", "172.19.0.0/30", ["overlaps the Lab's loadBalancerCIDR 172.19.0.0/24"]),
    ("kubernetes", "10.1.0.0/24", ["is not the Lab's serviceCIDR 10.96.0.0/12"]),
]


@pytest.mark.parametrize(("name", "cidr", "wanted"), CROSSED)
def test_what_does_not_fit_the_lab(name: str, cidr: str, wanted: list[str]) -> None:
    found = validate_all(load_text(HEAD % (name, cidr)).objects)
    assert [p.message.partition(": ")[2].partition(": ")[2] for p in found] == wanted


def test_an_address_may_be_of_any_range_of_the_manifest() -> None:
    asked = SERVICE + "  clusterIP: 10.1.0.9\n  ports: [{port: 80}]\n"
    text = HEAD % ("more", "10.1.0.0/24") + "---\n" + asked
    assert not [p for p in validate_all(load_text(text).objects) if p.severity == "error"]
    [problem] = validate_all(load_text(asked).objects)
    assert problem.message.endswith("The range of valid IPs is 10.96.0.0/12")


def test_the_default_range_comes_first_then_the_others_by_name() -> None:
    named = [("b", "10.2.0.0/24"), ("a", "10.1.0.0/24, 'fd00::/64'"), ("six", "'fd01::/64'")]
    more = [load_text(HEAD % each).objects[0].obj for each in named]
    default = load_text(HEAD % ("kubernetes", "10.5.0.0/24")).objects[0].obj
    lab = Lab.parse({})
    assert [str(c) for c in service_ranges(lab, more)] == [
        "10.96.0.0/12",
        "10.1.0.0/24",
        "10.2.0.0/24",
    ]
    assert str(service_ranges(lab, [*more, default])[0]) == "10.5.0.0/24"
