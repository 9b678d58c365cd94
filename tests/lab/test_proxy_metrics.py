"""kube-proxy's metrics, from objects in memory."""

from __future__ import annotations

from netsim.api.meta import ObjectKey
from netsim.controllers.changes import Tracker
from netsim.controllers.slices import SERVICE_NAME, TRIGGER_TIME
from netsim.dataplane.rows import FIRST_SET, NONE, Choice, EndpointRow, ServiceRow, pack_endpoints
from netsim.lab.exposition import Histogram, labelled
from netsim.lab.proxy_metrics import ProxyMetrics, without_local_endpoints
from netsim.store.base import Create, Delete, Update
from netsim.store.memory import ObjectStore

BEGAN = 1_800_000_000.0  # 2027-01-15T08:00:00Z
ONE = (EndpointRow(1, 80),)


def slice_of(name: str, **annotations: str) -> dict[str, object]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {SERVICE_NAME: "web"},
            "annotations": annotations,
        },
        "addressType": "IPv4",
    }


def shown(metrics: ProxyMetrics) -> dict[str, str]:
    lines = metrics.lines({"internal": 0, "external": 0})
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_a_histogram_counts_what_is_not_above_a_bound() -> None:
    histogram = Histogram([0.5, 1])
    for value in (0.25, 0.5, 0.75, 7):
        histogram.observe(value)
    assert list(histogram.lines("x_seconds", "text")) == [
        "# HELP kubeproxy_x_seconds text",
        "# TYPE kubeproxy_x_seconds histogram",
        'kubeproxy_x_seconds_bucket{le="0.5"} 2',
        'kubeproxy_x_seconds_bucket{le="1"} 3',
        'kubeproxy_x_seconds_bucket{le="+Inf"} 4',
        "kubeproxy_x_seconds_sum 8.5",
        "kubeproxy_x_seconds_count 4",
    ]
    assert list(labelled("y_total", "t", "counter", "code", {"200": 3}))[2:] == [
        'kubeproxy_y_total{code="200"} 3'
    ]


def test_changes_wait_until_they_are_in_place() -> None:
    store, metrics = ObjectStore(), ProxyMetrics(BEGAN + 0.7)
    services, slices = Tracker("Service"), Tracker("EndpointSlice")

    def noticed(now_s: float) -> bool:
        view = store.view()
        return metrics.noticed(services.advance(view), slices.advance(view), now_s)

    old, new = "2027-01-15T07:59:59Z", "2027-01-15T08:00:10Z"
    store.transaction([Create(slice_of("old", **{TRIGGER_TIME: old}))])
    store.transaction([Create(slice_of("new", **{TRIGGER_TIME: new}))])
    store.transaction([Create(slice_of("odd", **{TRIGGER_TIME: "now"}))])
    assert noticed(BEGAN + 11)
    waiting = shown(metrics)
    assert waiting["kubeproxy_sync_proxy_rules_endpoint_changes_pending"] == "3"
    assert waiting["kubeproxy_sync_proxy_rules_duration_seconds_count"] == "0"
    metrics.synced(0.003, BEGAN + 11.5)
    done = shown(metrics)
    assert done["kubeproxy_sync_proxy_rules_endpoint_changes_pending"] == "0"
    assert done["kubeproxy_sync_proxy_rules_endpoint_changes_total"] == "3"
    assert done["kubeproxy_sync_proxy_rules_service_changes_total"] == "0"
    assert done['kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.002"}'] == "0"
    assert done['kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.004"}'] == "1"
    # the old one happened before this proxy began, the odd one does not say
    assert done["kubeproxy_network_programming_duration_seconds_count"] == "1"
    assert done["kubeproxy_network_programming_duration_seconds_sum"] == "1.5"
    assert (
        done["kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds"] == "1800000011.000000000"
    )
    assert done["kubeproxy_sync_proxy_rules_last_timestamp_seconds"] == "1800000011.500000000"
    assert not noticed(BEGAN + 12)
    store.transaction([Delete(ObjectKey("EndpointSlice", "default", "odd"))])
    stored = store.view().get(ObjectKey("EndpointSlice", "default", "new"))
    assert stored is not None
    store.transaction([Update({**stored, "ports": []})])
    assert noticed(BEGAN + 12)
    assert shown(metrics)["kubeproxy_sync_proxy_rules_endpoint_changes_total"] == "5"


def row(
    endpoints: tuple[EndpointRow, ...] = ONE, *, internal: bool = False, external: bool = False
) -> ServiceRow:
    """Endpoints on n1 only, where there are any."""
    local = Choice(NONE, (("n1", FIRST_SET),)) if endpoints else Choice(NONE)
    return ServiceRow(
        1,
        80,
        6,
        1,
        "a",
        0,
        pack_endpoints(endpoints),
        ((0,),) if endpoints else (),
        local=local,
        internal_local=internal,
        external_local=external,
    )


def test_services_without_local_endpoints_count_by_policy() -> None:
    rows = [
        row(),
        row(internal=True),
        row(external=True),
        row(internal=True, external=True),
        row((), internal=True, external=True),  # none anywhere does not count
    ]
    assert without_local_endpoints(rows, "n1") == {"internal": 0, "external": 0}
    assert without_local_endpoints(rows, "n2") == {"internal": 2, "external": 2}
    assert without_local_endpoints(rows[:2], "n2") == {"internal": 1, "external": 0}
    assert without_local_endpoints(rows[2:3], "n2") == {"internal": 0, "external": 1}
