"""The cluster's DNS: names of Services, and messages, good and bad."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rrset
import dns.update
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.addresses import parse_address
from netsim.api.fields import Json
from netsim.api.meta import ObjectKey, key_of
from netsim.controllers.cluster_dns import PORT
from netsim.lab.dns_names import Found, Names
from netsim.lab.dns_server import CONNECTIONS_MAX, TCP_BYTES, DnsServers, respond
from netsim.store.memory import ObjectStore
from tests.controllers.world import endpoint, endpoint_slice, meta, port, service, slice_port, view

OBJECTS: list[Json] = [
    *({"apiVersion": "v1", "kind": "Namespace", "metadata": meta(n)} for n in ("default", "shop")),
    service("web", None, port(80, "http"), port(53, "dns", "UDP"), clusterIP="10.96.0.9"),
    service("web", None, port(80), namespace="shop", clusterIP="10.96.0.7"),
    service("young", None, port(80), clusterIP=""),
    service("db", None, port(5432, "sql"), clusterIP="None"),
    service("idle", None, port(80, "http"), clusterIP="None"),
    service("out", None, type="ExternalName", externalName="example.com"),
    service("near", None, type="ExternalName", externalName="web.default.svc.cluster.local"),
    service("loop", None, type="ExternalName", externalName="loop.default.svc.cluster.local"),
    service("odd", None, type="ExternalName", externalName="a..b"),
    endpoint_slice("six", "db", [slice_port(5432)], [endpoint("fd00::1")], addressType="IPv6"),
    endpoint_slice("web-1", "web", [slice_port(8080, "http")], [endpoint("10.244.0.9")]),
    endpoint_slice(
        "db-1",
        "db",
        [slice_port(5432, "sql")],
        [{**endpoint("10.244.0.2"), "hostname": "db-0"}, endpoint("10.244.0.3")],
    ),
    endpoint_slice("db-2", "db", [slice_port(5433, "sql")], [endpoint("10.244.0.4", ready=False)]),
    endpoint_slice("idle-1", "idle", [slice_port(80)], [endpoint("10.244.0.5", ready=False)]),
]
SVC = "default.svc.cluster.local"
MISSING, NODATA = "NXDOMAIN", "NODATA"


def names(*objects: Json) -> Names:
    made = Names()
    made.advance(view(*(objects or OBJECTS)))
    return made


def said(found: Found | None) -> str | list[str]:
    if found is None:
        return "not ours"
    if not found.answers:
        return NODATA if found.exists else MISSING
    return [f"{r.kind} {r.data}" for r in found.answers]


# (name, type, what it stands for)
FOUND: list[tuple[str, str, str | list[str]]] = [
    (f"web.{SVC}.", "A", ["A 10.96.0.9"]),
    (f"WEB.{SVC.upper()}", "A", ["A 10.96.0.9"]),
    ("web.shop.svc.cluster.local", "A", ["A 10.96.0.7"]),
    (f"web.{SVC}", "AAAA", NODATA),
    (f"web.{SVC}", "SRV", NODATA),
    (f"young.{SVC}", "A", MISSING),
    (f"nobody.{SVC}", "A", MISSING),
    (f"db.{SVC}", "A", ["A 10.244.0.2", "A 10.244.0.3"]),
    (f"idle.{SVC}", "A", MISSING),
    (f"db-0.db.{SVC}", "A", ["A 10.244.0.2"]),
    (f"10-244-0-3.db.{SVC}", "A", ["A 10.244.0.3"]),
    (f"10-244-0-4.db.{SVC}", "A", MISSING),
    (f"10-244-0-9.web.{SVC}", "A", ["A 10.244.0.9"]),
    (f"_http._tcp.web.{SVC}", "SRV", [f"SRV 0 100 80 web.{SVC}."]),
    (f"_http._tcp.web.{SVC}", "A", NODATA),
    (f"_dns._udp.web.{SVC}", "SRV", [f"SRV 0 100 53 web.{SVC}."]),
    (f"_dns._tcp.web.{SVC}", "SRV", MISSING),
    (f"http._tcp.web.{SVC}", "SRV", MISSING),
    (f"_sql._tcp.db.{SVC}", "SRV",
     [f"SRV 0 50 5432 db-0.db.{SVC}.", f"SRV 0 50 5432 10-244-0-3.db.{SVC}."]),
    (f"out.{SVC}", "A", ["CNAME example.com."]),
    (f"out.{SVC}", "CNAME", ["CNAME example.com."]),
    (f"below.out.{SVC}", "A", MISSING),
    (f"near.{SVC}", "A", [f"CNAME web.{SVC}.", "A 10.96.0.9"]),
    (f"loop.{SVC}", "A", [f"CNAME loop.{SVC}."] * 9),
    ("9.0.96.10.in-addr.arpa", "PTR", [f"PTR web.{SVC}."]),
    ("2.0.244.10.in-addr.arpa.", "PTR", [f"PTR db-0.db.{SVC}."]),
    ("9.0.244.10.in-addr.arpa", "PTR", [f"PTR 10-244-0-9.web.{SVC}."]),
    ("9.0.96.10.in-addr.arpa", "A", NODATA),
    ("4.0.244.10.in-addr.arpa", "PTR", MISSING),
    ("1.1.1.1.in-addr.arpa", "PTR", MISSING),
    ("10-1-2-3.default.pod.cluster.local", "A", ["A 10.1.2.3"]),
    ("10-1-2-300.default.pod.cluster.local", "A", MISSING),
    ("10-1-2-3.none.pod.cluster.local", "A", MISSING),
    ("dns-version.cluster.local", "TXT", ['TXT "1.1.0"']),
    ("cluster.local", "A", NODATA),
    ("svc.cluster.local", "A", NODATA),
    (SVC, "A", NODATA),
    ("none.svc.cluster.local", "A", MISSING),
    ("web.default.cluster.local", "A", MISSING),
    (f"a.b.c.web.{SVC}", "A", MISSING),
    ("example.com", "A", "not ours"),
    (".", "A", "not ours"),
    ("local", "A", "not ours"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "wanted"), FOUND)
def test_names_stand_for_services(name: str, kind: str, wanted: str | list[str]) -> None:
    assert said(names().find(name, kind)) == wanted


def test_targets_come_with_their_addresses() -> None:
    found = names().find(f"_sql._tcp.db.{SVC}", "SRV")
    assert found is not None
    assert {(r.name, r.data) for r in found.additional} == {
        (f"db-0.db.{SVC}.", "10.244.0.2"),
        (f"10-244-0-3.db.{SVC}.", "10.244.0.3"),
    }


def test_names_follow_what_changes() -> None:
    """C-140 to C-143, in memory: an alias comes with the type and goes with it."""
    store, found = ObjectStore(), Names()
    address = service("web", None, port(80), clusterIP="10.96.0.9")
    alias = service("web", None, type="ExternalName", externalName="example.com")
    store.create(address)
    for made, wanted, back in (
        (alias, ["CNAME example.com."], MISSING),
        (address, ["A 10.96.0.9"], [f"PTR web.{SVC}."]),
    ):
        store.update({**made, "metadata": meta("web", "default")})
        found.advance(store.view())
        assert said(found.find(f"web.{SVC}", "A")) == wanted
        assert said(found.find("9.0.96.10.in-addr.arpa", "PTR")) == back
    store.create(endpoint_slice("s", "web", [slice_port(80)], [endpoint("10.0.0.1")]))
    store.create(endpoint_slice("t", "web", [slice_port(80)], [endpoint("10.0.0.1")]))
    for name, back in (("s", [f"PTR 10-0-0-1.web.{SVC}."]), ("t", MISSING)):
        store.delete(ObjectKey("EndpointSlice", "default", name))
        found.advance(store.view())
        assert said(found.find("1.0.0.10.in-addr.arpa", "PTR")) == back
    store.delete(ObjectKey("Service", "default", "web"))
    found.advance(store.view())
    assert said(found.find(f"web.{SVC}", "A")) == MISSING


def test_of_what_has_gone_nothing_is_kept() -> None:
    """Labs live long, and addresses come and go."""
    store, found = ObjectStore(), Names()
    for obj in OBJECTS:
        store.create(obj)
    found.advance(store.view())
    assert said(found.find("2.0.244.10.in-addr.arpa", "PTR")) != MISSING
    for obj in OBJECTS:
        store.delete(key_of(obj))
    found.advance(store.view())
    assert not any(kept for kept in vars(found).values() if isinstance(kept, dict))


def ask(name: str, kind: str = "A", **options: int) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **options)  # type: ignore[arg-type]
    answer = respond(query.to_wire(), names())
    assert answer is not None
    return dns.message.from_wire(answer)


# (name, code, whether it is ours)
CODES = [
    (f"web.{SVC}", dns.rcode.NOERROR, True),
    (f"nobody.{SVC}", dns.rcode.NXDOMAIN, True),
    (f"odd.{SVC}", dns.rcode.SERVFAIL, True),
    ("example.com", dns.rcode.REFUSED, False),
]


@pytest.mark.parametrize(("name", "code", "ours"), CODES)
def test_answers_say_who_knows(name: str, code: dns.rcode.Rcode, ours: bool) -> None:
    answer = ask(name)
    assert (answer.rcode(), bool(answer.flags & dns.flags.AA)) == (code, ours)
    assert bool(answer.authority) == (code == dns.rcode.NXDOMAIN)


def test_there_is_a_start_of_authority_for_what_is_not_there() -> None:
    assert ask(f"web.{SVC}", "AAAA").rcode() == dns.rcode.NOERROR
    [soa] = ask(f"web.{SVC}", "AAAA").authority
    assert soa.name.to_text() == "cluster.local."
    [own] = ask("cluster.local", "SOA").answer
    assert own[0] == soa[0]


MANY = [
    service("many", None, clusterIP="None"),
    endpoint_slice("m", "many", [], [endpoint(f"10.244.1.{i}") for i in range(100)]),
]


@pytest.mark.parametrize(("payload", "room"), [(0, 512), (600, 600), (65000, 1232)])
def test_what_does_not_fit_is_left_to_tcp(payload: int, room: int) -> None:
    edns = 0 if payload else -1
    query = dns.message.make_query(f"many.{SVC}", "A", use_edns=edns, payload=payload)
    wire = respond(query.to_wire(), names(*MANY))
    assert wire is not None
    assert len(wire) <= room
    assert dns.message.from_wire(wire).flags & dns.flags.TC
    over_tcp = respond(query.to_wire(), names(*MANY), 65535)
    assert over_tcp is not None
    assert len(dns.message.from_wire(over_tcp).answer[0]) == 100


def test_many_endpoints_are_made_into_records_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question would take a tenth of a second otherwise, in which control does nothing."""
    addresses = [f"10.{n >> 8}.{n & 255}.7" for n in range(1000)]
    ends = [endpoint(address) for address in addresses]
    many = names(service("many", None, clusterIP="None"), endpoint_slice("m", "many", [], ends))
    query = dns.message.make_query(f"many.{SVC}.", "A")
    wires = [respond(query.to_wire(), many, TCP_BYTES)]
    monkeypatch.delattr(dns.rrset, "from_text_list")
    wires += [respond(query.to_wire(), many, TCP_BYTES) for _ in range(2)]
    found = [dns.message.from_wire(wire or b"").answer[0] for wire in wires]
    assert {rdata.to_text() for rdata in found[0]} == set(addresses)
    assert found[0] == found[1] == found[2]
    assert len(set(wires)) == 3, "in no order"
    truncated = respond(query.to_wire(), many)
    assert dns.message.from_wire(truncated or b"").flags & dns.flags.TC


