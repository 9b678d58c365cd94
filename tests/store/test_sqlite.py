"""The store's file: restored whole, private, locked, and refused with a reason if not ours."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netsim.store.base import Create, Delete, Update
from netsim.store.sqlite import StoreFileError, open_store
from tests.store.objects import key, metadata, namespace, pod


def test_reopen_restores_objects_and_revision(tmp_path: Path) -> None:
    path = str(tmp_path / "store.sqlite")
    store = open_store(path)
    store.transaction([Create(namespace("n")), Create(pod("p")), Create(pod("gone"))])
    store.delete(key("Pod", "gone"))
    before = (store.revision, store.view().list("Pod"), store.view().list("Namespace"))
    store.close()
    again = open_store(path)
    assert (again.revision, again.view().list("Pod"), again.view().list("Namespace")) == before
    assert metadata(again.create(pod("next")))["resourceVersion"] == "5"
    assert again.oldest == 4
    again.close()


def test_a_killed_process_loses_nothing_that_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "store.sqlite")
    script = (
        "import os, sys\n"
        "from netsim.store.sqlite import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "for n in range(50):\n"
        "    name = {'name': f'n{n}'}\n"
        "    store.create({'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': name})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], check=False, timeout=60)
    assert done.returncode == -9
    store = open_store(path)
    assert (store.revision, len(store.view().list("Namespace"))) == (50, 50)
    store.close()


def test_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    open_store(str(path)).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_refused_transaction_leaves_no_trace_in_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "store.sqlite")
    store = open_store(path)
    store.create(pod("p"))
    with pytest.raises(Exception, match="already exists"):
        store.transaction([Create(pod("q")), Create(pod("p"))])
    store.close()
    again = open_store(path)
    assert [metadata(obj)["name"] for obj in again.view().list("Pod")] == ["p"]
    again.close()


def test_a_failing_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path / "store.sqlite"))
    store.create(pod("p"))
    monkeypatch.setattr("netsim.store.sqlite.PUT", "INSERT INTO nowhere VALUES (?, ?, ?, ?)")
    with pytest.raises(StoreFileError, match="nowhere"):
        store.transaction([Delete(key("Pod", "p")), Create(pod("q"))])
    monkeypatch.undo()
    assert [metadata(obj)["name"] for obj in store.view().list("Pod")] == ["p"]
    assert store.revision == 1
    store.update({**pod("p"), "status": {"phase": "Running"}})
    assert store.revision == 2
    store.close()


def other_program(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t(x)")
    db.close()


def other_format(path: Path) -> None:
    open_store(str(path)).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


def not_sqlite(path: Path) -> None:
    path.write_bytes(b"this is not a database, however long it may look like one" * 40)


def damaged(path: Path) -> None:
    store = open_store(str(path))
    store.transaction([Create(pod(f"p{n}")) for n in range(200)])
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:8192] = os.urandom(4096)
    path.write_bytes(content)


def not_json(path: Path) -> None:
    store = open_store(str(path))
    store.create(pod("p"))
    store.close()
    db = sqlite3.connect(path)
    db.execute("UPDATE objects SET body = '{'")
    db.commit()
    db.close()


def a_directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (other_program, "another program's database"),
        (other_format, "it has format 99, this version of netsim reads format 1"),
        (not_sqlite, "not a database"),
        (damaged, ""),
        (not_json, "truncated"),
        (a_directory, "directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    path = tmp_path / "store.sqlite"
    spoil(path)
    with pytest.raises(StoreFileError) as raised:
        open_store(str(path))
    assert str(path) in raised.value.what
    assert why in raised.value.why
    assert raised.value.hint


def test_a_file_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsim.store.sqlite.LOCK_WAIT_S", 0.01)
    path = str(tmp_path / "store.sqlite")
    store = open_store(path)
    with pytest.raises(StoreFileError, match="another process has it open"):
        open_store(path)
    store.close()
    open_store(path).close()


def test_many_objects_in_one_transaction(tmp_path: Path) -> None:
    path = str(tmp_path / "store.sqlite")
    store = open_store(path)
    store.transaction([Create(pod(f"p{n}")) for n in range(2000)])
    view = store.view()
    store.transaction([Update({**obj, "status": {"phase": "Running"}}) for obj in view.list("Pod")])
    assert all("status" not in obj for obj in view.list("Pod"))
    store.close()
    again = open_store(path)
    assert len(again.view().list("Pod", "default")) == 2000
    assert again.revision == 4000
    again.close()
