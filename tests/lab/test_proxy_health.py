"""kube-proxy's own health, with stepped time."""

from __future__ import annotations

import json

import pytest

from netsim.lab.proxy_health import TIMEOUT_S, TO_BE_DELETED, ProxyHealth, is_eligible
from netsim.lab.sync_pace import SyncPace

T = 1_800_000_000.25
SHOWN, NEVER = "2027-01-15 08:00:00.250000000 +0000 UTC", "0001-01-01 00:00:00 +0000 UTC"
FINE: dict[str, object] = {"metadata": {"name": "n1"}, "spec": {}}
GOING: dict[str, object] = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}}
TAINTED: dict[str, object] = {"metadata": {}, "spec": {"taints": [{"key": TO_BE_DELETED}]}}


def read(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split(" ")[1]), body


@pytest.mark.parametrize(("node", "code"), [(FINE, 200), (GOING, 503), (TAINTED, 503), (None, 503)])
def test_healthz_is_about_the_node_too(node: dict[str, object] | None, code: int) -> None:
    health = ProxyHealth()
    health.updated(T - 9)
    eligible = str(code == 200).lower()
    last = SHOWN if code == 200 else SHOWN.replace("08:00:00", "07:59:51")
    assert read(health.healthz(node, T)) == (
        code,
        f'{{"lastUpdated": "{last}","currentTime": "{SHOWN}", "nodeEligible": {eligible}}}',
    )
    assert read(health.livez(T)) == (
        200,
        f'{{"lastUpdated": "{SHOWN}","currentTime": "{SHOWN}"}}',
    )
    assert health.answered == {("healthz", code): 1, ("livez", 200): 1}


def test_a_change_that_waits_too_long_is_unhealthy_until_it_is_in_place() -> None:
    health = ProxyHealth()
    assert read(health.livez(T))[0] == 200  # nothing has been asked of it
    health.queued(T)
    health.queued(T + TIMEOUT_S - 1)  # the first one counts
    assert read(health.healthz(FINE, T + TIMEOUT_S - 1))[0] == 200
    code, body = read(health.healthz(FINE, T + TIMEOUT_S))
    assert (code, json.loads(body)["lastUpdated"]) == (503, NEVER)
    assert read(health.livez(T + TIMEOUT_S))[0] == 503
    health.updated(T + TIMEOUT_S)
    assert read(health.livez(T + 10 * TIMEOUT_S))[0] == 200


def test_a_node_with_another_taint_is_eligible() -> None:
    assert is_eligible({"spec": {"taints": [{"key": "dedicated", "effect": "NoSchedule"}]}})


def test_changes_after_quiet_are_at_once_and_then_gathered() -> None:
    pace = SyncPace(1.0)
    assert [pace.wait_s(100.0), pace.wait_s(100.0)] == [0, 0]
    assert pace.wait_s(100.25) == pytest.approx(0.75)
    assert pace.wait_s(100.5) == pytest.approx(0.5)
    assert pace.wait_s(101.0) == 0
    assert pace.wait_s(101.0) == pytest.approx(1.0)
    assert [pace.wait_s(200.0), pace.wait_s(200.0)] == [0, 0]
    assert {SyncPace(0).wait_s(1.0) for _ in range(9)} == {0}
