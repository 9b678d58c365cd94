"""Plans turn any tables into any others, and say nothing of what stays."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from netsim.dataplane.plan import plan
from netsim.dataplane.rows import Changes, ServiceRow, Tables
from tests.dataplane.strategies import tables


def apply(tables: Tables, changes: Changes) -> Tables:
    """The naive twin of the data plane: dicts, in the order that `Changes` says."""
    nodes, pods, services = dict(tables.nodes), dict(tables.pods), dict(tables.services)
    for key in changes.remove_services:
        del services[key]
    for name in changes.remove_pods:
        del pods[name]
    for name in changes.remove_nodes:
        del nodes[name]
    return Tables(
        changes.lab or tables.lab,
        nodes | {row.name: row for row in changes.nodes},
        pods | {row.name: row for row in changes.pods},
        services | {row.key: row for row in changes.services},
        tables.peers if changes.peers is None else changes.peers,
        tables.paths if changes.paths is None else changes.paths,
    )


@given(tables(), tables())
def test_applying_a_plan_gives_what_was_desired(applied: Tables, desired: Tables) -> None:
    changes = plan(applied, desired)
    expected = desired if desired.lab else dataclasses.replace(desired, lab=applied.lab)
    assert apply(applied, changes) == expected


@given(tables())
def test_nothing_to_do_is_false(same: Tables) -> None:
    assert not plan(same, same)
    assert not plan(same, dataclasses.replace(same, services=dict(same.services)))


@given(tables(), tables())
def test_a_plan_names_only_rows_that_differ(applied: Tables, desired: Tables) -> None:
    changes = plan(applied, desired)
    assert all(applied.services.get(row.key) != row for row in changes.services)
    assert all(applied.pods.get(row.name) != row for row in changes.pods)
    assert all(applied.nodes.get(row.name) != row for row in changes.nodes)


@given(tables(), st.data())
def test_one_changed_service_is_one_change(applied: Tables, data: st.DataObject) -> None:
    if not applied.services:
        return
    key = data.draw(st.sampled_from(sorted(applied.services)))
    row: ServiceRow = applied.services[key]
    new = row._replace(affinity_s=row.affinity_s + 1)
    desired = dataclasses.replace(applied, services={**applied.services, key: new})
    assert plan(applied, desired) == Changes(services=(new,))
