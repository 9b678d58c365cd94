from __future__ import annotations

from typing import cast

import pytest

from netsim.api.fields import Json, number, text
from netsim.api.meta import ObjectKey, annotations_of, labels_of, metadata, name_of
from netsim.controllers.deployments import REVISION
from netsim.controllers.objects import condition, controller_of, is_true, spec, status, uid_of
from netsim.controllers.replicasets import next_available_s
from netsim.store.base import Delete
from netsim.store.garbage import cascade
from tests.controllers.world import World, deployment, lab, owned_by, replica_set, service, template

WEB = {"app": "web"}


def world(*objects: Json) -> World:
    made = World(lab(), *objects)
    made.run()
    return made


def sets(w: World) -> dict[str, int]:
    return {name_of(rs): number(spec(rs), "replicas") for rs in w.list("ReplicaSet")}


def new_template(w: World, color: str, **fields: object) -> None:
    w.set_spec("Deployment", "web", template=template({**WEB, "color": color}), **fields)


def test_a_deployment_becomes_pods() -> None:
    w = world(deployment("web", 3, WEB))
    (rs,) = w.list("ReplicaSet")
    digest = name_of(rs).removeprefix("web-")
    assert len(digest) == 10
    assert labels_of(rs) == {**WEB, "pod-template-hash": digest}
    assert len(w.pods()) == 3
    for pod in w.pods():
        assert name_of(pod).startswith(f"{name_of(rs)}-")
        assert labels_of(pod) == labels_of(rs)
        assert text(controller_of(pod), "uid") == uid_of(rs)
        assert metadata(pod)["generateName"] == f"{name_of(rs)}-"


def test_status_is_what_kubectl_waits_for() -> None:
    w = world(deployment("web", 2, WEB))
    found = w.get("Deployment", "web")
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    assert [number(status(found), c) for c in counts] == [2, 2, 2, 2]
    assert number(status(found), "observedGeneration") == number(metadata(found), "generation")
    assert is_true(found, "Available")
    assert text(condition(found, "Progressing"), "reason") == "NewReplicaSetAvailable"


def test_unavailable_replicas_show() -> None:
    w = World(lab(), deployment("web", 4, WEB))
    w.settle()
    found = w.get("Deployment", "web")
    assert number(status(found), "unavailableReplicas") == 4
    assert not is_true(found, "Available")


@pytest.mark.parametrize("replicas", [0, 1, 5])
def test_scaling_changes_the_set_in_place(replicas: int) -> None:
    w = world(deployment("web", 3, WEB))
    (name,) = sets(w)
    w.set_spec("Deployment", "web", replicas=replicas)
    w.run()
    assert sets(w) == {name: replicas}
    assert len(w.pods()) == replicas


def rolling(surge: object, unavailable: object) -> Json:
    shares = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"type": "RollingUpdate", "rollingUpdate": shares}


def step(w: World) -> None:
    """Settle, then every pod that waits becomes ready, and every deleted one has ended."""
    w.settle()
    w.store.transaction([write for pod in w.pods() for write in w.kubelet(pod)])
    w.settle()


# desired, surge, unavailable; (old, new) after each step.
ROLLOUTS: list[tuple[int, object, object, list[tuple[int, int]]]] = [
    (10, 2, 3, [(7, 5), (2, 10), (0, 10)]),  # K-13, and on
    (3, 1, 0, [(3, 1), (2, 2), (1, 3), (0, 3)]),
    (3, 0, 1, [(2, 1), (1, 2), (0, 3)]),
    (2, "25%", "25%", [(2, 1), (1, 2), (0, 2)]),  # 1 more, 0 less
    (1, 0, "0%", [(0, 1)]),  # both 0: one less
    (4, "100%", 0, [(4, 4), (0, 4)]),
]


@pytest.mark.parametrize(("desired", "surge", "unavailable", "steps"), ROLLOUTS)
def test_a_new_template_is_rolled_out_in_steps(
    desired: int, surge: object, unavailable: object, steps: list[tuple[int, int]]
) -> None:
    w = world(deployment("web", desired, WEB, strategy=rolling(surge, unavailable)))
    (old,) = sets(w)
    new_template(w, "blue")
    seen: list[tuple[int, int]] = []
    for _ in range(len(steps) + 3):
        w.settle()
        found = sets(w)
        here = (found.pop(old), *found.values())
        seen += [here] if seen[-1:] != [here] else []  # type: ignore[list-item]
        step(w)
    assert seen == steps
    assert {labels_of(p)["color"] for p in w.pods()} == {"blue"}
    assert is_true(w.get("Deployment", "web"), "Available")


def test_while_it_rolls_the_status_says_so() -> None:
    w = world(deployment("web", 4, WEB, strategy=rolling(1, 0)))
    new_template(w, "blue")
    w.settle()
    found = w.get("Deployment", "web")
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    assert [number(status(found), c) for c in counts] == [5, 1, 4, 4]
    assert number(status(found), "observedGeneration") == number(metadata(found), "generation")
    assert is_true(found, "Available")
    assert text(condition(found, "Progressing"), "reason") == "ReplicaSetUpdated"


