"""Where Linux's connection tracking loses packets, switched on: P-86 to P-88 of the checklist."""

from __future__ import annotations

from scapy.layers.inet import TCP, UDP

from netsim.dataplane.rows import TrackingRow
from tests.path.clients import FOUR, REMOTE, A, B, tcp, udp
from tests.path.lab import UDP_PROTO, VIP, Lab, tunnel_addr

LIBERAL = TrackingRow(invalid_passes=True)
LOSING = TrackingRow(collisions_lose=True)
RACING = TrackingRow(udp_races=True)
SOON, LATER = 0.00005, 0.001


def established(lab: Lab) -> None:
    """A to B, by way of a Service."""
    lab.service((B, 8080))
    lab.out("a1", tcp(A, VIP), "b1")
    lab.out("b1", tcp(B, A, 8080, 40000, "SA"), "a1")
    lab.out("a1", tcp(A, VIP, flags="A"), "b1")


def test_invalid_packets_are_dropped_by_default() -> None:
    with Lab() as lab:
        established(lab)
        assert lab.refuses("b1", tcp(B, A, 8080, 40000, "SF")) == "flow-invalid"
        assert lab.out("b1", tcp(B, A, 8080, 40000, "PA"), "a1").src == VIP


def test_invalid_packets_that_pass_let_the_clients_reset_kill_the_connection() -> None:
    """kubernetes#74839: the client sees an address that it never asked, and says so."""
    with Lab(tracking=LIBERAL) as lab:
        established(lab)
        seen = lab.out("b1", tcp(B, A, 8080, 40000, "SF"), "a1")
        assert (seen.src, seen[TCP].sport) == (B, 8080)
        reset = lab.out("a1", tcp(A, B, 40000, 8080, "R"), "b1")
        assert (reset.src, reset[TCP].sport, reset[TCP].flags) == (A, 40000, "R")
        assert lab.drops() == {}
        assert lab.out("b1", tcp(B, A, 8080, 40000, "PA"), "a1").src == VIP


def test_a_reset_of_no_connection_passes_as_it_is_in_a_batch_too() -> None:
    with Lab(tracking=LIBERAL) as lab:
        lab.service((B, 8080))
        lab.put("a1", tcp(A, VIP))
        lab.put("a1", tcp(A, VIP, flags="SF"))
        lab.run()
        assert [sent.ip[TCP].flags for sent in lab.take("b1")] == ["S"]
        assert lab.drops() == {"no-service-port": 1}  # untranslated, it has nowhere to go
        assert lab.stats().flows_new == 1


def test_of_a_masqueraded_connection_whose_port_is_taken_the_first_packet_is_lost() -> None:
    with Lab(tracking=LOSING) as lab:
        lab.service((REMOTE, 8080))
        lab.out("stack1", tcp("172.16.0.1", VIP), "wire1")
        assert lab.refuses("stack1", tcp("172.16.0.2", VIP)) == "insert-failed"
        again = lab.out("stack1", tcp("172.16.0.2", VIP), "wire1")
        assert (again.src, again[TCP].sport != 40000) == (tunnel_addr(1), True)
        assert lab.refuses("stack1", tcp("172.16.0.3", VIP)) == "insert-failed"
        assert lab.stats().masquerade_collisions == 3


def two_at_once(lab: Lab, sport: int, after: float) -> int:
    """How many of two datagrams (A and AAAA, say) from one socket arrive; in one batch for 0."""
    lab.put("a1", udp(A, VIP, sport))
    if after:
        lab.run()
        lab.now += after
    lab.put("a1", udp(A, VIP, sport))
    lab.run()
    return len(lab.take("wire1"))


def test_two_datagrams_at_once_race_where_asked_to() -> None:
    arrived = {}
    for tracking in (TrackingRow(), RACING):
        for after in (0, SOON, LATER):
            with Lab(tracking=tracking) as lab:
                lab.service(*FOUR, proto=UDP_PROTO)
                got = [two_at_once(lab, 5000 + i, after) for i in range(200)]
                assert set(got) <= {1, 2}
                lost = 400 - sum(got)
                assert lab.drops() == ({"insert-failed": lost} if lost else {})
                arrived[tracking.udp_races, after] = lost
    assert arrived[True, 0] in range(120, 180)  # three of four choose another endpoint
    assert arrived[True, SOON] in range(120, 180)
    del arrived[True, 0], arrived[True, SOON]
    assert set(arrived.values()) == {0}


def test_who_loses_a_race_is_heard_when_asking_again() -> None:
    with Lab(tracking=RACING) as lab:
        lab.service(*FOUR, proto=UDP_PROTO)
        sport = next(i for i in range(5000, 6000) if two_at_once(lab, i, 0) == 1)
        lab.now += 5
        lab.send("a1", udp(A, VIP, sport))
        [sent] = lab.take("wire1")
        assert sent.frame[UDP].sport == sport


def test_one_endpoint_or_an_answer_is_no_race() -> None:
    with Lab(tracking=RACING) as lab:
        lab.service((REMOTE, 8080), proto=UDP_PROTO)
        assert two_at_once(lab, 5000, 0) == 2
        lab.service(*FOUR, proto=UDP_PROTO)
        endpoint = lab.out("a1", udp(A, VIP, 5001), "wire1").dst
        port = dict(FOUR)[endpoint]
        lab.out("wire1", lab.wrap(udp(endpoint, A, port, 5001)), "a1")
        assert {lab.out("a1", udp(A, VIP, 5001), "wire1").dst for _ in range(20)} == {endpoint}
