from __future__ import annotations

from pathlib import Path
from signal import SIGKILL

from netsim.api.fields import items, mapping
from netsim.controllers.objects import status
from tests.workloads.fakes import Machine
from tests.workloads.scenario import play, program, restart_count


def test_a_new_control_process_goes_on_with_what_runs(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        before, revision = m.process("p"), m.store.revision
        await m.die()
        await m.run()
        assert m.process("p") is before
        assert before.signals == []
        assert m.sandboxes.log == ["create pod/default/p"]
        assert m.store.revision == revision, "and finds nothing to say"
        m.processes.exit(before.key, 1)
        await m.run()
        assert restart_count(m.pod("p")) == 1

    play(tmp_path, scenario, program())


def test_what_ended_while_nobody_looked_is_noticed(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        await m.die()
        m.processes.exit(m.process("p").key, 4)
        await m.run()
        assert m.starts("p") == 2
        assert restart_count(m.pod("p")) == 1

    play(tmp_path, scenario, program())


def test_back_off_survives_control(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        for _ in range(2):
            m.processes.exit(m.process("p").key, 4)
            await m.run()
        assert m.starts("p") == 2
        await m.die()
        await m.run()
        assert m.starts("p") == 2
        assert restart_count(m.pod("p")) == 1
        await m.advance(10)
        assert m.starts("p") == 3

    play(tmp_path, scenario, program())


def test_what_was_deleted_while_nobody_looked_is_ended(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        orphan = m.process("p")
        await m.die()
        m.delete("p", grace_s=0)
        await m.run()
        assert orphan.signals == [SIGKILL]
        assert m.sandboxes.there == {}
        assert m.processes.table == {}

    play(tmp_path, scenario, program())


def test_a_deletion_is_finished_by_the_next_control_process(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        m.processes.deaf.add("server")
        await m.run()
        m.delete("p")
        await m.run()
        await m.die()
        await m.run()
        await m.advance(31)
        assert not m.has_pod("p")
        assert m.sandboxes.there == {}

    play(tmp_path, scenario, program())


def test_a_half_made_sandbox_is_made_anew(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        m.sandboxes.there["pod/default/p"] = m.sandboxes.there.get("x")  # type: ignore[assignment]
        await m.run()
        assert m.sandboxes.log == ["drop pod/default/p", "create pod/default/p"]

    play(tmp_path, scenario, program())


def test_a_watch_that_breaks_is_begun_anew(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        broken = m.processes.watch
        tries: list[int] = []

        def refuse() -> object:
            tries.append(1)
            if len(tries) < 3:
                raise ConnectionResetError("init closed the watch")
            return broken()

        m.processes.watch = refuse  # type: ignore[method-assign, assignment]
        await m.die()
        m.processes.exit(m.process("p").key, 1)
        await m.run()
        await m.advance(1)
        assert len(tries) == 3
        assert m.starts("p") == 2

    play(tmp_path, scenario, program())


def test_a_process_that_init_has_forgotten_counts_as_ended(tmp_path: Path) -> None:
    async def scenario(m: Machine) -> None:
        await m.run()
        await m.die()
        m.processes.exit(m.process("p").key, 1)
        m.processes.table.clear()
        await m.run()
        assert m.starts("p") == 2
        (only,) = items(status(m.pod("p")), "containerStatuses")
        assert mapping(mapping(only, "lastState"), "terminated")["exitCode"] == 137

    play(tmp_path, scenario, program())