def test_a_template_that_never_gets_ready_leaves_the_old_ones() -> None:
    w = world(deployment("web", 4, WEB, strategy=rolling(1, 1)))
    (old,) = sets(w)
    new_template(w, "blue")
    for _ in range(5):
        w.settle()
    assert sets(w)[old] == 3
    new_template(w, "green")
    w.settle()
    assert sorted(sets(w).values()) == [0, 2, 3], "the ones that are not available go first"


def test_pods_are_available_when_they_have_been_ready_long_enough() -> None:
    w = world(deployment("web", 2, WEB, strategy=rolling(1, 0), minReadySeconds=30))
    assert number(status(w.get("Deployment", "web")), "readyReplicas") == 2
    assert number(status(w.get("Deployment", "web")), "availableReplicas") == 0
    assert next_available_s(w.store.view(), w.now_s) == w.now_s + 30
    w.now_s += 30
    w.settle()
    assert number(status(w.get("Deployment", "web")), "availableReplicas") == 2
    (old,) = sets(w)
    new_template(w, "blue")
    w.run()
    assert sets(w)[old] == 2, "the new one is ready, and has to stay so"
    for left in (1, 0):
        w.now_s += 30
        w.run()
        assert sets(w)[old] == left
    assert next_available_s(w.store.view(), w.now_s) is None
    w.set_spec("Deployment", "web", minReadySeconds=600)
    w.run()
    assert next_available_s(w.store.view(), w.now_s) == w.now_s - 60 + 600


def test_a_rollout_that_is_paused_stays_where_it_is() -> None:
    w = world(deployment("web", 4, WEB, strategy=rolling(1, 0)))
    (old,) = sets(w)
    new_template(w, "blue")
    w.settle()
    w.set_spec("Deployment", "web", paused=True)
    w.run()
    assert sorted(sets(w).values()) == [1, 4]
    w.set_spec("Deployment", "web", paused=False)
    w.run()
    assert sets(w)[old] == 0


def test_going_back_reuses_the_old_set_with_a_new_revision() -> None:
    w = world(deployment("web", 1, WEB))
    (old,) = sets(w)
    new_template(w, "blue")
    w.run()
    w.set_spec("Deployment", "web", template=template(WEB))
    w.run()
    assert sets(w)[old] == 1
    assert annotations_of(w.get("ReplicaSet", old))[REVISION] == "3"
    assert annotations_of(w.get("Deployment", "web"))[REVISION] == "3"


def test_history_is_limited_oldest_first() -> None:
    w = world(deployment("web", 1, WEB, revisionHistoryLimit=2))
    (first,) = sets(w)
    for color in ("b", "c", "d"):
        new_template(w, color)
        w.run()
    assert len(sets(w)) == 3
    assert first not in sets(w)


def test_recreate_starts_nothing_before_the_old_pods_are_gone() -> None:
    w = world(deployment("web", 2, WEB, strategy={"type": "Recreate"}))
    new_template(w, "blue")
    w.settle()
    assert len(sets(w)) == 1
    w.run()
    assert {labels_of(p).get("color") for p in w.pods()} == {"blue"}


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    w = world(deployment("web", 1, WEB))
    (only,) = sets(w)
    new_template(w, "blue", paused=True, replicas=2)
    w.run()
    assert sets(w) == {only: 2}


def test_the_sets_of_a_clusters_dump_are_taken_over() -> None:
    dumped = replica_set("web-5d8c7", 2, WEB)
    labels = {**WEB, "pod-template-hash": "5d8c7"}
    fields = cast("dict[str, object]", dumped["spec"])
    fields["template"] = template(labels)
    fields["selector"] = {"matchLabels": labels}
    metadata_ = cast("dict[str, object]", dumped["metadata"])
    metadata_["labels"] = labels
    metadata_["annotations"] = {REVISION: "4"}
    metadata_["ownerReferences"] = [owned_by("Deployment", "web", uid="of-another-life")]
    w = world(deployment("web", 2, WEB), dumped)
    assert sets(w) == {"web-5d8c7": 2}
    owner = controller_of(w.get("ReplicaSet", "web-5d8c7"))
    assert text(owner, "uid") == uid_of(w.get("Deployment", "web"))


def test_an_orphan_set_that_matches_is_adopted() -> None:
    labels = {**WEB, "pod-template-hash": "5d8c7"}
    orphan = replica_set("web-5d8c7", 2, labels)
    cast("dict[str, object]", orphan["metadata"])["labels"] = labels
    w = world(deployment("web", 2, WEB), orphan)
    assert sets(w) == {"web-5d8c7": 2}


def test_a_foreign_set_with_the_name_does_not_stop_the_deployment() -> None:
    w = world(deployment("web", 1, WEB))
    (name,) = sets(w)
    other = world(replica_set(name, 1, {"app": "other"}), deployment("web", 1, WEB))
    assert len(sets(other)) == 2


def test_everything_goes_with_the_deployment() -> None:
    w = world(deployment("web", 2, WEB), service("web", WEB))
    gone = Delete(ObjectKey("Deployment", "default", "web"))
    w.store.transaction(cascade(w.store.view(), gone))
    w.run()
    assert not w.list("ReplicaSet")
    assert not w.pods()
