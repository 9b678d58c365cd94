"""The peer's rules are what kube-proxy writes, in their shape and their number."""

from __future__ import annotations

import pytest

from netsim.bench import rules

ENDPOINTS = ["10.244.2.2", "10.244.2.3", "10.244.2.4"]


def test_a_service_is_a_chain_with_a_choice_and_a_chain_per_endpoint() -> None:
    text = rules.iptables(rules.measured(ENDPOINTS))
    ask = [line for line in text.splitlines() if "KUBE-SVC-bench-ask " in line and "-A" in line]
    assert ask == [
        "-A KUBE-SVC-bench-ask ! -s 10.244.0.0/16 -d 10.96.0.10/32 -p tcp --dport 5204 "
        "-j KUBE-MARK-MASQ",
        "-A KUBE-SVC-bench-ask -m statistic --mode random --probability 0.3333333333 "
        "-j KUBE-SEP-bench-ask-0",
        "-A KUBE-SVC-bench-ask -m statistic --mode random --probability 0.5000000000 "
        "-j KUBE-SEP-bench-ask-1",
        "-A KUBE-SVC-bench-ask -j KUBE-SEP-bench-ask-2",
    ]


def test_the_measured_service_comes_after_the_others() -> None:
    text = rules.iptables([*rules.others(3, 2), *rules.measured(ENDPOINTS)])
    jumps = [line for line in text.splitlines() if line.startswith("-A KUBE-SERVICES")]
    assert len(jumps) == 3 + len(rules.PORTS)
    assert all("other" in line for line in jumps[:3])
    assert all("bench" in line for line in jumps[3:])


def test_others_do_not_share_addresses() -> None:
    made = rules.others(1000, 10)
    assert len({s.address for s in made}) == 1000
    assert len({a for s in made for a in s.endpoints}) == 10_000
    assert rules.SERVICE not in {s.address for s in made}


def test_another_version_of_a_service_differs_in_one_endpoint() -> None:
    old, new = rules.other(7, 10), rules.other(7, 10, version=3)
    assert old.endpoints[:-1] == new.endpoints[:-1]
    assert old.endpoints[-1] != new.endpoints[-1]
    assert new.endpoints[-1] not in {a for s in rules.others(100, 10) for a in s.endpoints}


def test_a_change_names_the_service_s_chains_only() -> None:
    text = rules.iptables_change(rules.other(5, 10))
    assert text.count("KUBE-SVC-other-5 ") >= 11
    assert "KUBE-SERVICES" not in text
    assert text.splitlines()[0] == "*nat"
    assert text.splitlines()[-1] == "COMMIT"


def test_nftables_finds_a_service_in_a_map_and_chooses_in_one_rule() -> None:
    text = rules.nft(rules.measured(ENDPOINTS))
    assert "10.96.0.10 . tcp . 5204 : goto service-bench-ask" in text
    assert (
        "dnat ip to numgen random mod 3 map { 0 : 10.244.2.2 . 5204, 1 : 10.244.2.3 . 5204, "
        "2 : 10.244.2.4 . 5204 }" in text
    )


@pytest.mark.parametrize("count", [0, 1, 2500])
def test_long_lists_of_elements_are_cut(count: int) -> None:
    lines = [line for line in rules.nft(rules.others(count, 1)).splitlines() if "add el" in line]
    assert sum(line.count(" : goto ") for line in lines) == count
    assert all(line.count(",") < rules.ELEMENTS_MAX for line in lines)