def refusals() -> list[tuple[str, bytes, int | None]]:
    plain = dns.message.make_query(f"web.{SVC}", "A")
    reply = dns.message.make_response(plain)
    two = plain.to_wire()[:5] + b"\x02" + plain.to_wire()[6:] + plain.to_wire()[12:]
    chaos = dns.message.make_query("version.bind", "TXT", dns.rdataclass.CH)
    newer = dns.message.make_query(f"web.{SVC}", "A", use_edns=1)
    return [
        ("an answer", reply.to_wire(), None),
        ("nothing", b"", None),
        ("half a head", b"\x00" * 11, None),
        ("no question", b"\x00" * 12, dns.rcode.FORMERR),
        ("two questions", two, dns.rcode.FORMERR),
        ("a name that points at itself", b"\0\1\0\0\0\1" + b"\0" * 6 + b"\xc0\x0c\0\1\0\1",
         dns.rcode.FORMERR),
        ("cut off", plain.to_wire()[:-3], dns.rcode.FORMERR),
        ("more behind it", plain.to_wire() + b"x", dns.rcode.FORMERR),
        ("an update", dns.update.UpdateMessage("cluster.local").to_wire(), dns.rcode.NOTIMP),
        ("another class", chaos.to_wire(), dns.rcode.REFUSED),
        ("a newer EDNS", newer.to_wire(), dns.rcode.BADVERS),
    ]  # fmt: skip


