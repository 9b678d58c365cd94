from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from netsim.api.addresses import parse_address
from netsim.api.fields import Json, items, mapping, number, text
from netsim.api.meta import ObjectKey
from netsim.controllers.objects import condition, is_true, status, uid_of
from netsim.errors import NetsimError, NotFoundError
from netsim.lab.pod_nets import HostPodNet
from netsim.lab.sandbox import PodNet
from netsim.store.base import Write
from tests.controllers.world import (
    container,
    node,
    owned_by,
    pod,
    replica_set,
    service,
)
from tests.workloads.fakes import Machine, idle
from tests.workloads.scenario import PROGRAM, play, program, restart_count, state_of


def test_a_pod_comes_up(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        p = m.pod("p")
        assert m.sandboxes.log == ["create pod/default/p"]
        net = m.sandboxes.there["pod/default/p"]
        assert isinstance(net, PodNet)
        assert (net.name, net.namespace, net.mtu) == ("p", "default", 1450)
        assert m.process("p").sandbox == "pod/default/p"
        assert text(status(p), "phase") == "Running"
        for name in ("PodScheduled", "Initialized", "Ready", "ContainersReady"):
            assert is_true(p, name), name
        assert is_true(p, "PodReadyToStartContainers")
        assert state_of(p)[0] == "running"
        assert text(status(p), "startTime")

    play(tmp_path, scenario, program())


def test_programs_wait_for_the_data_plane(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        m.data_plane = False
        await m.run()
        assert m.sandboxes.there
        assert m.processes.started == []
        assert state_of(m.pod("p")) == ("waiting", {"reason": "ContainerCreating"})
        m.data_plane = True
        await m.run()
        assert len(m.processes.started) == 1

    play(tmp_path, scenario, program())


def test_an_answerer_that_ends_without_a_word_is_restarted(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        m.processes.exit(m.process("p").key, 1)
        await m.run()
        assert m.starts("p") == 2
        assert not is_true(m.pod("p"), "Ready")

    play(tmp_path, scenario, pod("p"))


def test_crashes_are_restarted_with_back_off(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        m.processes.exit(m.process("p").key, 3)
        await m.run()
        assert m.starts("p") == 2, "the first time at once"
        m.processes.exit(m.process("p").key, 3)
        await m.run()
        assert m.starts("p") == 2
        kind, detail = state_of(m.pod("p"))
        assert (kind, detail["reason"]) == ("waiting", "CrashLoopBackOff")
        assert detail["message"] == "back-off 10s restarting failed container"
        last = mapping(
            mapping(items(status(m.pod("p")), "containerStatuses")[0], "lastState"), "terminated"
        )
        assert (last["exitCode"], last["reason"]) == (3, "Error")
        assert not is_true(m.pod("p"), "Ready")
        await m.advance(9.9)
        assert m.starts("p") == 2
        await m.advance(0.2)
        assert m.starts("p") == 3
        assert restart_count(m.pod("p")) == 2
        assert is_true(m.pod("p"), "Ready")

    play(tmp_path, scenario, program())


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        m.processes.missing.add("server")
        await m.run()
        kind, detail = state_of(m.pod("p"))
        assert (kind, detail["reason"]) == ("waiting", "CrashLoopBackOff")
        assert "server: No such file or directory" in text(detail, "message")
        m.processes.missing.clear()
        await m.advance(10)
        assert is_true(m.pod("p"), "Ready")

    play(tmp_path, scenario, program())


ENDS = [
    ("Never", 0, "Succeeded"),
    ("Never", 5, "Failed"),
    ("OnFailure", 0, "Succeeded"),
]


@pytest.mark.parametrize(("policy", "code", "phase"), ENDS)
def test_a_pod_can_end(tmp_path: Path, policy: str, code: int, phase: str) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        m.processes.exit(m.process("p").key, code)
        await m.run()
        p = m.pod("p")
        assert text(status(p), "phase") == phase
        assert state_of(p)[1]["exitCode"] == code
        assert m.sandboxes.there == {}, "an ended pod's address may be given to another"
        assert not is_true(p, "PodReadyToStartContainers")
        assert m.starts("p") == 1
        await m.advance(1000)
        assert m.pod("p") == p
        m.delete("p")
        await m.run()
        assert not m.has_pod("p")

    play(tmp_path, scenario, program(restartPolicy=policy))


def shown(m: Machine) -> list[tuple[bool, bool]]:
    """(ready, terminating) of the endpoints."""
    return [
        (bool(mapping(e, "conditions")["ready"]), bool(mapping(e, "conditions")["terminating"]))
        for s in m.store.view().list("EndpointSlice")
        for e in items(s, "endpoints")
    ]


def test_deletion_publishes_then_terminates_then_cleans_up(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        m.processes.deaf.add("server")
        await m.run()
        assert shown(m) == [(True, False)]
        m.data_plane = False
        m.delete("p")
        await m.run()
        assert shown(m) == [(False, True)]
        assert m.process("p").signals == [], "not before every node knows"
        m.data_plane = True
        await m.run()
        assert m.process("p").signals == [SIGTERM]
        m.processes.exit(m.process("p").key, 0)
        await m.run()
        assert m.sandboxes.log[-1] == "drop pod/default/p"
        assert not m.has_pod("p")
        assert m.processes.table == {}
        assert shown(m) == []

    labels = {"app": "web"}
    play(tmp_path, scenario, program(labels=labels), service("web", labels))


def test_who_does_not_listen_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        m.processes.deaf.add("server")
        await m.run()
        m.delete("p")
        await m.run()
        await m.advance(11)
        assert m.process("p").signals == [SIGTERM]
        await m.advance(1)
        assert not m.has_pod("p")

    play(tmp_path, scenario, program(terminationGracePeriodSeconds=12))


def test_a_data_plane_that_is_gone_does_not_hold_a_deletion_for_ever(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        m.data_plane = False
        m.delete("p")
        await m.run()
        await m.advance(5)
        assert not m.process("p").running
        await m.advance(5)
        assert not m.has_pod("p")
        assert m.sandboxes.there == {}

    play(tmp_path, scenario, program())


def test_forced_deletion_kills_at_once(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        m.processes.deaf.add("server")
        await m.run()
        killed = m.process("p")
        m.delete("p", grace_s=0)
        assert not m.has_pod("p")
        await m.run()
        assert killed.signals == [SIGKILL]
        assert m.sandboxes.there == {}
        assert m.processes.table == {}

    play(tmp_path, scenario, program())


def test_a_pod_of_the_same_name_waits_for_the_sandbox_of_the_old_one(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        m.delete("p", grace_s=0)
        m.add(program())
        await m.run()
        key = "pod/default/p"
        assert m.sandboxes.log == [f"create {key}", f"drop {key}", f"create {key}"]
        assert m.starts("p") == 2
        assert is_true(m.pod("p"), "Ready")

    play(tmp_path, scenario, program())


def test_a_sandbox_that_cannot_be_made_is_said_and_tried_again(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        m.sandboxes.fail = "pod default/p: No space left on device"
        await m.run()
        assert text(status(m.pod("p")), "reason") == "FailedCreatePodSandBox"
        assert text(status(m.pod("p")), "message") == m.sandboxes.fail
        m.sandboxes.fail = ""
        await m.advance(2)
        assert is_true(m.pod("p"), "Ready")
        assert "message" not in status(m.pod("p"))

    play(tmp_path, scenario, program())


def test_the_containers_of_a_pod_are_independent(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        assert m.process("p", "a").sandbox == m.process("p", "b").sandbox
        m.processes.exit(m.process("p", "a").key, 1)
        m.processes.missing.add("first")
        await m.run()
        assert m.starts("p", "b") == 1
        assert "[a]" in text(condition(m.pod("p"), "Ready"), "message")
        assert text(status(m.pod("p")), "phase") == "Running"

    both = [container("a", command=["first"]), container("b", command=["second"])]
    play(tmp_path, scenario, pod("p", containers=both))


def test_environment_and_output(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        process = m.process("p")
        assert process.argv == ["server", "--name=p", "$(UNKNOWN)", "$(NAME)"]
        assert process.env["HOSTNAME"] == "box"
        assert process.env["GREETING"] == "hello p"
        assert process.env["IP"] == text(status(m.pod("p")), "podIP")
        assert process.env["APP"] == "web"
        assert process.env["NODE"] == "node1"
        assert process.cwd == "/srv"
        os.write(process.output, b"hello\n")
        assert (tmp_path / "default_p_main.log").read_text() == "hello\n"

    refs = {"NAME": "metadata.name", "IP": "status.podIP", "NODE": "spec.nodeName"}
    env: list[Json] = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in {**refs, "APP": "metadata.labels['app']"}.items()
    ]
    env.append({"name": "GREETING", "value": "hello $(NAME)"})
    args = ["--name=$(NAME)", "$(UNKNOWN)", "$$(NAME)"]
    one = container(command=["server"], args=args, env=env, workingDir="/srv")
    play(tmp_path, scenario, program(hostname="box", labels={"app": "web"}, containers=[one]))


def test_a_pod_on_its_nodes_network_shares_its_nodes_sandbox(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        wanted = HostPodNet("p", "default", "node1", parse_address("172.18.0.2"))
        assert m.sandboxes.there == {"pod/default/p": wanted}
        assert m.process("p").sandbox == "pod/default/p"
        assert m.process("p").env["HOSTNAME"] == "node1"
        assert is_true(m.pod("p"), "Ready")
        m.delete("p")
        await m.run()
        assert not m.has_pod("p")
        assert m.sandboxes.there == {}

    play(tmp_path, scenario, program(hostNetwork=True))


def test_a_pod_moves_into_its_nodes_new_sandbox(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        node = m.store.view().get(ObjectKey("Node", "", "node1"))
        assert node is not None
        addresses = [{"type": "InternalIP", "address": "172.18.0.9"}]
        m.store.update({**node, "status": {**status(node), "addresses": addresses}})
        await m.run()
        key = "pod/default/p"
        assert m.sandboxes.log == [f"create {key}", f"drop {key}", f"create {key}"]
        assert m.sandboxes.there[key] == HostPodNet(
            "p", "default", "node1", parse_address("172.18.0.9")
        )

    play(tmp_path, scenario, program(hostNetwork=True))


def test_many_pods_come_up_in_batches_and_go(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        assert len(m.sandboxes.there) == 300
        ready = [p for p in m.store.view().list("Pod") if is_true(p, "Ready")]
        assert len(ready) == 300
        rs = m.store.view().get(ObjectKey("ReplicaSet", "default", "web"))
        assert rs is not None
        assert number(status(rs), "readyReplicas") == 300
        m.store.update({**rs, "spec": {**mapping(rs, "spec"), "replicas": 0}})
        await m.run()
        assert m.sandboxes.there == {}
        assert m.processes.table == {}

    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [PROGRAM]}}
    play(tmp_path, scenario, replica_set("web", 300, labels, template=template))


def test_uids_tell_pods_of_one_name_apart(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        first = uid_of(m.pod("p"))
        assert first in m.process("p").key
        m.delete("p")
        await m.run()
        m.add(program())
        await m.run()
        assert uid_of(m.pod("p")) != first
        assert first not in m.process("p").key

    play(tmp_path, scenario, program(), node("node1"), pod("other", owner=owned_by("X", "y")))


def test_sandboxes_that_cannot_be_dropped_now_are_dropped_later(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        drop, tries = m.sandboxes.drop, list[int]()

        async def refuse(keys: Sequence[str]) -> None:
            tries.append(len(keys))
            if len(tries) == 1:
                raise NotFoundError("init does not answer")
            await drop(keys)

        m.sandboxes.drop = refuse  # type: ignore[method-assign]
        m.delete("p")
        await m.run()
        assert m.has_pod("p")
        await m.advance(3)
        assert not m.has_pod("p")
        assert m.sandboxes.there == {}

    play(tmp_path, scenario, program())


def test_statuses_that_cannot_be_stored_now_are_stored_later(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        transaction = m.store.transaction

        def refuse(writes: Sequence[Write]) -> list[Json]:
            raise NetsimError("no space left on device")

        m.store.transaction = refuse  # type: ignore[method-assign]
        m.processes.exit(m.process("p").key, 1)
        await idle()
        m.store.transaction = transaction  # type: ignore[method-assign]
        assert restart_count(m.pod("p")) == 0
        await m.advance(2)
        assert restart_count(m.pod("p")) == 1

    play(tmp_path, scenario, program())
