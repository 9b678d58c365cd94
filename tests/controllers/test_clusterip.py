from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.addresses import Cidr, format_address, parse_address
from netsim.api.fields import Json, text, texts
from netsim.api.lab_spec import Lab
from netsim.api.meta import ObjectKey
from netsim.controllers.clusterip import ClusterIPs
from netsim.controllers.objects import spec
from netsim.controllers.ranges import Band, pick, service_band
from netsim.store.errors import ApiError
from netsim.store.memory import ObjectStore
from tests.controllers.world import NOW, service, view

RANGE = Cidr.parse("10.96.0.0/12")
SMALL = Cidr.parse("10.0.0.0/29")


def ips(cidr: Cidr = RANGE) -> ClusterIPs:
    return ClusterIPs(Lab.parse({"spec": {"serviceCIDR": str(cidr)}}), Random(1))


def address(obj: Json) -> str:
    return text(spec(obj), "clusterIP")


def refusal(allocator: ClusterIPs, *stored: Json, new: Json, old: Json | None = None) -> ApiError:
    with pytest.raises(ApiError) as caught:
        allocator.admit(view(*stored), new, old)
    return caught.value


# (range, first usable, first of the dynamic band, last usable)
BANDS = [
    ("10.0.0.0/24", "10.0.0.1", "10.0.0.17", "10.0.0.254"),
    ("10.96.0.0/12", "10.96.0.1", "10.96.1.1", "10.111.255.254"),
    ("10.0.0.0/20", "10.0.0.1", "10.0.1.1", "10.0.15.254"),
    ("10.0.0.0/28", "10.0.0.1", "10.0.0.1", "10.0.0.14"),
    ("10.0.0.0/31", "10.0.0.0", "10.0.0.0", "10.0.0.1"),
]


@pytest.mark.parametrize(("cidr", "first", "dynamic", "last"), BANDS)
def test_bands(cidr: str, first: str, dynamic: str, last: str) -> None:
    wanted = Band(*map(parse_address, (first, dynamic, last)))
    assert service_band(Cidr.parse(cidr)) == wanted


def test_dynamic_addresses_come_from_the_upper_band() -> None:
    allocator = ips()
    seen = [address(allocator.admit(view(), service(f"s{i}"))) for i in range(50)]
    assert all(parse_address(ip) >= parse_address("10.96.1.1") for ip in seen)
    assert len(set(seen)) == 50


def test_the_lower_band_is_used_when_the_upper_one_is_full() -> None:
    band = service_band(Cidr.parse("10.0.0.0/27"))
    upper = set(range(band.dynamic, band.last + 1))
    found = pick(band, upper.__contains__, Random(3))
    assert found is not None
    assert band.first <= found < band.dynamic


def test_an_address_that_is_asked_for_is_given() -> None:
    admitted = ips().admit(view(), service("s", clusterIP="10.96.0.10"))
    assert (address(admitted), texts(spec(admitted), "clusterIPs")) == (
        "10.96.0.10",
        ("10.96.0.10",),
    )


def test_an_address_can_be_asked_for_in_the_list() -> None:
    assert address(ips().admit(view(), service("s", clusterIPs=["10.96.0.10"]))) == "10.96.0.10"


def test_headless_and_external_services_have_none() -> None:
    headless = ips().admit(view(), service("s", clusterIP="None"))
    assert (address(headless), texts(spec(headless), "clusterIPs")) == ("None", ("None",))
    external = ips().admit(view(), service("s", type="ExternalName", clusterIP=""))
    assert "clusterIP" not in spec(external)


def test_a_taken_address_is_refused_in_kubernetes_words() -> None:
    error = refusal(
        ips(),
        service("a", clusterIP="10.96.0.10"),
        new=service("b", clusterIP="10.96.0.10"),
    )
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.causes[0].field == "spec.clusterIPs[0]"
    assert error.causes[0].message == (
        'Invalid value: "10.96.0.10": failed to allocate IP 10.96.0.10: '
        "provided IP is already allocated"
    )


OUTSIDE = ["10.95.255.255", "10.112.0.0", "10.96.0.0", "10.111.255.255", "nonsense", "::1"]


@pytest.mark.parametrize("asked", OUTSIDE)
def test_an_address_outside_the_range_is_refused(asked: str) -> None:
    error = refusal(ips(), new=service("s", clusterIP=asked))
    assert "is not in the valid range. The range of valid IPs is 10.96.0.0/12" in str(error)