@pytest.mark.parametrize(("what", "wire", "code"), [pytest.param(*r, id=r[0]) for r in refusals()])
def test_what_is_no_question_of_ours(what: str, wire: bytes, code: int | None) -> None:
    answer = respond(wire, names())
    assert (answer is None) == (code is None), what
    if answer is not None:
        assert dns.message.from_wire(answer).rcode() == code, what
        assert answer[:2] == wire[:2]


GOOD = dns.message.make_query(f"_sql._tcp.db.{SVC}", "SRV", use_edns=0).to_wire()


@given(
    st.binary(max_size=60)
    | st.builds(
        lambda at, byte: GOOD[:at] + bytes([byte]) + GOOD[at + 1 :],
        st.integers(0, len(GOOD) - 1),
        st.integers(0, 255),
    )
)
def test_any_bytes_get_an_answer_that_can_be_read_or_none(wire: bytes) -> None:
    answer = respond(wire, names())
    assert answer is None or (len(answer) <= 1232 and answer[2] & 0x80)
    if answer is not None:
        dns.message.from_wire(answer)


@dataclass(frozen=True)
class Made:
    address: int


async def make(node: str, kind: socket.SocketKind) -> socket.socket:
    del node
    made = socket.socket(socket.AF_INET, kind)
    made.setblocking(False)
    return made


