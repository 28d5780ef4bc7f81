"""Where snapshots are kept: in memory, or in an SQLite file shared by several processes.

The file is written in transactions, so a crash leaves the old state or the new one. One that is
damaged, or written by a newer version, is set aside under another name and said so in the log.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from ._errors import InvalidSnapshotError
from ._snapshot import BreakerSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["MemoryStore", "SQLiteStore", "StateStore"]

_log = logging.getLogger("tracefuse.resilience")
_SCHEMA: Final = 1
_BUSY: Final = 5.0


class StateStore(Protocol):
    """Keeps one snapshot per breaker name. Safe to use from several threads."""

    def load(self, name: str) -> BreakerSnapshot | None:
        """The snapshot of the breaker `name`, None without a readable one."""
        ...

    def save(self, snapshot: BreakerSnapshot) -> None:
        """Keep `snapshot` in place of the older one of its name."""
        ...

    def names(self) -> list[str]:
        """The names there is something kept for, sorted."""
        ...


class MemoryStore:
    """Snapshots in memory, for tests and for handing over within a process.

    >>> store = MemoryStore()
    >>> store.save(BreakerSnapshot(name="db"))
    >>> store.names()
    ['db']
    """

    def __init__(self) -> None:
        self._kept: dict[str, BreakerSnapshot] = {}

    def load(self, name: str) -> BreakerSnapshot | None:
        """The snapshot of the breaker `name`, None without one."""
        return self._kept.get(name)

    def save(self, snapshot: BreakerSnapshot) -> None:
        """Keep `snapshot` in place of the older one of its name."""
        self._kept[snapshot.name] = snapshot

    def names(self) -> list[str]:
        """The names there is something kept for, sorted."""
        return sorted(self._kept)


class SQLiteStore:
    """Snapshots in an SQLite file, made when it is missing.

    A connection lives for one operation, so the store may be shared by threads and survives a fork.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = SQLiteStore(Path(folder) / "breakers.sqlite3")
    ...     store.save(BreakerSnapshot(name="db", state="OPEN"))
    ...     store.load("db").state
    'OPEN'
    """

    def __init__(self, path: str | Path, *, wall_clock: Callable[[], float] = time.time) -> None:  # noqa: TID251
        self.path = Path(path)
        self._wall_clock = wall_clock
        self._open()

    def load(self, name: str) -> BreakerSnapshot | None:
        """The snapshot of the breaker `name`; None, and a warning, for one that cannot be read."""
        with self._connected() as connection:
            row: Any = connection.execute("SELECT body FROM breakers WHERE name = ?", (name,)).fetchone()
        try:
            return None if row is None else BreakerSnapshot.from_dict(json.loads(row[0]))
        except (InvalidSnapshotError, ValueError, TypeError, AttributeError) as error:
            _log.warning("circuit_breaker.state_unreadable name=%s file=%s error=%s", name, self.path, error)
            return None

    def save(self, snapshot: BreakerSnapshot) -> None:
        """Keep `snapshot` in place of the older one of its name, in one transaction."""
        body = json.dumps(snapshot.to_dict(), separators=(",", ":"))
        with self._connected() as connection:
            connection.execute("REPLACE INTO breakers (name, body) VALUES (?, ?)", (snapshot.name, body))

    def names(self) -> list[str]:
        """The names there is something kept for, sorted."""
        with self._connected() as connection:
            return [row[0] for row in connection.execute("SELECT name FROM breakers ORDER BY name")]

    def _open(self) -> None:
        """Make the table, or set aside a file that is no store of ours and begin anew."""
        try:
            trouble = self._prepare()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "not a database" not in str(error):
                raise
            trouble = f"damaged ({error})"
        if trouble:
            self._set_aside(trouble)
            self._prepare()

    def _prepare(self) -> str | None:
        """Make the table where there is none; says what is wrong with the file otherwise."""
        with self._connected() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > _SCHEMA:
                return f"version {version}, newer than {_SCHEMA}"
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                return f"damaged ({verdict})"
            connection.execute("CREATE TABLE IF NOT EXISTS breakers (name TEXT PRIMARY KEY, body TEXT NOT NULL)")
            connection.execute(f"PRAGMA user_version = {_SCHEMA}")
        return None

    def _set_aside(self, trouble: str) -> None:
        aside = self.path.with_name(f"{self.path.name}.aside-{self._wall_clock():.0f}")
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{aside}{suffix}")
        _log.warning("circuit_breaker.state_file_set_aside file=%s kept_as=%s reason=%s", self.path, aside, trouble)

    @contextlib.contextmanager
    def _connected(self) -> Generator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=_BUSY)
        try:
            with connection:
                yield connection
        finally:
            connection.close()
