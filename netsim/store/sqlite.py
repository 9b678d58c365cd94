"""The store's file: one row per object, one transaction per write, restored whole when opened.

WAL with `synchronous=NORMAL`: a killed process loses nothing that was acknowledged; a machine that
loses power may lose the last writes, and its labs with them. The file is locked while it is open.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec

from netsim.api.fields import Json
from netsim.errors import NetsimError
from netsim.store.base import Event
from netsim.store.memory import HISTORY_EVENTS, ObjectStore, utc_now

APPLICATION_ID = 0x6E657473  # "nets"
FORMAT = 1
LOCK_WAIT_S = 2.0
SCHEMA = """
CREATE TABLE objects(
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (kind, namespace, name)
);
CREATE TABLE state(revision INTEGER NOT NULL);
INSERT INTO state VALUES (0);
"""
PUT = "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)"
REMOVE = "DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ?"


class StoreFileError(NetsimError):
    """The store's file cannot be used; `why` says what is wrong with it."""


def open_store(
    path: str, *, now: Callable[[], datetime] = utc_now, history: int = HISTORY_EVENTS
) -> ObjectStore:
    """The store in this file, made if there is none. StoreFileError."""
    return ObjectStore(SqliteJournal(path), now=now, history=history)


class SqliteJournal:
    """`memory.Journal` in a SQLite file."""

    def __init__(self, path: str) -> None:
        """Open or make the file, mode 0600. StoreFileError: locked, corrupt or not ours."""
        self._path = path
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            raise self._unusable(error) from error
        except StoreFileError:
            self._db.close()
            raise

    def load(self) -> tuple[int, Iterable[Json]]:
        """The last revision and all objects. StoreFileError."""
        try:
            revision: int = self._db.execute("SELECT revision FROM state").fetchone()[0]
            bodies: list[tuple[bytes]] = self._db.execute("SELECT body FROM objects").fetchall()
            return revision, [
                msgspec.json.decode(body, type=dict[str, object]) for (body,) in bodies
            ]
        except (sqlite3.Error, msgspec.MsgspecError, TypeError) as error:
            self._db.close()
            raise self._unusable(error) from error

    def append(self, events: Sequence[Event]) -> None:
        """Write the changes in one transaction. StoreFileError: nothing was written."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for event in events:
                    if event.type == "DELETED":
                        self._db.execute(REMOVE, event.key)
                    else:
                        self._db.execute(PUT, (*event.key, msgspec.json.encode(event.obj)))
                self._db.execute("UPDATE state SET revision = ?", (events[-1].revision,))
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Fold the log into the file and release it."""
        self._db.close()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("BEGIN IMMEDIATE")
        application, version = self._pragma("application_id"), self._pragma("user_version")
        if (application, version) == (0, 0) and not self._pragma("schema_version"):
            self._create()
        elif application != APPLICATION_ID:
            raise StoreFileError(self._what, "it is another program's database", self._hint)
        elif version != FORMAT:
            why = f"it has format {version}, this version of netsim reads format {FORMAT}"
            raise StoreFileError(self._what, why, self._hint)
        self._db.execute("COMMIT")
        found = str(self._db.execute("PRAGMA quick_check(1)").fetchone()[0])
        if found != "ok":
            raise StoreFileError(self._what, f"it is damaged: {found}", self._hint)

    def _create(self) -> None:
        for statement in filter(str.strip, SCHEMA.split(";")):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    @property
    def _what(self) -> str:
        return f"cannot use the store {self._path}"

    @property
    def _hint(self) -> str:
        return "take the lab down (netsim down) and up again"

    def _unusable(self, error: Exception) -> StoreFileError:
        locked = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
        if locked:
            return StoreFileError(self._what, "another process has it open", "end that process")
        return StoreFileError(self._what, str(error), self._hint)
