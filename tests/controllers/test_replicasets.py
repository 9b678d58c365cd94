from __future__ import annotations

import pytest

from netsim.api.fields import Json, items, number, text
from netsim.api.meta import metadata, name_of
from netsim.controllers.clock import rfc3339
from netsim.controllers.objects import controller_of, status
from netsim.controllers.replicasets import BURST, deletion_order, replica_sets
from netsim.store.base import Create, Delete, Update
from tests.controllers.world import NOW, START_S, look, owned_by, pod, replica_set

WEB = {"app": "web"}
MINE = owned_by("ReplicaSet", "web")


def mine(name: str, **fields: object) -> Json:
    return pod(name, labels=WEB, owner=MINE, **fields)  # type: ignore[arg-type]


def deleted(*objects: Json) -> list[str]:
    return [w.key.name for w in replica_sets(look(*objects)) if isinstance(w, Delete)]


def created(*objects: Json) -> list[Json]:
    return [w.obj for w in replica_sets(look(*objects)) if isinstance(w, Create)]


def test_missing_pods_are_made() -> None:
    made = created(replica_set("web", 3, WEB), mine("web-a"))
    assert len({name_of(p) for p in made}) == 2
    assert all(p["status"] == {"phase": "Pending"} for p in made)


def test_ended_and_terminating_pods_are_replaced() -> None:
    made = created(
        replica_set("web", 2, WEB), mine("web-a", phase="Failed"), mine("web-b", deleting=True)
    )
    assert len(made) == 2


def test_a_pass_makes_a_bounded_number() -> None:
    assert len(created(replica_set("web", BURST + 100, WEB))) == BURST


def test_the_same_pass_makes_the_same_names() -> None:
    first, again = (created(replica_set("web", 5, WEB)) for _ in range(2))
    assert first == again


def test_a_name_that_is_taken_is_not_used() -> None:
    (only,) = created(replica_set("web", 1, WEB))
    (other,) = created(replica_set("web", 1, WEB), pod(name_of(only)))
    assert name_of(only) != name_of(other)


def test_status_counts() -> None:
    pods = [mine("a", ready=True), mine("b", ready=False), mine("c")]
    (write,) = replica_sets(look(replica_set("web", 3, WEB), *pods))
    assert isinstance(write, Update)
    names = ("replicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas")
    assert [number(status(write.obj), n) for n in names] == [3, 1, 1, 3]


def test_matching_orphans_are_adopted_and_others_released() -> None:
    orphan, lost = pod("orphan", labels=WEB), pod("lost", labels={"app": "x"}, owner=MINE)
    writes = replica_sets(look(replica_set("web", 2, WEB), orphan, lost))
    owners = {name_of(w.obj): controller_of(w.obj) for w in writes if isinstance(w, Update)}
    assert text(owners["orphan"], "name") == "web"
    assert owners["lost"] == {}


def test_pods_of_another_controller_are_left_alone() -> None:
    other = pod("other", labels=WEB, owner=owned_by("ReplicaSet", "api"))
    assert len(created(replica_set("web", 1, WEB), other)) == 1


def since(age_s: float) -> str:
    return rfc3339(START_S - age_s)


def running(name: str, age_s: float = 0, ready_s: float | None = 0, **fields: object) -> Json:
    made = mine(name, on="a", phase="Running", **fields)
    condition = {"type": "Ready", "status": str(ready_s is not None)}
    condition["lastTransitionTime"] = since(ready_s or 0)
    return {
        **made,
        "metadata": {**metadata(made), "creationTimestamp": since(age_s)},
        "status": {**status(made), "conditions": [condition]},
    }


def restarted(made: Json, count: int) -> Json:
    return {**made, "status": {**status(made), "containerStatuses": [{"restartCount": count}]}}


COST = "controller.kubernetes.io/pod-deletion-cost"

# K-18, in its order: the first of each pair goes first
RANKS = [
    ("unassigned", mine("z"), mine("a", on="n")),
    ("pending", mine("z", on="n"), running("a")),
    ("unknown", mine("z", on="n", phase="Unknown"), running("a")),
    ("not ready", running("z", ready_s=None), running("a")),
    ("cheaper", running("z", annotations={COST: "-5"}), running("a", annotations={COST: "x"})),
    ("ready for a shorter time", running("z", ready_s=10), running("a", ready_s=1000)),
    ("more restarts", restarted(running("z"), 3), restarted(running("a"), 1)),
    ("newer", running("z", age_s=10), running("a", age_s=1000)),
    ("by name when all is equal", running("a"), running("b")),
]


@pytest.mark.parametrize(("first", "second"), [r[1:] for r in RANKS], ids=[r[0] for r in RANKS])
def test_who_goes_first(first: Json, second: Json) -> None:
    for pods in ([first, second], [second, first]):
        assert [name_of(p) for p in deletion_order(pods, NOW)] == [name_of(first), name_of(second)]


def test_nodes_with_more_replicas_lose_one_first() -> None:
    pods = [
        mine("a-alone", on="n1", phase="Running", ready=True),
        mine("b", on="n2", phase="Running", ready=True),
        mine("c", on="n2", phase="Running", ready=True),
    ]
    assert [name_of(p) for p in deletion_order(pods, NOW)] == ["b", "c", "a-alone"]


def test_about_equal_ages_do_not_count() -> None:
    pods = [running("a", ready_s=1000), running("b", ready_s=700)]
    assert [name_of(p) for p in deletion_order(pods, NOW)] == ["a", "b"]


def test_too_many_pods_are_deleted() -> None:
    pods = [running("keep"), mine("pending", on="n"), mine("unbound")]
    assert deleted(replica_set("web", 1, WEB), *pods) == ["unbound", "pending"]


def test_a_replica_set_that_is_deleted_does_nothing() -> None:
    gone = replica_set("web", 3, WEB)
    marked = {**gone, "metadata": {**metadata(gone), "deletionTimestamp": NOW}}
    assert replica_sets(look(marked)) == []


def test_pods_carry_the_templates_labels_and_annotations() -> None:
    rs = replica_set(
        "web", 1, WEB, template={"metadata": {"labels": WEB, "annotations": {"a": "b"}}}
    )
    (made,) = created(rs)
    assert metadata(made)["annotations"] == {"a": "b"}
    assert items(metadata(made), "ownerReferences")