def test_a_full_range_is_refused() -> None:
    stored = [service(f"s{i}", clusterIP=f"10.0.0.{i}") for i in range(2, 7)]
    error = refusal(ips(SMALL), *stored, new=service("more"))
    assert (error.code, "range is full" in str(error)) == (500, True)


def test_the_first_address_is_for_the_service_of_that_name() -> None:
    assert "already allocated" in str(refusal(ips(), new=service("s", clusterIP="10.96.0.1")))
    assert address(ips().admit(view(), service("kubernetes", clusterIP="10.96.0.1"))) == "10.96.0.1"


def test_an_update_keeps_the_address_and_may_not_change_it() -> None:
    old = service("s", clusterIP="10.96.0.10")
    allocator = ips()
    assert address(allocator.admit(view(old), service("s"), old)) == "10.96.0.10"
    error = refusal(allocator, old, new=service("s", clusterIP="10.96.0.11"), old=old)
    assert "may not change once set" in str(error)


def test_an_external_service_that_becomes_ordinary_gets_an_address() -> None:
    old = service("s", type="ExternalName")
    assert address(ips().admit(view(old), service("s"), old))


def test_one_transaction_does_not_get_an_address_twice() -> None:
    allocator, empty = ips(SMALL), view()
    seen = {address(allocator.admit(empty, service(f"s{i}"))) for i in range(5)}
    assert len(seen) == 5
    with pytest.raises(ApiError):
        allocator.admit(empty, service("s6"))


def test_what_was_admitted_but_never_stored_is_free_on_the_next_revision() -> None:
    allocator = ips()
    allocator.admit(view(revision=1), service("lost", clusterIP="10.96.0.10"))
    admitted = allocator.admit(view(revision=2), service("s", clusterIP="10.96.0.10"))
    assert address(admitted) == "10.96.0.10"


@given(
    st.lists(st.tuples(st.sampled_from(("add", "ask", "delete")), st.integers(0, 9)), max_size=40)
)
def test_no_address_is_ever_held_twice(steps: list[tuple[str, int]]) -> None:
    store, allocator = ObjectStore(), ips(SMALL)
    for what, number in steps:
        key = ObjectKey("Service", "default", f"s{number}")
        present = store.view().get(key) is not None
        if what == "delete" and present:
            store.delete(key)
        elif what != "delete" and not present:
            ip = f"10.0.0.{number}" if what == "ask" else ""
            try:
                store.create(allocator.admit(store.view(), service(key.name, clusterIP=ip)))
            except ApiError:
                continue
        held = [address(s) for s in store.view().list("Service")]
        assert len(set(held)) == len(held)
        assert set(held) <= {format_address(SMALL.base + i) for i in range(2, 7)}


def more(*cidrs: str, name: str = "more", deleting: bool = False) -> Json:
    times = {"deletionTimestamp": NOW} if deleting else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": name, **times},
        "spec": {"cidrs": list(cidrs)},
    }


FULL = [service(f"s{i}", clusterIP=f"10.0.0.{i}") for i in range(1, 7)]


def test_when_a_range_is_full_the_next_one_gives_addresses() -> None:
    added = more("10.1.0.0/29")
    given = {
        address(ips(SMALL).admit(view(*FULL, added, revision=n), service("s"))) for n in range(9)
    }
    assert given <= {f"10.1.0.{i}" for i in range(1, 7)}
    error = refusal(ips(SMALL), *FULL, more("10.1.0.0/29", deleting=True), new=service("s"))
    assert str(error).endswith("range is full (10.0.0.0/29)")


def test_an_address_may_be_asked_of_any_range_that_stays() -> None:
    asking = service("s", clusterIP="10.1.0.1")
    assert address(ips().admit(view(more("10.1.0.0/24")), asking)) == "10.1.0.1"
    error = refusal(
        ips(), more("10.2.0.0/24"), more("10.1.0.0/24", name="x", deleting=True), new=asking
    )
    assert str(error).endswith("The range of valid IPs is 10.96.0.0/12, 10.2.0.0/24")


def test_the_labs_own_range_may_go_too() -> None:
    error = refusal(ips(), more("10.96.0.0/12", name="kubernetes", deleting=True), new=service("s"))
    assert "range is full" in str(error)


def test_a_range_and_a_service_of_it_may_come_in_one_transaction() -> None:
    allocator, empty = ips(), view()
    allocator.expect(empty, more("10.1.0.0/24"))
    assert address(allocator.admit(empty, service("s", clusterIP="10.1.0.9"))) == "10.1.0.9"
    with pytest.raises(ApiError):
        allocator.admit(view(revision=2), service("t", clusterIP="10.1.0.10"))
