from __future__ import annotations

import os
from pathlib import Path

from netsim.api.fields import Json, items, text
from netsim.controllers.objects import condition, is_true, status, with_condition, with_status
from tests.controllers.world import (
    Object,
    container,
    pod,
)
from tests.workloads.fakes import Machine, idle
from tests.workloads.scenario import HTTP, play, program


def test_an_answerer_is_ready_when_it_says_so(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        answerer = m.process("p")
        assert Path(answerer.argv[0]).name == "answerer"
        assert answerer.argv[1:] == ["tcp:8080", "udp:53"]
        assert answerer.env["NETSIM_READY_FD"] == "3"
        assert not is_true(m.pod("p"), "Ready")
        assert "unready status: [main]" in text(condition(m.pod("p"), "Ready"), "message")
        os.write(answerer.ready_fd, b"\n")
        await idle()
        assert is_true(m.pod("p"), "Ready")

    ports = [HTTP, {"containerPort": 53, "protocol": "UDP"}]
    play(tmp_path, scenario, pod("p", containers=[container("main", *ports)]))


def probed(**probe: object) -> Object:
    fields = {"httpGet": {"path": "/ok", "port": "http"}, "periodSeconds": 5, **probe}
    return program(containers=[container("main", HTTP, command=["server"], readinessProbe=fields)])


def test_an_http_probe_decides_about_readiness(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        address = text(status(m.pod("p")), "podIP")
        await m.advance(2.9)
        assert m.network.asked == [], "not before the initial delay"
        await m.advance(0.2)
        assert m.network.asked == [("http", address, 8080, "node1")]
        assert not is_true(m.pod("p"), "Ready")
        m.network.up.add((address, 8080))
        await m.advance(5)
        assert not is_true(m.pod("p"), "Ready"), "two successes are asked for"
        await m.advance(5)
        assert is_true(m.pod("p"), "Ready")
        m.network.up.clear()
        await m.advance(5)
        assert is_true(m.pod("p"), "Ready")
        await m.advance(5)
        assert not is_true(m.pod("p"), "Ready"), "two failures"

    given = probed(initialDelaySeconds=3, successThreshold=2, failureThreshold=2)
    play(tmp_path, scenario, given)


def test_a_probe_ends_with_the_process(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        m.delete("p")
        await m.run()
        asked = len(m.network.asked)
        await m.advance(60)
        assert len(m.network.asked) == asked

    play(tmp_path, scenario, probed())


def test_an_exec_probe_runs_in_the_pod(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        m.processes.results["check"] = 1
        await m.run()
        assert not is_true(m.pod("p"), "Ready")
        m.processes.results["check"] = 0
        await m.advance(5)
        assert is_true(m.pod("p"), "Ready")
        assert not [k for k in m.processes.table if k.startswith("probe/")]
        m.processes.missing.add("check")
        await m.advance(15)
        assert not is_true(m.pod("p"), "Ready")

    check = {"httpGet": None, "exec": {"command": ["check"]}}
    given = {k: v for k, v in check.items() if v}
    fields = {"periodSeconds": 5, **given}
    both = [container("main", command=["server"], readinessProbe=fields)]
    play(tmp_path, scenario, pod("p", containers=both))


def test_an_exec_probe_that_hangs_is_killed(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        m.processes.deaf.add("hang")
        await m.run()
        (key,) = (k for k in m.processes.table if k.startswith("probe/"))
        await m.advance(2.1)
        assert key not in m.processes.table
        assert not is_true(m.pod("p"), "Ready")

    probe = {"exec": {"command": ["hang"]}, "timeoutSeconds": 2}
    both = [container("main", command=["server"], readinessProbe=probe)]
    play(tmp_path, scenario, pod("p", containers=both))


def test_a_probed_answerer_is_probed_once_it_listens(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        assert m.network.asked == []
        m.network.up.add((text(status(m.pod("p")), "podIP"), 8080))
        os.write(m.process("p").ready_fd, b"\n")
        await m.run()
        assert is_true(m.pod("p"), "Ready")

    probe = {"tcpSocket": {"port": 8080}}
    play(tmp_path, scenario, pod("p", containers=[container("main", HTTP, readinessProbe=probe)]))


GATES: list[Json] = [{"conditionType": "example.com/green"}, {"conditionType": "example.com/up"}]


def set_gate(m: Machine, name: str, value: str) -> None:
    p = m.pod("p")
    conditions = with_condition(items(status(p), "conditions"), name, value, "")
    m.store.update(dict(with_status(p, conditions=conditions)))


def test_a_pod_is_ready_when_its_gates_are_open(tmp_path: Path) -> None:
    """C-194."""

    async def scenario(m: Machine) -> None:
        await m.run()
        p = m.pod("p")
        assert is_true(p, "ContainersReady")
        assert not is_true(p, "Ready")
        assert text(condition(p, "Ready"), "reason") == "ReadinessGatesNotReady"
        missing = 'corresponding condition of pod readiness gate "example.com/%s" does not exist.'
        said = text(condition(p, "Ready"), "message")
        assert said == f"{missing % 'green'}, {missing % 'up'}"
        for name, value in (("green", "True"), ("up", "False")):
            set_gate(m, f"example.com/{name}", value)
        await m.run()
        said = text(condition(m.pod("p"), "Ready"), "message")
        assert said == 'the status of pod readiness gate "example.com/up" is not "True", but False'
        set_gate(m, "example.com/up", "True")
        await m.run()
        assert is_true(m.pod("p"), "Ready")
        assert is_true(m.pod("p"), "example.com/green"), "what others say is kept"
        await m.die()
        set_gate(m, "example.com/green", "Unknown")
        await m.run()
        assert not is_true(m.pod("p"), "Ready")

    play(tmp_path, scenario, program(readinessGates=GATES))