async def over_tcp(address: str, wires: Sequence[bytes]) -> list[bytes]:
    reader, writer = await asyncio.open_connection(address, PORT)
    got = []
    try:
        for wire in wires:
            writer.write(len(wire).to_bytes(2) + wire)
            got.append(await reader.readexactly(int.from_bytes(await reader.readexactly(2))))
    except (EOFError, ConnectionError):
        got.append(b"")
    writer.close()
    return got


def over_udp(address: str, wire: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(5)
        asker.sendto(wire, (address, PORT))
        return asker.recvfrom(4096)[0]


def test_each_node_answers_over_both_transports_and_only_while_it_is_there() -> None:
    one, two = Made(parse_address("127.77.0.1")), Made(parse_address("127.77.0.2"))

    async def run() -> None:
        servers = DnsServers(make)
        try:
            await servers.reconcile(view(*OBJECTS), {"n1": one, "n2": two})
            for address in ("127.77.0.1", "127.77.0.2"):
                wire = await asyncio.to_thread(over_udp, address, GOOD)
                assert len(dns.message.from_wire(wire).answer[0]) == 2
                assert all(await over_tcp(address, [GOOD, GOOD]))
            assert await over_tcp("127.77.0.1", [b"junk"]) == [b""], "and nothing more"
            await servers.reconcile(view(*OBJECTS), {"n1": one})
            with pytest.raises(ConnectionRefusedError):
                await over_tcp("127.77.0.2", [GOOD])
            many = [
                await asyncio.open_connection("127.77.0.1", PORT) for _ in range(CONNECTIONS_MAX)
            ]
            assert await over_tcp("127.77.0.1", [GOOD]) == [b""], "no more than so many at once"
            for _, writer in many:
                writer.close()
            async with asyncio.timeout(10):
                while not all(await over_tcp("127.77.0.1", [GOOD])):
                    pass
        finally:
            servers.close()
            await asyncio.sleep(0)

    asyncio.run(run())
